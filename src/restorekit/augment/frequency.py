"""Stochastic frequency masking: bands of the cosine transform are taken out of the damaged picture."""

import math
from dataclasses import dataclass
from typing import Literal, Unpack, get_args, overload

import torch
from torch import Tensor

from restorekit._check import check_interval
from restorekit.augment._pair import Options, Pair, Record, Source, check_pair, check_size, per_picture, replayed, taken
from restorekit.image._precision import full_precision

Mode = Literal["central", "targeted"]


@dataclass(frozen=True, eq=False)
class FrequencyMaskingParams(Record):
    """What ``frequency_masking`` decided.

    Args:
        inner: Radius where the band of each picture begins, (N,) float32, 1 being the highest frequency.
        outer: Radius where it ends, (N,) float32; one that is not above ``inner`` leaves the picture as it is.
    """

    inner: Tensor
    outer: Tensor

    def check(self, lq: Tensor) -> None:
        check_size(lq, len(self.inner), None)

    def apply(self, lq: Tensor, hq: Tensor, rows: Tensor | None = None) -> Pair:
        return _masked(taken(lq, rows), per_picture(self.inner), per_picture(self.outer)), hq


def draw_frequency_masking(
    source: Source, *, mode: Mode = "central", radius: float = 0.85, sigma: float = 0.15, p: float = 1.0
) -> FrequencyMaskingParams:
    """Decide for each picture."""
    if mode not in get_args(Mode):
        raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
    for value, name in ((radius, "radius"), (sigma, "sigma")):
        check_interval(value, name, 0, 1)
    applied = source.applied(p)
    if mode == "central":
        inner, outer = source.uniform(2).sort(1).values.unbind(1)
    else:
        below, above = (source.normal(2).abs() * sigma).unbind(1)
        inner, outer = (radius - below).clamp(min=0), radius + above
    return FrequencyMaskingParams(torch.where(applied, inner, 0), torch.where(applied, outer, 0))


class _Keywords(Options[FrequencyMaskingParams], total=False):
    mode: Mode
    radius: float
    sigma: float


