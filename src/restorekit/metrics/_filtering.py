"""The local means of a strip of rows, and the way back, as products with banded matrices in buffers that are reused.

The product down the columns writes its result transposed, (columns, rows), which costs nothing there. So the windows
along a row are views of whole rows of that, and both products are of contiguous matrices. What lies past the width of a
picture belongs to nobody: it is never read for a result.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.image import gaussian_kernel1d

WINDOW, _SIGMA = 11, 1.5
MARGIN = WINDOW - 1  # pixels by which the maps are smaller than the pictures
_BLOCK = 16  # columns of one product: of fewer the calls take longer, with more, more is multiplied by zeros


def window(like: Tensor) -> Tensor:
    """The Gaussian (11,) in the dtype and on the device of ``like``."""
    return gaussian_kernel1d(WINDOW, _SIGMA, dtype=like.dtype, device=like.device)


class Strip:
    """Buffers for ``rows`` rows of windows in pictures of some width, several planes side by side.

    Args:
        like: A tensor of the dtype and device to compute in.
        planes: Planes that are worked on together.
        rows: Rows of windows; they see ``rows + 10`` rows of the pictures.
        width: Pixels in a row of the pictures.
        spreads: Maps that go the way back, 0 to 4.
        scale: Factor that these are multiplied by.
    """

    def __init__(self, like: Tensor, planes: int, rows: int, width: int, spreads: int, scale: float) -> None:
        breadth = _BLOCK * (-(-width // _BLOCK) + 1)  # the last block's windows end before the next plane starts
        self._columns = planes * breadth
        kernel = window(like)
        self._across, self._down = _band(kernel, _BLOCK), _band(kernel, rows)
        self._up = self._down.t() * scale
        self.maps = like.new_zeros(4, rows + MARGIN, planes, breadth)
        self.means = like.new_empty(4, planes, breadth, rows)
        # Windows of the very last block reach past the end.
        self._filtered = like.new_zeros(4 * self._columns + MARGIN, rows)
        self._slopes = like.new_zeros(spreads * self._columns + MARGIN, rows)
        self._spread = like.new_empty(spreads, self._columns, rows)
        self.shares = like.new_empty(spreads, rows + MARGIN, planes, breadth)
        # Where the derivatives by the means are written, (spreads, planes, width - 10, rows), in a margin of zeros.
        inner = self._slopes[: spreads * self._columns].view(spreads, planes, breadth, rows)
        self.slopes = inner[:, :, MARGIN:width]

    def filter(self) -> None:
        """From ``maps`` (4, rows + 10, planes, W) to ``means`` (4, planes, W, rows), of which W - 10 count."""
        out = self._filtered[: 4 * self._columns].view(4, self._columns, -1)
        torch.bmm(self.maps.flatten(2).transpose(1, 2), self._down.t().expand(4, -1, -1), out=out)
        self._slide(self._filtered, self.means)

    def spread(self) -> None:
        """The transpose of ``filter``, times ``scale``: ``slopes`` to ``shares`` (spreads, rows + 10, planes, W)."""
        self._slide(self._slopes, self._spread)
        up = self._up.expand(len(self.shares), -1, -1)
        torch.bmm(up, self._spread.transpose(1, 2), out=self.shares.flatten(2))

    def _slide(self, x: Tensor, out: Tensor) -> None:
        rows = x.shape[1]
        count = (x.shape[0] - MARGIN) // _BLOCK
        windows = x.as_strided((count, _BLOCK + MARGIN, rows), (_BLOCK * rows, rows, 1))
        torch.bmm(self._across.expand(count, -1, -1), windows, out=out.view(count, _BLOCK, rows))


def _band(kernel: Tensor, count: int) -> Tensor:
    """The matrix (count, count + K - 1) whose row i holds ``kernel`` (K,) from column i on."""
    span = count + kernel.shape[0] - 1
    return F.pad(kernel, (0, count)).repeat(count)[: count * span].view(count, span)
