"""Optimised forms of SAM's image encoder and mask decoder, with the same weights."""
