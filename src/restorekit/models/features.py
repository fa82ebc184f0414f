"""AlexNet, SqueezeNet and VGG without their classifiers, for perceptual metrics and losses."""

from collections.abc import Sequence
from os import PathLike
from typing import Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.models._loading import load_weights
from restorekit.models.network import record
from restorekit.models.trunk import FeatureTrunk

TrunkName = Literal["alexnet", "squeezenet", "vgg16", "vgg19"]


@final
class AlexNetFeatures(FeatureTrunk):
    """AlexNet up to ``pool5``: ``conv1, relu1, pool1, conv2, relu2, pool2, conv3, relu3, conv4, ..., pool5``.

    Args:
        channels: Width of the first convolution; the published 64 goes with 192, 384, 256 and 256, and other widths
            keep these proportions.

    Raises:
        ValueError: A width below 1.

    Example:
        >>> [found.shape[1] for found in AlexNetFeatures()(torch.rand(1, 3, 64, 64), ["relu1", "relu5"])]
        [64, 256]

    Source:
        Krizhevsky, arXiv:1404.5997, as torchvision has it: without local response normalisation.
    """

    def __init__(self, *, channels: int = 64) -> None:
        config = record(locals())
        check_integer(channels, "channels", 1)
        convs = [
            nn.Conv2d(3, channels, 11, stride=4, padding=2),
            nn.Conv2d(channels, 3 * channels, 5, padding=2),
            nn.Conv2d(3 * channels, 6 * channels, 3, padding=1),
            nn.Conv2d(6 * channels, 4 * channels, 3, padding=1),
            nn.Conv2d(4 * channels, 4 * channels, 3, padding=1),
        ]
        layers: dict[str, nn.Module] = {}
        for i, conv in enumerate(convs, 1):
            layers |= {f"conv{i}": conv, f"relu{i}": nn.ReLU()}
            if i in {1, 2, 5}:
                layers[f"pool{i}"] = nn.MaxPool2d(3, 2)
        super().__init__(layers, config)


class _Fire(nn.Module):
    """Squeeze to few channels, expand to many by kernels of 1x1 and of 3x3, side by side."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)
        self.out_channels = 2 * expanded

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.squeeze(x))
        return torch.cat([F.relu_(self.expand1x1(x)), F.relu_(self.expand3x3(x))], dim=1)


@final
class SqueezeNetFeatures(FeatureTrunk):
    """SqueezeNet 1.1 up to ``fire9``: ``conv1, relu1, pool1, fire2, fire3, pool3, ..., fire5, pool5, ..., fire9``.

    Args:
        channels: Width of the first convolution, a multiple of 4; the published 64 goes with 128 to 512 behind the fire
            modules, and other widths keep these proportions.

    Raises:
        ValueError: A width that is no positive multiple of 4.

    Example:
        >>> [found.shape[1] for found in SqueezeNetFeatures()(torch.rand(1, 3, 32, 32), ["relu1", "fire9"])]
        [64, 512]

    Source:
        Iandola et al., arXiv:1602.07360, version 1.1 of the authors' code, as torchvision has it.
    """

    def __init__(self, *, channels: int = 64) -> None:
        config = record(locals())
        check_integer(channels, "channels", 4)
        if channels % 4:
            raise ValueError(f"channels must be a multiple of 4, got {channels}")
        layers: dict[str, nn.Module] = {"conv1": nn.Conv2d(3, channels, 3, stride=2), "relu1": nn.ReLU()}
        layers["pool1"] = nn.MaxPool2d(3, 2, ceil_mode=True)
        inputs = channels
        for i, level in enumerate((1, 1, 2, 2, 3, 3, 4, 4), 2):
            layers[f"fire{i}"] = _Fire(inputs, level * channels // 4, level * channels)
            if i in {3, 5}:
                layers[f"pool{i}"] = nn.MaxPool2d(3, 2, ceil_mode=True)
            inputs = 2 * level * channels
        super().__init__(layers, config)


@final
class VGG16Features(FeatureTrunk):
    """VGG-16 up to ``pool5``: ``conv1_1, relu1_1, conv1_2, relu1_2, pool1, conv2_1, ..., relu5_3, pool5``.

    Args:
        channels: Width of the first block; the published 64 goes with 128, 256, 512 and 512.

    Raises:
        ValueError: A width below 1.

    Example:
        >>> [found.shape[1] for found in VGG16Features(channels=4)(torch.rand(1, 3, 32, 32), ["relu1_2", "relu5_3"])]
        [4, 32]

    Source:
        Simonyan and Zisserman, arXiv:1409.1556, configuration D.
    """

    def __init__(self, *, channels: int = 64) -> None:
        config = record(locals())
        super().__init__(_vgg(channels, (2, 2, 3, 3, 3)), config)


@final
class VGG19Features(FeatureTrunk):
    """VGG-19 up to ``pool5``: ``conv1_1, relu1_1, conv1_2, relu1_2, pool1, conv2_1, ..., relu5_4, pool5``.

    Args:
        channels: Width of the first block; the published 64 goes with 128, 256, 512 and 512.

    Raises:
        ValueError: A width below 1.

    Example:
        >>> [found.shape[1] for found in VGG19Features(channels=4)(torch.rand(1, 3, 32, 32), ["conv5_4"])]
        [32]

    Source:
        Simonyan and Zisserman, arXiv:1409.1556, configuration E.
    """

    def __init__(self, *, channels: int = 64) -> None:
        config = record(locals())
        super().__init__(_vgg(channels, (2, 2, 4, 4, 4)), config)


_TRUNKS: dict[TrunkName, type[AlexNetFeatures | SqueezeNetFeatures | VGG16Features | VGG19Features]] = {
    "alexnet": AlexNetFeatures,
    "squeezenet": SqueezeNetFeatures,
    "vgg16": VGG16Features,
    "vgg19": VGG19Features,
}


def load_trunk(name: TrunkName, path: str | PathLike[str]) -> FeatureTrunk:
    """Build a feature trunk of published width with the weights of a file.

    Args:
        name: "alexnet", "squeezenet" (1.1), "vgg16" or "vgg19".
        path: torchvision's file, or any safetensors or PyTorch file with the same keys, with or without the
            classifier's. ``download_trunk`` fetches the first.

    Returns:
        The trunk on the CPU, frozen and in eval mode.

    Raises:
        FileNotFoundError: No such file.
        ValueError: An unknown name, an unreadable file, or weights of another network: the message says what the file
            looks like and names the first missing, unexpected or misshapen key.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save(SqueezeNetFeatures().state_dict(), f"{folder}/squeezenet.pth")
        ...     trunk = load_trunk("squeezenet", f"{folder}/squeezenet.pth")
    """
    if name not in _TRUNKS:
        raise ValueError(f"name must be one of {', '.join(_TRUNKS)}, got {name!r}")
    trunk = _TRUNKS[name]()
    load_weights(trunk, path)
    return trunk


def _vgg(channels: int, depths: Sequence[int]) -> dict[str, nn.Module]:
    check_integer(channels, "channels", 1)
    layers: dict[str, nn.Module] = {}
    inputs = 3
    for block, (depth, width) in enumerate(zip(depths, (1, 2, 4, 8, 8), strict=True), 1):
        for i in range(1, depth + 1):
            layers[f"conv{block}_{i}"] = nn.Conv2d(inputs, width * channels, 3, padding=1)
            layers[f"relu{block}_{i}"] = nn.ReLU()
            inputs = width * channels
        layers[f"pool{block}"] = nn.MaxPool2d(2, 2)
    return layers
