"""Networks trained on natural photos, shared by what samseg builds on them."""
