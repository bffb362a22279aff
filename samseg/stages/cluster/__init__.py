"""The cluster stage: draw the fit sample, fit or assign, store the codebook."""
