"""jpeg against a plain Pillow loop; differentiable_jpeg against kornia and BasicSR, in time and closeness to libjpeg.

Targets: no slower than the loop; faster than both peers, and 40 dB or more from the real codec at qualities 10, 50 and
90. The peers are left out where they cannot be imported. kornia: ``pip install kornia``. BasicSR, whose package needs
an old torchvision: take ``basicsr/utils/diffjpeg.py`` out of its source distribution, alone in folders of these names,
and put the folder above them on ``PYTHONPATH``.
"""

import importlib
import io
from collections.abc import Callable

import torch
from harness import arguments, compare
from PIL import Image
from skimage import data
from torch import Tensor

from restorekit.degrade import differentiable_jpeg, jpeg
from restorekit.image import to_image, to_tensor
from restorekit.metrics import psnr

Codec = Callable[[Tensor, float], Tensor]


def pillow_loop(x: Tensor, quality: int) -> Tensor:
    """One picture after the other, as one writes it down."""
    pictures = []
    for picture in x:
        file = io.BytesIO()
        to_image(picture).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        pictures.append(to_tensor(Image.open(file)))
    return torch.cat(pictures)


def peers() -> dict[str, Codec]:
    """The differentiable codecs that can be imported here."""
    found: dict[str, Codec] = {}
    for name, module in (("kornia", "kornia.enhance"), ("BasicSR", "basicsr.utils.diffjpeg")):
        try:
            theirs = importlib.import_module(module)
        except ImportError as error:
            print(f"{name} is left out: {error}")
            continue
        if name == "kornia":
            found[name] = lambda x, q, f=theirs.jpeg_codec_differentiable: f(x, x.new_full((len(x),), q))
        else:
            found[name] = theirs.DiffJPEG(differentiable=True).requires_grad_(False)
    return found


def backward(codec: Codec, x: Tensor) -> Tensor:
    """Forward and backward, the gradient of the sum of squares."""
    x = x.clone().requires_grad_()
    codec(x, 50).square().sum().backward()
    assert x.grad is not None
    return x.grad


def main() -> None:
    """Compare the time on crops of a photograph, then the distance to libjpeg on whole photographs."""
    options = arguments(__doc__.splitlines()[0])
    count, size, repeats = (4, 64, 3) if options.quick else (16, 256, 21)
    photograph = to_tensor(data.astronaut())
    x = torch.cat([photograph[:, :, 16 * i : 16 * i + size, 16 * i : 16 * i + size] for i in range(count)])
    codecs = {**peers(), "restorekit": differentiable_jpeg}
    title = f"{count} x 3 x {size} x {size}"
    with torch.no_grad():
        exact = {"Pillow loop": lambda: pillow_loop(x, 50), "jpeg": lambda: jpeg(x, 50)}
        compare(f"{title}, exact", exact, repeats=repeats)
        ways = {name: lambda f=codec: f(x, 50) for name, codec in codecs.items()}
        compare(f"{title}, differentiable, forward", ways, repeats=repeats)
    ways = {name: lambda f=codec: backward(f, x) for name, codec in codecs.items()}
    compare(f"{title}, differentiable, forward and backward", ways, repeats=repeats)
    print("\nPSNR against libjpeg at qualities 10, 50 and 90")
    for subject in ("astronaut", "chelsea", "coffee"):
        picture = to_tensor(getattr(data, subject)())
        for name, codec in codecs.items():
            distances = [psnr(codec(picture, q), jpeg(picture, q)).item() for q in (10, 50, 90)]
            print(f"  {subject:<10} {name:<11}" + "".join(f"{distance:8.1f} dB" for distance in distances))


if __name__ == "__main__":
    main()