@overload
def frequency_masking(
    lq: Tensor, hq: Tensor, *, return_params: Literal[False] = ..., **options: Unpack[_Keywords]
) -> Pair: ...
@overload
def frequency_masking(
    lq: Tensor, hq: Tensor, *, return_params: Literal[True], **options: Unpack[_Keywords]
) -> tuple[Tensor, Tensor, FrequencyMaskingParams]: ...
@overload
def frequency_masking(
    lq: Tensor, hq: Tensor, *, return_params: bool, **options: Unpack[_Keywords]
) -> Pair | tuple[Tensor, Tensor, FrequencyMaskingParams]: ...
def frequency_masking(
    lq: Tensor,
    hq: Tensor,
    *,
    mode: Mode = "central",
    radius: float = 0.85,
    sigma: float = 0.15,
    p: float = 1.0,
    same_on_batch: bool = False,
    generator: torch.Generator | None = None,
    return_params: bool = False,
    replay: FrequencyMaskingParams | None = None,
) -> Pair | tuple[Tensor, Tensor, FrequencyMaskingParams]:
    """Take a random band of frequencies out of the damaged picture, so that a network learns to fill any of them in.

    The coefficient (i, j) of the cosine transform (DCT-II) of H x W pixels lies at the radius
    ``sqrt(((i / H)^2 + (j / W)^2) / 2)``, in [0, 1). Coefficients at ``inner < radius < outer`` become 0 in all
    channels; the others, the mean of the picture always among them, stay as they are.

    Args:
        lq: Damaged pictures (N, C, H, W), any float dtype; float16 and bfloat16 are computed in float32.
        hq: Clean pictures (N, C, s*H, s*W) for an integer s >= 1; same dtype and device.
        mode: "central": inner and outer radius are two draws of U[0, 1), sorted (published for super-resolution);
            "targeted": ``radius - |N(0, sigma)|``, at least 0, and ``radius + |N(0, sigma)|`` (for denoising).
        radius: Middle of the targeted band, in [0, 1]; not used by "central".
        sigma: Spread of either end of the targeted band, in [0, 1]; not used by "central".
        p: Probability that a picture is masked, in [0, 1]; published trainings use 0.5.
        same_on_batch: Draw once for the whole batch instead of once for each picture.
        generator: Source of the draws. How many it gives depends on N (not with ``same_on_batch``) and ``mode`` alone.
        return_params: Return what was decided, too.
        replay: Mask the bands of an earlier call, for as many pictures of any size. Nothing is drawn, and the arguments
            that steer the draws are not looked at.

    Returns:
        The masked ``lq``, a new tensor of its own size, which may leave [0, 1]; ``hq`` itself; then,
        if asked for, what was decided (``inner`` and ``outer``, (N,) float32; ``inner == outer`` for a picture left
        out).

    Raises:
        TypeError: ``lq`` or ``hq`` is not a real floating-point tensor, or an argument is not what its name says.
        ValueError: ``mode`` is unknown; ``radius``, ``sigma`` or ``p`` is outside [0, 1]; the pair differs in batch,
            channels, dtype, device, or in size by anything but one integer factor; or ``replay`` is for another number
            of pictures.

    Example:
        >>> x = torch.rand(1, 3, 6, 8)
        >>> lq, hq = frequency_masking(x, x, mode="targeted")
        >>> torch.allclose(lq.mean((-2, -1)), x.mean((-2, -1))), hq is x
        (True, True)

    Source: El Helou, Zhou and Susstrunk, "Stochastic frequency masking to improve super-resolution and denoising
        networks", ECCV 2020 (arXiv:2003.07119), and the authors' code, where the radius is that of the indices,
        ``sqrt(i^2 + j^2)`` of ``sqrt(H^2 + W^2)``: the same for square pictures, not a circle of frequencies for
        others. There the mean is lost when a targeted band reaches below 0 (by these defaults about once in 10^8
        draws), pictures left out by p are black in one script, and super-resolution scripts mask the picture before it
        is shrunk, those for Gaussian noise before the noise is added. ``frequency_masking(hq, hq)`` ahead of the
        degradation follows them; on a finished ``lq`` it is an augmentation, as in their Noise2Noise training.
    """
    check_pair(lq, hq)
    if replay is None:
        source = Source(lq, same_on_batch, generator)
        params = draw_frequency_masking(source, mode=mode, radius=radius, sigma=sigma, p=p)
    else:
        params = replayed(replay, FrequencyMaskingParams, lq)
    pair = params.apply(lq, hq)
    return (*pair, params) if return_params else pair


def _masked(x: Tensor, inner: Tensor, outer: Tensor) -> Tensor:
    """Without the bands between these radii (N, 1, 1, 1)."""
    height, width = x.shape[-2:]
    rows, columns = (torch.arange(size, dtype=torch.float32, device=x.device) / size for size in (height, width))
    distance = ((rows[:, None].square() + columns.square()) / 2).sqrt()
    band = (distance > inner) & (distance < outer)  # (N, 1, H, W)
    work = x.to(torch.promote_types(x.dtype, torch.float32))
    vertical, horizontal = (_cosines(size).to(work) for size in (height, width))
    with full_precision(x.device):
        coefficients = torch.where(band, 0, vertical @ work @ horizontal.T)
        out = vertical.T @ coefficients @ horizontal
    # A picture without a band is not sent through the transform and back, which would round it.
    return torch.where(outer > inner, out.to(x.dtype), x)


def _cosines(size: int) -> Tensor:
    """The orthonormal DCT-II of ``size`` samples as a matrix (size, size), float64: row k is the k-th cosine."""
    place = torch.arange(size, dtype=torch.float64, device="cpu")
    matrix = torch.cos(math.pi / size * place[:, None] * (place + 0.5)) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix
