"""Parts that more than one network can use: one idea a file."""

from restorekit.layers.bicubic import BicubicUpsampler
from restorekit.layers.cascade import Cascade, Chain
from restorekit.layers.channel_attention import ChannelAttention
from restorekit.layers.dense import DenseResidualBlock
from restorekit.layers.desubpixel import Desubpixel
from restorekit.layers.initialization import INITIALIZERS, initialize
from restorekit.layers.mean_shift import DIV2K_MEAN, MeanShift
from restorekit.layers.non_local import NonLocalBlock
from restorekit.layers.residual import EResidualBlock, ResidualBlock
from restorekit.layers.shared_residual import SharedResidualInResidual, SResidualBlock
from restorekit.layers.sparse import SparseGroupConv2d
from restorekit.layers.template import SConv2d, TemplateBank, orthogonal_coefficients
from restorekit.layers.upsampler import PixelShuffleUpsampler

__all__ = [
    "BicubicUpsampler",
    "Cascade",
    "Chain",
    "ChannelAttention",
    "DIV2K_MEAN",
    "DenseResidualBlock",
    "Desubpixel",
    "EResidualBlock",
    "INITIALIZERS",
    "MeanShift",
    "NonLocalBlock",
    "PixelShuffleUpsampler",
    "ResidualBlock",
    "SConv2d",
    "SResidualBlock",
    "SharedResidualInResidual",
    "SparseGroupConv2d",
    "TemplateBank",
    "initialize",
    "orthogonal_coefficients",
]
