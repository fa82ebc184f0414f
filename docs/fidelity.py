"""Write docs/fidelity.md: what the papers print about each network beside what this library counts.

python docs/fidelity.py           writes the page
python docs/fidelity.py --check   fails if the page is not what would be written
"""

import argparse
import inspect
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from restorekit import models
from restorekit.layers import Cascade, Chain, PixelShuffleUpsampler, ResidualBlock
from restorekit.metrics import count_multadds, count_parameters
from restorekit.models import Restorer
from restorekit.models.checkpoints import _CLASSES

PAGE = Path(__file__).with_name("fidelity.md")
HD, FULL_HD = (720, 1280), (1080, 1920)

_UNITS = {"K": 1e3, "M": 1e6, "G": 1e9}


class Figure(NamedTuple):
    """A number that a paper prints, and how it comes out of the network."""

    network: str
    printed: str  # as in the paper: 1,592K
    where: str
    build: Callable[[], Restorer]
    convention: str
    count: Callable[[Restorer], float]


def everything(model: Restorer) -> float:
    """All parameters."""
    return count_parameters(model)


def kernels(model: Restorer) -> float:
    """Kernels alone."""
    return count_parameters(model, biases=False)


def in_use(model: Restorer) -> float:
    """Parameters that the network runs with, where it holds more."""
    spare = set(model.unused_parameters())
    return sum(p.numel() for name, p in model.named_parameters() if name not in spare)


def multadds(scale: int | None = None, hr_size: tuple[int, int] = HD) -> Callable[[Restorer], float]:
    """Multiply-adds for one picture of a size."""
    return lambda model: count_multadds(model, hr_size=hr_size, scale=scale)


