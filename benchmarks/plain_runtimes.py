"""A network as it is, written as ONNX by torch and run by ONNX Runtime or OpenVINO: what users do without rewriting."""

import logging
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from harness import Options
from torch import Tensor, nn

from restorekit.inference._runtimes import _without_telemetry

Run = Callable[[Tensor], Tensor]


def write_onnx(model: nn.Module, x: Tensor, path: Path) -> None:
    """The network for pictures of this size."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (x,), path, dynamo=True, input_names=["x"], verbose=False)


def onnx_runtime(model: nn.Module, x: Tensor, options: Options) -> Run:
    """ONNX Runtime in float32, its only type on the CPU that pays."""
    import onnxruntime  # noqa: PLC0415

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    with tempfile.TemporaryDirectory() as folder:
        write_onnx(model, x, Path(folder) / "model.onnx")
        path = f"{folder}/model.onnx"
        session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    return lambda pictures: torch.from_numpy(session.run(None, {"x": pictures.numpy()})[0])


def openvino(model: nn.Module, x: Tensor, options: Options, *, precision: str) -> Run:
    """OpenVINO in "f32" or "bf16"."""
    with _without_telemetry():  # as ours does, which may be the second to import it
        import openvino  # noqa: PLC0415

    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": options.threads}
    with tempfile.TemporaryDirectory() as folder:
        write_onnx(model, x, Path(folder) / "model.onnx")
        compiled = openvino.Core().compile_model(f"{folder}/model.onnx", "CPU", settings)
    return lambda pictures: torch.from_numpy(compiled(pictures.numpy())[0])
