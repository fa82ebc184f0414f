"""Restoration networks: one file per published network, built by functions, by name or from a checkpoint."""

from restorekit.models.carn import CARN, carn, carn_m
from restorekit.models.checkpoints import load_checkpoint, load_weights, save_weights
from restorekit.models.export import export_onnx
from restorekit.models.fold import fold_desubpixel
from restorekit.models.network import Network
from restorekit.models.registry import create_model, list_models
from restorekit.models.restorer import Restorer

__all__ = [
    "CARN",
    "Network",
    "Restorer",
    "carn",
    "carn_m",
    "create_model",
    "export_onnx",
    "fold_desubpixel",
    "list_models",
    "load_checkpoint",
    "load_weights",
    "save_weights",
]
