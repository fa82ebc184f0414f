"""A run on its way through the factors: the picture, the results so far, and what the next factor starts from."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from restorekit._random import seeded
from restorekit.inference import restore
from restorekit.models import Restorer, zssr
from restorekit.train._zero_shot.fathers import Fathers
from restorekit.train._zero_shot.policy import SlopePolicy
from restorekit.train._zero_shot.reconstruction import Reconstruction
from restorekit.train._zero_shot.settings import Factors, ZeroShotSettings
from restorekit.train._zero_shot.stage import Stage
from restorekit.train.fit import FitOptions

_INITIAL_TAG, _RUN_TAG = 10, 13  # keep these draws apart from the others that start from the same seed


@dataclass
class Course:
    """What the factors of a run share, and their results.

    Args:
        picture: The given picture (1, C, H, W), float32.
        network: What is trained.
        settings: How.
        dtype: Type that the network computes in where it is not trained.
        seed: Seed of the run.
        stages: The factors.

    Attributes:
        solved: The picture and the results so far, by their factors.
    """

    picture: Tensor
    network: Restorer
    settings: ZeroShotSettings
    dtype: torch.dtype
    seed: int
    stages: Sequence[Stage]
    solved: dict[Factors, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.solved = {(1.0, 1.0): self.picture}

    def options(self) -> FitOptions:
        """What the settings say of the learning rate."""
        return {
            "learning_rate": self.settings.learning_rate,
            "schedule": SlopePolicy(self.settings),
            "measure_every": self.settings.test_every,
        }

    def run_seed(self, stage: Stage, *others: int) -> int:
        """A seed for the fit of a factor that differs for another picture or setting, so that its checkpoint does."""
        known = (dataclasses.astuple(self.settings), [one.factors for one in self.stages])
        digest = hashlib.blake2b(repr(known).encode())
        for tensor in (self.picture, *(one.rescaling.kernel for one in self.stages)):
            if tensor is not None:
                digest.update(repr(tuple(tensor.shape)).encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().data)
        number = int.from_bytes(digest.digest()[:8])
        return seeded(self.seed, _RUN_TAG, number, stage.number, *others).initial_seed() % (1 << 31)

    def pairs(self, stage: Stage) -> Fathers:
        """What is learnt from at a factor."""
        sources = tuple(source[0].cpu() for source in self.solved.values())
        return Fathers(sources, tuple(map(min, self.solved)), self.settings, stage.rescaling, self.seed, stage.number)

    def measure(self, stage: Stage) -> Reconstruction:
        """What the network is measured by at a factor."""
        run = partial(restore, dtype=self.dtype)
        return Reconstruction.of(run, self.solved[stage.base], stage, self.settings.noise, self.seed)

    def enlarge(self, stage: Stage) -> Tensor:
        """Solve a factor with the network as it is now, and keep the result."""
        run = partial(restore, self.network, dtype=self.dtype)
        size = (self.picture.shape[-2], self.picture.shape[-1])
        out = stage.enlarge(run, self.solved[stage.base], size, ensemble=self.settings.ensemble)
        self.solved[stage.factors] = out
        return out


def new_network(channels: int, seed: int) -> Restorer:
    """The published network for enlarged pictures, channels last, from weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seeded(seed, _INITIAL_TAG).initial_seed())
        network = zssr(1, in_channels=channels)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()


def checked_network(model: object, channels: int) -> Restorer:
    """A network that takes enlarged pictures of so many channels."""
    if not isinstance(model, Restorer):
        raise TypeError(f"model must be a network of restorekit.models, got {type(model).__name__}")
    if model.scales != (1,):
        raise ValueError(f"model must take an enlarged picture, scale=1, got scales {model.scales}")
    if model.in_channels != channels:
        raise ValueError(f"model takes pictures of {model.in_channels} channels, image has {channels}")
    return model


@contextmanager
def on_training_device(model: Restorer) -> Iterator[None]:
    """Lend the network to the device that `fit` trains on, for what is run between the fits."""
    try:
        from accelerate import Accelerator  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("training needs accelerate: pip install 'restorekit[train]'") from error
    home = next(model.parameters()).device
    try:
        model.to(Accelerator().device)
        yield
    finally:
        model.to(home)
