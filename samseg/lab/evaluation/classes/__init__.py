"""Evaluation of classes found without labels against the labels: `samseg eval classes`.

truth             true segments of a labelled set; coco_truth: of a COCO file
labelled_masks    masks with the categories of the segments they match
oracle            true segments as masks, with their embeddings
automatic         automatic masks of a set: a night, whose output folder is kept
output_masks      masks, embeddings and classes of an output folder
rows              what is compared: embeddings and fits; colour_box: the baseline
agreement         scores from the contingency table; semantic: mIoU of label maps
resampling        bootstrap intervals by photo, and fits to some of the photos
measure           all scores of one set; evaluate: of several sets or a folder
record            the protocol and the scores; report, picture: the same to look at
"""
