"""The command `samseg segment`: masks of one photo, its classes, figures and files.

Nothing here reads or writes an output folder.
"""
