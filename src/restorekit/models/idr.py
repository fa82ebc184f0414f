"""IDR: one network for several degradations, which it takes apart into common ingredients."""

from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike
from typing import ClassVar, Literal, NamedTuple, cast, final

import torch
from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.layers import MetaPrior, PriorReformulation
from restorekit.layers.prior import ROUTES, Spectrum
from restorekit.models._layouts.idr import IDR_LAYOUTS
from restorekit.models._layouts.layout import Layout
from restorekit.models._named_weights import loaded
from restorekit.models.network import record
from restorekit.models.restorer import Restorer
from restorekit.models.restormer import RestormerTrunk

# Degradations in the order of their ids, and the physics that undoes each.
DEGRADATIONS = {"noise": "additive", "rain": "additive", "haze": "affine", "blur": "kernel", "low-light": "affine"}
_WIDTHS = {"encoder1": 1, "encoder2": 2, "encoder3": 4, "decoder3": 4, "decoder2": 2, "decoder1": 2}
_PLACEMENT = ("encoder1", "encoder2", "decoder3")

Degradation = str | int


class Analysis(NamedTuple):
    """What IDR finds out about a batch; the lists go along the modules for meta priors."""

    restored: Tensor  # (N, C, H, W)
    images: list[Tensor]  # of the degradation attention, for ``layers.degradation_attention_loss``
    probabilities: list[Tensor]  # (N, 5), of the degradations in the order of ``DEGRADATIONS``


