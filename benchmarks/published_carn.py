"""CARN and CARN-M by 4 as published, written down line by line: eager, channels first, nothing in place."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit.layers import DIV2K_MEAN
from restorekit.models import CARN


class Unit(nn.Module):
    """Two 3x3 convolutions around a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(64, 64, 3, padding=1)
        self.b = nn.Conv2d(64, 64, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.b(F.relu(self.a(x))) + x)


class EfficientUnit(nn.Module):
    """Two grouped 3x3 convolutions and a pointwise one, around a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(64, 64, 3, padding=1, groups=4)
        self.b = nn.Conv2d(64, 64, 3, padding=1, groups=4)
        self.c = nn.Conv2d(64, 64, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.a(x))
        y = F.relu(self.b(y))
        return F.relu(self.c(y) + x)


class Block(nn.Module):
    """Three units, or one that runs three times; everything so far is fused after each."""

    def __init__(self, mobile: bool) -> None:
        super().__init__()
        self.units = nn.ModuleList([EfficientUnit()] * 3 if mobile else [Unit() for _ in range(3)])
        self.fuse1, self.fuse2, self.fuse3 = (nn.Conv2d(64 * n, 64, 1) for n in (2, 3, 4))

    def forward(self, x: Tensor) -> Tensor:
        c1 = torch.cat([x, self.units[0](x)], dim=1)
        o1 = F.relu(self.fuse1(c1))
        c2 = torch.cat([c1, self.units[1](o1)], dim=1)
        o2 = F.relu(self.fuse2(c2))
        c3 = torch.cat([c2, self.units[2](o2)], dim=1)
        return F.relu(self.fuse3(c3))


class Published(nn.Module):
    """The whole network: CARN-M if ``mobile``."""

    def __init__(self, *, mobile: bool) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(DIV2K_MEAN).view(1, 3, 1, 1))
        self.entry = nn.Conv2d(3, 64, 3, padding=1)
        self.block1, self.block2, self.block3 = (Block(mobile) for _ in range(3))
        self.fuse1, self.fuse2, self.fuse3 = (nn.Conv2d(64 * n, 64, 1) for n in (2, 3, 4))
        self.up1, self.up2 = (nn.Conv2d(64, 256, 3, padding=1, groups=4 if mobile else 1) for _ in range(2))
        self.exit = nn.Conv2d(64, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x - self.mean)
        c1 = torch.cat([x, self.block1(x)], dim=1)
        o1 = F.relu(self.fuse1(c1))
        c2 = torch.cat([c1, self.block2(o1)], dim=1)
        o2 = F.relu(self.fuse2(c2))
        c3 = torch.cat([c2, self.block3(o2)], dim=1)
        y = F.relu(self.fuse3(c3))
        y = F.pixel_shuffle(F.relu(self.up1(y)), 2)
        y = F.pixel_shuffle(F.relu(self.up2(y)), 2)
        return self.exit(y) + self.mean


def published(model: CARN) -> Published:
    """The published form of ``carn(4)`` or ``carn_m(4)`` with the same weights, in evaluation mode."""
    plain = Published(mobile=bool(model.config["recursive"]))
    pairs = [(plain.entry, model.entry), (plain.exit, model.exit)]
    pairs += zip((plain.up1, plain.up2), model.upsamplers["4"].convs, strict=True)
    pairs += zip((plain.fuse1, plain.fuse2, plain.fuse3), model.body.fusions, strict=True)
    for theirs, ours in zip((plain.block1, plain.block2, plain.block3), model.body.blocks, strict=True):
        pairs += zip((theirs.fuse1, theirs.fuse2, theirs.fuse3), ours.fusions, strict=True)
        for number, unit in enumerate(theirs.units):
            same = ours.blocks[number % len(ours.blocks)]  # one alone where its units are shared
            pairs += [(unit.a, same.conv1), (unit.b, same.conv2)]
            pairs += [(unit.c, same.pointwise)] if isinstance(unit, EfficientUnit) else []
    for theirs, ours in pairs:
        theirs.load_state_dict(ours.state_dict())
    return plain.eval()
