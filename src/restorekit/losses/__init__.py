"""What a network is trained to make small: (prediction, target) in, one number out."""

from restorekit.losses.charbonnier import CharbonnierLoss, charbonnier_loss
from restorekit.losses.emd import EMDLoss
from restorekit.losses.gan import GANLoss, gradient_penalty
from restorekit.losses.lpips import LPIPSLoss
from restorekit.losses.masked import MaskedLoss, masked_loss
from restorekit.losses.mdf import MDFFeatures, MDFLoss
from restorekit.losses.mix import MixLoss, mix_loss
from restorekit.losses.sdam import SDAMLoss
from restorekit.losses.ssim import MSSSIMLoss, SSIMLoss
from restorekit.losses.vgg import VGGLoss
from restorekit.losses.weighted_sum import WeightedSum

__all__ = [
    "CharbonnierLoss",
    "EMDLoss",
    "GANLoss",
    "LPIPSLoss",
    "MDFFeatures",
    "MDFLoss",
    "MSSSIMLoss",
    "MaskedLoss",
    "MixLoss",
    "SDAMLoss",
    "SSIMLoss",
    "VGGLoss",
    "WeightedSum",
    "charbonnier_loss",
    "gradient_penalty",
    "masked_loss",
    "mix_loss",
]
