"""Corrected exports, read back into an output folder."""
