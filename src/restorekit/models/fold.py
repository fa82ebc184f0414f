"""Turning a network with a desubpixel head into the equal network that takes the small picture."""

import torch

from restorekit.models.restorer import Restorer


def fold_desubpixel(model: Restorer) -> Restorer:
    """Fold the head of a network trained on enlarged pictures, so that it takes the low-resolution picture itself.

    A nearest-neighbour enlarged picture holds each pixel scale^2 times, so the first convolution over the copies is
    one over the pixel, with the weights of the copies added up. The result equals enlarging and running ``model``, for
    less work: it reads scale^2 times fewer pixels.

    Args:
        model: Network built with ``head="desubpixel"``; left as it is.

    Returns:
        A new network with ``head="conv"``, in the same mode, dtype and on the same device.

    Raises:
        TypeError: ``model`` is no network of this library.
        ValueError: The network has no desubpixel head.

    Example:
        >>> import restorekit
        >>> fold_desubpixel(restorekit.models.carn_m(scale=4, head="desubpixel")).scale
        4

    Source:
        The head is CutBlur's (Yoo, Ahn and Sohn, CVPR 2020); folding is exact up to the order of additions.
    """
    if not isinstance(model, Restorer):
        raise TypeError(f"model must be a network of restorekit.models, got {type(model).__name__}")
    if model.config.get("head") != "desubpixel":
        raise ValueError(f"model must have a desubpixel head, got a {type(model).__name__} with {model.config!r}")
    with torch.random.fork_rng(devices=[]):  # its initial weights are overwritten; no draw of the caller's is lost
        folded = type(model)(**{**model.config, "head": "conv"})
    weight = next(model.parameters())
    folded.to(device=weight.device, dtype=weight.dtype).train(model.training)
    state = dict(model.state_dict())
    copies = state["entry.weight"].unflatten(1, (-1, model.in_channels))  # (channels, scale^2, colours, 3, 3)
    with torch.no_grad():
        state["entry.weight"] = copies.double().sum(dim=1).to(weight.dtype)
    folded.load_state_dict(state)
    for mine, theirs in zip(folded.parameters(), model.parameters(), strict=True):
        mine.requires_grad_(theirs.requires_grad)
    return folded
