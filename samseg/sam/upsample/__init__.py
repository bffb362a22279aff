"""From 256 x 256 logits to image pixels: tiles on CPUs, whole maps on GPUs."""
