import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch.autograd import gradcheck

from restorekit.image.geometry import DIHEDRAL, dihedral, dihedral_inverse

K = st.sampled_from(DIHEDRAL)


def numbered(*shape):
    return torch.arange(int(np.prod(shape))).reshape(shape)


def test_there_are_eight():
    assert list(DIHEDRAL) == [0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("k", DIHEDRAL)
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 5, 5), (1, 1), (1, 4), (2, 0, 3)])
def test_equals_numpy(k, shape):
    x = numbered(*shape)
    expected = np.rot90(x.numpy(), k % 4, axes=(-2, -1))
    expected = np.flip(expected, -1) if k >= 4 else expected
    np.testing.assert_array_equal(dihedral(x, k).numpy(), expected)


def test_all_eight_differ_on_an_asymmetric_picture():
    x = numbered(3, 3)
    assert len({tuple(dihedral(x, k).flatten().tolist()) for k in DIHEDRAL}) == 8


@settings(max_examples=60, deadline=None)
@given(K, st.integers(1, 6), st.integers(1, 6), st.integers(0, 2))
def test_inverse_on_both_sides(k, height, width, leading):
    x = numbered(*(2,) * leading, height, width)
    assert torch.equal(dihedral_inverse(dihedral(x, k), k), x)
    assert torch.equal(dihedral(dihedral_inverse(x, k), k), x)


def test_two_in_a_row_are_one_of_the_eight():
    x = numbered(3, 3)
    table = {tuple(dihedral(x, k).flatten().tolist()): k for k in DIHEDRAL}
    rows = [
        [table[tuple(dihedral(dihedral(x, first), second).flatten().tolist())] for second in DIHEDRAL]
        for first in DIHEDRAL
    ]
    assert all(sorted(row) == list(DIHEDRAL) for row in rows)
    assert any(rows[a][b] != rows[b][a] for a, b in itertools.combinations(DIHEDRAL, 2))


@pytest.mark.parametrize("k", DIHEDRAL)
def test_result_owns_its_memory(k):
    x = numbered(2, 2)
    for move in (dihedral, dihedral_inverse):
        move(x, k).fill_(9)
    assert torch.equal(x, numbered(2, 2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.uint8, torch.bool, torch.complex64])
def test_any_dtype(dtype):
    x = numbered(2, 3).to(dtype)
    result = dihedral(x, 5)
    assert result.dtype == dtype
    assert torch.equal(dihedral_inverse(result, 5), x)


@pytest.mark.parametrize("k", DIHEDRAL)
def test_gradient(k):
    x = numbered(2, 3).double().requires_grad_()
    assert gradcheck(lambda x: dihedral(x, k), (x,))
    assert gradcheck(lambda x: dihedral_inverse(x, k), (x,))


@pytest.mark.parametrize("move", [dihedral, dihedral_inverse])
@pytest.mark.parametrize(
    ("x", "k", "error", "match"),
    [
        (np.zeros((2, 2)), 0, TypeError, "torch.Tensor"),
        (torch.zeros(3), 0, ValueError, "2 dimensions"),
        (torch.zeros(2, 2), 8, ValueError, r"0\.\.7"),
        (torch.zeros(2, 2), -1, ValueError, r"0\.\.7"),
        (torch.zeros(2, 2), 1.0, TypeError, "integer"),
        (torch.zeros(2, 2), True, TypeError, "integer"),
        (torch.zeros(2, 2), None, TypeError, "integer"),
    ],
)
def test_bad_input(move, x, k, error, match):
    with pytest.raises(error, match=match):
        move(x, k)
