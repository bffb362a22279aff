"""The local page on which people name, merge, split and correct classes.

`catalogue` holds all masks in memory as the codebook has them, `classes_now` what the edits make of
them. `session` is what requests share; every edit goes through `samseg.stages.edits.editor`.
`guard` decides which requests are answered, `pages` and `actions` answer them.
"""