class ChainedCARN(Restorer):
    """The network that reproduces "CARN-B24U4" of Table 3.1: three 8-block bodies in a row, then three x2 stages."""

    def __init__(self) -> None:
        super().__init__([8], size_multiple=1, in_channels=3, config={})
        self.entry = nn.Conv2d(3, 64, 3, padding=1)
        self.body = Chain([self._body() for _ in range(3)])
        self.upsampler = PixelShuffleUpsampler(64, 8)
        self.exit = nn.Conv2d(64, 3, 3, padding=1)

    @staticmethod
    def _body() -> Cascade:
        return Cascade([Cascade([ResidualBlock(64) for _ in range(4)], 64) for _ in range(8)], 64)

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Enlarge pictures by 8."""
        out: Tensor = self.exit(self.upsampler(self.body(self.entry(x))))
        return out


BOTH = "kernels and biases"
KERNELS = "kernels alone"
AT_HD = "1280x720 output"
AT_FULL_HD = "1920x1080 output"


def _build(factory: Callable[..., Restorer], *args: Any, **options: Any) -> Callable[[], Restorer]:
    return lambda: factory(*args, **options)


def _thesis_chapter_2() -> Iterator[Figure]:
    carn, carn_m = _build(models.carn, (2, 3, 4)), _build(models.carn_m, (2, 3, 4))
    pcarn, pcarn_m = _build(models.pcarn, (2, 3, 4)), _build(models.pcarn_m, (2, 3, 4))
    yield Figure("CARN", "1,592K", "Table 2.4", carn, BOTH + ", all three upsamplers", everything)
    yield Figure("CARN", "1,589K", "Tables 2.5 to 2.7", carn, KERNELS, kernels)
    yield Figure("CARN-M", "412K", "Table 2.4", carn_m, KERNELS, kernels)
    yield Figure("PCARN", "1,589K", "Table 2.5", pcarn, KERNELS, kernels)
    yield Figure("PCARN-M", "412K", "Table 2.5", pcarn_m, KERNELS, kernels)
    yield Figure("PCARN x4", "90.9G", "Table 2.5", pcarn, AT_HD, multadds(4))
    yield Figure("PCARN-M x4", "32.5G", "Table 2.5", pcarn_m, AT_HD, multadds(4))
    for scale, printed in {2: "222.8G", 3: "118.8G", 4: "90.9G"}.items():
        yield Figure(f"CARN x{scale}", printed, "Table 2.4", carn, AT_HD, multadds(scale))
    for scale, printed in {2: "91.2G", 3: "46.1G", 4: "32.5G"}.items():
        yield Figure(f"CARN-M x{scale}", printed, "Table 2.4", carn_m, AT_HD + ", grouped upsampler", multadds(scale))
    for (local, world), printed in {
        (False, False): "963K", (True, False): "1,074K", (False, True): "1,000K", (True, True): "1,111K",
    }.items():  # fmt: skip
        parts = " and ".join(name for name, on in (("local", local), ("global", world)) if on) or "no"
        build = _build(models.carn, 4, local_cascade=local, global_cascade=world)
        yield Figure(f"CARN x4, {parts} cascade", printed, "Table 2.1", build, BOTH + ", one scale", everything)
    yield Figure("SRCNN", "57K", "Table 2.4", _build(models.srcnn), KERNELS, kernels)
    yield Figure("SRCNN", "52.7G", "Table 2.4", _build(models.srcnn), AT_HD + ", runs at full size", multadds())
    yield Figure("FSRCNN", "12K", "Table 2.4", _build(models.fsrcnn), KERNELS, kernels)
    for scale, printed in {2: "6.0G", 3: "5.0G", 4: "4.6G"}.items():
        how = AT_HD + ", transposed convolution charged at full size"
        yield Figure(f"FSRCNN x{scale}", printed, "Table 2.4", _build(models.fsrcnn, scale), how, multadds())
    yield Figure("VDSR", "665K", "Table 2.4", _build(models.vdsr), "has no biases", everything)
    yield Figure("VDSR", "612.6G", "Table 2.4", _build(models.vdsr), AT_HD + ", runs at full size", multadds())
    yield Figure("SRResNet x4", "1,543K", "Table 2.5", _build(models.srresnet), KERNELS, kernels)
    yield Figure("SRResNet x4", "127.8G", "Table 2.5", _build(models.srresnet), AT_HD, multadds())


def _thesis_chapter_3() -> Iterator[Figure]:
    edsr = _build(models.edsr, 8, channels=256, blocks=32, res_scale=0.1)
    small, progressive = _build(models.carn, 8), _build(models.progressive_carn)
    for network, build, parameters, cost, how in (
        ("EDSR x8", edsr, "45.45M", "2,862G", BOTH),
        ("CARN-B3U3 x8", small, "1.25M", "130G", BOTH + ", one scale"),
        ("Progressive CARN x8", progressive, "9.46M", "2,144G", BOTH + ", 8 blocks of 4 units, one to-RGB"),
        ("CARN-B24U4 x8", ChainedCARN, "9.46M", "395G", BOTH + ", three 8-block bodies in a row"),
    ):
        yield Figure(network, parameters, "Table 3.1", build, how, in_use)
        yield Figure(network, cost, "Table 3.1", build, AT_FULL_HD, multadds(hr_size=FULL_HD))


def _thesis_chapters_4_and_5() -> Iterator[Figure]:
    full = {"channels": 256, "blocks": 32, "res_scale": 0.1}
    desubpixel = {"head": "desubpixel"}
    yield Figure(
        "EDSR x4", "43.2M", "Table 4.3", _build(models.edsr, 4, **full, **desubpixel), BOTH + ", CutBlur's", everything
    )
    yield Figure("EDSR x1", "38.4M", "Table 4.7", _build(models.edsr, 1, **full), BOTH, everything)
    yield Figure(
        "RCAN x4", "15.6M", "Table 4.3", _build(models.rcan, 4, **desubpixel), BOTH + ", CutBlur's", everything
    )
    yield Figure("RDN x1", "22.0M", "Table 4.7", _build(models.rdn, 1), BOTH, everything)
    yield Figure("RNAN x1", "9.0M", "Table 4.7", _build(models.rnan), BOTH, everything)
    cutblur = {"fusion_relu": False, "unit_relu": False, "upsampler_relu": False, "global_skip": True, **desubpixel}
    yield Figure("CARN x4", "1.1M", "Table 4.3", _build(models.carn, 4, **cutblur), BOTH + ", CutBlur's", everything)
    yield Figure("CARN x4", "1.14M", "Table 5.4", _build(models.carn, 4, **cutblur), BOTH + ", CutBlur's", everything)
    rgb = _build(models.srcnn, in_channels=3)
    yield Figure("SRCNN, RGB", "0.07M", "text of chapter 4", rgb, BOTH, everything)
    yield Figure("SRCNN, RGB", "0.1M", "Table 4.3", rgb, BOTH, everything)
    yield Figure("ZSSR", "0.23M", "Table 5.4", _build(models.zssr, bias=True), BOTH, everything)


class Size(NamedTuple):
    """Exact counts of the authors' own modules: parameters, kernels alone, giga multiply-adds for 1280x720."""

    network: str
    build: Callable[[], Restorer]
    parameters: int | None
    kernels: int | None
    gigas: float | None


