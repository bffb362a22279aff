import pickle

from samseg import errors
from samseg.errors import ImageError, one_line


def test_one_line_is_a_single_line_of_bounded_length():
    text = one_line(ValueError("first\n   second " + "x" * 500))
    assert "\n" not in text
    assert len(text) == 300
    assert text.startswith("ValueError: first second x")


def test_image_errors_can_be_pickled():
    again = pickle.loads(pickle.dumps(ImageError("too_large", "51 MP")))
    assert (again.status, str(again)) == ("too_large", "51 MP")


def test_the_error_tree_in_the_docstring_is_complete():
    drawn = errors.__doc__ or ""
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.SamsegError)
    }
    assert {name for name in defined if name not in drawn} == set()
