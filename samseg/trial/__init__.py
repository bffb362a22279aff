"""`samseg try`: a few images of a lake with some settings, beside the last try."""
