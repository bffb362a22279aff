"""How good a checkpoint is on labelled photos: `samseg eval masks`.

    truth         the true segments that are asked for, where to click and the boxes around them
    clicks        one prompt per segment, corrected click by click
    calibration   does the model know how good its masks are?
    automatic     automatic masks against the true segments
    structure     do the embeddings of the true segments tell their categories?
    measure       all of it, photo by photo, each photo encoded once per checkpoint (encoding)
    record        what was asked and what came of it; report: the same as tables

Not for comparing samseg with `segment_anything`: that is `samseg.lab.benchmark`. No night imports
it.
"""
