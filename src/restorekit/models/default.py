"""A trained network for a task, from the weights that come with the library."""

from restorekit.models._named_weights import HOW_TO_GET_OTHERS, named
from restorekit.models.checkpoints import load_checkpoint
from restorekit.models.registry import list_models, list_tasks
from restorekit.models.restorer import Restorer
from restorekit.weights import list_shipped, shipped


def load_default(task: str = "super-resolution", *, model: str | None = None) -> Restorer:
    """Build the network whose trained weights come with the library; nothing is downloaded.

    A network for super-resolution holds several factors: name one where it is called.

    Args:
        task: What it is for, as in ``list_tasks``.
        model: Which network, as in ``list_models``; the best one for the task if None.

    Returns:
        The network with its weights, in float32, on the CPU, in evaluation mode.

    Raises:
        ValueError: An unknown task or network, or one that no weights come with, or a damaged file; the message says
            which there are.

    Example:
        >>> import torch
        >>> load_default("denoising")(torch.rand(1, 3, 5, 7)).shape
        torch.Size([1, 3, 5, 7])
    """
    list_models(task)  # refuses an unknown task
    if model is not None:
        list_tasks(model)
    for weights in list_shipped(task):
        if model in {None, weights.model}:
            return load_checkpoint(shipped(weights.name))
    raise ValueError(
        f"no weights for {task}{f' with {model}' if model else ''} come with the library; there are: "
        f"{named(list_shipped())}; {HOW_TO_GET_OTHERS}"
    )
