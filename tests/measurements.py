"""Made-up measurements for the pages of the benchmarks."""

from harness import Floor, Measurement, Way


def way(name, median, floor=None):
    return Way(name, median, 0.9 * median, 1.1 * median, floor and Floor(floor, 1, 1))


def group(*measurements, notes=(), **options):
    values = {
        "date": "2026-01-02", "processor": "Abacus", "instructions": "BEADS", "cores": 2, "threads": 2,
        "system": "Linux", "quick": False, "versions": {"torch": "2.13.0"}, "seconds": 3.0,
    }  # fmt: skip
    return {**values, **options, "notes": list(notes), "measurements": [m.to_json() for m in measurements]}


ROWS = (
    Measurement("large", (way("restorekit", 0.2, 0.1), way("kornia", 0.4), way("piq", 0.8)), "ssim", note="equal"),
    Measurement("small", (way("restorekit", 0.3), way("kornia", 0.2)), "ssim"),
    Measurement("tiny", (way("restorekit", 0.1), way("kornia", 0.1)), "ssim"),
)