def _sizes_by_scale(
    network: str, factory: Callable[..., Restorer], rows: dict[int, tuple[Any, Any, Any]], **options: Any
) -> Iterator[Size]:
    for scale, (parameters, weights, gigas) in rows.items():
        yield Size(f"{network} x{scale}", _build(factory, scale, **options), parameters, weights, gigas)


def sizes() -> Iterator[Size]:
    """What the authors' modules count to, wherever that is known."""
    full = {"channels": 256, "blocks": 32, "res_scale": 0.1}
    desubpixel = {"head": "desubpixel"}
    yield from _sizes_by_scale("CARN, one scale", models.carn, {
        2: (964_163, 961_920, None), 3: (1_148_803, 1_146_240, None), 4: (1_111_875, 1_109_376, None),
        8: (1_259_587, 1_256_832, 57.9)})  # fmt: skip
    yield from _sizes_by_scale("EDSR baseline", models.edsr, {
        2: (1_369_859, 1_367_424, 316.2), 3: (1_554_499, 1_551_744, 160.3), 4: (1_517_571, 1_514_880, 114.2),
        8: (1_665_283, None, 63.7)})  # fmt: skip
    yield from _sizes_by_scale("EDSR full", models.edsr, {
        2: (40_729_603, 40_711_680, 9385), 3: (43_680_003, 43_660_800, 4477), 4: (43_089_923, 43_070_976, 2895),
        8: (45_450_243, 45_430_272, 1272)}, **full)  # fmt: skip
    yield from _sizes_by_scale("RCAN", models.rcan, {
        2: (15_444_643, 15_404_416, 3527), 3: (15_629_283, 15_588_736, 1587), 4: (15_592_355, 15_551_872, 917),
        8: (15_740_067, 15_699_328, 264)})  # fmt: skip
    yield from _sizes_by_scale("RDN", models.rdn, {
        1: (21_975_683, None, None), 2: (22_123_395, 22_113_664, 5096), 3: (22_308_035, 22_297_984, 2285),
        4: (22_271_107, 22_261_120, 1309)})  # fmt: skip
    yield from _sizes_by_scale("CARN of CutBlur", models.carn, {
        1: (816_451, None, None), 2: (969_347, None, 224.0), 3: (1_162_627, None, None),
        4: (1_137_795, 1_135_296, 92.4)}, **desubpixel)  # fmt: skip
    yield from _sizes_by_scale("EDSR of CutBlur", models.edsr, {
        1: (38_369_283, 38_352_384, 35_346), 2: (40_750_339, None, 9390), 3: (43_735_299, None, None),
        4: (43_193_603, 43_174_656, 2901)}, **full, **desubpixel)  # fmt: skip
    yield from _sizes_by_scale("RCAN of CutBlur", models.rcan, {
        1: (15_296_931, None, None), 2: (15_449_827, None, 3528), 3: (15_643_107, None, None),
        4: (15_618_275, 15_577_792, 918)}, **desubpixel)  # fmt: skip
    yield from _sizes_by_scale("MSRResNet of BasicSR", models.srresnet, {
        2: (1_369_859, None, 341.7), 3: (1_554_499, None, 190.5), 4: (1_517_571, None, 146.1),
        }, batch_norm=False)  # fmt: skip
    yield Size("SRResNet x4", _build(models.srresnet), 1_549_462, None, 127.77)
    yield Size("Progressive CARN x8, all stages", _build(models.progressive_carn), 9_464_905, None, 952.9)
    yield Size("RNAN x1", _build(models.rnan), 8_959_555, None, None)
    yield Size("DnCNN-17, grey", _build(models.dncnn), 557_057, None, None)
    yield Size("DnCNN-17, grey, merged", _build(models.dncnn, batch_norm=False), 555_137, None, None)
    yield Size("DnCNN-17, colour", _build(models.dncnn, in_channels=3), 559_363, None, None)
    yield Size("DnCNN-20, colour", _build(models.dncnn, 20, in_channels=3), 670_531, None, None)
    yield Size(
        "DnCNN-20, colour, merged", _build(models.dncnn, 20, in_channels=3, batch_norm=False), 668_227, None, None
    )
    yield Size("DnCNN-20, grey, merged", _build(models.dncnn, 20, batch_norm=False), 665_921, None, None)
    yield Size("VDSR, colour", _build(models.vdsr, in_channels=3), 667_008, None, None)
    yield Size("ZSSR, as published", _build(models.zssr), 224_640, None, None)
    yield Size("RIDNet", _build(models.ridnet), 1_499_347, None, None)
    yield Size("OWAN", _build(models.owan), 391_456, None, None)
    # The authors' totals hold 24 values of mean shifts, which are constants here.
    for experts, count in {1: 1_687_803, 2: 1_941_979, 3: 2_241_211, 5: 2_974_843}.items():
        yield Size(f"MEPSNet, {experts} experts", _build(models.mepsnet, experts=experts), count - 24, None, None)
    for templates, count in {4: 1_796_251, 8: 1_944_571, 32: 2_834_491}.items():
        build = _build(models.mepsnet, num_templates=templates)
        yield Size(f"MEPSNet, {templates} templates", build, count - 24, None, None)
    nsr, edsr_nsr = models.sparse_resnet, {"channels": 64, "width": 1, "cardinality": 16}
    yield from _sizes_by_scale("NSR, 4 groups", nsr, {
        1: (4_751_238, None, None), 2: (4_754_772, None, None), 3: (4_760_277, None, None), 4: (4_767_984, None, None),
        })  # fmt: skip
    yield from _sizes_by_scale("EDSR + NSR", nsr, {
        1: (4_871_686, None, None), 2: (4_877_812, None, None), 3: (4_887_637, None, None), 4: (4_901_392, None, None),
        }, **edsr_nsr)  # fmt: skip
    yield Size("NSR x2, two-layer gates", _build(nsr, 2, mlp_depth=2), 5_035_860, None, None)
    yield Size("Restormer, trimmed", _build(models.restormer), 6_714_262, None, None)


