"""Pretrained networks, shared by features and the small SAM."""
