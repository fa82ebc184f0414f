"""What a network is trained to make small: (prediction, target) in, one number out."""

from restorekit.losses.masked import masked_loss

__all__ = ["masked_loss"]
