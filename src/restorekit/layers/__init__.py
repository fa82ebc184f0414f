"""Parts that more than one network can use: one idea a file."""

from restorekit.layers.bicubic import BicubicUpsampler
from restorekit.layers.cascade import Cascade, Chain
from restorekit.layers.channel_attention import ChannelAttention
from restorekit.layers.conversion import ConversionReport, share_parameters, sparsify
from restorekit.layers.dense import DenseResidualBlock
from restorekit.layers.desubpixel import Desubpixel
from restorekit.layers.feature_dropout import DropBlock, drop_block
from restorekit.layers.initialization import INITIALIZERS, initialize
from restorekit.layers.manifold_mixup import ManifoldMixup, Mixing, draw_mixing, mix
from restorekit.layers.mean_shift import DIV2K_MEAN, MeanShift
from restorekit.layers.non_local import NonLocalBlock
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
from restorekit.layers.shake import ShakeDrop, ShakeShake, shake_drop, shake_shake
from restorekit.layers.shared_residual import SharedResidualInResidual, SResidualBlock
from restorekit.layers.sparse import SparseGroupConv2d
from restorekit.layers.template import SConv2d, TemplateBank, orthogonal_coefficients
from restorekit.layers.transformer import GatedFeedForward, LayerNorm2d, TransformerBlock, TransposedAttention
from restorekit.layers.upsampler import PixelShuffleUpsampler

__all__ = [
    "DIV2K_MEAN",
    "INITIALIZERS",
    "AdditiveRoute",
    "AffineRoute",
    "BicubicUpsampler",
    "Cascade",
    "Chain",
    "ChannelAttention",
    "ConversionReport",
    "DenseResidualBlock",
    "Desubpixel",
    "DropBlock",
    "EResidualBlock",
    "GatedFeedForward",
    "KernelRoute",
    "LayerNorm2d",
    "ManifoldMixup",
    "MeanShift",
    "MetaPrior",
    "Mixing",
    "NonLocalBlock",
    "PixelShuffleUpsampler",
    "PriorAttention",
    "PriorReformulation",
    "ResidualBlock",
    "SConv2d",
    "SResidualBlock",
    "ShakeDrop",
    "ShakeShake",
    "SharedResidualInResidual",
    "SparseGroupConv2d",
    "SupervisedDegradationAttention",
    "TemplateBank",
    "TransformerBlock",
    "TransposedAttention",
    "degradation_attention_loss",
    "draw_mixing",
    "drop_block",
    "filter_per_pixel",
    "fix_signs",
    "initialize",
    "mix",
    "orthogonal_coefficients",
    "shake_drop",
    "shake_shake",
    "share_parameters",
    "sparsify",
]
