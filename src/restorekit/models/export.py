"""Writing a network as an ONNX file that takes pictures of any size."""

import copy
import os

from torch import Tensor, nn

from restorekit.image import atomic_path
from restorekit.models._onnx import onnx_program
from restorekit.models.restorer import Restorer


def export_onnx(model: Restorer, path: str | os.PathLike[str], *, scale: int | None = None) -> None:
    """Write a network as one ONNX file, complete or not at all, for pictures of any number and size.

    The file maps the input ``x``, floats (batch, in_channels, height, width) in [0, 1], to the output ``restored``,
    ``scale`` times as large, as the network does in evaluation mode. It holds the graph and the weights in the dtype of
    the network, and nothing about the machine that wrote it. A network that takes large pictures in parts (RNAN) takes
    them whole in the file: keep them small.

    Args:
        model: Network from this library; left as it is.
        path: Where to write. Its folder must exist.
        scale: Factor of a multi-scale network; the file holds one.

    Raises:
        ImportError: The extra ``onnx`` is not installed.
        TypeError: ``model`` is no network of this library.
        ValueError: A scale that the network does not hold.
        FileNotFoundError: The folder does not exist.

    Example:
        >>> import restorekit, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export_onnx(restorekit.models.carn_m(scale=2, channels=8), f"{folder}/carn_m.onnx")
    """
    if not isinstance(model, Restorer):
        raise TypeError(f"model must be a network of restorekit.models, got {type(model).__name__}")
    single = _Single(copy.deepcopy(model), model.pick_scale(scale)).eval()
    with atomic_path(path) as beside:
        program = onnx_program(single, single.example())
        program.model.graph.metadata_props.clear()
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()  # lines of Python, with the folders that they lie in
        program.save(beside, external_data=False)


class _Single(nn.Module):
    """A network on the CPU as a function of the picture alone."""

    def __init__(self, model: Restorer, scale: int) -> None:
        super().__init__()
        self.model = model.cpu()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        restored: Tensor = self.model(x, scale=self.scale)
        return restored

    def example(self) -> Tensor:
        """Sizes that stand for any: unequal, above 1, and in no need of padding."""
        unit, weight = self.model.size_multiple, next(self.model.parameters())
        return weight.new_zeros(2, self.model.in_channels, 12 * unit, 9 * unit)
