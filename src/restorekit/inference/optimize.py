"""The same network, faster: exact rewrites for inference."""

from collections.abc import Callable
from typing import Literal, final

import torch
from torch import Tensor, nn

from restorekit.inference._optimized import Optimized
from restorekit.inference._running import broken_weight, check_dtype, check_restorer, has_hooks, home
from restorekit.inference._runtimes import runtime
from restorekit.models import Restorer


def optimize(
    model: Restorer,
    *,
    dtype: torch.dtype | None = None,
    compile: bool = False,
    backend: Literal["torch", "onnxruntime", "openvino"] = "torch",
) -> Optimized:
    """Rewrite a network for inference: it computes the same, in less time and memory.

    Its forward is written down as one graph, in which

    - kernels with weight norm or mixed from templates are computed once, BatchNorm and the mean colour at the end
      become part of a convolution;
    - sums and activations happen inside the convolution in front of them, in place where nothing reads the old value;
    - 1x1 convolutions of concatenations become sums of products, without the concatenation;
    - a narrow last convolution moves in front of the pixel shuffle;
    - the end, where features are widest, runs in strips of rows that stay in cache;
    - tensors are in channels last, and features in ``dtype``.

    ``restore`` does this by itself where a picture is worth the work, at each call; rewrite once what restores many
    small ones. A network whose path depends on the picture keeps its own forward. A desubpixel head goes on taking
    enlarged pictures, as nothing says how they were enlarged; ``models.fold_desubpixel`` makes it take small ones.

    Args:
        model: Network from this library, or a subclass of ``models.Restorer``; left as it is.
        dtype: Type to compute features in, such as ``torch.bfloat16``; the network's own if None. Pictures, and what is
            added to the result, keep the network's.
        compile: Hand the graph to ``torch.compile``, which needs a C++ compiler and compiles at the first call: 22
            seconds of processor time for CARN-M. Compiled code comes out of its cache when another process asks again.
        backend: What runs the graph: torch, or on the CPU ONNX Runtime (float32; extra ``onnx``) or OpenVINO (float32
            and bfloat16; extra ``openvino``).

    Returns:
        A network for evaluation alone, with copies of all weights: it takes and gives pictures as ``model`` does, of
        any floating-point type. Results differ by rounding: of about 1e-6 in float32. Pixels that are no numbers spread
        as far as in ``model``, and around an enlargement up to the next pixel of the picture.

    Raises:
        ImportError: The backend is not installed.
        TypeError: ``model`` is no network of this library, or ``dtype`` no floating-point type.
        ValueError: An unknown backend, options that do not go together, or a network with
            forward hooks or with weights or statistics that are not finite.

    Example:
        >>> import restorekit
        >>> net, x = restorekit.models.carn_m(scale=2, channels=8).eval(), torch.rand(1, 3, 40, 50)
        >>> (optimize(net)(x) - net(x)).abs().max().item() < 1e-5
        True
    """
    check_restorer(model)
    _check(model, compile, backend)
    device, own = home(model)
    dtype = check_dtype(dtype or own)
    if backend == "torch":
        fast = Optimized(model, model.scales, dtype)
        for scale, graph in fast.graphs.items() if compile else ():
            fast.graphs[scale] = torch.compile(graph, dynamic=True)  # type: ignore[assignment]
        return fast
    if device.type != "cpu" or own != torch.float32:
        raise ValueError(f"backend={backend!r} takes networks in float32 on the CPU, got {own} on {device}")
    fast = Optimized(model, model.scales, dtype, cast=False)
    channels, multiple = model.in_channels, model.size_multiple
    for scale, graph in fast.graphs.items():
        run = runtime(graph, backend=backend, in_channels=channels, multiple=multiple, dtype=dtype)
        fast.graphs[scale] = _Elsewhere(run)
    return fast


@final
class _Elsewhere(nn.Module):
    """What another runtime holds, as a module."""

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


def _check(model: Restorer, compile: bool, backend: str) -> None:
    if isinstance(model, Optimized):
        raise TypeError("model is rewritten already; give optimize the network that it was made from")
    if has_hooks(model):
        raise ValueError("model has forward hooks, which a rewritten graph would not call; remove them first")
    if (name := broken_weight(model)) is not None:
        raise ValueError(f"the weight {name} of model is not finite: its file is damaged, or training diverged")
    if backend not in _BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(_BACKENDS)}, got {backend!r}")
    if compile and backend != "torch":
        raise ValueError(f"compile=True is for the backend 'torch', got {backend!r}")


_BACKENDS = ("torch", "onnxruntime", "openvino")
