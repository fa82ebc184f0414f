from itertools import permutations

import numpy as np
import pytest
import scipy.stats
import torch

from restorekit.augment import blend, permute_rgb


def seed(number):
    return torch.Generator().manual_seed(number)


def pair(n, scale, channels=3):
    lq = torch.rand(n, channels, 4, 5, dtype=torch.float64, generator=seed(0))
    return lq, torch.rand(n, channels, 4 * scale, 5 * scale, dtype=torch.float64, generator=seed(1))


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_permute_rgb_permutes_both_alike(scale):
    lq, hq = pair(12, scale)
    out, target, params = permute_rgb(lq, hq, p=0.7, generator=seed(2), return_params=True)
    for i, order in enumerate(params.permutation.tolist()):
        used = order if params.applied[i] else [0, 1, 2]
        assert torch.equal(out[i], lq[i, used])
        assert torch.equal(target[i], hq[i, used])


def test_the_six_orders_are_equally_likely():
    x = torch.tensor([0.0, 0.1, 0.2]).view(1, 3, 1, 1).expand(3000, -1, -1, -1)
    out, _ = permute_rgb(x, x, generator=seed(3))
    found, counts = np.unique((out * 10).round().int().flatten(1).numpy(), axis=0, return_counts=True)
    assert [tuple(order) for order in found] == list(permutations(range(3)))
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_permute_rgb_refuses_other_channels(channels):
    with pytest.raises(ValueError, match="lq must have 3 channels"):
        permute_rgb(*pair(2, 1, channels))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_blend_value(scale, channels):
    lq, hq = pair(12, scale, channels)
    out, target, params = blend(lq, hq, alpha=0.3, p=0.7, generator=seed(4), return_params=True)
    v = np.where(params.applied, params.share.double(), 1)[:, None, None, None]
    c = params.colour.double().numpy()[:, :, None, None]
    assert np.allclose(out, v * lq.numpy() + (1 - v) * c, rtol=0, atol=1e-15)
    assert np.allclose(target, v * hq.numpy() + (1 - v) * c, rtol=0, atol=1e-15)


@pytest.mark.parametrize("alpha", [0.1, 0.6])
def test_colours_and_weights_are_uniform_and_independent(alpha):
    x = torch.zeros(1500, 3, 1, 1)
    *_, params = blend(x, x, alpha=alpha, generator=seed(5), return_params=True)
    columns = [*params.colour.double().numpy().T, (params.share.double().numpy() - alpha) / (1 - alpha)]
    for column in columns:
        assert scipy.stats.kstest(column, "uniform").pvalue > 1e-3
    correlations = np.corrcoef(columns)[np.triu_indices(4, 1)]
    assert np.abs(correlations).max() < 4 / np.sqrt(1500)


def test_blend_with_alpha_one_changes_nothing():
    lq, hq = pair(5, 2)
    out, target = blend(lq, hq, alpha=1)
    assert torch.equal(out, lq)
    assert torch.equal(target, hq)


def test_a_replay_of_blend_needs_as_many_channels():
    *_, params = blend(*pair(3, 1), return_params=True)
    with pytest.raises(ValueError, match="colours of 3 channels, got lq of"):
        blend(*pair(3, 1, 1), replay=params)
