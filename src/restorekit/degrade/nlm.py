"""What a denoiser leaves of a clean picture: fine texture smoothed away."""

import numpy as np
import torch
from skimage.restoration import denoise_nl_means
from torch import Tensor

from restorekit._check import check_batch, check_integer
from restorekit.degrade._level import finished, per_picture


def nlm_denoise(
    x: Tensor, level: float | Tensor, *, patch_size: int = 7, patch_distance: int = 11, fast_mode: bool = True
) -> Tensor:
    """Denoise by non-local means, which takes texture for noise where a picture has none.

    scikit-image does it, on the CPU and picture by picture: the result comes back to the device of ``x`` and carries no
    gradient.

    Args:
        x: Pictures (N, C, H, W) in [0, 1]; the channels of a picture are compared together.
        level: Cut-off distance ``h`` between the values of patches, in (0, 1]; larger smooths more. A number or one for
            each picture (N,).
        patch_size: Side of the patches that are compared, in pixels.
        patch_distance: Farthest patch looked at, in pixels.
        fast_mode: Weigh the pixels of a patch evenly rather than by a Gaussian; much quicker.

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``, without a graph.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, ``level`` no number, or a size not an integer.
        ValueError: ``level`` is outside its range or has the wrong length, or a size is below 1.

    Example:
        >>> flat = torch.full((1, 3, 8, 8), 0.5)
        >>> bool((nlm_denoise(flat, 0.1) - flat).abs().max() < 1e-6)
        True

    Source: Ahn's thesis, section 6.1: h = .04, .06 and .08, patches of 7, distance 11, on scikit-image's function.
    """
    check_batch(x)
    check_integer(patch_size, "patch_size", 1)
    check_integer(patch_distance, "patch_distance", 1)
    widths = per_picture(level, "level", x, 0, 1, above=True).flatten().tolist()
    pictures = x.detach().to("cpu", torch.promote_types(x.dtype, torch.float32)).movedim(1, -1).numpy()
    out = [
        denoise_nl_means(picture, patch_size, patch_distance, h=width, fast_mode=fast_mode, channel_axis=-1)
        for picture, width in zip(pictures, widths, strict=True)
    ]
    # scikit-image drops axes of length 1.
    clean = torch.from_numpy(np.stack(out).reshape(pictures.shape)).movedim(-1, 1)
    return finished(clean.to(x.device).contiguous(), x, clip=False)
