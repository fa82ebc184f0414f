import math

import numpy as np
import pytest
import scipy.stats
import torch

from restorekit.augment import cutout


def seed(number):
    return torch.Generator().manual_seed(number)


def masks(n, height, width, scale=1, **options):
    *_, mask = cutout(
        torch.ones(n, 1, height, width), torch.ones(n, 1, height * scale, width * scale), return_mask=True, **options
    )
    return mask[:, 0]


@pytest.mark.parametrize("options", [{"shape": "rectangle"}, {"alpha": 0.3}])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_mask_shows_what_was_set_to_zero(options, scale, dtype):
    lq = torch.rand(5, 3, 7, 6, generator=seed(0)).to(dtype) + 0.1
    hq = torch.rand(5, 3, 7 * scale, 6 * scale).to(dtype)
    out, target, mask = cutout(lq, hq, p=0.7, generator=seed(1), return_mask=True, **options)
    assert target is hq
    assert mask.shape == (5, 1, 7 * scale, 6 * scale)
    assert mask.dtype == dtype
    assert set(mask.unique().tolist()) == {0, 1}
    cells = mask.view(5, 1, 7, scale, 6, scale)
    small = cells[:, :, :, 0, :, 0]
    assert torch.equal(cells, small[:, :, :, None, :, None].expand_as(cells))
    assert torch.equal(out, lq * small)


def test_pixels_are_dropped_each_by_itself():
    mask = masks(40, 50, 50, alpha=0.02, generator=seed(2))
    dropped = mask == 0
    n = mask.numel()
    assert abs(dropped.double().mean().item() - 0.02) < 4 * math.sqrt(0.02 * 0.98 / n)
    counts = dropped.flatten(1).sum(1).numpy()
    # the counts of 40 pictures vary as those of independent pixels do
    statistic = ((counts - 50) ** 2 / (2500 * 0.02 * 0.98)).sum()
    assert 1e-4 < scipy.stats.chi2.sf(statistic, 40) < 1 - 1e-4
    places = dropped.nonzero().numpy()
    for axis in (1, 2):
        observed = np.bincount(places[:, axis], minlength=50)
        assert scipy.stats.chisquare(observed).pvalue > 1e-4


def test_published_share_drops_two_or_three_pixels_of_a_patch():
    counts = (masks(400, 48, 48, generator=seed(3)) == 0).flatten(1).sum(1).double()
    assert abs(counts.mean().item() - 2.304) < 4 * math.sqrt(2.304 / 400)


@pytest.mark.parametrize("alpha", [0.25, None, 1.0])
def test_a_rectangle_has_the_given_side_and_a_uniform_place(alpha):
    dropped = masks(3000, 12, 8, shape="rectangle", alpha=alpha, generator=seed(4)) == 0
    ratio = 0.5 if alpha is None else alpha
    rows, columns = dropped.any(2), dropped.any(1)
    assert torch.equal(dropped, rows[:, :, None] & columns[:, None, :])
    for line, size in ((rows, 12), (columns, 8)):
        side = int(ratio * size)
        assert bool((line.sum(1) == side).all())
        starts = line.int().argmax(1)
        ends = size - line.flip(1).int().argmax(1)
        assert bool((ends - starts == side).all())
        assert alpha == 1 or scipy.stats.chisquare(np.bincount(starts, minlength=size - side + 1)).pvalue > 1e-4


def test_alpha_one_drops_every_pixel():
    assert masks(3, 4, 5, alpha=1, generator=seed(5)).sum() == 0


@pytest.mark.parametrize("options", [{"p": 0}, {"alpha": 0}, {"alpha": 0, "shape": "rectangle"}])
def test_the_mask_is_ones_where_nothing_is_cut(options):
    assert bool((masks(2, 3, 4, 2, **options) == 1).all())


def test_mask_and_decisions_come_in_this_order():
    lq = torch.ones(2, 3, 4, 4)
    out = cutout(lq, lq, return_mask=True, return_params=True)
    assert len(out) == 4
    assert torch.equal(cutout(lq, lq, return_mask=True, replay=out[3])[2], out[2])


def test_an_unknown_shape():
    with pytest.raises(ValueError, match="shape must be one of pixels, rectangle, got 'circle'"):
        cutout(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2), shape="circle")


@pytest.mark.parametrize("shape", ["pixels", "rectangle"])
def test_what_is_cut_out_may_be_broken(shape):
    lq = torch.full((2, 3, 8, 8), float("nan"))
    out, _, mask = cutout(lq, lq, alpha=0.5, shape=shape, generator=seed(0), return_mask=True)
    erased = (mask == 0).expand_as(out)
    assert erased.any()
    assert (out[erased] == 0).all()
