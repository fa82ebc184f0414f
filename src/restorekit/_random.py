"""Samplers that take a generator: drawn on the generator's device, then moved to where they are needed."""

import hashlib
from collections.abc import Sequence

import torch
from scipy.special import betaincinv
from torch import Tensor


def _source(device: torch.device, generator: torch.Generator | None) -> torch.device:
    return device if generator is None else generator.device


def uniform(shape: Sequence[int], *, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
    """Float32 samples of U[0, 1)."""
    return torch.rand(tuple(shape), dtype=torch.float32, device=_source(device, generator), generator=generator).to(
        device
    )


def normal(shape: Sequence[int], *, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
    """Float32 samples of N(0, 1)."""
    return torch.randn(tuple(shape), dtype=torch.float32, device=_source(device, generator), generator=generator).to(
        device
    )


def beta(
    shape: Sequence[int], alpha: float, *, device: torch.device, generator: torch.Generator | None = None
) -> Tensor:
    """Float32 samples of Beta(alpha, alpha), alpha > 0, whose sampler in torch takes no generator."""
    quantiles = torch.rand(tuple(shape), device=_source(device, generator), generator=generator, dtype=torch.float64)
    if quantiles.is_meta:
        return quantiles.float()
    return torch.from_numpy(betaincinv(alpha, alpha, quantiles.cpu().numpy())).to(device, torch.float32)


def draw_seed(*, device: torch.device, generator: torch.Generator | None = None) -> int:
    """A number for ``seeded``, where one draw has to stand for many."""
    return int(torch.randint(2**62, (), device=_source(device, generator), generator=generator))


def seeded(*numbers: int) -> torch.Generator:
    """A CPU generator that depends on all ``numbers`` and their order, and on nothing else."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest) >> 1)  # manual_seed takes a signed integer
