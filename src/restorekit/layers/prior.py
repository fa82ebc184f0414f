"""Meta priors of degradations: a hub of learned vectors, how features ask it, and how it is taken apart and remixed."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._check import check_batch, check_integer
from restorekit.layers.physics import AdditiveRoute, AffineRoute, KernelRoute
from restorekit.layers.transformer import LayerNorm2d, check_heads, hidden_channels

ROUTES = ("additive", "affine", "kernel")


@final
class SupervisedDegradationAttention(nn.Module):
    """Bring out what is degraded in features, under the supervision of a picture.

        image = conv(x) + picture,   y = x + conv(x) * sigmoid(conv(image))

    The picture is resized to the features. ``degradation_attention_loss`` compares ``image`` with a reference.

    Args:
        channels: Width C of the features.
        in_channels: Channels of the picture.
        stop_gradient: Keep this branch from changing the layers before it.

    Raises:
        ValueError: A size below 1.

    Example:
        >>> attention = SupervisedDegradationAttention(4)
        >>> y, image = attention(torch.rand(1, 4, 5, 7), torch.rand(1, 3, 10, 14))
        >>> image.shape
        torch.Size([1, 3, 5, 7])

    Source:
        Zhang et al., CVPR 2023 (IDR), supplement, section 2, after MPRNet. The authors' code lets the gradient pass.
    """

    def __init__(self, channels: int, *, in_channels: int = 3, stop_gradient: bool = True) -> None:
        super().__init__()
        check_integer(channels, "channels", 1)
        check_integer(in_channels, "in_channels", 1)
        self.stop_gradient = stop_gradient
        self.features = nn.Conv2d(channels, channels, 1, bias=False)
        self.to_image = nn.Conv2d(channels, in_channels, 1, bias=False)
        self.to_gate = nn.Conv2d(in_channels, channels, 1, bias=False)

    def forward(self, x: Tensor, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (N, C, H, W) and a picture to features of the same shape and an image of their size."""
        if self.stop_gradient:
            x = x.detach()
        image = self.to_image(x) + _resized(picture, x)
        return x + self.features(x) * self.to_gate(image).sigmoid(), image

    def extra_repr(self) -> str:
        return f"stop_gradient={self.stop_gradient}"


def degradation_attention_loss(images: Sequence[Tensor], reference: Tensor) -> Tensor:
    """Sum over the levels of the mean absolute difference between each image and the resized reference.

    Args:
        images: What the modules of the network return, (N, C, H, W) each, of any size.
        reference: The degraded picture, as the supplement wants it, or the clean one, as the authors' code has it.

    Returns:
        A scalar.

    Raises:
        TypeError: ``reference`` is no floating-point tensor.
        ValueError: No image, or a reference of another shape.

    Example:
        >>> degradation_attention_loss([torch.ones(1, 3, 4, 4)], torch.zeros(1, 3, 8, 8))
        tensor(1.)

    Source:
        Zhang et al., CVPR 2023 (IDR), supplement, section 2; equal weights for all levels as in the authors' code.
    """
    check_batch(reference, "reference")
    if not images:
        raise ValueError("images must hold the image of at least one level, got none")
    return torch.stack([F.l1_loss(image, _resized(reference, image)) for image in images]).sum()


def _resized(picture: Tensor, features: Tensor) -> Tensor:
    size = features.shape[2:]
    return picture if picture.shape[2:] == size else F.interpolate(picture, size=size, mode="bilinear")


