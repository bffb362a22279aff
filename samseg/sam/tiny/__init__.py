"""The shipped small SAM: a convolutional encoder under SAM's own prompt encoder and decoder."""
