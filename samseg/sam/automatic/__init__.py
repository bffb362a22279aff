"""Automatic masks: where to prompt, and which candidate masks are kept."""
