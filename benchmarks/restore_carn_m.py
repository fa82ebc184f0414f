"""inference.restore with CARN-M on a 320 x 180 picture by 4, against a plain transcription of the published network."""

import torch
import torch.nn.functional as F
from harness import arguments, compare
from torch import Tensor, nn

from restorekit.inference import restore
from restorekit.layers import DIV2K_MEAN
from restorekit.models import CARN, carn_m


class Unit(nn.Module):
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
    """One unit run three times, everything so far fused after each run."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = Unit()
        self.fuse1, self.fuse2, self.fuse3 = (nn.Conv2d(64 * n, 64, 1) for n in (2, 3, 4))

    def forward(self, x: Tensor) -> Tensor:
        c1 = torch.cat([x, self.unit(x)], dim=1)
        o1 = F.relu(self.fuse1(c1))
        c2 = torch.cat([c1, self.unit(o1)], dim=1)
        o2 = F.relu(self.fuse2(c2))
        c3 = torch.cat([c2, self.unit(o2)], dim=1)
        return F.relu(self.fuse3(c3))


class Plain(nn.Module):
    """CARN-M by 4, written down line by line: eager, channels first, nothing in place."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(DIV2K_MEAN).view(1, 3, 1, 1))
        self.entry = nn.Conv2d(3, 64, 3, padding=1)
        self.block1, self.block2, self.block3 = Block(), Block(), Block()
        self.fuse1, self.fuse2, self.fuse3 = (nn.Conv2d(64 * n, 64, 1) for n in (2, 3, 4))
        self.up1 = nn.Conv2d(64, 256, 3, padding=1, groups=4)
        self.up2 = nn.Conv2d(64, 256, 3, padding=1, groups=4)
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


def copy_weights(model: CARN, plain: Plain) -> None:
    """Convolutions to convolutions of the same role."""
    pairs = [(plain.entry, model.entry), (plain.exit, model.exit)]
    pairs += zip((plain.up1, plain.up2), model.upsamplers["4"].convs, strict=True)
    pairs += zip((plain.fuse1, plain.fuse2, plain.fuse3), model.body.fusions, strict=True)
    for theirs, ours in zip((plain.block1, plain.block2, plain.block3), model.body.blocks, strict=True):
        pairs += zip((theirs.fuse1, theirs.fuse2, theirs.fuse3), ours.fusions, strict=True)
        unit = ours.blocks[0]
        pairs += [(theirs.unit.a, unit.conv1), (theirs.unit.b, unit.conv2), (theirs.unit.c, unit.pointwise)]
    for theirs, ours in pairs:
        theirs.load_state_dict(ours.state_dict())


def main() -> None:
    """Check that both compute the same, then time them."""
    options = arguments(__doc__)
    height, width = (45, 80) if options.quick else (180, 320)
    torch.manual_seed(0)
    model, plain = carn_m(scale=4).eval(), Plain().eval()
    copy_weights(model, plain)
    x = torch.rand(1, 3, height, width)
    difference = (restore(model, x) - plain(x)).abs().max().item()
    if difference > 1e-5:
        raise SystemExit(f"the two networks differ by {difference}")
    compare(
        f"CARN-M, {width} x {height} by 4, largest difference {difference:.0e}",
        {
            "plain transcription, channels first": lambda: plain(x),
            "the network, channels first": lambda: model(x),
            "restore": lambda: restore(model, x),
            "restore, tile='auto'": lambda: restore(model, x, tile="auto"),
        },
        repeats=3 if options.quick else 11,
    )


if __name__ == "__main__":
    with torch.no_grad():
        main()
