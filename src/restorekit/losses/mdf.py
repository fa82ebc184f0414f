"""The distance of two pictures in what the discriminators of one picture see."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import Any, Self, final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from restorekit._check import check_batch, check_integer, check_interval, check_pair
from restorekit.losses._reduction import Reduction, check_reduction, reduce
from restorekit.losses._scale import LAYERS, Scale
from restorekit.losses.masked import enlarged_mask
from restorekit.models.discriminator_files import load_discriminators
from restorekit.models.singan import SinGANDiscriminator
from restorekit.weights.shipped import shipped

MINIMUM_SIDE = SinGANDiscriminator.minimum_side
TASKS = ("sisr", "denoising", "jpeg")  # discriminators for these come with the library

# how what is seen of the prediction differs from the target, in float32 or wider, and the factor of the mean square
_Difference = tuple[Tensor, float]
_Term = Callable[[Tensor], list[_Difference]]


@dataclass(frozen=True, eq=False, repr=False)
class MDFFeatures:
    """What a loss sees of a target, to be compared with any number of predictions; ``MDFLoss.features`` makes it.

    Args:
        source: The loss that it belongs to.
        target: The pictures (N, C, H, W).
        maps: For each scale, what it sees after head, body and tail, as far as that is compared.

    Example:
        >>> from restorekit.models import SinGANDiscriminator
        >>> loss = MDFLoss([SinGANDiscriminator(channels=4)], num_scales=1)
        >>> [tuple(seen.shape) for seen in loss.features(torch.ones(2, 3, 16, 16)).maps[0]]
        [(2, 4, 14, 14), (2, 4, 8, 8), (2, 1, 6, 6)]
    """

    source: "MDFLoss"
    target: Tensor
    maps: list[list[Tensor]]


@final
class MDFLoss(nn.Module):
    """Multi-scale discriminative feature loss: the distance of what discriminators trained on one picture see.

        loss = mean over pictures of sum over scales k and l in (head, body, tail) of
               weight_k * weight_l * mean((D_kl(prediction) - D_kl(target))^2)

    Every discriminator sees the picture at its full size. The discriminators are copied, frozen, and stay in
    evaluation whatever is asked of ``train``; their copies have BatchNorm folded into the convolutions, move with the
    loss and are in its state dict. Only the prediction gets a gradient. It is taken scale by scale during the forward
    pass, so that one scale's maps are in memory at a time; where a second derivative is asked for, they all are.

    Args:
        discriminators: From coarse to fine: ``models.SinGANDiscriminator`` or any modules with the children ``head``,
            ``body`` and ``tail``, run in this order.
        num_scales: How many of them are used, 1 to all.
        ascending: Use the coarsest ones, or, if False, the finest.
        scale_weights: A factor for each scale that is used, in the order of use. None: 1 for each.
        layer_weights: Factors of what is seen after head, body and tail. What a factor of 0 makes needless is not
            computed, here and in ``scale_weights``.
        reduction: "mean" or "sum" over the pictures, or "none": one value for each.

    Raises:
        TypeError: A discriminator is no such module, or an argument is of the wrong type.
        ValueError: No discriminators, fewer than ``num_scales``, ones for pictures of different channels or with a
            BatchNorm without running statistics, weights that are negative, infinite, all 0 or of the wrong number, or
            an unknown ``reduction``.

    Example:
        >>> from restorekit.models import SinGANDiscriminator
        >>> loss = MDFLoss([SinGANDiscriminator(channels=4) for _ in range(3)], num_scales=2)
        >>> loss(torch.ones(2, 3, 16, 16), torch.ones(2, 3, 16, 16)).item()
        0.0

    Source:
        Mustafa et al., WACV 2022, equation 1 and code: eight scales, no weights, features after BatchNorm and
        LeakyReLU, pictures in [0, 1]. The code computes the same without folding, and with a graph of the target.
        Weights, masks and grey pictures are ours.
    """

    def __init__(
        self,
        discriminators: Iterable[nn.Module],
        *,
        num_scales: int = 8,
        ascending: bool = True,
        scale_weights: Sequence[float] | None = None,
        layer_weights: Sequence[float] = (1, 1, 1),
        reduction: Reduction = "mean",
    ) -> None:
        chosen = _chosen(discriminators, num_scales, ascending)
        scale_weights = [1.0] * num_scales if scale_weights is None else scale_weights
        _check_weights(scale_weights, "scale_weights", num_scales)
        _check_weights(layer_weights, "layer_weights", len(LAYERS))
        check_reduction(reduction)
        super().__init__()
        depth = max(i for i, weight in enumerate(layer_weights) if weight) + 1
        self.scales = nn.ModuleList(Scale(discriminator, depth) for discriminator in chosen)
        self.in_channels = _in_channels(chosen)
        self.ascending, self.reduction = ascending, reduction
        self.scale_weights, self.layer_weights = tuple(scale_weights), tuple(layer_weights)
        self.requires_grad_(False).eval()

    @classmethod
    def from_file(
        cls,
        path: str | PathLike[str],
        *,
        num_scales: int = 8,
        ascending: bool = True,
        scale_weights: Sequence[float] | None = None,
        layer_weights: Sequence[float] = (1, 1, 1),
        reduction: Reduction = "mean",
    ) -> Self:
        """The loss with the discriminators of a file, of which nothing is executed.

        Args:
            path: What ``models.load_discriminators`` reads: a file of ``models.save_discriminators`` or of the authors.
            num_scales: As for the class, and so are the others.
            ascending: Use the coarsest ones.
            scale_weights: A factor for each scale.
            layer_weights: Factors of what is seen after head, body and tail.
            reduction: "mean", "sum" or "none".

        Raises:
            OSError: There is no such file, or it cannot be read.
            ValueError: It holds something else, or an option is wrong.
        """
        return cls(
            load_discriminators(path),
            num_scales=num_scales,
            ascending=ascending,
            scale_weights=scale_weights,
            layer_weights=layer_weights,
            reduction=reduction,
        )

    @classmethod
    def from_pretrained(
        cls,
        task: str,
        *,
        num_scales: int = 8,
        ascending: bool = True,
        scale_weights: Sequence[float] | None = None,
        layer_weights: Sequence[float] = (1, 1, 1),
        reduction: Reduction = "mean",
    ) -> Self:
        """The loss with discriminators that come with this library; nothing is downloaded.

        Args:
            task: What they were trained for: "sisr", "denoising" or "jpeg".
            num_scales: As for the class, and so are the others.
            ascending: Use the coarsest ones.
            scale_weights: A factor for each scale.
            layer_weights: Factors of what is seen after head, body and tail.
            reduction: "mean", "sum" or "none".

        Raises:
            ValueError: An unknown task, or a wrong option.
        """
        if task not in TASKS:
            raise ValueError(f"task must be one of {', '.join(TASKS)}, got {task!r}; train.fit_mdf trains for others")
        return cls.from_file(
            shipped(f"mdf_{task}"),
            num_scales=num_scales,
            ascending=ascending,
            scale_weights=scale_weights,
            layer_weights=layer_weights,
            reduction=reduction,
        )

    def forward(self, prediction: Tensor, target: Tensor | MDFFeatures, mask: Tensor | None = None) -> Tensor:
        """Compare pictures (N, C, H, W) in [0, 1]; grey ones (C = 1) are repeated to the discriminators' channels.

        Args:
            prediction: Restored pictures, of at least 11x11 px.
            target: The true pictures, of the same shape, dtype and device, or what ``features`` made of them.
            mask: As ``masked_loss`` takes it, (N, 1, h, w). Where it is 0, the prediction is replaced by the target,
                whose pixels are seen there as surroundings of the others. Means are over all pixels, the replaced
                ones among them: the more there are, the smaller the loss.

        Returns:
            Scalar, or (N,) for "none", in the dtype of the discriminators, or float32 where that is half. They run in
            their dtype, whatever that of the pictures: ``loss.to(torch.bfloat16)``. NaN is passed on.

        Raises:
            TypeError: Pictures or mask of the wrong type.
            ValueError: Shapes, dtypes or devices that do not belong together, a side below 11 px, channels that are
                neither 1 nor the discriminators', or features of another loss.
        """
        truth = self._truth(target)
        check_pair(prediction, truth)
        self._check(prediction, "prediction")
        if mask is not None:
            prediction = torch.where(enlarged_mask(mask, prediction), prediction, truth)
        second = target.maps if isinstance(target, MDFFeatures) else self._colour(truth)
        return reduce(self._values(self._colour(prediction), second), self.reduction)

    def features(self, target: Tensor) -> MDFFeatures:
        """What the loss sees of pictures (N, C, H, W) in [0, 1], without graph, to be given to it as target.

        It is out of date when the loss is moved, or its weights are changed.
        """
        self._check(target, "target")
        with torch.no_grad():
            x = self._colour(target)
            maps = [scale(x) if weight else [] for scale, weight in self._weighted()]
        return MDFFeatures(self, target.detach(), maps)

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation, whatever the mode."""
        return super().train(False)

    def extra_repr(self) -> str:
        return (
            f"ascending={self.ascending}, scale_weights={self.scale_weights}, layer_weights={self.layer_weights}, "
            f"reduction={self.reduction!r}"
        )

    def _truth(self, target: Tensor | MDFFeatures) -> Tensor:
        """The pictures of the target, cut off from whatever they were made of."""
        if isinstance(target, MDFFeatures):
            if target.source is not self:
                raise ValueError("target must be pictures or features of this loss, got features of another one")
            target = target.target
        return target.detach() if isinstance(target, Tensor) else target

    def _check(self, x: Tensor, name: str) -> None:
        check_batch(x, name)
        if x.shape[1] not in {1, self.in_channels}:
            expected = " or ".join(map(str, sorted({1, self.in_channels})))
            raise ValueError(f"{name} must have {expected} channels, got shape {tuple(x.shape)}")
        if min(x.shape[-2:]) < MINIMUM_SIDE:
            raise ValueError(
                f"{name} must be of at least {MINIMUM_SIDE}x{MINIMUM_SIDE} px, got shape {tuple(x.shape)}; "
                "no discriminator sees less"
            )
        weight = next(self.parameters())
        if x.device != weight.device:
            raise ValueError(f"{name} must be on the device of the loss, {weight.device}, got {x.device}; use .to()")

    def _colour(self, x: Tensor) -> Tensor:
        return x.expand(-1, self.in_channels, -1, -1)

    def _weighted(self) -> Iterator[tuple[nn.Module, float]]:
        return zip(self.scales, self.scale_weights, strict=True)

    def _values(self, prediction: Tensor, target: Tensor | list[list[Tensor]]) -> Tensor:
        """One value for each picture."""
        targets: Sequence[Tensor | list[Tensor]]
        targets = [target] * len(self.scales) if isinstance(target, Tensor) else target
        terms = [
            partial(self._differences, scale, seen, factors=[weight * factor for factor in self.layer_weights])
            for (scale, weight), seen in zip(self._weighted(), targets, strict=True)
            if weight
        ]
        wanted = torch.is_grad_enabled() and prediction.requires_grad
        if wanted and not torch.compiler.is_compiling():
            values: Tensor = _TermByTerm.apply(prediction, terms)  # type: ignore[no-untyped-call]
            return values
        with torch.set_grad_enabled(wanted):
            return _sum(terms, prediction)

    def _differences(
        self, scale: nn.Module, target: Tensor | list[Tensor], prediction: Tensor, *, factors: Sequence[float]
    ) -> list[_Difference]:
        if isinstance(target, Tensor) and not torch.is_grad_enabled():
            pairs = [maps.chunk(2) for maps in scale(torch.cat([prediction, target]))]
        else:
            with torch.no_grad():
                second = scale(target) if isinstance(target, Tensor) else target
            pairs = list(zip(scale(prediction), second, strict=True))
        found = zip(pairs, factors, strict=False)  # maps beyond the last factor that is not 0 are not there
        return [(_wide(first) - _wide(second), factor) for (first, second), factor in found if factor]


