"""Restoration networks: one file per published network, built by functions, by name or from a checkpoint."""

from restorekit.models.carn import CARN, carn, carn_m
from restorekit.models.checkpoints import load_checkpoint, load_weights, save_weights
from restorekit.models.default import load_default
from restorekit.models.discriminator_files import load_discriminators, save_discriminators
from restorekit.models.discriminators import MultiScaleDiscriminator, PatchDiscriminator, VGGDiscriminator
from restorekit.models.dncnn import DnCNN, dncnn
from restorekit.models.download import download_trunk
from restorekit.models.edsr import EDSR, edsr
from restorekit.models.export import export_onnx
from restorekit.models.features import (
    AlexNetFeatures,
    SqueezeNetFeatures,
    VGG16Features,
    VGG19Features,
    load_trunk,
)
from restorekit.models.fold import fold_desubpixel
from restorekit.models.fsrcnn import FSRCNN, fsrcnn
from restorekit.models.idr import IDR, idr
from restorekit.models.mepsnet import MEPSNet, mepsnet
from restorekit.models.merge_batch_norm import merge_batch_norm
from restorekit.models.network import Network
from restorekit.models.owan import OWAN, owan
from restorekit.models.pcarn import pcarn, pcarn_m
from restorekit.models.progressive_carn import ProgressiveCARN, progressive_carn
from restorekit.models.rcan import RCAN, rcan
from restorekit.models.rdn import RDN, rdn
from restorekit.models.registry import create_model, list_models, list_tasks
from restorekit.models.restorer import Restorer
from restorekit.models.restormer import Restormer, restormer
from restorekit.models.ridnet import RIDNet, ridnet
from restorekit.models.rnan import RNAN, rnan
from restorekit.models.singan import SinGANDiscriminator, SinGANGenerator
from restorekit.models.sparse_resnet import SparseResNet, sparse_resnet
from restorekit.models.srcnn import SRCNN, srcnn
from restorekit.models.srresnet import MSRResNet, SRResNet, srresnet
from restorekit.models.trunk import FeatureTrunk
from restorekit.models.vdsr import VDSR, vdsr
from restorekit.models.zssr import ZSSR, zssr

__all__ = [
    "CARN",
    "EDSR",
    "FSRCNN",
    "IDR",
    "OWAN",
    "RCAN",
    "RDN",
    "RNAN",
    "SRCNN",
    "VDSR",
    "ZSSR",
    "AlexNetFeatures",
    "DnCNN",
    "FeatureTrunk",
    "MEPSNet",
    "MSRResNet",
    "MultiScaleDiscriminator",
    "Network",
    "PatchDiscriminator",
    "ProgressiveCARN",
    "RIDNet",
    "Restorer",
    "Restormer",
    "SRResNet",
    "SinGANDiscriminator",
    "SinGANGenerator",
    "SparseResNet",
    "SqueezeNetFeatures",
    "VGG16Features",
    "VGG19Features",
    "VGGDiscriminator",
    "carn",
    "carn_m",
    "create_model",
    "dncnn",
    "download_trunk",
    "edsr",
    "export_onnx",
    "fold_desubpixel",
    "fsrcnn",
    "idr",
    "list_models",
    "list_tasks",
    "load_checkpoint",
    "load_default",
    "load_discriminators",
    "load_trunk",
    "load_weights",
    "mepsnet",
    "merge_batch_norm",
    "owan",
    "pcarn",
    "pcarn_m",
    "progressive_carn",
    "rcan",
    "rdn",
    "restormer",
    "ridnet",
    "rnan",
    "save_discriminators",
    "save_weights",
    "sparse_resnet",
    "srcnn",
    "srresnet",
    "vdsr",
    "zssr",
]
