"""A module as an ONNX program that takes pictures of any number and size."""

import logging
import warnings

import torch
from torch import Tensor, nn
from torch.export import Dim


def onnx_program(module: nn.Module, x: Tensor, *, multiple: int = 1) -> torch.onnx.ONNXProgram:
    """The ONNX program of a module, from the input ``x`` to the output ``restored``.

    Args:
        module: Function of pictures (N, C, H, W) alone, on the CPU, in evaluation mode.
        x: Pictures whose size stands for any: unequal sides, above 1. Their number may be any too.
        multiple: Sides of the pictures come in multiples of this. torch cannot find out that padding has nothing to
            complete, so a module without padding of its own needs the number here.

    Raises:
        ImportError: The extra ``onnx`` is not installed.
    """
    try:
        import onnxscript  # noqa: F401, PLC0415
    except ImportError as error:
        raise ImportError("writing ONNX needs onnxscript: pip install 'restorekit[onnx]'") from error
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns that torchvision, which no network here uses, is not installed
    try:
        return _traced(module, x, multiple)
    finally:
        log.setLevel(level)


def _traced(module: nn.Module, x: Tensor, multiple: int) -> torch.onnx.ONNXProgram:
    sides = {2: "height", 3: "width"} if multiple == 1 else {2: multiple * Dim("rows"), 3: multiple * Dim("columns")}
    with warnings.catch_warnings():
        # torch's exporter, about its own code
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        program = torch.onnx.export(
            module,
            (x,),
            dynamo=True,
            dynamic_shapes=({0: "batch", **sides},),
            input_names=["x"],
            output_names=["restored"],
            verbose=False,
        )
    assert program is not None  # it is for the older exporter alone
    return program
