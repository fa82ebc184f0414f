import math

import pytest
import torch

from restorekit import _check as check

X = torch.zeros(2, 3, 4, 5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_batch_accepts_every_float(dtype):
    check.check_batch(torch.zeros(1, 1, 1, 1, dtype=dtype))
    check.check_batch(X.to(dtype), channels=3)


@pytest.mark.parametrize(
    ("x", "error", "match"),
    [
        (None, TypeError, "photo must be a torch.Tensor"),
        ([[1.0]], TypeError, "list"),
        (X.to(torch.uint8), TypeError, "torch.uint8"),
        (X.bool(), TypeError, "torch.bool"),
        (X.to(torch.complex64), TypeError, "complex64"),
        (X[0], ValueError, "4 dimensions"),
        (X[None], ValueError, "4 dimensions"),
        (X[:0], ValueError, "empty"),
        (X[..., :0], ValueError, "empty"),
        (X[:, :2], ValueError, "3 channels"),
    ],
)
def test_batch_refuses(x, error, match):
    with pytest.raises(error, match=match):
        check.check_batch(x, "photo", channels=3)


def test_pair():
    check.check_pair(X, X)
    with pytest.raises(ValueError, match=r"a and b must have the same shape, got \(2, 3, 4, 5\) and \(2, 3, 4, 4\)"):
        check.check_pair(X, X[..., 1:], ("a", "b"))
    with pytest.raises(ValueError, match="same dtype and device"):
        check.check_pair(X, X.double())
    with pytest.raises(ValueError, match="same dtype and device"):
        check.check_pair(X, X.to("meta"))
    with pytest.raises(TypeError, match="target"):
        check.check_pair(X, None)
    with pytest.raises(TypeError, match="prediction"):
        check.check_pair(None, X)


@pytest.mark.parametrize("value", [0, 1, 0.5, 0.0, 1.0])
def test_interval_includes_its_ends(value):
    check.check_interval(value, "p", 0, 1)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-0.1, ValueError),
        (1.1, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        (True, TypeError),
        ("1", TypeError),
        (None, TypeError),
    ],
)
def test_interval_refuses(value, error):
    with pytest.raises(error, match=r"p must be .*\[0, 1\]"):
        check.check_interval(value, "p", 0, 1)


def test_integer():
    check.check_integer(2, "scale", 2)
    with pytest.raises(ValueError, match="scale must be at least 2, got 1"):
        check.check_integer(1, "scale", 2)
    for value in (2.0, True, "2", None):
        with pytest.raises(TypeError, match="scale must be an integer"):
            check.check_integer(value, "scale", 0)


def test_generator():
    check.check_generator(None)
    check.check_generator(torch.Generator())
    with pytest.raises(TypeError, match="generator must be"):
        check.check_generator(7)
