"""Measuring and training: benchmark, evaluation, pretraining, labelled photo sets.

No night imports anything from here; an import contract enforces it.
"""
