"""Parts that more than one network can use: one idea a file."""

from restorekit.layers.cascade import Cascade, Chain
from restorekit.layers.channel_attention import ChannelAttention
from restorekit.layers.desubpixel import Desubpixel
from restorekit.layers.initialization import INITIALIZERS, initialize
from restorekit.layers.mean_shift import DIV2K_MEAN, MeanShift
from restorekit.layers.residual import EResidualBlock, ResidualBlock
from restorekit.layers.transformer import GatedFeedForward, LayerNorm2d, TransformerBlock, TransposedAttention
from restorekit.layers.upsampler import PixelShuffleUpsampler

__all__ = [
    "DIV2K_MEAN",
    "INITIALIZERS",
    "Cascade",
    "Chain",
    "ChannelAttention",
    "Desubpixel",
    "EResidualBlock",
    "GatedFeedForward",
    "LayerNorm2d",
    "MeanShift",
    "PixelShuffleUpsampler",
    "ResidualBlock",
    "TransformerBlock",
    "TransposedAttention",
    "initialize",
]
