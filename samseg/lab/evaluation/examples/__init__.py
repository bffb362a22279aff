"""Evaluation of classes by example against labels: `samseg eval examples`.

record     the protocol and the scores
draws      random examples of a category, and the masks of other photos that are ranked
ranking    ways to rank masks by examples
measure    average precision of each, and the membership rule, on a set; report: as tables
"""
