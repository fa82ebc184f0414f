"""Ports of SRCNN: three numbered convolutions."""

from restorekit.models._layouts.layout import Layout, Reading, StateDict, has, rename


def _read(state: StateDict) -> Reading:
    tensors = rename(state, {"conv1": "entry", "conv2": "body", "conv3": "exit"})
    kernels = [tensors[f"{name}.weight"] for name in ("entry", "body", "exit")]
    config = {
        "scale": 1,  # the authors enlarge outside of the network
        "in_channels": kernels[0].shape[1],
        "channels": tuple(kernel.shape[0] for kernel in kernels[:2]),
        "kernel_sizes": tuple(kernel.shape[2] for kernel in kernels),
    }
    return config, tensors


SRCNN_LAYOUTS = (Layout("SRCNN (yjn870)", has("conv1.weight", "conv2.weight", "conv3.weight"), _read),)
