"""Restoration networks: one file per published network, built by functions, by name or from a checkpoint."""

from restorekit.models.carn import CARN, carn, carn_m
from restorekit.models.checkpoints import load_checkpoint, load_weights, save_weights
from restorekit.models.fold import fold_desubpixel
from restorekit.models.network import Network
from restorekit.models.owan import OWAN, owan
from restorekit.models.rdn import RDN, rdn
from restorekit.models.registry import create_model, list_models
from restorekit.models.restorer import Restorer
from restorekit.models.ridnet import RIDNet, ridnet
from restorekit.models.rnan import RNAN, rnan

__all__ = [
    "CARN",
    "OWAN",
    "RDN",
    "RNAN",
    "Network",
    "RIDNet",
    "Restorer",
    "carn",
    "carn_m",
    "create_model",
    "fold_desubpixel",
    "list_models",
    "load_checkpoint",
    "load_weights",
    "owan",
    "rdn",
    "ridnet",
    "rnan",
    "save_weights",
]
