"""How the checkpoint of another project is recognised and renamed."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

StateDict = Mapping[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """One published naming of the tensors of a network."""

    name: str
    matches: Callable[[Collection[str]], bool]  # by key names alone
    read: Callable[[StateDict], tuple[dict[str, Any], dict[str, Tensor]]]  # -> constructor arguments, renamed tensors


# Families whose files people have at hand: name, then patterns that all occur among the keys of such a file.
_FAMILIES = (
    ("CutBlur CARN", r"^head\.1\.weight$", r"^b1\.b1\.body\.0\.weight$"),
    ("CARN or CARN-M (ECCV 2018)", r"^b1\.b1\.body\.0\.weight$", r"^b1\.c1\.body\.0\.weight$"),
    ("PCARN or PCARN-M", r"^b1\.b1\.conv1\.weight$", r"^b1\.c1\.weight$"),
    ("progressive CARN", r"^progression\.0\."),
    ("restorekit's CARN", r"^body\.blocks\.0\.blocks\.0\.conv1\.weight$"),
    ("RCAN", r"conv_du\.0\.weight$|\.rcab\.0\.weight$"),
    ("RNAN", r"^body_nl_low\."),
    ("RDN", r"^RDBs\.0\.|^rdbs\.0\."),
    ("EDSR", r"^body\.0\.body\.0\.weight$", r"^tail\."),
    ("EDSR, MSRResNet (BasicSR) or MSRResNet1 (KAIR)", r"^(body|recon_trunk)\.0\.conv1\.weight$"),
    ("FSRCNN", r"^first_part\.", r"^last_part\."),
    ("SRCNN", r"^conv1\.weight$", r"^conv3\.weight$"),
    ("VDSR", r"^residual_layer\.0\.conv\.weight$"),
    ("DnCNN or MSRResNet0 (KAIR)", r"^model\.0\.weight$"),
)


def guess_family(keys: Collection[str]) -> str:
    """Name the published network whose files have such keys."""
    for name, *patterns in _FAMILIES:
        if all(any(re.search(pattern, key) for key in keys) for pattern in patterns):
            return name
    return "no network known here"
