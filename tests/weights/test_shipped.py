import pytest

from restorekit.weights import shipped


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"name must be one of .*, got 'mdf_blur'"):
        shipped("mdf_blur")
    with pytest.raises(ValueError, match=r"got '\.\./weights/x'"):
        shipped("../weights/x")
    with pytest.raises(TypeError, match="name must be a string, got NoneType"):
        shipped(None)
