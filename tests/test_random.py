import numpy as np
import pytest
import scipy.stats
import torch

from restorekit._random import beta, draw_seed, normal, seeded, uniform

CPU = torch.device("cpu")


def peaked(shape, *, device, generator=None):
    return beta(shape, 2.0, device=device, generator=generator)


@pytest.mark.parametrize("sample", [uniform, normal, peaked])
def test_same_generator_same_result(sample):
    first = sample((3, 4), device=CPU, generator=torch.Generator().manual_seed(5))
    again = sample((3, 4), device=CPU, generator=torch.Generator().manual_seed(5))
    other = sample((3, 4), device=CPU, generator=torch.Generator().manual_seed(6))
    assert first.shape == (3, 4)
    assert first.dtype == torch.float32
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("sample", [uniform, normal, peaked])
def test_the_default_dtype_changes_nothing(sample):
    expected = sample((3, 4), device=CPU, generator=torch.Generator().manual_seed(5))
    torch.set_default_dtype(torch.float64)
    try:
        drawn = sample((3, 4), device=CPU, generator=torch.Generator().manual_seed(5))
    finally:
        torch.set_default_dtype(torch.float32)
    assert drawn.dtype == torch.float32
    assert torch.equal(drawn, expected)


@pytest.mark.parametrize("sample", [uniform, normal, peaked])
def test_a_generator_leaves_the_global_stream_alone(sample):
    state = torch.get_rng_state()
    sample((4,), device=CPU, generator=torch.Generator())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("sample", [uniform, normal, peaked])
def test_without_a_generator_the_global_stream_is_used(sample):
    state = torch.get_rng_state()
    try:
        first = sample((4,), device=CPU)
        torch.set_rng_state(state)
        assert torch.equal(sample((4,), device=CPU), first)
    finally:
        torch.set_rng_state(state)


@pytest.mark.parametrize("sample", [uniform, normal, peaked])
def test_result_moves_to_the_asked_device(sample):
    assert sample((2,), device=torch.device("meta"), generator=torch.Generator()).device.type == "meta"
    assert sample([2], device=torch.device("meta")).device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("sample", [uniform, normal, peaked])
def test_a_cpu_generator_gives_the_same_on_cuda(sample):
    here = sample((9,), device=CPU, generator=torch.Generator().manual_seed(1))
    there = sample((9,), device=torch.device("cuda"), generator=torch.Generator().manual_seed(1))
    assert torch.equal(there.cpu(), here)


def test_distributions():
    generator = torch.Generator().manual_seed(0)
    flat = uniform((20000,), device=CPU, generator=generator)
    bell = normal((20000,), device=CPU, generator=generator)
    assert 0 <= flat.min() < flat.max() < 1
    assert scipy.stats.kstest(flat.numpy().astype(np.float64), "uniform").pvalue > 1e-3
    assert scipy.stats.kstest(bell.numpy().astype(np.float64), "norm").pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.4, 0.7, 1, 2.0, 200])
def test_beta_is_scipys(alpha):
    drawn = beta((20000,), alpha, device=CPU, generator=torch.Generator().manual_seed(0))
    assert 0 <= drawn.min() < drawn.max() <= 1
    assert scipy.stats.kstest(drawn.double().numpy(), scipy.stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_seeded_depends_on_every_number_and_on_their_order():
    keys = [(a, b, c) for a in (0, 1, 2**31) for b in (0, 1, 7) for c in (0, 1)]
    draws = [torch.rand(4, generator=seeded(*key)).tolist() for key in keys]
    assert len({tuple(draw) for draw in draws}) == len(keys)
    assert draws == [torch.rand(4, generator=seeded(*key)).tolist() for key in keys]


def test_neighbouring_seeds_are_unrelated():
    flat = torch.stack([torch.rand(1, generator=seeded(3, item)) for item in range(2000)]).flatten()
    assert scipy.stats.kstest(flat.double().numpy(), "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(flat[1:], flat[:-1])[0, 1]) < 0.1


def test_seeded_tells_numbers_apart_that_share_their_bits():
    seeds = [seeded(*numbers).initial_seed() for numbers in ((5,), (5, 0), (0, 5), (2**32,), (0, 1), (-5,))]
    assert len(set(seeds)) == len(seeds)


def test_a_drawn_seed_comes_from_the_generator_and_fits():
    seeds = [draw_seed(device=CPU, generator=torch.Generator().manual_seed(number)) for number in (5, 5, 6)]
    assert seeds[0] == seeds[1] != seeds[2]
    assert all(0 <= seed < 2**62 for seed in seeds)
