"""The embed stage: prefetch images, segment them, pool embeddings, commit the shard."""
