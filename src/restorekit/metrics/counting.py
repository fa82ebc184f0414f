"""The cost of a network: parameters, and multiply-adds as super-resolution papers count them."""

from collections.abc import Sequence

from torch import nn

from restorekit._check import check_integer
from restorekit.models import Restorer


def count_parameters(model: nn.Module, *, biases: bool = True) -> int:
    """Count the numbers that a network can learn, a shared one once, frozen ones included.

    Args:
        model: Any network.
        biases: Count everything; otherwise only tensors of two and more dimensions, the kernels.

    Returns:
        Number of parameters.

    Example:
        >>> count_parameters(nn.Conv2d(3, 64, 3)), count_parameters(nn.Conv2d(3, 64, 3), biases=False)
        (1792, 1728)

    Source:
        The thesis mixes both: CARN is 1,592K with biases in its Table 2.4 and 1,589K without in Table 2.5.
    """
    return sum(p.numel() for p in model.parameters() if biases or p.ndim > 1)


def count_multadds(model: Restorer, *, hr_size: Sequence[int] = (720, 1280), scale: int | None = None) -> float:
    """Count the multiply-adds of the convolutions for one restored picture of a given size.

    Every run of a convolution costs its kernel elements times its output pixels; a layer shared by several runs is
    charged for each. Biases, activations, additions and shuffles are free, and only the upsampler of ``scale`` runs.
    The input's pixels are ``hr_size`` over ``scale`` squared as an exact fraction, so that x3 of 1280x720 counts.

    Args:
        model: Network from this library; nothing is computed and any device will do.
        hr_size: Height and width of the restored picture in pixels.
        scale: Factor of a multi-scale network.

    Returns:
        Multiply-adds.

    Raises:
        TypeError: ``model`` is no network of this library.
        ValueError: A size below 1, or a scale that the network does not hold.

    Example:
        >>> import restorekit
        >>> round(count_multadds(restorekit.models.carn(scale=4)) / 1e9, 1)
        90.9

    Source:
        Ahn's thesis, Table 2.4: CARN 222.8, 118.8 and 90.9 G at x2, x3 and x4.
    """
    if not isinstance(model, Restorer):
        raise TypeError(f"model must be a network of restorekit.models, got {type(model).__name__}")
    if len(hr_size) != 2:
        raise ValueError(f"hr_size must be (height, width), got {tuple(hr_size)}")
    for value in hr_size:
        check_integer(value, "hr_size", 1)
    factor = model.pick_scale(scale)
    return float(model.trace(factor).multadds_per_pixel * hr_size[0] * hr_size[1] / factor**2)
