"""Checks an output folder: the store, the presence and contents of its objects, and repair."""
