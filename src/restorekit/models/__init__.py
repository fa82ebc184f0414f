"""Restoration networks: one file per published network, built by functions, by name or from a checkpoint."""

from restorekit.models.carn import CARN, carn, carn_m
from restorekit.models.checkpoints import load_checkpoint, load_weights, save_weights
from restorekit.models.discriminators import MultiScaleDiscriminator, PatchDiscriminator, VGGDiscriminator
from restorekit.models.edsr import EDSR, edsr
from restorekit.models.fold import fold_desubpixel
from restorekit.models.idr import IDR, idr
from restorekit.models.network import Network
from restorekit.models.pcarn import pcarn, pcarn_m
from restorekit.models.progressive_carn import ProgressiveCARN, progressive_carn
from restorekit.models.rcan import RCAN, rcan
from restorekit.models.registry import create_model, list_models
from restorekit.models.restorer import Restorer
from restorekit.models.restormer import Restormer, restormer
from restorekit.models.srresnet import MSRResNet, SRResNet, srresnet

__all__ = [
    "CARN",
    "EDSR",
    "IDR",
    "RCAN",
    "MSRResNet",
    "MultiScaleDiscriminator",
    "Network",
    "PatchDiscriminator",
    "ProgressiveCARN",
    "Restorer",
    "Restormer",
    "SRResNet",
    "VGGDiscriminator",
    "carn",
    "carn_m",
    "create_model",
    "edsr",
    "fold_desubpixel",
    "idr",
    "list_models",
    "load_checkpoint",
    "load_weights",
    "pcarn",
    "pcarn_m",
    "progressive_carn",
    "rcan",
    "restormer",
    "save_weights",
    "srresnet",
]
