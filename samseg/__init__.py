"""samseg."""
