"""Networks in other runtimes on the CPU: ONNX Runtime and OpenVINO, behind the call of a torch module."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from restorekit.models._onnx import onnx_program

_Run = Callable[[Tensor], Tensor]
_Graph = Callable[[], bytes]


def runtime(module: nn.Module, *, backend: str, in_channels: int, multiple: int, dtype: torch.dtype) -> _Run:
    """Export a module once and keep it in another runtime, which uses as many threads as torch does now.

    Args:
        module: Maps float32 pictures (N, in_channels, H, W) to float32 pictures, for any number and any sides that are
            multiples of ``multiple``. On the CPU, in evaluation mode, with weights in float32; left as it is.
        backend: "onnxruntime" or "openvino".
        in_channels: Channels of the pictures.
        multiple: What their sides are multiples of.
        dtype: What to compute in: ``torch.float32``, or in OpenVINO ``torch.bfloat16``, which a processor without
            instructions for it turns back into float32. Pictures and result are float32 in either.

    Returns:
        The module as a function of pictures on the CPU, without gradients. Every call returns memory of its own.
        Threads may share the function. What the largest picture needed stays reserved: cut large ones into tiles.

    Raises:
        ImportError: The extra that holds the backend is not installed.
        ValueError: An unknown backend, or a dtype that it does not compute in.
    """
    if backend not in _BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(_BACKENDS)}, got {backend!r}")
    start, dtypes = _BACKENDS[backend]
    if dtype not in dtypes:
        offered = " or ".join(map(str, dtypes))
        raise ValueError(f"backend={backend!r} computes in {offered}, got {dtype}; others compute in more")
    example = torch.zeros(2, in_channels, 12 * multiple, 9 * multiple)

    def graph() -> bytes:
        with torch.no_grad():
            written: bytes = onnx_program(module, example, multiple=multiple).model_proto.SerializeToString()
        return written

    return start(graph, dtype)


def _onnxruntime(graph: _Graph, dtype: torch.dtype) -> _Run:
    """ONNX Runtime; its kernels for the CPU know convolutions in float32 alone."""
    try:
        import onnxruntime  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("backend='onnxruntime' needs its extra: pip install 'restorekit[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(graph(), options, providers=["CPUExecutionProvider"])

    def run(x: Tensor) -> Tensor:
        (restored,) = session.run(None, {"x": _as_array(x)})  # in memory that the session gives away
        return torch.from_numpy(restored)

    return run


def _openvino(graph: _Graph, dtype: torch.dtype) -> _Run:
    """OpenVINO's CPU plugin."""
    try:
        with _without_telemetry():
            import openvino  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("backend='openvino' needs its extra: pip install 'restorekit[openvino]'") from error
    core, hint = openvino.Core(), openvino.properties.hint
    settings: dict[Any, Any] = {
        hint.performance_mode: hint.PerformanceMode.LATENCY,
        hint.inference_precision: openvino.Type.bf16 if dtype == torch.bfloat16 else openvino.Type.f32,
        hint.enable_cpu_pinning: False,  # several processes would all be pinned to the first cores
        openvino.properties.inference_num_threads: torch.get_num_threads(),
    }
    request = core.compile_model(core.read_model(graph(), b""), "CPU", settings).create_infer_request()
    lock = Lock()  # one set of buffers, so one call at a time

    def run(x: Tensor) -> Tensor:
        given = openvino.Tensor(_as_array(x), shared_memory=True)
        with lock:
            request.set_input_tensor(given)
            request.infer()
            return torch.from_numpy(request.get_output_tensor().data).clone()  # the next call writes there

    return run


_BACKENDS: dict[str, tuple[Callable[[_Graph, torch.dtype], _Run], tuple[torch.dtype, ...]]] = {
    "onnxruntime": (_onnxruntime, (torch.float32,)),
    "openvino": (_openvino, (torch.float32, torch.bfloat16)),
}


def _as_array(x: Tensor) -> Any:
    """The pictures as an array over the same memory, which both runtimes read where it is."""
    return x.detach().contiguous().numpy()


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """While openvino is imported, hide the package with which it reports the import to its makers."""
    name = "openvino_telemetry"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # the documented way to make an import fail
    try:
        yield
    finally:
        del sys.modules[name]
