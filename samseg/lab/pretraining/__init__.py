"""Training of the small SAM: generated scenes, labelled photos, or a teacher's masks.

    samseg pretrain --config configs/pretrain_tiny.yaml output=tiny-run

No night imports this package.
"""
