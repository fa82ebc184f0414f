"""What every network here has so that a file can hold it: its arguments, and the foreign layouts that it reads."""

from abc import ABC
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import nn

from restorekit.layers import MeanShift
from restorekit.models._layouts.layout import Layout


class Network(nn.Module, ABC):
    """Base of all networks: ``save_weights`` and ``load_weights`` need nothing beyond the attributes named here.

    Args:
        config: The constructor's arguments, enough to build the same network again: numbers, strings, tuples of them.

    Attributes:
        config: The same.
        layouts: Foreign checkpoint layouts that the network can read.
        is_original: Whether its weights are those of a file; not if it was rewritten for inference.

    Example:
        >>> import restorekit
        >>> restorekit.models.carn(scale=2, channels=8).config["channels"]
        8
    """

    layouts: ClassVar[tuple[Layout, ...]] = ()
    is_original: ClassVar[bool] = True

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config

    def can_spare(self, key: str) -> bool:
        """Whether a checkpoint may hold this tensor though the network has no use for it, such as another scale's."""
        return False

    def set_mean(self, mean: Sequence[float]) -> None:
        """Take over the mean colour that belongs to the weights of a file."""
        for layer in self.modules():
            if isinstance(layer, MeanShift):
                layer.set_mean(mean)
        self.config["mean"] = tuple(mean)


def check_network(model: object) -> None:
    """Require a network of this library."""
    if not isinstance(model, Network):
        raise TypeError(f"model must be a network of restorekit.models, got {type(model).__name__}")
    if not model.is_original:
        raise TypeError("model was rewritten for inference; save or load the network that it was made from")


def record(arguments: dict[str, Any]) -> dict[str, Any]:
    """A constructor's ``locals()`` in a form that JSON keeps: numbers, strings and tuples of them."""
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()}
    return {name: value for name, value in plain.items() if name not in {"self", "__class__"}}