def agreement(value: float, printed: str) -> str:
    """Whether a count, written as the paper writes it, gives the printed figure: by rounding, or by cutting digits."""
    digits, unit = printed[:-1].replace(",", ""), _UNITS[printed[-1]]
    decimals = len(digits.partition(".")[2])
    if f"{value / unit:.{decimals}f}" == digits:
        return "yes"
    cut = math.floor(value / unit * 10**decimals) / 10**decimals
    return "yes, digits cut" if f"{cut:.{decimals}f}" == digits else "no"


def _exact(value: float) -> str:
    return f"{value:,.0f}" if value < 1e9 else f"{value / 1e9:,.2f} G"


def _printed_rows() -> Iterator[str]:
    yield "| Network | Figure | Where (thesis) | Here | Agrees | Counted how |"
    yield "|---|---|---|---|---|---|"
    for part in (_thesis_chapter_2, _thesis_chapter_3, _thesis_chapters_4_and_5):
        for figure in part():
            value = figure.count(figure.build())
            yield (
                f"| {figure.network} | {figure.printed} | {figure.where} | {_exact(value)} "
                f"| {agreement(value, figure.printed)} | {figure.convention} |"
            )


def _compared(expected: float | None, found: float, precision: float = 0) -> str:
    if expected is None:
        return f"_{found:,.0f}_" if not precision else f"_{found:,.1f}_"
    text = f"{expected:,}"
    return text if abs(found - expected) <= precision else f"**{found:,}, authors {text}**"


