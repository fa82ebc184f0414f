"""What was published, by the same protocol: of the same network, or of one that is named."""

from collections.abc import Mapping

THESIS = "published, thesis Table 2.4"
DNCNN = "DnCNN-3, its authors' README"
EDSR = "EDSR of 38.4 M, for this quality alone, thesis Table 4.7"

Score = tuple[float, float]
# By file, then protocol and source, then damage and set: PSNR in dB, SSIM.
PUBLISHED: Mapping[str, Mapping[tuple[str, str], Mapping[tuple[str, str], Score]]] = {
    "carn": {
        ("sr-y-truncated", THESIS): {
            ("x2", "Set5"): (37.76, 0.9590),
            ("x2", "Set14"): (33.52, 0.9166),
            ("x3", "Set5"): (34.29, 0.9255),
            ("x3", "Set14"): (30.29, 0.8407),
            ("x4", "Set5"): (32.13, 0.8937),
            ("x4", "Set14"): (28.60, 0.7806),
        },
    },
    "carn_m": {
        ("sr-y-truncated", THESIS): {
            ("x2", "Set5"): (37.53, 0.9583),
            ("x2", "Set14"): (33.26, 0.9141),
            ("x3", "Set5"): (33.99, 0.9236),
            ("x3", "Set14"): (30.08, 0.8367),
            ("x4", "Set5"): (31.92, 0.8903),
            ("x4", "Set14"): (28.42, 0.7762),
        },
    },
    "edsr_jpeg": {
        ("grey-whole", DNCNN): {
            ("quality 10", "classic5"): (29.40, 0.8026),
            ("quality 20", "classic5"): (31.63, 0.8610),
            ("quality 30", "classic5"): (32.91, 0.8861),
            ("quality 40", "classic5"): (33.77, 0.9003),
        },
        ("jpeg-y", EDSR): {("quality 10", "classic5"): (31.23, 0.8375)},
    },
}


def published(name: str, label: str, where: str, protocol: str) -> dict[str, float | str] | None:
    """The number and whose it is, or None."""
    for (judged_by, source), numbers in PUBLISHED.get(name, {}).items():
        if judged_by == protocol and (label, where) in numbers:
            psnr, ssim = numbers[label, where]
            return {"psnr": psnr, "ssim": ssim, "of": source}
    return None
