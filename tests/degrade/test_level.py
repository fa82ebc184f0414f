import math

import pytest
import torch

from restorekit.degrade._level import per_picture

X = torch.zeros(3, 1, 2, 2)


def level(value, *, x=X, low=0.0, high=1.0, **options):
    return per_picture(value, "level", x, low, high, **options)


@pytest.mark.parametrize("value", [0.5, torch.tensor(0.5), torch.tensor([0.5]), torch.full((3,), 0.5)])
def test_one_for_all_or_one_for_each(value):
    assert torch.equal(level(value), torch.full((3, 1, 1, 1), 0.5))


def test_whole_numbers_and_the_ends_of_the_range_are_levels():
    assert level(torch.tensor([0, 1, 1])).flatten().tolist() == [0.0, 1.0, 1.0]
    assert level(1).flatten().tolist() == [1.0] * 3


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
)
def test_never_narrower_than_float32(dtype, expected):
    assert level(0.1, x=X.to(dtype)).dtype == expected
    if dtype == torch.float64:
        assert level(0.1, x=X.to(dtype))[0].item() == 0.1


def test_the_graph_is_kept():
    value = torch.tensor([0.1, 0.2, 0.3], requires_grad=True)
    level(value).sum().backward()
    assert value.grad.tolist() == [1.0] * 3


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), torch.tensor([0.0, 0.0, 1.5])])
def test_outside_names_the_range(value):
    with pytest.raises(ValueError, match=r"level must be in \[0.0, 1.0\] \(8-bit: divide by 255\), got"):
        level(value, unit="(8-bit: divide by 255)")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("bound", [-math.pi / 2, math.pi / 2, 0.05 - math.pi / 2])
def test_a_bound_is_in_the_range_however_it_is_rounded(dtype, bound):
    low, high = min(bound, 0.0), max(bound, 0.0)
    level(bound, low=low, high=high)
    level(torch.tensor(bound, dtype=dtype), low=low, high=high)


def test_a_number_is_checked_as_it_is():
    with pytest.raises(ValueError, match=r"got 1\.00000001"):  # 1 in float32
        level(1.00000001)


@pytest.mark.parametrize(
    "value", [10**400, math.inf, torch.tensor(math.inf, dtype=torch.float16)], ids=["integer", "float", "tensor"]
)
def test_what_no_float_holds(value):
    with pytest.raises(ValueError, match="level must be in"):
        level(value, high=1e6)


def test_the_default_device_does_not_matter():
    before = torch.get_default_device()
    try:
        torch.set_default_device("meta")
        assert level(0.5).device == X.device
    finally:
        torch.set_default_device(before)


def test_an_open_end():
    with pytest.raises(ValueError, match=r"level must be in \(0.0, 1.0\], got 0.0"):
        level(0.0, above=True)


@pytest.mark.parametrize("shape", [(2,), (4,), (3, 1), (0,)])
def test_wrong_length(shape):
    with pytest.raises(ValueError, match="one for each of the 3 pictures"):
        level(torch.zeros(shape))


@pytest.mark.parametrize("value", ["0.5", True, None, [0.1, 0.2, 0.3], torch.tensor([True]), torch.tensor([1j])])
def test_not_a_number(value):
    with pytest.raises(TypeError, match="level must"):
        level(value)
