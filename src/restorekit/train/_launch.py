"""How this process was launched: alone, or as one of several."""

import os
from typing import TYPE_CHECKING

from restorekit._check import check_integer

if TYPE_CHECKING:
    from accelerate import Accelerator


def launched(batch_size: int, accumulate: int, find_unused_parameters: bool) -> "Accelerator":
    """Make ready what accelerate knows of the processes, and require a batch that can be shared among them."""
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("training needs accelerate: pip install 'restorekit[train]'") from error
    check_integer(batch_size, "batch_size", 1)
    check_integer(accumulate, "accumulate", 1)
    handler = DistributedDataParallelKwargs(find_unused_parameters=find_unused_parameters)
    accelerator = Accelerator(kwargs_handlers=[handler])
    if accelerator.mixed_precision not in ("no", "bf16"):
        raise ValueError(f"fit knows mixed precision 'bf16' alone, accelerate was told {accelerator.mixed_precision!r}")
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes != accelerator.num_processes:
        raise RuntimeError(
            f"{processes} processes were launched, but accelerate takes each for the only one; "
            "set ACCELERATE_USE_CPU=1 for several processes without GPUs"
        )
    if batch_size % (accelerator.num_processes * accumulate):
        raise ValueError(
            f"batch_size counts all processes together and must be a multiple of their number "
            f"{accelerator.num_processes} times accumulate {accumulate}, got {batch_size}"
        )
    return accelerator