@final
class PriorAttention(nn.Module):
    """Attention of pixels to prior vectors: each pixel takes the mixture of priors that resembles it.

        softmax(q k^T / sqrt(C)) v,   q from the features, k and v from the priors

    Args:
        channels: Width C of the features, a multiple of ``heads``.
        prior_channels: Length D of a prior vector.
        heads: Groups of channels that ask on their own.

    Raises:
        ValueError: A size below 1, or ``heads`` that do not divide the channels.

    Example:
        >>> PriorAttention(4, 6)(torch.rand(2, 4, 5, 7), torch.rand(1, 3, 6)).shape
        torch.Size([2, 4, 5, 7])

    Source:
        Zhang et al., CVPR 2023 (IDR); scaled by the whole width, not that of a head, as in the authors' code. Their
        parameters that nothing uses (temperature, qkv, qkv_dwconv) are left out.
    """

    def __init__(self, channels: int, prior_channels: int, *, heads: int = 1) -> None:
        super().__init__()
        check_heads(channels, heads)
        check_integer(prior_channels, "prior_channels", 1)
        self.heads = heads
        self.query = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
        )
        self.key_value = nn.Linear(prior_channels, 2 * channels)
        self.exit = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor, priors: Tensor) -> Tensor:
        """Map features (N, C, H, W) and priors (N or 1, rows, D) to features of the same shape."""
        batch, channels = x.shape[:2]
        q = self.query(x).reshape(batch, self.heads, channels // self.heads, -1).mT
        rows = self.key_value(F.layer_norm(priors, priors.shape[-1:])).expand(batch, -1, -1)
        k, v = rows.reshape(batch, -1, 2, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, scale=channels**-0.5)  # (N, heads, HW, C / heads)
        out: Tensor = self.exit(mixed.mT.reshape(x.shape))
        return out


class _FeedForward(nn.Module):
    """exit(gelu(depthwise 3x3 (1x1 (x))))."""

    def __init__(self, channels: int, expansion: float) -> None:
        super().__init__()
        hidden = hidden_channels(channels, expansion)
        self.entry = nn.Conv2d(channels, hidden, 1, bias=False)
        self.local = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.exit = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.exit(F.gelu(self.local(self.entry(x))))
        return out


@final
class MetaPrior(nn.Module):
    """Meta-prior learning: find the degradation in features by asking the priors, and undo it by its physics.

        h = attention(norm(degradation attention(x)), priors)
        r = sum over routes of share * route(1x1(x), 1x1(x) and 1x1(h) with their channels in turns)
        y = r + feed_forward(norm(r))

    Args:
        channels: Width C of the features, a multiple of ``heads``.
        prior_channels: Length D of a prior vector.
        types: Degradations that ``predict`` tells apart.
        heads: See ``PriorAttention``.
        in_channels: Channels of the picture.
        expansion: Width inside the feed-forward layer in units of C, rounded down.
        stop_gradient: See ``SupervisedDegradationAttention``.
        additive_first: Let the other routes go on from the result of the additive one, where both take part.

    Raises:
        ValueError: A size that its parts refuse.

    Example:
        >>> module, x = MetaPrior(4, 6), torch.rand(1, 4, 5, 7)
        >>> y, image = module(x, torch.rand(1, 3, 5, 7), torch.rand(1, 2, 6), {"additive": 1.0})
        >>> module.predict(x).shape
        torch.Size([1, 5])

    Source:
        Zhang et al., CVPR 2023 (IDR). The authors' code adds in place, before the other routes run: its files need
        ``additive_first``.
    """

    def __init__(
        self,
        channels: int,
        prior_channels: int,
        *,
        types: int = 5,
        heads: int = 1,
        in_channels: int = 3,
        expansion: float = 2.66,
        stop_gradient: bool = True,
        additive_first: bool = False,
    ) -> None:
        super().__init__()
        check_integer(types, "types", 1)
        self.additive_first = additive_first
        self.degradation = SupervisedDegradationAttention(
            channels, in_channels=in_channels, stop_gradient=stop_gradient
        )
        self.norm1 = LayerNorm2d(channels)
        self.attention = PriorAttention(channels, prior_channels, heads=heads)
        self.from_features = nn.Conv2d(channels, channels, 1)
        self.from_priors = nn.Conv2d(channels, channels, 1)
        self.routes = nn.ModuleDict(
            {"additive": AdditiveRoute(channels), "affine": AffineRoute(channels), "kernel": KernelRoute(channels)}
        )
        self.norm2 = LayerNorm2d(channels)
        self.feed_forward = _FeedForward(channels, expansion)
        self.predictor = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, types, 1))

    def predict(self, x: Tensor) -> Tensor:
        """Probabilities (N, types) of the degradations in features (N, C, H, W)."""
        scores: Tensor = self.predictor(x.mean(dim=(2, 3), keepdim=True)).flatten(1)
        return scores.softmax(dim=1)

    def forward(
        self, x: Tensor, picture: Tensor, priors: Tensor, shares: Mapping[str, Tensor | float]
    ) -> tuple[Tensor, Tensor]:
        """Restore features.

        Args:
            x: Features (N, C, H, W).
            picture: The degraded picture, of any size.
            priors: Prior vectors (N or 1, rows, D).
            shares: Weight of each route that takes part: a number, or one for each picture as (N, 1, 1, 1).

        Returns:
            Features of the same shape, and the image of the degradation attention.

        Raises:
            ValueError: No route, or an unknown one.
        """
        if not shares or not set(shares) <= set(ROUTES):
            raise ValueError(f"shares must name at least one route of {', '.join(ROUTES)}, got {list(shares)}")
        degraded, image = self.degradation(x, picture)
        features = self.from_features(x)
        found = self.from_priors(self.attention(self.norm1(degraded), priors))
        guide = torch.stack((features, found), dim=2).flatten(1, 2)
        restored = torch.zeros_like(features)
        for name in (name for name in ROUTES if name in shares):
            out = self.routes[name](features, guide)
            restored = restored + out * shares[name]
            if self.additive_first and name == "additive":
                features = out
        return restored + self.feed_forward(self.norm2(restored)), image


