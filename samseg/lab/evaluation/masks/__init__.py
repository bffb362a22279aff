"""Evaluation of checkpoints on labelled photos: `samseg eval masks`.

    truth         true segments, with a click and a box for each
    clicks        IoU of masks from clicks and boxes, with corrective clicks
    groups        means by kind and area of segment, with bootstrap intervals over photos
    calibration   predicted IoU against true IoU
    automatic     automatic masks against the true segments
    structure     how well embeddings of the true segments separate their categories
    measure       all of these, with each photo encoded once per checkpoint (encoding)
    record        the protocol and the scores; report: the same as tables

To compare samseg with `segment_anything`, use `samseg.lab.benchmark`.
"""
