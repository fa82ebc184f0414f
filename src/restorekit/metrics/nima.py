"""Neural image assessment: the rating that people would give to a picture, without a reference."""

from typing import final

import torch
from torch import Tensor, nn

from restorekit._check import check_batch, check_integer, check_interval
from restorekit.models.network import Network
from restorekit.models.trunk import FeatureTrunk


@final
class NIMA(Network):
    """Predict how people's ratings of a picture are distributed.

        p = softmax(linear(dropout(mean over (y, x) of features)))

    The head is random until it is trained (``losses.EMDLoss``) or read by ``models.load_weights``. It trains as any
    network does; the trunk is frozen, unless thawed by ``trunk.requires_grad_()``.

    Args:
        trunk: A feature trunk with ImageNet's weights.
        tap: Name of the layer whose features are averaged; None: the trunk's last.
        bins: Number of ratings: 1, 2, ..., ``bins``.
        dropout: Share of the averaged features set to 0 in training.

    Raises:
        TypeError: ``trunk`` is no feature trunk.
        ValueError: An unknown tap, fewer than 2 ratings, or a share out of [0, 1].

    Example:
        >>> from restorekit.models import VGG16Features
        >>> network = NIMA(VGG16Features(channels=4)).eval()
        >>> network(torch.rand(2, 3, 224, 224)).sum(1).round(decimals=4).tolist()
        [1.0, 1.0]

    Source:
        Talebi and Milanfar, "NIMA: neural image assessment", 2018, which replaces the last layer of a classifier by
        dropout of 0.75 and 10 outputs. Here the average over positions stands in front of it for every trunk, as in
        MobileNet; the dense layers of the paper's VGG-16 are left out. Published code has a ReLU there, which does
        nothing to features that come out of one.
    """

    def __init__(self, trunk: FeatureTrunk, *, tap: str | None = None, bins: int = 10, dropout: float = 0.75) -> None:
        if not isinstance(trunk, FeatureTrunk):
            raise TypeError(f"trunk must be a models.FeatureTrunk, got {type(trunk).__name__}")
        check_integer(bins, "bins", 2)
        check_interval(dropout, "dropout", 0, 1)
        tap = trunk.taps[-1] if tap is None else tap
        trunk.minimum_side([tap])  # refuses an unknown name
        inside = {"name": type(trunk).__name__, "config": trunk.config}
        super().__init__({"trunk": inside, "tap": tap, "bins": bins})
        self.trunk, self.tap = trunk, tap
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(trunk.widths[tap], bins)

    def forward(self, x: Tensor) -> Tensor:
        """Map RGB pictures (N, 3, H, W) in [0, 1] to probabilities (N, bins); raises what ``nima`` does."""
        self.trunk.check(x, [self.tap])
        [features] = self.trunk(self.trunk.normalize(x), [self.tap])
        out: Tensor = self.head(self.dropout(features.mean((2, 3)).to(self.head.weight.dtype)))
        return out.softmax(1)


def nima(x: Tensor, network: NIMA) -> Tensor:
    """Mean rating that the network expects for each picture: 1 to 10, and the higher the better.

        score = sum over i of i p[i],   i = 1, ..., bins

    Differentiable. NaN gives NaN. ``rating_moments(network(x))`` has the standard deviation, too.

    Args:
        x: RGB pictures (N, 3, H, W) in [0, 1]. They are taken as they are: published networks are trained on crops of
            224x224 px from pictures resized to 256x256 px and judge pictures of 224x224 px, made by
            ``image.resize(x, size=(224, 224))``, say.
        network: In eval mode, with trained weights.

    Returns:
        One value per picture, (N,).

    Raises:
        TypeError: ``x`` is no real floating-point tensor, or ``network`` no ``NIMA``.
        ValueError: Other than 3 channels, pictures that are elsewhere than the network or too small for its tap, or a
            network in training mode, whose dropout would make the score random.

    Example:
        >>> from restorekit.models import VGG16Features
        >>> nima(torch.rand(2, 3, 224, 224), NIMA(VGG16Features(channels=4)).eval()).shape
        torch.Size([2])

    Source:
        That of ``NIMA``.
    """
    check_batch(x)
    if not isinstance(network, NIMA):
        raise TypeError(f"network must be a metrics.NIMA, got {type(network).__name__}")
    if network.training:
        raise ValueError("network must be in eval mode, or its dropout makes the score random; call network.eval()")
    return rating_moments(network(x))[0]


def rating_moments(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of distributions of ratings 1, 2, ..., bins.

    Args:
        probabilities: (N, bins), each row with the sum 1.

    Returns:
        Means (N,) and standard deviations (N,), whose gradient is infinite where a distribution is one rating.

    Raises:
        TypeError: ``probabilities`` is no real floating-point tensor.
        ValueError: Another shape.

    Example:
        >>> [found.tolist() for found in rating_moments(torch.tensor([[0.5, 0.0, 0.5]]))]
        [[2.0], [1.0]]
    """
    if not isinstance(probabilities, Tensor) or not probabilities.is_floating_point():
        got = getattr(probabilities, "dtype", type(probabilities).__name__)
        raise TypeError(f"probabilities must be a real floating-point tensor (N, bins), got {got}")
    if probabilities.ndim != 2:
        raise ValueError(f"probabilities must have the shape (N, bins), got {tuple(probabilities.shape)}")
    work = probabilities.to(torch.promote_types(probabilities.dtype, torch.float32))
    ratings = torch.arange(1, work.shape[1] + 1, dtype=work.dtype, device=work.device)
    mean = (work * ratings).sum(1)
    variance = (work * (ratings - mean[:, None]).square()).sum(1)
    return mean, variance.sqrt()