class _TermByTerm(torch.autograd.Function):
    """The sum of terms, and its gradient at once, so that the graph of one term lives at a time.

    Nothing is lost by not waiting for the backward pass: the values of different pictures do not depend on each other,
    so that all it would do is scale each picture's gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, terms: Sequence[_Term]) -> Tensor:
        values, gradient = [], torch.zeros_like(x, dtype=torch.promote_types(x.dtype, torch.float32))
        for term in terms:
            values.append(_add_gradient(gradient, term, x))
        ctx.save_for_backward(x, gradient)
        ctx.terms = terms
        return torch.stack(values).sum(0)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None]:
        x, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # with create_graph=True: all graphs at once, after all
            return torch.autograd.grad(_sum(ctx.terms, x), x, outer, create_graph=True)[0], None
        return gradient * outer.view(-1, 1, 1, 1), None


def _add_gradient(gradient: Tensor, term: _Term, x: Tensor) -> Tensor:
    """Add the gradient of a term to what there is, and return its values; nothing else of it lives on."""
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        differences, factors = zip(*term(leaf), strict=True)
    seeds = [difference.detach() for difference in differences]
    values = torch.stack([_mean_square(d, factor) for d, factor in zip(seeds, factors, strict=True)]).sum(0)
    # As large as the differences on their way back, where their share in a mean would be 0 in half precision.
    shares = [factor / d[0].numel() for d, factor in zip(seeds, factors, strict=True)]
    largest = max(shares)
    for seed, share in zip(seeds, shares, strict=True):
        if share != largest:
            seed.mul_(share / largest)  # in place: they are needed for nothing else
    gradient.add_(torch.autograd.grad(differences, leaf, seeds)[0], alpha=2 * largest)
    return values


def _sum(terms: Sequence[_Term], x: Tensor) -> Tensor:
    return torch.stack([_mean_square(d, factor) for term in terms for d, factor in term(x)]).sum(0)


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _mean_square(difference: Tensor, factor: float) -> Tensor:
    return difference.square().mean((1, 2, 3)) * factor


def _chosen(discriminators: Iterable[nn.Module], num_scales: int, ascending: bool) -> list[nn.Module]:
    check_integer(num_scales, "num_scales", 1)
    if not isinstance(discriminators, Iterable):
        raise TypeError(f"discriminators must be a sequence of modules, got {type(discriminators).__name__}")
    found = list(discriminators)
    for number, one in enumerate(found):
        missing = [layer for layer in LAYERS if not isinstance(getattr(one, layer, None), nn.Module)]
        if missing:
            raise TypeError(
                f"discriminators must be modules with head, body and tail, got {type(one).__name__} without "
                f"{', '.join(missing)} at {number}"
            )
        if any(isinstance(m, _BatchNorm) and m.running_mean is None for m in one.modules()):
            raise ValueError(
                f"discriminators must have BatchNorm with running statistics only, got one without at {number}; "
                "what it makes of a picture would depend on the others"
            )
    if num_scales > len(found):
        raise ValueError(f"num_scales must be at most the number of discriminators, {len(found)}, got {num_scales}")
    return found[:num_scales] if ascending else found[::-1][:num_scales]


def _in_channels(discriminators: Sequence[nn.Module]) -> int:
    convolutions = [
        [m for m in one.get_submodule("head").modules() if isinstance(m, nn.Conv2d)] for one in discriminators
    ]
    channels = {found[0].in_channels if found else 0 for found in convolutions}
    if len(channels) != 1 or 0 in channels:
        raise ValueError(
            "discriminators must begin with convolutions of pictures with the same channels, got heads for "
            f"{', '.join(map(str, sorted(channels)))} channels"
        )
    return channels.pop()


def _check_weights(weights: Sequence[float], name: str, number: int) -> None:
    if not isinstance(weights, Sequence) or len(weights) != number:
        raise ValueError(f"{name} must hold {number} numbers, got {weights!r}")
    for weight in weights:
        check_interval(weight, f"each of {name}", 0, sys.float_info.max)
    if not any(weights):
        raise ValueError(f"{name} must not all be 0")
