"""The describe stage: adds named embeddings to masks that are stored already."""
