"""Learned perceptual distance: how far two pictures are apart in the features of a classifier."""

from collections.abc import Sequence
from os import PathLike
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._check import check_pair
from restorekit.image._precision import full_precision
from restorekit.metrics._prepare import prepare
from restorekit.models._loading import read_tensors
from restorekit.models.features import AlexNetFeatures, SqueezeNetFeatures, VGG16Features
from restorekit.models.trunk import FeatureTrunk

_TAPS: dict[type[FeatureTrunk], tuple[str, ...]] = {
    AlexNetFeatures: ("relu1", "relu2", "relu3", "relu4", "relu5"),
    SqueezeNetFeatures: ("relu1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9"),
    VGG16Features: ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"),
}
_KEY = "lin{}.model.1.weight"
_V00_SUMS = (2.565887, 3.641608, 5.301839)  # of lin0 in the files of version 0.0, whose shapes are those of 0.1
_EPSILON = 1e-10


@final
class LPIPS(nn.Module):
    """The network of ``lpips``: a trunk, and for each of its taps a weight for every channel.

    With the features f of both pictures, each divided by its length over the channels,

        d = sum over taps of mean over (y, x) of sum over c of w[c] (f_p[c, y, x] - f_t[c, y, x])^2

    ``load_lpips`` builds it from the authors' files.

    Args:
        trunk: ``AlexNetFeatures``, ``SqueezeNetFeatures`` or ``VGG16Features`` with ImageNet's weights, or another
            trunk. It may be shared with other metrics and losses.
        weights: One tensor for each tap, with one non-negative number for each of its channels.
        taps: Names of the layers; None: the published ones of the three trunks.

    Raises:
        TypeError: ``trunk`` is no feature trunk, or ``weights`` holds something else than floating-point tensors.
        ValueError: An unknown tap, no ``taps`` for a trunk without published ones, or weights of another number or
            length.

    Example:
        >>> trunk = VGG16Features(channels=4)
        >>> network = LPIPS(trunk, [torch.ones(4), torch.ones(8)], taps=["relu1_2", "relu2_2"])
        >>> network(torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)).shape
        torch.Size([2])

    Source:
        Zhang et al., CVPR 2018, equation 1, and version 0.1 of the authors' code. Its scaling of pictures in [-1, 1],
        (x - (-0.030, -0.088, -0.188)) / (0.458, 0.448, 0.450), is ImageNet's normalisation of pictures in [0, 1],
        which is what stands here. The gradient where all features are 0 is 0; the authors' is NaN. Their dropout in
        front of the weights belongs to training them and is left out.
    """

    def __init__(self, trunk: FeatureTrunk, weights: Sequence[Tensor], *, taps: Sequence[str] | None = None) -> None:
        if not isinstance(trunk, FeatureTrunk):
            raise TypeError(f"trunk must be a models.FeatureTrunk, got {type(trunk).__name__}")
        super().__init__()
        self.trunk = trunk
        self.taps = _published_taps(trunk) if taps is None else tuple(taps)
        trunk.minimum_side(self.taps)  # refuses unknown names
        _check_weights(weights, [trunk.widths[tap] for tap in self.taps])
        for i, weight in enumerate(weights):
            self.register_buffer(f"weight{i}", weight.detach().clone())

    @property
    def weights(self) -> list[Tensor]:
        """One tensor (channels,) for each tap."""
        return [self.get_buffer(f"weight{i}") for i in range(len(self.taps))]

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Distances (N,) of RGB pictures (N, 3, H, W) in [0, 1], 0 for equal ones; raises what ``lpips`` does."""
        return torch.stack([plane.mean((1, 2)) for plane in self._planes(prediction, target)]).sum(0)

    def distance_map(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Where the pictures differ, (N, 1, H, W): the sum over taps of the plane of each, enlarged bilinearly."""
        size = prediction.shape[-2:]
        planes = (plane[:, None] for plane in self._planes(prediction, target))
        enlarged = [F.interpolate(plane, size, mode="bilinear", align_corners=False) for plane in planes]
        return torch.stack(enlarged).sum(0)

    def _planes(self, prediction: Tensor, target: Tensor) -> list[Tensor]:
        """Weighted squared distances (N, h, w) of each tap."""
        check_pair(prediction, target)
        self.trunk.check(prediction, self.taps, "prediction")
        # One after the other: a target that needs no gradient then builds no graph.
        first, second = (self.trunk(self.trunk.normalize(x), self.taps) for x in (prediction, target))
        return [_plane(a, b, weight) for a, b, weight in zip(first, second, self.weights, strict=True)]

    def extra_repr(self) -> str:
        return f"taps={self.taps}"


