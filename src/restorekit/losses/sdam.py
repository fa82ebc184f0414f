"""Supervision of the degradation attention inside IDR."""

from collections.abc import Sequence
from typing import Literal, final, get_args

import torch
from torch import Tensor, nn

from restorekit._check import check_batch, check_same_kind
from restorekit.layers import degradation_attention_loss

Reference = Literal["degraded", "clean"]


@final
class SDAMLoss(nn.Module):
    """L1 between the images that IDR's attention brings out and a picture, added over the levels.

        sum over levels of mean |image - resized reference|

    It is ``layers.degradation_attention_loss`` for both references, so that switching takes no change of the training.

    Args:
        reference: "degraded": the network's input, as the paper says; "clean": its target, as the authors' code has it.

    Raises:
        ValueError: ``reference`` is unknown.

    Example:
        >>> images = [torch.ones(1, 3, 4, 4), torch.ones(1, 3, 2, 2)]
        >>> lq, hq = torch.ones(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
        >>> SDAMLoss()(images, lq, hq).item(), SDAMLoss("clean")(images, lq, hq).item()
        (0.0, 2.0)

    Source:
        Zhang et al., CVPR 2023 (IDR), supplement, section 2, and the authors' code, which adds it with the weight 1 to
        the L1 loss of the restored picture.
    """

    def __init__(self, reference: Reference = "degraded") -> None:
        super().__init__()
        if reference not in get_args(Reference):
            raise ValueError(f"reference must be one of {', '.join(get_args(Reference))}, got {reference!r}")
        self.reference = reference

    def forward(self, images: Sequence[Tensor], lq: Tensor, hq: Tensor) -> Tensor:
        """Compare images with one of two pictures.

        Args:
            images: ``images`` of ``models.IDR.analyse``, (N, C, h, w) each, of any size.
            lq: The damaged pictures that were restored, (N, C, H, W).
            hq: The clean pictures, of the same shape.

        Returns:
            Scalar; half types are computed in float32.

        Raises:
            TypeError: Something else than floating-point tensors.
            ValueError: No image, or one of another N, C, dtype or device than the reference.
        """
        picture = lq if self.reference == "degraded" else hq
        name = "lq" if self.reference == "degraded" else "hq"
        check_batch(picture, name)
        _check_images(images, picture, name)
        work = torch.promote_types(picture.dtype, torch.float32)
        return degradation_attention_loss([image.to(work) for image in images], picture.to(work))

    def extra_repr(self) -> str:
        return f"reference={self.reference!r}"


def _check_images(images: Sequence[Tensor], picture: Tensor, name: str) -> None:
    if isinstance(images, Tensor) or not isinstance(images, Sequence):
        raise TypeError(f"images must be a list of tensors, one for each level, got {type(images).__name__}")
    for image in images:
        check_batch(image, "images")
        check_same_kind(image, picture, ("images", name))
        if image.shape[:2] != picture.shape[:2]:
            raise ValueError(
                f"images must have the batch size and channels of {name}, got {tuple(image.shape)} and "
                f"{tuple(picture.shape)}"
            )
