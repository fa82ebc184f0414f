"""The state of a run as one file: everything that the next step depends on, and a note of what run it is."""

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.image import atomic_path
from restorekit.image.files import sweep_beside
from restorekit.train.ema import Ema
from restorekit.train.plan import Setting, Settings

_FORMAT = 2
_KEYS = {"format", "settings", "losses", "measured", "model", "optimizer", "ema", "partners"}
# what zipfile and torch.load raise for files that are cut short, damaged, or something else
_UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, KeyError, zipfile.BadZipFile, pickle.UnpicklingError)


@dataclass
class PartnerState:
    """What a run changes of a network that learns beside the model; its losses are as many as the model's."""

    module: nn.Module
    optimizer: torch.optim.Optimizer
    losses: list[float] = field(default_factory=list)


@dataclass
class State:
    """What a run changes: the weights, Adam's moments, the average, the loss of every step done, what was measured.

    Of a run that notes several numbers in a step, each entry of ``losses`` is a list of them.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    ema: Ema | None
    losses: list[Any]
    measured: list[float] = field(default_factory=list)
    partners: dict[str, PartnerState] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """Number of steps done."""
        return len(self.losses)


@dataclass(frozen=True)
class Checkpoints:
    """Where a run keeps its state, how often, and by what it knows its own file; without a path nothing is kept.

    The caller is the function that a message tells to call again.
    """

    path: Path | None
    every: int
    settings: Settings
    caller: str = "fit"

    def __post_init__(self) -> None:
        check_integer(self.every, "checkpoint_every", 1)
        if self.path is not None and (self.path.is_dir() or not self.path.parent.is_dir()):
            raise FileNotFoundError(f"checkpoint must name a file in a folder that exists, got {self.path}")

    def save(self, state: State) -> None:
        """Write the state beside the path and put it in place in one move, so that a crash leaves the file before."""
        if self.path is None:
            return
        content = {
            "format": _FORMAT,
            "settings": dict(self.settings(state.step)),
            "losses": torch.tensor(state.losses, dtype=torch.float64),
            "model": state.model.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "ema": None if state.ema is None else state.ema.model.state_dict(),
            "partners": {name: _saved(partner) for name, partner in state.partners.items()},
            "measured": torch.tensor(state.measured, dtype=torch.float64),
        }
        try:
            with atomic_path(self.path) as beside, beside.open("wb") as file:
                torch.save(content, file)
        except (OSError, RuntimeError) as error:
            cause = _system_error(error)
            if cause is None:
                raise
            raise OSError(cause.errno, self._unwritten(cause, state.step)) from error

    def resume(self, state: State, *, steps: int) -> None:
        """Bring ``state`` to where the file left it; a damaged file or another run's is refused and changes nothing."""
        if self.path is None:
            return
        sweep_beside(self.path)
        if not self.path.exists():
            return
        content = _read(self.path)
        losses: list[Any] = content["losses"].tolist()
        _check_layout(self.path, content["model"], state.model)
        _check_settings(self.path, content["settings"], self.settings(len(losses)))
        _check_partners(self.path, content["partners"], state.partners)
        if len(losses) > steps:
            raise ValueError(f"{self.path} holds {len(losses)} steps already, more than steps={steps}; raise steps")
        state.model.load_state_dict(content["model"])
        state.optimizer.load_state_dict(content["optimizer"])
        if state.ema is not None:
            state.ema.model.load_state_dict(content["ema"])
        for name, partner in state.partners.items():
            _restore(partner, content["partners"][name])
        state.losses, state.measured = losses, content["measured"].tolist()

    def _unwritten(self, cause: OSError, steps: int) -> str:
        before = "the file before is whole" if self.path is not None and self.path.exists() else "there was none before"
        return (
            f"the state after {steps} steps could not be written to {self.path} ({cause.strerror or cause}); {before}; "
            f"see to the disk, then call {self.caller} again with the same checkpoint"
        )

    def kept(self) -> str:
        """Say what a run that breaks off leaves."""
        if self.path is None:
            return "no checkpoint was asked for"
        if not self.path.exists():
            return f"no checkpoint was written to {self.path} yet"
        return f"call {self.caller} again to go on from {self.path}"


def stage_path(checkpoint: str | Path | None, number: int) -> Path | None:
    """Where the part ``number`` of a run of several fits keeps its state: "run.pt" becomes "run.stage0.pt"."""
    if checkpoint is None:
        return None
    path = Path(checkpoint)
    return path.with_name(f"{path.stem}.stage{number}{path.suffix}")


def _saved(partner: PartnerState) -> dict[str, Any]:
    return {
        "model": partner.module.state_dict(),
        "optimizer": partner.optimizer.state_dict(),
        "losses": torch.tensor(partner.losses, dtype=torch.float64),
    }


def _restore(partner: PartnerState, saved: Mapping[str, Any]) -> None:
    partner.module.load_state_dict(saved["model"])
    partner.optimizer.load_state_dict(saved["optimizer"])
    partner.losses = saved["losses"].tolist()


def _system_error(error: BaseException | None) -> OSError | None:
    """What the system said: where it refuses to write, torch reports the confusion that it is in afterwards."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def _read(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch.load does not compare the checksums
        if damaged is not None:
            raise ValueError(f"the checksum of its part {damaged} is wrong")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"{path} is no whole training checkpoint ({why}); delete it to start anew, or put back a copy of it"
        ) from error
    if not isinstance(content, dict) or set(content) != _KEYS or content["format"] != _FORMAT:
        raise ValueError(f"{path} is no training checkpoint of this version; for weights alone use models.load_weights")
    return content


def _check_partners(path: Path, saved: Mapping[str, Any], partners: Mapping[str, PartnerState]) -> None:
    if set(saved) != set(partners):
        raise ValueError(
            f"{path} belongs to another run: beside the model learns {', '.join(saved) or 'nothing'} "
            f"(here {', '.join(partners) or 'nothing'})"
        )
    for name, partner in partners.items():
        _check_layout(path, saved[name]["model"], partner.module, name)


def _check_layout(path: Path, saved: Mapping[str, Tensor], model: nn.Module, title: str = "model") -> None:
    here = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    there = {name: tuple(value.shape) for name, value in saved.items()}
    for name in [*here, *there]:
        if here.get(name) != there.get(name):
            raise ValueError(
                f"{path} belongs to another {title}: {name} is {there.get(name, 'absent')} in the file "
                f"and {here.get(name, 'absent')} here"
            )


def _check_settings(path: Path, saved: Mapping[str, Setting], here: Mapping[str, Setting]) -> None:
    different = [f"{name} {saved.get(name)!r} (here {here[name]!r})" for name in here if saved.get(name) != here[name]]
    if different:
        raise ValueError(
            f"{path} belongs to another run: {', '.join(different)}; "
            "repeat the settings to go on, or give another checkpoint path"
        )
