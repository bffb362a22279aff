"""Exports that people corrected in other tools: what they hold, and what was changed in them."""
