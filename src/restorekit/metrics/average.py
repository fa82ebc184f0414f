"""The mean of a metric over many batches, and over several processes."""

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor


@final
class Average:
    """Mean of a per-picture metric over all pictures seen, each of the same weight whatever its batch.

    The sum is kept in float64 and no picture is kept. NaN and infinity of one picture reach the mean. With several
    processes either ``merge`` the averages, or add up their states and go on:

        torch.distributed.all_reduce(average.state)

    ``state`` lives where the metric's values do, and on the CPU before the first update.

    Args:
        metric: A function of batches of pictures that returns one value per picture, (N,), as those of this package
            do; options are bound with ``functools.partial(psnr, crop_border=4)``.

    Raises:
        TypeError: ``metric`` is no function.

    Example:
        >>> from restorekit.metrics import mse
        >>> average = Average(mse)
        >>> for n in (1, 3): _ = average.update(torch.full((n, 3, 8, 8), 1.0 / n), torch.zeros(n, 3, 8, 8))
        >>> round(average.compute().item(), 6)  # of 1, 1/9, 1/9, 1/9
        0.333333
    """

    state: Tensor

    def __init__(self, metric: Callable[..., Tensor]) -> None:
        if not callable(metric):
            raise TypeError(f"metric must be a function that returns one value per picture, got {metric!r}")
        self.metric = metric
        self.reset()

    def reset(self) -> None:
        """Forget everything seen so far."""
        self.state = torch.zeros(2, dtype=torch.float64)  # sum of values, number of pictures

    @torch.no_grad()
    def update(self, *pictures: Tensor) -> Tensor:
        """Measure one more batch, without a gradient.

        Args:
            pictures: What the metric takes: prediction and target for most.

        Returns:
            The values of this batch, (N,).

        Raises:
            TypeError: The metric returned no real floating-point tensor.
            ValueError: The metric did not return one value per picture.
        """
        values = self.metric(*pictures)
        if not isinstance(values, Tensor) or not values.is_floating_point():
            got = values.dtype if isinstance(values, Tensor) else type(values).__name__
            raise TypeError(f"metric must return a real floating-point tensor (N,), got {got}")
        if values.shape != pictures[0].shape[:1]:
            raise ValueError(
                f"metric must return one value for each of the {len(pictures[0])} pictures, "
                f"got shape {tuple(values.shape)}"
            )
        wide = values.double()
        self._add(torch.stack([wide.sum(), wide.new_tensor(wide.numel())]))
        return values

    def merge(self, other: "Average") -> None:
        """Add what ``other``, of the same metric, has seen; ``other`` stays as it is.

        Raises:
            TypeError: ``other`` is no Average.
        """
        if not isinstance(other, Average):
            raise TypeError(f"other must be an Average, got {type(other).__name__}")
        self._add(other.state.to(self.state.device))

    def compute(self) -> Tensor:
        """The mean over all pictures seen: a float64 scalar.

        Raises:
            ValueError: Nothing has been seen.
        """
        if self.state[1] == 0:
            raise ValueError("no picture has been measured yet; call update first")
        return self.state[0] / self.state[1]

    def _add(self, state: Tensor) -> None:
        # A tensor made in inference mode could not be reduced in place outside it.
        with torch.inference_mode(False), torch.no_grad():
            self.state = self.state.to(state.device) + state
