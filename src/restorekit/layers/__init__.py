"""Parts that more than one network can use: one idea a file."""

from restorekit.layers.cascade import Cascade, Chain
from restorekit.layers.channel_attention import ChannelAttention
from restorekit.layers.desubpixel import Desubpixel
from restorekit.layers.initialization import INITIALIZERS, initialize
from restorekit.layers.mean_shift import DIV2K_MEAN, MeanShift
from restorekit.layers.physics import AdditiveRoute, AffineRoute, KernelRoute, filter_per_pixel
from restorekit.layers.prior import (
    MetaPrior,
    PriorAttention,
    PriorReformulation,
    SupervisedDegradationAttention,
    degradation_attention_loss,
    fix_signs,
)
from restorekit.layers.residual import EResidualBlock, ResidualBlock
from restorekit.layers.transformer import GatedFeedForward, LayerNorm2d, TransformerBlock, TransposedAttention
from restorekit.layers.upsampler import PixelShuffleUpsampler

__all__ = [
    "DIV2K_MEAN",
    "INITIALIZERS",
    "AdditiveRoute",
    "AffineRoute",
    "Cascade",
    "Chain",
    "ChannelAttention",
    "Desubpixel",
    "EResidualBlock",
    "GatedFeedForward",
    "KernelRoute",
    "LayerNorm2d",
    "MeanShift",
    "MetaPrior",
    "PixelShuffleUpsampler",
    "PriorAttention",
    "PriorReformulation",
    "ResidualBlock",
    "SupervisedDegradationAttention",
    "TransformerBlock",
    "TransposedAttention",
    "degradation_attention_loss",
    "filter_per_pixel",
    "fix_signs",
    "initialize",
]
