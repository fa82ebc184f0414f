"""The networks of a run, each with the optimiser that trains it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from restorekit.train._forward import Forward
from restorekit.train.checkpoint import PartnerState, State
from restorekit.train.ema import Ema
from restorekit.train.plan import Plan
from restorekit.train.turns import MODEL

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Learner:
    """A network that takes its turns in a step; ``forward`` is the network as the step sees it."""

    module: nn.Module
    forward: nn.Module
    optimizer: torch.optim.Optimizer
    learning_rate: float
    clip_norm: float | None = None

    @property
    def keeps_statistics(self) -> bool:
        """Whether more is saved of the network than its parameters."""
        return len(self.module.state_dict()) > len(list(self.module.named_parameters(remove_duplicate=False)))

    def update(self, factor: float) -> None:
        """Move the weights by the gradients that they have."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * factor * group["factor"]
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.clip_norm)
        self.optimizer.step()


def adam(
    module: nn.Module, *, betas: tuple[float, float], weight_decay: float, factors: Mapping[str, float]
) -> torch.optim.Adam:
    """Adam over the parameters that train, in groups of one ``factor`` of the learning rate."""
    grouped: dict[float, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            grouped.setdefault(_factor(name, factors), []).append(parameter)
    groups = [{"params": parameters, "factor": factor} for factor, parameters in grouped.items()]
    fused = _fusible(parameter for group in grouped.values() for parameter in group)
    return torch.optim.Adam(groups, betas=betas, eps=1e-8, weight_decay=weight_decay, fused=fused)


def check_factors(module: nn.Module, factors: Mapping[str, float]) -> None:
    """Require each start of a name to be that of a parameter."""
    names = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    for start in factors:
        if not any(name.startswith(start) for name in names):
            raise ValueError(
                f"rate_factors must name starts of trained parameters, such as {names[0]!r}, got {start!r}"
            )


def lay_out_moments(optimizer: torch.optim.Optimizer) -> None:
    """Like their weights, whatever layout they were saved in: Adam's one pass takes them value by value from memory."""
    for weight, moments in optimizer.state.items():
        for name, moment in moments.items():
            if moment.shape == weight.shape and moment.stride() != weight.stride():
                moments[name] = torch.empty_like(weight, dtype=moment.dtype).copy_(moment)


def learners(model: nn.Module, plan: Plan, accelerator: "Accelerator", channels_last: bool) -> dict[str, Learner]:
    """The model and its partners, where they train, each with an optimiser of its own."""
    autocast = accelerator.device.type if plan.mixed_precision else None

    def learner(module: nn.Module, rate: float, clip_norm: float | None, factors: Mapping[str, float]) -> Learner:
        forward = accelerator.prepare_model(Forward(module, autocast=autocast, channels_last=channels_last).train())
        optimizer = adam(module, betas=plan.betas, weight_decay=plan.weight_decay, factors=factors)
        return Learner(module, forward, optimizer, rate, clip_norm)

    partners = {
        name: learner(partner.module, partner.learning_rate or plan.learning_rate, None, {})
        for name, partner in plan.partners.items()
    }
    return {MODEL: learner(model, plan.learning_rate, plan.clip_norm, plan.rate_factors), **partners}


def initial_state(networks: Mapping[str, Learner], ema_decay: float | None) -> State:
    """The state before the first step."""
    model = networks[MODEL]
    partners = {
        name: PartnerState(learner.module, learner.optimizer) for name, learner in networks.items() if name != MODEL
    }
    ema = None if ema_decay is None else Ema(model.module, ema_decay)
    return State(model.module, model.optimizer, ema, [], partners=partners)


def _factor(name: str, factors: Mapping[str, float]) -> float:
    """That of the longest start of the name."""
    return factors[max(starts, key=len)] if (starts := [s for s in factors if name.startswith(s)]) else 1.0


def _fusible(parameters: Iterable[nn.Parameter]) -> bool:
    """Whether Adam's one pass over all weights may run: it takes each of them for one piece of memory."""
    layouts = (torch.contiguous_format, torch.channels_last)
    return all(
        parameter.device.type in ("cpu", "cuda")
        and parameter.is_floating_point()
        and any(parameter.is_contiguous(memory_format=layout) for layout in layouts)
        for parameter in parameters
    )
