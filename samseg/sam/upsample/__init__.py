"""Upsample 256 x 256 logits to image pixels: in tiles on CPUs, whole masks on GPUs."""
