"""Non-local attention: every pixel is helped by all pixels that look like it."""

from typing import final

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from restorekit._check import check_integer

KEYS_AT_ONCE = 512
"""Pixels j whose weights over all pixels i are in memory together: it grows with the picture, not with its square."""


@final
class NonLocalBlock(nn.Module):
    """Add to each pixel a weighted sum over all pixels.

        y_i = x_i + project(sum_j w_ij g(x_j)),   w_ij = softmax_i(theta(x_i) . phi(x_j))

    All four maps are 1x1 convolutions. ``project`` starts at zero: a new block is the identity. It sees the whole
    picture: networks that use it have no receptive radius. Pixels j are taken in portions, each computed again in the
    backward pass, so that memory grows with the number of pixels; under ``torch.export`` and ``torch.compile`` all are
    taken at once, and it grows with the square.

    Args:
        channels: Width of input and output, at least 1.
        inner_channels: Width of theta, phi and g.

    Raises:
        ValueError: A size below 1.

    Example:
        >>> x = torch.rand(1, 8, 5, 7)
        >>> bool((NonLocalBlock(8, inner_channels=4)(x) == x).all())
        True

    Source:
        Zhang et al., ICLR 2019 (RNAN, arXiv:1903.10082), after Wang et al., CVPR 2018. The papers normalise over j, so
        that y_i is an average of the g(x_j). All published code of RNAN takes the softmax over i, and its weights are
        trained so: here as there. The bias of ``theta`` then cancels; it is held, frozen, for the published files.
    """

    def __init__(self, channels: int, *, inner_channels: int) -> None:
        super().__init__()
        check_integer(channels, "channels", 1)
        check_integer(inner_channels, "inner_channels", 1)
        self.theta = nn.Conv2d(channels, inner_channels, 1)
        self.theta.get_parameter("bias").requires_grad_(False)  # its gradient would be rounding noise
        self.phi = nn.Conv2d(channels, inner_channels, 1)
        self.g = nn.Conv2d(channels, inner_channels, 1)
        self.project = nn.Conv2d(inner_channels, channels, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Make the block the identity."""
        for parameter in self.project.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to features of the same shape."""
        theta, phi, g = (layer(x).flatten(2) for layer in (self.theta, self.phi, self.g))  # (N, inner, pixels)
        out: Tensor = self.project(_gather(theta, phi.mT, g).reshape(x.shape[0], -1, *x.shape[-2:])) + x
        return out


def _gather(theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    # How often a loop runs would depend on the size: an exported program takes all at once and any size.
    if torch.compiler.is_compiling() or g.shape[2] <= KEYS_AT_ONCE:
        return _portion(theta, phi, g)
    out = torch.zeros_like(g)
    for keys, values in zip(torch.split(phi, KEYS_AT_ONCE, 1), torch.split(g, KEYS_AT_ONCE, 2), strict=True):
        if torch.is_grad_enabled():
            out = out + checkpoint(_portion, theta, keys, values, use_reentrant=False, preserve_rng_state=False)
        else:
            out += _portion(theta, keys, values)
    return out


def _portion(theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    """What some pixels j give to all pixels i; the weights of each j are complete in themselves."""
    return g @ (phi @ theta).softmax(2)  # (N, inner, j) @ (N, j, i)