class Spectrum(NamedTuple):
    """Directions that all degradations share, and how strong each is in every one of them."""

    left: Tensor  # (rows, rows)
    values: Tensor  # (types, rows)
    right: Tensor  # (rows, D)


@final
class PriorReformulation(nn.Module):
    """Learnable principal components of a hub of priors: directions that mix those of all degradations.

        hub[t] = U[t] diag(S[t]) V[t]^T,   U* = mix_left(all U),   V* = mix_right(all V)
        priors for probabilities p:  U* diag(sum over t of p[t] * S[t]) V*

    The signs of singular vectors are arbitrary, and U and V are mixed by different weights: a rule fixes them (see
    ``fix_signs``), so that results are the same with every library that decomposes. No gradient reaches the hub.
    Rounding the hub to half precision can turn a pair whose largest entries are nearly equal; autocast rounds no hub.

    Args:
        types: Degradations in the hub.
        rows: Prior vectors of each.

    Raises:
        ValueError: A size below 1, or a hub of another shape.

    Example:
        >>> reformulation = PriorReformulation(types=5, rows=3)
        >>> reformulation.mix(reformulation(torch.rand(5, 3, 8)), torch.rand(2, 5)).shape
        torch.Size([2, 3, 8])

    Source:
        Zhang et al., CVPR 2023 (IDR). The sign rule is ours: the authors' results depend on their SVD. Their
        ``mix_right`` has a bias; it moves all of a prior by one number, which the norm of ``PriorAttention`` takes off.
    """

    def __init__(self, types: int, rows: int) -> None:
        super().__init__()
        check_integer(types, "types", 1)
        check_integer(rows, "rows", 1)
        self.types, self.rows = types, rows
        self.mix_left = nn.Linear(types * rows, rows)
        self.mix_right = nn.Linear(types * rows, rows, bias=False)

    def forward(self, hub: Tensor) -> Spectrum:
        """Decompose a hub (types, rows, D) with D >= rows."""
        if hub.ndim != 3 or hub.shape[:2] != (self.types, self.rows) or hub.shape[2] < self.rows:
            expected = f"({self.types}, {self.rows}, at least {self.rows})"
            raise ValueError(f"hub must have shape {expected}, got {tuple(hub.shape)}")
        precise = hub.detach().to(torch.promote_types(hub.dtype, torch.float32))  # no SVD in half precision
        left, values, right = torch.linalg.svd(precise, full_matrices=False)
        left, right = fix_signs(left, right)
        columns = left.mT.flatten(0, 1).T.to(hub.dtype)  # (rows, types * rows): singular vectors side by side
        across = right.flatten(0, 1).T.to(hub.dtype)  # (D, types * rows)
        return Spectrum(self.mix_left(columns), values.to(hub.dtype), self.mix_right(across).T)

    def mix(self, spectrum: Spectrum, probabilities: Tensor) -> Tensor:
        """Priors (N, rows, D) for pictures with these probabilities (N, types) of the degradations."""
        strengths = probabilities @ spectrum.values
        return spectrum.left * strengths[:, None] @ spectrum.right


def fix_signs(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Turn each pair of singular vectors so that the largest entry of the left one is positive.

    Args:
        left: U of an SVD, (..., rows, K).
        right: V^T of the same, (..., K, columns).

    Returns:
        U and V^T whose product with the singular values in between is the same.

    Example:
        >>> fix_signs(torch.tensor([[-3.0]]), torch.tensor([[2.0]]))
        (tensor([[3.]]), tensor([[-2.]]))
    """
    largest = left.gather(-2, left.abs().argmax(dim=-2, keepdim=True))
    signs = torch.where(largest < 0, -1.0, 1.0).to(left.dtype)
    return left * signs, right * signs.mT
