"""What a network is trained to make small: (prediction, target) in, one number out."""

from restorekit.losses.emd import EMDLoss
from restorekit.losses.lpips import LPIPSLoss
from restorekit.losses.masked import masked_loss
from restorekit.losses.vgg import VGGLoss

__all__ = ["EMDLoss", "LPIPSLoss", "VGGLoss", "masked_loss"]
