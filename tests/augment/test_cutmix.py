import numpy as np
import pytest
import scipy.stats
import torch

from restorekit.augment import cutmix, cutmixup


def seed(number):
    return torch.Generator().manual_seed(number)


def pair(n, height, width, scale, dtype=torch.float64):
    lq = torch.rand(n, 3, height, width, dtype=dtype, generator=seed(0))
    return lq, torch.rand(n, 3, height * scale, width * scale, dtype=dtype, generator=seed(1))


def in_box(params, height, width, scale):
    inside = np.zeros((len(params.box), 1, height * scale, width * scale), dtype=bool)
    for marked, (top, left, bottom, right) in zip(inside, params.box.numpy() * scale, strict=True):
        marked[:, top:bottom, left:right] = True
    return inside


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_cutmix_pastes_the_same_part_of_a_partner_into_both(scale):
    lq, hq = pair(8, 7, 9, scale)
    out, target, params = cutmix(lq, hq, alpha=0.5, p=0.6, generator=seed(2), return_params=True)
    assert set(params.applied.tolist()) == {False, True}
    for got, x, s in ((out, lq, 1), (target, hq, scale)):
        pasted = in_box(params, 7, 9, s) & params.applied.numpy()[:, None, None, None]
        assert np.array_equal(got, np.where(pasted, x[params.partner], x))


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("mixup_alpha", [0, 1.2])
def test_cutmixup_blends_a_box_or_all_but_a_box(scale, mixup_alpha):
    lq, hq = pair(16, 7, 9, scale)
    options = {"alpha": 0.5, "mixup_alpha": mixup_alpha, "p": 0.7, "generator": seed(3)}
    out, target, params = cutmixup(lq, hq, return_params=True, **options)
    assert set(params.applied.tolist()) == set(params.inside.tolist()) == {False, True}
    if mixup_alpha == 0:
        assert not params.share.any()
    inside, applied, share = (
        getattr(params, name).numpy()[:, None, None, None] for name in ("inside", "applied", "share")
    )
    for got, x, s in ((out, lq, 1), (target, hq, scale)):
        blended = (in_box(params, 7, 9, s) == inside) & applied
        whole = share * x.numpy() + (1 - share.astype(float)) * x[params.partner].numpy()
        assert np.allclose(got, np.where(blended, whole, x), rtol=0, atol=1e-7)
        assert np.array_equal(
            got.numpy()[~np.broadcast_to(blended, x.shape)], x.numpy()[~np.broadcast_to(blended, x.shape)]
        )


def drawn(function, n, size, **options):
    x = torch.zeros(n, 1, 1, 1).expand(-1, -1, size, size)
    return function(x, x, return_params=True, **options)[2]


@pytest.mark.parametrize("function", [cutmix, cutmixup])
def test_boxes_have_one_ratio_about_alpha_and_uniform_places(function):
    params = drawn(function, 500, 64, alpha=0.3, generator=seed(4))
    top, left, bottom, right = params.box.numpy().T
    assert np.array_equal(bottom - top, right - left)
    # floor(64 * N(0.3, 0.01)) is 19 where the ratio lies in [19/64, 20/64)
    expected = np.diff(scipy.stats.norm(0.3, 0.01).cdf(np.array([0, 18, 19, 20, 21, 64]) / 64))
    observed = np.histogram(bottom - top, [0, 18, 19, 20, 21, 64])[0]
    keep = expected * 500 > 3
    assert (
        scipy.stats.chisquare(observed[keep], expected[keep] / expected[keep].sum() * observed[keep].sum()).pvalue
        > 1e-3
    )
    for start, end in ((top, bottom), (left, right)):
        assert start.min() >= 0
        assert end.max() <= 64
        places = (start + 0.5) / (64 - (end - start) + 1)
        assert scipy.stats.kstest(places, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(top, left)[0, 1]) < 4 / np.sqrt(500)


def test_shares_of_cutmixup_follow_beta_and_halves_are_inside():
    params = drawn(cutmixup, 1500, 2, mixup_alpha=0.7, generator=seed(5))
    assert scipy.stats.kstest(params.share.double().numpy(), scipy.stats.beta(0.7, 0.7).cdf).pvalue > 1e-3
    assert scipy.stats.binomtest(int(params.inside.sum()), 1500).pvalue > 1e-3


@pytest.mark.parametrize("value", [-1, 1001, None])
def test_bad_mixup_alpha(value):
    x = torch.zeros(2, 1, 1, 1)
    with pytest.raises((ValueError, TypeError), match="mixup_alpha must be"):
        cutmixup(x, x, mixup_alpha=value)


def test_a_cutmix_is_no_cutmixup():
    x = torch.zeros(2, 1, 3, 3)
    for function, other in ((cutmix, cutmixup), (cutmixup, cutmix)):
        with pytest.raises(TypeError, match="replay must be the"):
            other(x, x, replay=function(x, x, return_params=True)[2])
