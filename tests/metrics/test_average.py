import functools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restorekit.metrics import Average, mse, psnr, ssim


def batches(sizes, seed=0, side=6):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(n, 3, side, side) for n in sizes]
    return [(torch.rand(s, generator=generator), torch.rand(s, generator=generator)) for s in shapes]


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_every_picture_has_the_same_weight(sizes, seed):
    average, seen = Average(psnr), []
    for pictures in batches(sizes, seed):
        values = average.update(*pictures)
        assert torch.equal(values, psnr(*pictures))
        seen += values.double().tolist()
    assert average.compute().dtype == torch.float64
    assert average.compute().item() == pytest.approx(math.fsum(seen) / len(seen), rel=1e-14)


@given(sizes=st.lists(st.integers(1, 3), min_size=2, max_size=6), cut=st.integers(1, 5))
def test_parts_merge_into_the_whole(sizes, cut):
    whole, first, second = Average(mse), Average(mse), Average(mse)
    for i, pictures in enumerate(batches(sizes)):
        whole.update(*pictures)
        (first if i < cut else second).update(*pictures)
    before = second.state.clone()
    added = first.state + second.state  # what all_reduce leaves in every process
    first.merge(second)
    assert torch.equal(second.state, before)
    assert first.compute().item() == pytest.approx(whole.compute().item(), rel=1e-14)
    second.state = added
    assert torch.equal(second.compute(), first.compute())


def test_options_are_bound():
    ((prediction, target),) = batches([2], side=20)
    average = Average(functools.partial(ssim, crop_border=3))
    average.update(prediction, target)
    torch.testing.assert_close(average.compute(), ssim(prediction, target, crop_border=3).double().mean())


def test_a_metric_of_one_batch():
    average = Average(lambda x: x.mean(dim=(1, 2, 3)))
    average.update(torch.full((2, 3, 4, 4), 0.25))
    assert average.compute() == 0.25


def test_small_values_are_not_lost_beside_large_ones():
    average = Average(lambda x: x[:, 0, 0, 0])
    for value in (2.0**30, 1.0, 1.0, 1.0):
        average.update(torch.full((1, 1, 1, 1), value))
    assert average.compute().item() == (2**30 + 3) / 4


def test_no_gradient_is_kept():
    ((prediction, target),) = batches([2])
    average = Average(mse)
    assert not average.update(prediction.requires_grad_(), target).requires_grad
    assert not average.state.requires_grad


def test_the_state_can_be_reduced_in_place_after_inference_mode():
    average = Average(mse)
    with torch.inference_mode():
        average.update(*batches([2])[0])
        average.merge(average)
    average.state.mul_(2)  # what all_reduce does
    assert average.state[1] == 8


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_and_infinity_reach_the_mean(bad):
    average = Average(lambda x: x[:, 0, 0, 0])
    average.update(torch.tensor([1.0, bad]).view(2, 1, 1, 1))
    average.update(torch.ones(1, 1, 1, 1))
    assert str(average.compute().item()) == str(bad)


def test_reset():
    average = Average(mse)
    with pytest.raises(ValueError, match="call update first"):
        average.compute()
    average.update(*batches([2])[0])
    average.reset()
    with pytest.raises(ValueError, match="no picture"):
        average.compute()


def test_errors():
    ((prediction, target),) = batches([2])
    with pytest.raises(TypeError, match="metric must be a function"):
        Average(0.5)
    with pytest.raises(TypeError, match="got float"):
        Average(lambda p, t: 0.5).update(prediction, target)
    with pytest.raises(TypeError, match=r"got torch\.int64"):
        Average(lambda p, t: torch.arange(2)).update(prediction, target)
    with pytest.raises(ValueError, match=r"each of the 2 pictures, got shape \(\)"):
        Average(torch.nn.functional.mse_loss).update(prediction, target)
    with pytest.raises(TypeError, match="other must be an Average, got float"):
        Average(mse).merge(1.0)