def _size_rows() -> Iterator[str]:
    yield "| Network | Parameters | Kernels alone | Giga multiply-adds, 1280x720 output |"
    yield "|---|---|---|---|"
    for size in sizes():
        model = size.build()
        gigas = count_multadds(model) / 1e9
        # A published count is rounded to its last digit.
        precision = 0.5 if size.gigas is None or size.gigas == int(size.gigas) else 0.05
        yield (
            f"| {size.network} | {_compared(size.parameters, count_parameters(model))} "
            f"| {_compared(size.kernels, count_parameters(model, biases=False))} "
            f"| {_compared(size.gigas, gigas, precision)} |"
        )


def _source(network: type) -> str:
    """The section of a docstring that tells the paper and every deviation."""
    _, _, source = (inspect.getdoc(network) or "").partition("Source:\n")
    return " ".join(source.split())


def _network_rows() -> Iterator[str]:
    for name, network in sorted(_CLASSES.items()):
        yield f"### {name}\n"
        layouts = [layout.name for layout in network.layouts]
        yield f"Checkpoints read: {'; '.join(layouts)}.\n" if layouts else "No foreign checkpoint is read.\n"
        yield _source(network) + "\n"


PREFACE = """# Fidelity

Made by `python docs/fidelity.py`, which counts every network again; continuous integration fails when this page and the
code differ.

A multiply-add is one kernel element used for one output pixel. Biases, activations, additions, normalisation, pooling,
shuffles and bicubic enlargement are free; a shared layer is charged every time it runs; a transposed convolution is
charged at its output. At x3 the input is the exact fraction of the output's pixels.

## Figures that the thesis prints
"""

SIZES = """
## Counts of the authors' own modules

Where the authors' code, or a plain transcription of the paper (RDN, VDSR, ZSSR, SRResNet), could be counted, the number
here is the same; in bold it would differ. Numbers in italics are counted here alone. RIDNet's authors count 24 more,
the values of its mean shifts, which are constants here, and so do MEPSNet's.
"""

READINGS = """
## What the figures do not say

All of them come out, but some only in one reading:

- "CARN-B24U4" of Table 3.1 comes out only if three 8-block bodies stand in a row. A globally cascaded network of 24
  blocks has {dense} parameters and {dense_cost}.
- Progressive CARN reads as 4 blocks of 8 units in one place of the thesis; that network has {other} parameters and
  {other_cost}. The figures belong to 8 blocks of 4 units.
- Table 5.4 prints the parameters of EDSR and RCAN in each other's column.
- ZSSR's published network has no biases (224,640); 0.23M needs them.
- The shift of the mean colour is a constant here. Files of CARN hold 24 more numbers for it, and RIDNet's 1,499,371
  parameters include them.

## Networks, their sources and deviations
"""


def page() -> str:
    """The whole page."""
    with torch.device("meta"):
        dense = models.carn(8, blocks=24, units=4)
        other = models.progressive_carn(blocks=4, units=8)
        readings = READINGS.format(
            dense=_exact(in_use(dense)),
            dense_cost=_exact(count_multadds(dense, hr_size=FULL_HD)),
            other=_exact(in_use(other)),
            other_cost=_exact(count_multadds(other, hr_size=FULL_HD)),
        )
        lines = [PREFACE, *_printed_rows(), SIZES, *_size_rows(), readings, *_network_rows()]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail if the page is out of date")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page():
        sys.exit(f"{PAGE} is out of date: run python docs/fidelity.py")


if __name__ == "__main__":
    main()
