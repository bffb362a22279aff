"""The cluster stage: read the fit sample, fit or assign, store the codebook."""
