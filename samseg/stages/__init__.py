"""The stages of a night: plain functions of an output folder and, for embed, an engine.

One file per stage; a stage with helpers is a folder whose `stage.py` holds it.
"""
