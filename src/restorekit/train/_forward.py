"""The model as a training step sees it."""

from typing import Any

import torch
from torch import Tensor, nn


class Forward(nn.Module):
    """The same wrapper on one device and on many, under bfloat16 autocast and with pictures channels last if asked.

    Only what enters and leaves the model changes its layout: the weights keep theirs, and so do their checkpoints. What
    leaves is contiguous again, so that a step or a loss need not know.

    Args:
        model: Any network.
        autocast: Type of the device that runs under autocast; None for float32.
        channels_last: Hand pictures (N, C, H, W) to the model channels last, which convolutions run faster in.
    """

    def __init__(self, model: nn.Module, *, autocast: str | None, channels_last: bool) -> None:
        super().__init__()
        self.model = model
        self.autocast = autocast
        self.channels_last = channels_last

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Call the model."""
        from accelerate.utils import convert_to_fp32  # noqa: PLC0415

        if self.channels_last:
            inputs, options = _laid_out((inputs, options), torch.channels_last)
        if self.autocast is None:
            out = self.model(*inputs, **options)
        else:
            with torch.autocast(self.autocast, torch.bfloat16):
                out = self.model(*inputs, **options)
            out = convert_to_fp32(out)
        return _laid_out(out, torch.contiguous_format) if self.channels_last else out


def _laid_out(data: Any, layout: torch.memory_format) -> Any:
    from accelerate.utils import recursively_apply  # noqa: PLC0415

    def lay_out(x: Tensor) -> Tensor:
        return x.contiguous(memory_format=layout) if x.ndim == 4 else x

    return recursively_apply(lay_out, data)
