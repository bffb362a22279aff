"""SAM's network, rearranged: image encoder, mask decoder, and what they are built from."""
