"""Channel attention: weigh each feature map by what all of them say on average."""

from typing import final

from torch import Tensor, nn

from restorekit._check import check_integer


@final
class ChannelAttention(nn.Module):
    """Scale each channel by a factor between 0 and 1 that the channels' averages decide.

        y = x * sigmoid(excite(relu(squeeze(mean over the picture of x))))

    It sees the whole picture: networks that use it have no receptive radius.

    Args:
        channels: Width C of input and output, at least ``reduction``.
        reduction: Factor r: ``squeeze`` maps C averages to C // r, ``excite`` maps them back.

    Raises:
        ValueError: A size below 1, or fewer channels than ``reduction``.

    Example:
        >>> import torch
        >>> ChannelAttention(32, reduction=8)(torch.rand(1, 32, 5, 7)).shape
        torch.Size([1, 32, 5, 7])

    Source:
        Zhang et al., ECCV 2018 (RCAN, arXiv:1807.02758), equations 8 to 10; RIDNet's feature attention is the same.
    """

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        check_integer(channels, "channels", 1)
        check_integer(reduction, "reduction", 1)
        if channels < reduction:
            raise ValueError(f"channels must be at least reduction, got {channels} channels and reduction {reduction}")
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1)
        self.excite = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, H, W) to features of the same shape."""
        averages = x.mean(dim=(2, 3), keepdim=True)
        weights: Tensor = self.excite(self.squeeze(averages).relu()).sigmoid()
        return x * weights
