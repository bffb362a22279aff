"""Automatic masks: selection of prompt points, and filtering of candidate masks."""
