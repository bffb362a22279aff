"""Pipeline stages: plain functions over an output folder and, for embed, an engine.

One file per stage; a stage with helpers is a folder whose `stage.py` holds it.
"""
