"""A trained network for a task, from the weights that come with the library."""

from restorekit.models._named_weights import there_are
from restorekit.models.checkpoints import load_checkpoint
from restorekit.models.registry import list_models, list_tasks
from restorekit.models.restorer import Restorer
from restorekit.weights import list_shipped, shipped

_TASK = "super-resolution"


def load_default(task: str | None = None, *, model: str | None = None, scale: int | None = None) -> Restorer:
    """Build the network whose trained weights come with the library; nothing is downloaded.

    One for super-resolution holds several factors: name one where it is called.

    Args:
        task: What it is for, as in ``list_tasks``; super-resolution if neither task nor ``model`` is given, and else
            the one task that the network comes trained for.
        model: Which network, as in ``list_models``; the best one for the task if None.
        scale: A factor that the network must hold; 1 where pictures keep their size.

    Returns:
        The network with its weights, in float32, on the CPU, in evaluation mode.

    Raises:
        ValueError: An unknown task or network, or one that no weights come with, a network that comes trained for
            several tasks of which none is given, or a damaged file; the message says which there are.

    Example:
        >>> import torch
        >>> load_default("denoising")(torch.rand(1, 3, 5, 7)).shape
        torch.Size([1, 3, 5, 7])
    """
    list_models(task)  # refuses an unknown task
    if model is not None:
        list_tasks(model)  # and an unknown network
    wanted = _TASK if task is None and model is None else task
    fitting = [
        row for row in list_shipped(wanted) if model in {None, row.model} and (scale is None or scale in row.scales)
    ]
    tasks = sorted({row.task for row in fitting})
    if len(tasks) > 1:
        raise ValueError(f"{model} comes trained for {' and '.join(tasks)}; say which as the task")
    if not fitting:
        asked = [wanted or "any task", f"with {model}" * bool(model), f"by {scale}" * bool(scale)]
        raise ValueError(f"no weights for {' '.join(filter(None, asked))} come with the library; {there_are()}")
    return load_checkpoint(shipped(fitting[0].name))