@final
class IDR(Restorer):
    """Ingredient-oriented degradation reformulation: a trimmed Restormer with modules that ask a hub of priors.

    Stage 1 learns one set of priors for each degradation: batches hold one degradation only, which must be named.
    Stage 2 freezes the hub, takes it apart into directions that all degradations share, and predicts for each picture
    how much of each degradation is in it. ``reformulate`` leads from one to the other.

    | supplement, table 2 | placement                            |
    |---------------------|--------------------------------------|
    | 2E+1D               | ("encoder1", "encoder2", "decoder3") |
    | 3E (authors' code)  | ("encoder1", "encoder2", "encoder3") |
    | 3D                  | ("decoder3", "decoder2", "decoder1") |

    Args:
        stage: 1 or 2.
        channels: Width of the first level, even.
        blocks: Transformer blocks of the three levels and the latent.
        heads: Attention heads of the same; they divide the width of their level.
        refinement_blocks: Blocks behind the U.
        expansion: See ``layers.GatedFeedForward``.
        hub_size: Prior vectors of each degradation.
        placement: Levels behind which the modules for meta priors stand, at least one.
        degradation: What ``forward`` takes for granted at stage 1 if it is not told: "noise", "rain", "haze", "blur"
            or "low-light". None requires to be told.
        stop_gradient: See ``layers.SupervisedDegradationAttention``.
        additive_first: See ``layers.MetaPrior``; it matters at stage 2.
        in_channels: Channels of the picture, damaged and restored.

    Raises:
        ValueError: A stage, placement, degradation or size that is not offered.

    Example:
        >>> net = IDR(channels=8, blocks=(1, 1, 1, 1))
        >>> net(torch.rand(1, 3, 5, 7), degradation="rain").shape
        torch.Size([1, 3, 5, 7])

    Source:
        Zhang et al., CVPR 2023, supplement and the authors' code. The supplement does not name the levels of 2E+1D and
        3D: they are ours. The code stands for 3E with ``stop_gradient=False`` and ``additive_first=True``, and compares
        the images of the attention with the clean picture; for its SVD see ``layers.PriorReformulation``. Its stage
        depends on the epoch, and stage 1 takes the first picture's degradation for the whole batch. Parameters that
        do nothing are left out here. Their files mean the signs of the SVD they were trained with, which no file tells:
        the ones that come out on the machine that reads the file are taken for them, and kept.
    """

    layouts: ClassVar[tuple[Layout, ...]] = IDR_LAYOUTS

    def __init__(
        self,
        stage: Literal[1, 2] = 1,
        *,
        channels: int = 32,
        blocks: Sequence[int] = (2, 3, 3, 4),
        heads: Sequence[int] = (1, 2, 4, 8),
        refinement_blocks: int = 2,
        expansion: float = 2.66,
        hub_size: int = 24,
        placement: Sequence[str] = _PLACEMENT,
        degradation: str | None = None,
        stop_gradient: bool = True,
        additive_first: bool = False,
        in_channels: int = 3,
    ) -> None:
        config = record(locals())
        _check_stage(stage)
        check_integer(in_channels, "in_channels", 1)
        config["placement"] = places = _in_order(placement)
        super().__init__([1], size_multiple=8, in_channels=in_channels, config=config)
        self._stage = stage
        self._default = None if degradation is None else _type_id(degradation)
        trunk = partial(RestormerTrunk, blocks=blocks, heads=heads, refinement_blocks=refinement_blocks)
        self.trunk = trunk(in_channels, channels, expansion=expansion)
        self.exit = nn.Conv2d(2 * channels, in_channels, 3, padding=1, bias=False)
        build = partial(
            MetaPrior,
            prior_channels=8 * channels,
            types=len(DEGRADATIONS),
            in_channels=in_channels,
            expansion=expansion,
            stop_gradient=stop_gradient,
            additive_first=additive_first,
        )
        self.priors = nn.ModuleDict({p: build(_WIDTHS[p] * channels, heads=heads[_level(p)]) for p in places})
        _check_hub_size(hub_size, 8 * channels)
        self.hub = nn.Parameter(torch.empty(len(DEGRADATIONS), hub_size, 8 * channels))
        self.reformulation = PriorReformulation(len(DEGRADATIONS), hub_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new priors from N(0, 1), which stage 2 does not train."""
        nn.init.normal_(self.hub)
        self.hub.requires_grad_(self.stage == 1)

    @property
    def stage(self) -> int:
        """The stage of training that the network works at, 1 or 2."""
        return self._stage

    def reformulate(self) -> None:
        """Go on from stage 1, whose training must have filled the hub, to stage 2, in place.

        Raises:
            RuntimeError: The network works at stage 2 already.
        """
        if self.stage == 2:
            raise RuntimeError("the network works at stage 2 already")
        self._stage = self.config["stage"] = 2
        self.hub.requires_grad_(False)
        self.hub.grad = None  # a stale one would go on moving it, and the directions with it

    def forward(
        self,
        x: Tensor,
        scale: int | None = None,
        *,
        degradation: Degradation | Sequence[Degradation] | None = None,
    ) -> Tensor:
        """Restore pictures (N, in_channels, H, W) in [0, 1].

        Args:
            x: Pictures of at least 1x1 px.
            scale: 1, may be left out.
            degradation: At stage 1, what damaged the pictures: a name or an id from 0 to 4 in the order of
                ``DEGRADATIONS``, or one for each picture, all the same; the constructor's if None. At stage 2, None.

        Returns:
            Restored pictures of the same shape, not clamped.

        Raises:
            TypeError: ``x`` is no floating-point tensor of the weights' dtype.
            ValueError: A wrong shape, another scale, a degradation that is unknown, missing or not needed, or a batch
                of several.
        """
        return self.analyse(x, scale, degradation=degradation).restored

    def analyse(
        self,
        x: Tensor,
        scale: int | None = None,
        *,
        degradation: Degradation | Sequence[Degradation] | None = None,
    ) -> Analysis:
        """Restore pictures, and return what training supervises besides; see ``forward``."""
        self.check_input(x)
        self.pick_scale(scale)
        kind = self._pick_type(degradation, x.shape[0])
        spectrum = self.reformulation(self.hub) if kind is None else None
        padded = self.pad(x)
        images: list[Tensor] = []
        probabilities: list[Tensor] = []

        def visit(place: str, features: Tensor) -> Tensor:
            if place not in self.priors:
                return features
            module = cast(MetaPrior, self.priors[place])
            probabilities.append(module.predict(features))
            priors, shares = self._prior_for(kind, spectrum, probabilities[-1])
            features, image = module(features, padded, priors, shares)
            images.append(image)
            return features

        restored = self.crop(self.exit(self.trunk(padded, visit)), x) + x
        return Analysis(restored, images, probabilities)

    def _prior_for(
        self, kind: int | None, spectrum: Spectrum | None, probabilities: Tensor
    ) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        """Prior vectors and shares of the routes: those of one degradation, or mixed by the probabilities."""
        routes = list(DEGRADATIONS.values())
        if kind is not None:
            return self.hub[kind : kind + 1], {routes[kind]: 1.0}
        assert spectrum is not None
        members = {name: [t for t, route in enumerate(routes) if route == name] for name in dict.fromkeys(routes)}
        shares = {name: probabilities[:, ids].sum(dim=1).view(-1, 1, 1, 1) for name, ids in members.items()}
        return self.reformulation.mix(spectrum, probabilities), shares

    def _pick_type(self, degradation: Degradation | Sequence[Degradation] | None, batch: int) -> int | None:
        """The one degradation of a batch at stage 1; None at stage 2."""
        if self.stage == 2:
            if degradation is not None:
                raise ValueError(f"stage 2 predicts the degradation itself, got degradation={degradation!r}")
            return None
        if degradation is None:
            if self._default is None:
                raise ValueError(
                    f"stage 1 must be told the degradation: pass degradation=, one of {', '.join(DEGRADATIONS)}, "
                    "to forward, or to the constructor as the one that is meant without saying so"
                )
            return self._default
        if isinstance(degradation, str | int):
            return _type_id(degradation)
        return _common_type(degradation, batch)

    def unused_parameters(self, scale: int | None = None) -> list[str]:
        """At stage 2 the hub; at stage 1 the reformulation, the predictors (``analyse`` runs them) and other routes.

        The routes count as unused if the constructor names the degradation.
        """
        self.pick_scale(scale)
        idle = ["hub"]
        if self.stage == 1:
            own = None if self._default is None else list(DEGRADATIONS.values())[self._default]
            parts = ["predictor."] + [f"routes.{name}." for name in ROUTES if own not in {None, name}]
            idle = ["reformulation.", *(f"priors.{place}.{part}" for place in self.priors for part in parts)]
        return [name for name, _ in self.named_parameters() if name.startswith(tuple(idle))]

    @property
    def receptive_radius(self) -> None:
        """None: the attention sees the whole picture."""
        return None


def _level(place: str) -> int:
    return int(place[-1]) - 1


def _check_stage(stage: int) -> None:
    if isinstance(stage, bool) or not isinstance(stage, int) or stage not in {1, 2}:
        raise ValueError(f"stage must be 1 or 2, got {stage!r}")


def _check_hub_size(hub_size: int, prior_channels: int) -> None:
    check_integer(hub_size, "hub_size", 1)
    if hub_size > prior_channels:
        raise ValueError(f"hub_size must be at most the length of a prior, {prior_channels}, got {hub_size}")


def _in_order(placement: Sequence[str]) -> tuple[str, ...]:
    """The places in the order in which the features pass them."""
    places = set(placement) if isinstance(placement, Sequence) else set()
    if isinstance(placement, str) or not places or not places <= set(_WIDTHS) or len(places) < len(placement):
        known = ", ".join(_WIDTHS)
        raise ValueError(f"placement must name at least one level of {known}, and none twice, got {placement!r}")
    return tuple(place for place in _WIDTHS if place in places)


def _type_id(degradation: Degradation) -> int:
    names = list(DEGRADATIONS)
    if isinstance(degradation, str) and degradation in DEGRADATIONS:
        return names.index(degradation)
    if isinstance(degradation, int) and not isinstance(degradation, bool) and 0 <= degradation < len(names):
        return degradation
    known = ", ".join(names)
    raise ValueError(f"degradation must be one of {known}, or an id from 0 to {len(names) - 1}, got {degradation!r}")


def _common_type(degradations: Sequence[Degradation], batch: int) -> int:
    if isinstance(degradations, Tensor) and degradations.ndim == 1:
        degradations = degradations.tolist()
    if not isinstance(degradations, Sequence):
        raise TypeError(f"degradation must be a name, an id or a list of them, got {type(degradations).__name__}")
    if len(degradations) != batch:
        raise ValueError(f"degradation must name one for each of the {batch} pictures, got {len(degradations)}")
    kinds = {_type_id(degradation) for degradation in degradations}
    if len(kinds) > 1:
        found = ", ".join(list(DEGRADATIONS)[kind] for kind in sorted(kinds))
        raise ValueError(f"stage 1 takes batches of one degradation, got {found}; sort the pictures by degradation")
    return kinds.pop()


def idr(
    stage: Literal[1, 2] = 1,
    *,
    channels: int = 32,
    blocks: Sequence[int] = (2, 3, 3, 4),
    heads: Sequence[int] = (1, 2, 4, 8),
    refinement_blocks: int = 2,
    expansion: float = 2.66,
    hub_size: int = 24,
    placement: Sequence[str] = _PLACEMENT,
    degradation: str | None = None,
    stop_gradient: bool = True,
    additive_first: bool = False,
    in_channels: int = 3,
    weights: str | PathLike[str] | None = None,
) -> IDR:
    """Build IDR as its supplement describes it.

    Args:
        stage: 1, or 2 together with ``weights`` whose stage 1 has filled the hub.
        channels: See ``IDR``.
        blocks: See ``IDR``.
        heads: See ``IDR``.
        refinement_blocks: See ``IDR``.
        expansion: See ``IDR``.
        hub_size: See ``IDR``.
        placement: See ``IDR``.
        degradation: See ``IDR``.
        stop_gradient: See ``IDR``.
        additive_first: See ``IDR``.
        in_channels: See ``IDR``.
        weights: Checkpoint file of either stage to read into it, see ``load_weights``.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        ValueError: A value that is not offered, or stage 2 without weights: it would freeze a hub of noise.

    Example:
        >>> sum(p.numel() for p in idr().parameters())
        13862023

    Source:
        Zhang et al., CVPR 2023 (IDR). The authors' network has 70,591 parameters more, which do nothing.
    """
    model = IDR(
        stage,
        channels=channels,
        blocks=blocks,
        heads=heads,
        refinement_blocks=refinement_blocks,
        expansion=expansion,
        hub_size=hub_size,
        placement=placement,
        degradation=degradation,
        stop_gradient=stop_gradient,
        additive_first=additive_first,
        in_channels=in_channels,
    )
    if stage == 2 and weights is None:
        raise ValueError(
            "stage 2 needs a hub that stage 1 has trained: give weights=, or train idr(stage=1) and call reformulate()"
        )
    return loaded(model, weights)
