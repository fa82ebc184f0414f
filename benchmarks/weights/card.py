"""The model card of a file of weights, from what was scored."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from page import markdown

from weights.conditions import MEANING
from weights.recipe import HELD_OUT

_FOLDED = (
    "EDSR's baseline on pictures that are folded 2 x 2 into channels: half of the multiply-adds of DnCNN-20 on twice "
    "its parameters. A network of our own; nothing was published of it."
)
ABOUT = {
    "carn_m": ("CARN-M, by 2, 3 and 4", "The small CARN of Ahn's thesis, chapter 2, in one file for three factors."),
    "carn": ("CARN, by 2, 3 and 4", "CARN of Ahn's thesis, chapter 2, in one file for three factors."),
    "edsr_denoising": (
        "EDSR for colour noise",
        "Removes Gaussian noise of sigma 0 to 50 (of 255) from colour pictures without being told how much there is. "
        f"{_FOLDED} Of a noisy photograph most ReLUs in its blocks pass nothing: the first learning rate was too "
        "high.",
    ),
    "edsr_jpeg": (
        "EDSR for JPEG",
        "Removes the artefacts of JPEG at quality 10 to 90 from colour and grey pictures without being told the "
        f"quality. {_FOLDED} Its training began with edsr_denoising, whose idle units were given fresh weights first. "
        "Which are idle was seen on a noisy photograph, the cat of scikit-image, on which nothing was trained.",
    ),
    "mepsnet": (
        "MEPSNet, small, for SHDD",
        "Removes distortions that change from place to place, SHDD's middle level: noise, blur, f-noise, contrast. The "
        "network of the thesis, chapter 7, with fewer and narrower blocks.",
    ),
    "sparse_resnet": (
        "Sparse-group network, by 2",
        "The network of Neural Sparse Representation with 8 blocks of 24 channels, half as many as published and "
        "narrower, for comparison with sparse_resnet_dense, which costs the same.",
    ),
    "sparse_resnet_dense": (
        "The sparse-group network without its candidates, by 2",
        "sparse_resnet with ordinary convolutions in place of gated candidates, for comparison at the same cost.",
    ),
}
DATA = (
    "Pictures: the train and test parts of the Berkeley Segmentation Data Set 500, 400 colour JPEGs of 481 x 321 px, "
    f"{400 // HELD_OUT} of them (every {HELD_OUT}th) held out to see how the training goes. Its val part, "
    "which holds B100 and BSD68, was not used, nor were Set5, Set14 and classic5."
)
TERMS = (
    "Apache-2.0, as the library, with this note: the file was trained on pictures that are for research use. The data "
    "set is offered for non-commercial research and educational purposes and keeps its own terms; none of its pictures "
    "is in here."
)
_NSR = "EDSR + NSR, the published network, is twice as deep and wider. Its authors report 38.11 dB on Set5 at x2."
CAVEATS = {
    "mepsnet": (
        "The thesis (Table 7.1, moderate) reports 33.47 dB / 0.9331 for MEPSNet in full size, on SHDD made of DIV2K's "
        "pictures, whose sides are about 2040 x 1356 px. That is no yardstick here: the set is another, and f-noise is "
        "weaker the larger a picture is."
    ),
    "edsr_denoising": (
        "The documents that the library follows have no number for colour noise on these sets, of this network or "
        "another."
    ),
    "sparse_resnet": _NSR,
    "sparse_resnet_dense": _NSR,
}
KEPT = {
    "half": "half precision, which moves PSNR on Set5 or classic5 by {:.4f} dB at most",
    "single": "single precision, as half precision would move PSNR by up to {:.4f} dB",
}
POINTS = 12  # of the curve's table
WIDTH = 120

Found = Mapping[str, Any]


def card(name: str, found: Found) -> str:
    """The whole card."""
    title, about = ABOUT[name]
    training = found["training"]
    parts = [
        [f"# {name}: {title}"],
        prose(about),
        properties(name, found),
        ["## Numbers"],
        prose("PSNR in dB / SSIM, means over the set."),
        *tables({name: found}),
        *([prose(CAVEATS[name])] if name in CAVEATS else []),
        ["## Training"],
        prose(DATA),
        stages(training),
        prose(f"{settings(training)} {hardware(training)}"),
        ["```bash", f"cd benchmarks && {command(name, training)}", "```"],
        ["PSNR of the held-out pictures, dB, after so many steps:"],
        curve_table(training["measured"]),
        prose("Another machine, or another number of threads, gives other weights of the same kind."),
        ["## Terms"],
        prose(TERMS),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def prose(text: str) -> list[str]:
    """In lines that are not too long."""
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def properties(name: str, found: Found) -> list[str]:
    """What it is, in a table."""
    return [
        "| | |",
        "|---|---|",
        f'| read by | `restorekit.models.load_checkpoint(restorekit.weights.shipped("{name}"))` |',
        f"| network | {found['network']}, {found['parameters']:,} parameters |",
        f"| multiply-adds, 1280 x 720 px out | {multadds(found)} |",
        f"| kept in | {KEPT[found['stored']].format(found['half_difference'])} |",
    ]


def multadds(found: Found) -> str:
    """By factor, where anything is enlarged, and else for each pixel, too."""
    costs = {scale: f"{value / 1e9:,.1f} G" for scale, value in found["multadds"].items()}
    if list(costs) == ["1"]:
        return f"{costs['1']} ({found['multadds']['1'] / (1280 * 720) / 1e3:,.0f} K a pixel)"
    return ", ".join(f"{cost} at x{scale}" for scale, cost in costs.items())


def tables(files: Mapping[str, Found]) -> Iterator[list[str]]:
    """For each protocol what it means, and a row for each damage, set and file."""
    lines = [(name, line) for name, found in files.items() for line in found["scores"]]
    for protocol in dict.fromkeys(line["protocol"] for _, line in lines):
        chosen = [(name, line) for name, line in lines if line["protocol"] == protocol]
        yield prose(f"By {protocol}: {MEANING[protocol]}.")
        yield table(chosen, named=len(files) > 1)


def table(lines: Sequence[tuple[str, Found]], *, named: bool) -> list[str]:
    """What one protocol says; with ``named`` the file stands in each row."""
    reference = lines[0][1]["reference"]["name"]
    sources = list(dict.fromkeys(line["published"]["of"] for _, line in lines if line["published"]))
    cells = [["damage", "set", *(["weights"] if named else []), reference, "restored", "gain, dB", *sources]]
    places = list(dict.fromkeys((line["condition"], line["set"]) for _, line in lines))
    for name, line in sorted(lines, key=lambda one: places.index((one[1]["condition"], one[1]["set"]))):
        row = [line["condition"], line["set"], *([name] if named else []), pair(line["reference"]), pair(line)]
        row.append(f"{line['psnr'] - line['reference']['psnr']:+.2f}")
        theirs = line["published"]
        cells.append([*row, *(pair(theirs) if theirs and theirs["of"] == source else "" for source in sources)])
    return markdown(cells)


def pair(one: Found) -> str:
    """PSNR in dB and SSIM."""
    return f"{one['psnr']:.2f} / {one['ssim']:.4f}"


def stages(training: Found) -> list[str]:
    """The recipe's numbers, a row for each stage."""
    cells = [["stage", "steps", "patch, px in", "batch", "learning rate", "recoloured", "hours"]]
    for number, (stage, seconds) in enumerate(zip(training["stages"], training["seconds"], strict=True), start=1):
        rate, size = stage["learning_rate"], stage["patch_size"]
        sizes = [f"{stage['steps']:,}", f"{size} x {size}", str(stage["batch_size"])]
        rates = f"{rate:g} to {rate * stage['floor']:g}"
        cells.append([str(number), *sizes, rates, f"{stage.get('recolour', 0):.0%}", f"{seconds / 3600:.2f}"])
    return markdown(cells)


def settings(training: Found) -> str:
    """What else the recipe says."""
    begun = f" Begun with the weights whose SHA-256 is {training['start']}." if training["start"] else ""
    return (
        "L1. Adam, the learning rate along half a cosine in each stage, gradients shortened to a norm of 1. Flips and "
        f"rotations. bfloat16 autocast over single-precision weights. Seed {training['seed']}.{begun}"
    )


def hardware(training: Found) -> str:
    """Where it ran."""
    return f"On {training['machine']}."


def command(name: str, training: Found) -> str:
    """What trains it."""
    options = f" --seed {training['seed']}" * bool(training["seed"]) + " --start WEIGHTS" * bool(training["start"])
    return f"python -m weights.train {name} --data PICTURES --out RUNS{options}"


def curve_table(measured: Sequence[Sequence[float]]) -> list[str]:
    """Some points of the curve, the first and the last among them."""
    count = min(POINTS, len(measured))
    chosen = [measured[round(k * (len(measured) - 1) / max(count - 1, 1))] for k in range(count)]
    return markdown(
        [["step", *(f"{step:,}" for step, _ in chosen)], ["PSNR", *(f"{value:.2f}" for _, value in chosen)]]
    )