def lpips(prediction: Tensor, target: Tensor, network: LPIPS, *, crop_border: int = 0) -> Tensor:
    """Learned perceptual distance (LPIPS 0.1) of each pair of pictures: 0 for equal ones, and the smaller the better.

    Differentiable. Computed in the dtype of the network's trunk, distances of half types in float32. NaN gives NaN.
    ``network.distance_map(prediction, target)`` shows where the pictures differ.

    Args:
        prediction: RGB pictures to judge, (N, 3, H, W), in [0, 1], not in the [-1, 1] of the authors' code.
        target: The true pictures, of the same shape, dtype and device.
        network: What ``load_lpips`` returns. Papers mean AlexNet's unless they say something else.
        crop_border: Pixels left out on every side before anything else.

    Returns:
        One value per picture, (N,).

    Raises:
        TypeError: Either picture is no real floating-point tensor, ``network`` no ``LPIPS``.
        ValueError: The batches differ, are not RGB or elsewhere than the network, or a side is too short for its last
            tap after the crop: below 31 px for AlexNet, 17 for SqueezeNet, 16 for VGG-16.

    Example:
        >>> network = LPIPS(AlexNetFeatures(channels=4), [torch.ones(n) for n in (4, 12, 24, 16, 16)])
        >>> lpips(torch.ones(2, 3, 32, 32), torch.ones(2, 3, 32, 32), network).tolist()
        [0.0, 0.0]

    Source:
        That of ``LPIPS``.
    """
    first, second = prepare(prediction, target, crop_border=crop_border, y_channel=False, data_range=1.0)
    if not isinstance(network, LPIPS):
        raise TypeError(f"network must be a metrics.LPIPS, as load_lpips returns it, got {type(network).__name__}")
    distance: Tensor = network(first, second)
    return distance


def load_lpips(trunk: FeatureTrunk, path: str | PathLike[str]) -> LPIPS:
    """Put the authors' linear weights of version 0.1 behind a trunk.

    Args:
        trunk: The trunk of the same network, with ImageNet's weights: ``models.load_trunk``.
        path: ``alex.pth``, ``squeeze.pth`` or ``vgg.pth`` (a few KiB) from the folder ``lpips/weights/v0.1`` of the
            authors' code, or a safetensors file with the same keys, ``lin0.model.1.weight`` and so on.

    Returns:
        The network for ``lpips`` and ``losses.LPIPSLoss``, on the trunk's device.

    Raises:
        FileNotFoundError: No such file.
        TypeError: ``trunk`` is no feature trunk.
        ValueError: An unreadable file, weights of another trunk, of version 0.0 (which lacks the normalisation), or
            negative ones.

    Example:
        >>> import tempfile; widths = enumerate((4, 8, 16, 32, 32))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({f"lin{i}.model.1.weight": torch.ones(1, n, 1, 1) for i, n in widths}, f"{folder}/vgg.pth")
        ...     network = load_lpips(VGG16Features(channels=4), f"{folder}/vgg.pth")

    Source:
        That of ``LPIPS``.
    """
    if not isinstance(trunk, FeatureTrunk):
        raise TypeError(f"trunk must be a models.FeatureTrunk, got {type(trunk).__name__}")
    tensors, _ = read_tensors(path)
    taps = _published_taps(trunk)
    wanted = {_KEY.format(i): (1, trunk.widths[tap], 1, 1) for i, tap in enumerate(taps)}
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    if found != wanted:
        raise ValueError(f"{path} does not fit {type(trunk).__name__}: it holds {found}, needed are {wanted}")
    weights = [tensors[key].flatten().to(trunk.mean) for key in wanted]
    if any(bool((weight < 0).any()) for weight in weights):
        raise ValueError(f"{path} holds negative weights; those of LPIPS are not")
    if any(abs(weights[0].sum().item() - total) < 1e-4 for total in _V00_SUMS):
        raise ValueError(f"{path} is of version 0.0 of LPIPS, which lacks the normalisation; use version 0.1")
    return LPIPS(trunk, weights)


def _published_taps(trunk: FeatureTrunk) -> tuple[str, ...]:
    if type(trunk) not in _TAPS:
        known = ", ".join(kind.__name__ for kind in _TAPS)
        raise ValueError(f"LPIPS is published for {known}, not for {type(trunk).__name__}; give taps and weights")
    return _TAPS[type(trunk)]


def _check_weights(weights: Sequence[Tensor], widths: Sequence[int]) -> None:
    for weight in weights:
        if not isinstance(weight, Tensor) or not weight.is_floating_point():
            raise TypeError(f"weights must hold floating-point tensors, got {getattr(weight, 'dtype', type(weight))}")
    found = [tuple(weight.shape) for weight in weights]
    if found != [(width,) for width in widths]:
        raise ValueError(f"weights must be one tensor per tap of lengths {list(widths)}, got shapes {found}")


def _plane(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """Weighted squared distance of unit vectors, (N, C, h, w) to (N, h, w)."""
    difference = _unit(first) - _unit(second)
    return (difference.square() * weight.to(difference.dtype)[:, None, None]).sum(1)


def _unit(x: Tensor) -> Tensor:
    # In half precision the squares overflow and the epsilon is 0.
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    with full_precision(x.device):
        power: Tensor = torch.linalg.vecdot(x, x, dim=1)[:, None]
    # A root has no gradient at 0; the bound is far below the epsilon.
    length = power.clamp_min(torch.finfo(x.dtype).tiny).sqrt()
    return x * (length + _EPSILON).reciprocal()
