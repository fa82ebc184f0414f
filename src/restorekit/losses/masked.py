"""The loss that leaves erased pixels out."""

from collections.abc import Callable
from typing import Literal, final, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit._check import check_pair
from restorekit.losses._reduction import check_reduction

Reduction = Literal["mean", "kept"]


def masked_loss(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor,
    *,
    loss: Callable[..., Tensor] = F.l1_loss,
    reduction: Reduction = "mean",
) -> Tensor:
    """A loss that does not see what ``augment.cutout`` erased.

        loss(mask * prediction, mask * target)

    Erased pixels are replaced, not multiplied, by 0: NaN and infinity under the mask reach neither the loss nor its
    gradient, which is 0 there.

    Args:
        prediction: Restored pictures (N, C, H, W).
        target: The true pictures, of the same shape, dtype and device.
        mask: What is kept, as ``cutout`` returns it, (N, 1, h, w), 1 or True; erased pixels are 0 or False. H and W are
            one integer multiple of h and w, by which the mask is enlarged by nearest neighbour.
        loss: Any ``(prediction, target)`` to scalar; for ``reduction="kept"`` one that takes ``reduction="none"`` and
            then returns a value for each element, as those of torch do.
        reduction: "mean": that of ``loss`` over all pixels, the erased ones among them, which count as met: the more is
            erased, the smaller it is. "kept": the mean over kept pixels only, 0 if there are none.

    Returns:
        Scalar.

    Raises:
        TypeError: ``prediction``, ``target`` or ``mask`` is no tensor of a fitting type, or ``loss`` is no function.
        ValueError: Shapes, dtypes or devices do not belong together, ``reduction`` is unknown, or ``loss`` does not
            give a value for each element where that is needed.

    Example:
        >>> prediction, target = torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
        >>> mask = torch.tensor([[[[1.0, 1.0], [1.0, 0.0]]]])
        >>> [masked_loss(prediction, target, mask, reduction=how).item() for how in ("mean", "kept")]
        [0.75, 1.0]

    Source: the published code of CutBlur (arXiv:2004.00448), which has "mean" and L1, and multiplies; the paper and
        Ahn's thesis, section 4.3, say only that erased pixels are left out.
    """
    check_pair(prediction, target)
    _check(loss, reduction)
    kept = enlarged_mask(mask, prediction)
    seen = (torch.where(kept, x, 0) for x in (prediction, target))
    return loss(*seen) if reduction == "mean" else _mean_of_kept(loss(*seen, reduction="none"), kept)


@final
class MaskedLoss(nn.Module):
    """``masked_loss`` as a module, around a loss that is a module or a function.

    Args:
        loss: ``(prediction, target)`` to scalar. For "kept", a module with its own ``reduction="none"``, or a function
            that takes ``reduction="none"``; either way one that has a value for each element.
        reduction: "mean" over all pixels, or "kept" for those that are not erased, as for ``masked_loss``.

    Raises:
        TypeError: ``loss`` is neither a module nor a function.
        ValueError: ``reduction`` is unknown, or "kept" with a module that reduces.

    Example:
        >>> prediction, target = torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
        >>> mask = torch.tensor([[[[1.0, 1.0], [1.0, 0.0]]]])
        >>> MaskedLoss(nn.MSELoss())(prediction, target, mask)
        tensor(0.7500)

    Source: see ``masked_loss``.
    """

    def __init__(self, loss: Callable[..., Tensor] = F.l1_loss, *, reduction: Reduction = "mean") -> None:
        super().__init__()
        _check(loss, reduction)
        own = getattr(loss, "reduction", None)
        if reduction == "kept" and isinstance(loss, nn.Module) and own != "none":
            raise ValueError(
                f'reduction="kept" needs a loss with a value for each element, got {type(loss).__name__} with '
                f'reduction={own!r}; construct it with reduction="none"'
            )
        self.loss, self.reduction = loss, reduction

    def forward(self, prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Compare pictures (N, C, H, W) where the mask (N, 1, h, w) keeps them; see ``masked_loss``."""
        return masked_loss(prediction, target, mask, loss=self._call, reduction=self.reduction)

    def _call(self, prediction: Tensor, target: Tensor, reduction: str | None = None) -> Tensor:
        """A module has its reduction already; a function is told, unless it is to do what it does by default."""
        if reduction is None or isinstance(self.loss, nn.Module):
            return self.loss(prediction, target)
        return self.loss(prediction, target, reduction=reduction)

    def extra_repr(self) -> str:
        function = "" if isinstance(self.loss, nn.Module) else f"{getattr(self.loss, '__name__', repr(self.loss))}, "
        return f"{function}reduction={self.reduction!r}"


def _check(loss: Callable[..., Tensor], reduction: Reduction) -> None:
    check_reduction(reduction, get_args(Reduction))
    if not callable(loss):
        raise TypeError(f"loss must be a function of prediction and target, got {type(loss).__name__}")


def enlarged_mask(mask: Tensor, prediction: Tensor) -> Tensor:
    """The mask as bool at the size of the pictures, (N, 1, H, W)."""
    if not isinstance(mask, Tensor) or mask.is_complex():
        got = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"mask must be a tensor (N, 1, h, w) of 0 and 1 or of bool, got {got}")
    n, height, width = prediction.shape[0], *prediction.shape[-2:]
    if mask.ndim != 4 or mask.shape[:2] != (n, 1) or mask.numel() == 0:
        raise ValueError(f"mask must have the shape ({n}, 1, h, w), got {tuple(mask.shape)}")
    if mask.device != prediction.device:
        raise ValueError(f"mask must be on the device of prediction, {prediction.device}, got {mask.device}")
    scale = height // mask.shape[-2]
    if scale < 1 or (height, width) != (scale * mask.shape[-2], scale * mask.shape[-1]):
        raise ValueError(
            f"prediction must be mask's size times one integer on both axes, got {(height, width)} for "
            f"{tuple(mask.shape[-2:])}"
        )
    kept = mask != 0
    return kept if scale == 1 else kept.repeat_interleave(scale, -2).repeat_interleave(scale, -1)


def _mean_of_kept(values: Tensor, kept: Tensor) -> Tensor:
    if values.ndim != 4 or values.shape[0] != kept.shape[0] or values.shape[-2:] != kept.shape[-2:]:
        raise ValueError(
            f'loss must give a value for each element with reduction="none", got shape {tuple(values.shape)}; '
            'use reduction="mean"'
        )
    count = (kept.sum() * values.shape[1]).clamp(min=1)
    # float32 or wider: a sum over a picture is beyond float16
    total = torch.where(kept, values, 0).sum(dtype=torch.promote_types(values.dtype, torch.float32))
    return (total / count).to(values.dtype)
