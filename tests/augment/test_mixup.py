import math

import numpy as np
import pytest
import scipy.stats
import torch

from restorekit.augment import mixup


def seed(number):
    return torch.Generator().manual_seed(number)


@pytest.mark.parametrize("alpha", [0.2, 1.2, 30])
def test_shares_follow_beta(alpha):
    x = torch.zeros(2000, 1, 1, 1)
    *_, params = mixup(x, x, alpha=alpha, generator=seed(0), return_params=True)
    assert scipy.stats.kstest(params.share.double().numpy(), scipy.stats.beta(alpha, alpha).cdf).pvalue > 1e-3


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_value(scale):
    lq = np.random.default_rng(0).random((5, 3, 4, 3))
    hq = np.random.default_rng(1).random((5, 3, 4 * scale, 3 * scale))
    out, target, params = mixup(*map(torch.from_numpy, (lq, hq)), p=0.6, generator=seed(1), return_params=True)
    assert set(params.applied.tolist()) == {False, True}
    share = np.where(params.applied, params.share.double(), 1)[:, None, None, None]
    for got, x in ((out, lq), (target, hq)):
        assert np.allclose(got, share * x + (1 - share) * x[params.partner], rtol=0, atol=1e-15)


def test_partners_are_a_permutation_and_all_are_equally_likely():
    x, generator = torch.zeros(4, 1, 1, 1), seed(2)
    counts = np.zeros((4, 4))
    for _ in range(600):
        *_, params = mixup(x, x, generator=generator, return_params=True)
        assert sorted(params.partner.tolist()) == [0, 1, 2, 3]
        counts[np.arange(4), params.partner.numpy()] += 1
    # rows and columns sum to 600: 9 degrees of freedom, and a permutation matrix has 4/3 the variance of free counts
    statistic = ((counts - 150) ** 2 / 150).sum() * 3 / 4
    assert 1e-4 < scipy.stats.chi2.sf(statistic, 9) < 1 - 1e-4


def test_mixing_two_pictures_keeps_their_sum():
    lq = torch.rand(2, 1, 3, 3, dtype=torch.float64, generator=seed(3))
    for number in range(20):
        out, _, params = mixup(lq, lq, same_on_batch=True, generator=seed(number), return_params=True)
        assert math.isclose(out.sum(), lq.sum(), rel_tol=1e-12)
        assert params.share[0] == params.share[1]


def test_alpha_too_large():
    x = torch.zeros(2, 1, 1, 1)
    with pytest.raises(ValueError, match=r"alpha must be in \[0, 1000.*\], got 1001"):
        mixup(x, x, alpha=1001)
