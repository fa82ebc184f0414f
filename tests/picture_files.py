"""Made-up pictures and folders of them, for tests of what reads and writes files."""

from pathlib import Path

import numpy as np

from restorekit.image.files import write_image


def noise(*shape: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    """Every level of the type is as likely."""
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def write_folder(root: Path, pictures: dict[str, np.ndarray]) -> Path:
    """Write pictures by name and return their folder."""
    for name, array in pictures.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(root / name, array)
    return root
