"""The masks of a class by example over all edits that chose some."""

from samseg.edits.edit import CREATED, Example, ExampleMask, Refine
from samseg.edits.evidence import Evidence

NUT = CREATED + 1


def mask(name, *vector):
    return ExampleMask(mask_id=name, vector=vector or (1.0,))


def test_the_last_word_counts_and_order_is_that_of_the_words(edits_of):
    edits = edits_of(
        [
            Example(name="nut", embedding="sam", accepted=(mask("a"), mask("b"))),
            Refine(class_id=NUT, embedding="sam", accepted=(mask("c"),), rejected=(mask("a"),)),
            Refine(class_id=NUT, embedding="sam", accepted=(mask("a"),), rejected=(mask("b"),)),
        ]
    )
    found = Evidence.of(edits, "sam")
    assert found.edit == 3
    assert [m.mask_id for m in found.accepted] == ["c", "a"]
    assert [m.mask_id for m in found.rejected] == ["b"]


def test_masks_of_other_photos_are_told_apart_by_their_vector(edits_of):
    edits = edits_of(
        [
            Example(name="nut", embedding="sam", accepted=(mask(None, 1.0), mask(None, 2.0))),
            Refine(class_id=NUT, embedding="sam", rejected=(mask(None, 2.0),)),
        ]
    )
    found = Evidence.of(edits, "sam")
    assert [m.vector for m in found.accepted] == [(1.0,)]
    assert [m.vector for m in found.rejected] == [(2.0,)]


def test_vectors_of_another_embedding_are_left_out_and_their_masks_stay(edits_of):
    edits = edits_of(
        [
            Example(name="nut", embedding="sam", accepted=(mask("a"),)),
            Refine(class_id=NUT, embedding="net", accepted=(mask("b"),)),
        ]
    )
    found = Evidence.of(edits, "net")
    assert [(m.mask_id, m.vector) for m in found.accepted] == [("a", ()), ("b", (1.0,))]
