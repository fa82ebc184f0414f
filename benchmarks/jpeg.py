"""jpeg against a plain Pillow loop; differentiable_jpeg against kornia and BasicSR, in time and closeness to libjpeg.

Targets: no slower than the loop; faster than both peers, and 40 dB or more from the real codec at qualities 10, 50 and
90. The peers are left out where they cannot be imported. kornia: ``pip install kornia``. BasicSR, whose package needs
an old torchvision: take ``basicsr/utils/diffjpeg.py`` out of its source distribution, alone in folders of these names,
and put the folder above them on ``PYTHONPATH``.
"""

import io
from collections.abc import Callable
from functools import partial

import torch
from harness import Measurement, Options, compare, main, record, working
from PIL import Image
from skimage import data
from torch import Tensor

from restorekit.degrade import differentiable_jpeg, jpeg
from restorekit.image import to_image, to_tensor

Codec = Callable[[Tensor, float], Tensor]


def pillow_loop(x: Tensor, quality: int) -> Tensor:
    """One picture after the other, as one writes it down."""
    pictures = []
    for picture in x:
        file = io.BytesIO()
        to_image(picture).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        pictures.append(to_tensor(Image.open(file)))
    return torch.cat(pictures)


def peers(options: Options) -> dict[str, Codec]:
    """The differentiable codecs that can be imported here."""
    found: dict[str, Codec] = {}
    if basicsr := options.peer("BasicSR", "basicsr.utils.diffjpeg"):
        found["BasicSR"] = basicsr.DiffJPEG(differentiable=True).requires_grad_(False)
    if kornia := options.peer("kornia", "kornia.enhance"):
        found["kornia"] = lambda x, q: kornia.jpeg_codec_differentiable(x, x.new_full((len(x),), q))
    return found


def backward(codec: Codec, x: Tensor) -> Tensor:
    """Forward and backward, the gradient of the sum of squares."""
    x = x.clone().requires_grad_()
    codec(x, 50).square().sum().backward()
    assert x.grad is not None
    return x.grad


def closeness(codecs: dict[str, Codec]) -> list[Measurement]:
    """Root of the mean squared difference from libjpeg on whole photographs, in levels of 255; 2.55 are 40 dB."""
    found = []
    for subject in ("astronaut", "chelsea", "coffee"):
        picture = to_tensor(getattr(data, subject)())
        for quality in (10, 50, 90):
            expected = jpeg(picture, quality)
            off = {
                name: 255 * (codec(picture, quality) - expected).square().mean().sqrt().item()
                for name, codec in codecs.items()
            }
            title = f"{subject}, quality {quality}"
            found.append(record(title, off, table="Difference from libjpeg with 4:2:0", unit="levels"))
    return found


def measure(options: Options) -> list[Measurement]:
    """The time on crops of a photograph, then the distance to libjpeg on whole photographs."""
    count, size, repeats = (4, 64, 3) if options.quick else (16, 256, 21)
    photograph = to_tensor(data.astronaut())
    x = torch.cat([photograph[:, :, 16 * i : 16 * i + size, 16 * i : 16 * i + size] for i in range(count)])
    theirs = peers(options)
    able, lost = working({name: partial(codec, x[:1], 50) for name, codec in theirs.items()})
    for text in lost:
        options.say(text)
    codecs = {**{name: theirs[name] for name in able}, "restorekit": differentiable_jpeg}
    table = f"Differentiable JPEG, {count} x 3 x {size} x {size}"
    with torch.no_grad():
        exact = {"Pillow, a loop": partial(pillow_loop, x, 50), "restorekit": partial(jpeg, x, 50)}
        found = [compare("quality 50", exact, repeats=repeats, table="Exact JPEG")]
        ways = {name: partial(codec, x, 50) for name, codec in codecs.items()}
        found.append(compare("forward", ways, repeats=repeats, table=table))
    ways = {name: partial(backward, codec, x) for name, codec in codecs.items()}
    found.append(compare("forward and backward", ways, repeats=repeats, table=table))
    with torch.no_grad():
        return found + closeness(codecs)


if __name__ == "__main__":
    main(__doc__, measure)
