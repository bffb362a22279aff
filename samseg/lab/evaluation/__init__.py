"""Evaluation on labelled photos: `samseg eval masks` and `samseg eval classes`.

masks         masks from prompts and automatic masks against true segments
classes       classes found without labels against the labels
neighbours    nearest neighbours across photos, for both
"""
