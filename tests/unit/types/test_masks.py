import numpy as np


def test_masks_select_and_decode(masks_of):
    dense = np.random.default_rng(0).random((4, 5, 7)) > 0.5
    masks = masks_of(dense)
    assert np.array_equal(masks.to_dense(), dense)
    assert np.array_equal(masks[[2, 0]].to_dense(), dense[[2, 0]])
    assert np.array_equal(masks[masks.prompt_ids > 1].to_dense(), dense[2:])
    assert masks[1:3].prompt_ids.tolist() == [1, 2]
    assert masks[[]].to_dense().shape == (0, 5, 7)
