"""The Segment Anything Model: checkpoints, automatic masks, prompts, and part/whole."""
