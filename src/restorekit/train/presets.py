"""The published trainings by name."""

from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.augment import Mixture
from restorekit.degrade import gaussian_noise, jpeg
from restorekit.models import (
    carn,
    carn_m,
    dncnn,
    edsr,
    fsrcnn,
    idr,
    mepsnet,
    pcarn,
    pcarn_m,
    progressive_carn,
    rcan,
    rdn,
    sparse_resnet,
    srcnn,
    srresnet,
    zssr,
)
from restorekit.train._preset import Drops, Preset, Restarts

_ALL = (2, 3, 4)


def preset(name: str, *, steps: int | None = None) -> Preset:
    """Look up the published training of a network.

    Args:
        name: One of ``list_presets()``.
        steps: Length to shorten it to, with all milestones of its learning rate; None leaves it as it is.

    Returns:
        The network, pairs, step and settings to train with.

    Raises:
        ValueError: If the name is unknown, or there are fewer steps than stages.

    Example:
        >>> p = preset("carn-eccv", steps=1000)
        >>> p.recipe, p.steps, p.batch_size, p.scales
        ('fit', 1000, 64, (2, 3, 4))

    Source: each preset's ``source``. VDSR is not among them: it was trained by SGD, and `fit` has Adam.
    """
    known = {entry.name: entry for entry in _PRESETS}
    if name not in known:
        raise ValueError(f"preset must be one of {', '.join(sorted(known))}, got {name!r}")
    return known[name] if steps is None else known[name].shortened(steps)


def list_presets() -> list[str]:
    """The names of the published trainings.

    Returns:
        The names, sorted.

    Example:
        >>> "pcarn-gan" in list_presets()
        True
    """
    return sorted(entry.name for entry in _PRESETS)


def _noise_70(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return gaussian_noise(x, 70 / 255, generator=generator)


def _noise_25(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return gaussian_noise(x, 25 / 255, clip=False, generator=generator)


def _jpeg_10(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return jpeg(x, 10)


_CARN = Preset(
    name="carn-eccv",
    source="Ahn et al., ECCV 2018, section 4.2, and the authors' code: patches of 64 (the paper has 48), gradients "
    "clipped to 10. Initial biases are zero here.",
    network=partial(carn, _ALL),
    scales=_ALL,
    patch_size=64,
    batch_size=64,
    steps=600_000,
    curve=Drops((400_000,)),
    clip_norm=10.0,
)
_PCARN = replace(
    _CARN,
    name="pcarn",
    source="Ahn's thesis, section 2.4.1, and the authors' code: training by L1, which comes before that as a GAN.",
    network=partial(pcarn, _ALL),
    patch_size=48,
)
_PCARN_GAN = replace(
    _PCARN,
    name="pcarn-gan",
    source="Ahn's thesis, section 2.4.1, and the authors' code, where 600,000 steps: from the weights of preset "
    "'pcarn', with models.MultiScaleDiscriminator() and losses.VGGLoss.",
    recipe="adversarial",
    batch_size=32,
    steps=200_000,
    curve=Drops(),
    arguments={"gan_weight": 5e-3, "discriminator_rate": 1e-4},
)
_CUTBLUR = Preset(
    name="cutblur-edsr",
    source="Yoo, Ahn and Sohn, CVPR 2020, Ahn's thesis, chapter 4, and the authors' code; there, training at 4 starts "
    "from weights of 2.",
    network=partial(edsr, 4, channels=256, blocks=32, res_scale=0.1, head="desubpixel"),
    patch_size=48,
    batch_size=16,
    steps=700_000,
    curve=Drops((200_000, 400_000, 600_000)),
    augment=Mixture("sr"),
)
_CUTBLUR_DN = replace(
    _CUTBLUR,
    name="cutblur-dn",
    source="As 'cutblur-edsr', at sigma 70 of the thesis' Table 4.7; there, each picture is damaged once and stored "
    "with 8 bits.",
    network=partial(edsr, 1, channels=256, blocks=32, res_scale=0.1),
    scales=(1,),
    steps=1_000_000,
    curve=Drops((300_000, 550_000, 800_000)),
    degrade=_noise_70,
    augment=Mixture("restoration"),
)
_CUTBLUR_RCAN = replace(
    _CUTBLUR,
    name="cutblur-rcan",
    source=_CUTBLUR.source + " It clips each value of the gradient to 0.5 then; `fit` does not.",
    network=partial(rcan, 4, head="desubpixel"),
    steps=1_000_000,
    curve=Drops((200_000, 400_000, 600_000, 800_000)),
)
_EDSR = Preset(
    name="edsr",
    source="Lim et al., CVPRW 2017, and the authors' code; there, training at 3 and 4 starts from weights of 2.",
    network=partial(edsr, 4, channels=256, blocks=32, res_scale=0.1),
    patch_size=48,
    batch_size=16,
    steps=300_000,
    curve=Drops((200_000,)),
)
_EVERY_200K = Drops((200_000, 400_000, 600_000, 800_000))

_PRESETS = (
    _CARN,
    replace(_CARN, name="carn-m-eccv", network=partial(carn_m, _ALL)),
    _PCARN,
    replace(_PCARN, name="pcarn-m", network=partial(pcarn_m, _ALL)),
    _PCARN_GAN,
    replace(
        _PCARN_GAN,
        name="pcarn-m-gan",
        source=_PCARN_GAN.source.replace("'pcarn'", "'pcarn-m'"),
        network=partial(pcarn_m, _ALL),
    ),
    Preset(
        name="progressive-carn",
        source="Ahn's thesis, Algorithm 1 and section 3.4.1, with L1 and the clipping of the authors' code (NTIRE "
        "2018), where the last stage has 400,000 steps and rates fall in the stages too.",
        network=partial(progressive_carn, 8),
        recipe="progressive",
        scales=(8,),
        patch_size=48,
        batch_size=(32, 8, 2),
        steps=(150_000, 200_000, 300_000),
        clip_norm=10.0,
        arguments={"decay": 0.1},
    ),
    replace(
        _CUTBLUR,
        name="cutblur-carn",
        network=partial(
            carn, 4, head="desubpixel", fusion_relu=False, unit_relu=False, upsampler_relu=False, global_skip=True
        ),
        batch_size=64,
        curve=Drops((400_000,)),
        augment=Mixture("small-model"),
    ),
    _CUTBLUR,
    _CUTBLUR_RCAN,
    _CUTBLUR_DN,
    replace(
        _CUTBLUR_DN,
        name="cutblur-jpeg",
        source=_CUTBLUR_DN.source.replace("sigma 70", "quality 10"),
        degrade=_jpeg_10,
    ),
    _EDSR,
    replace(_EDSR, name="edsr-baseline", network=partial(edsr, 4)),
    Preset(
        name="rcan",
        source="Zhang et al., ECCV 2018, and the authors' code; there, training at 3, 4 and 8 starts from weights of "
        "2, and the mean colours learn.",
        network=partial(rcan, 4),
        patch_size=48,
        batch_size=16,
        steps=1_000_000,
        curve=_EVERY_200K,
    ),
    Preset(
        name="rdn",
        source="Zhang et al., CVPR 2018, and the authors' code; there, training at 3 and 4 starts from weights of 2, "
        "which has patches of 48.",
        network=partial(rdn, 4),
        patch_size=32,
        batch_size=16,
        steps=1_000_000,
        curve=_EVERY_200K,
    ),
    Preset(
        name="srresnet-basicsr",
        source="BasicSR's code for its SRResNet without batch normalisation.",
        network=partial(srresnet, 4, batch_norm=False),
        patch_size=32,
        batch_size=16,
        steps=1_000_000,
        learning_rate=2e-4,
        curve=Restarts((250_000,) * 4, (1.0,) * 4, (1e-7 / 2e-4,) * 4),
        betas=(0.9, 0.99),
        ema_decay=0.999,
    ),
    Preset(
        name="dncnn",
        source="Zhang et al., TIP 2017, in KAIR's code, for sigma 25. It states no length: ours ends with a halving. "
        "It takes the batch normalisation in after 400,000 steps (models.merge_batch_norm), starts from orthogonal "
        "weights, and its grey fills 0 to 255.",
        network=dncnn,
        scales=(1,),
        patch_size=40,
        batch_size=64,
        steps=1_000_000,
        curve=_EVERY_200K,
        luminance=True,
        degrade=_noise_25,
    ),
    Preset(
        name="srcnn",
        source="Dong et al., TPAMI 2016, in the PyTorch code of yjn870: 400 passes over about 24,800 patches of 33 px, "
        "taken here as 11 px at a factor of 3, and shrunk there by Pillow.",
        network=partial(srcnn, 3),
        scales=(3,),
        patch_size=11,
        batch_size=16,
        steps=620_000,
        rate_factors={"exit.": 0.1},
        loss=F.mse_loss,
        luminance=True,
    ),
    Preset(
        name="fsrcnn",
        source="Dong et al., ECCV 2016, in the PyTorch code of yjn870: 20 passes over patches whose number is not "
        "stated; 750,000 steps are our estimate for T91 at five sizes and four rotations.",
        network=partial(fsrcnn, 3),
        scales=(3,),
        patch_size=7,
        batch_size=16,
        steps=750_000,
        learning_rate=1e-3,
        rate_factors={"exit.": 0.1},
        loss=F.mse_loss,
        luminance=True,
    ),
    Preset(
        name="nsr",
        source="Fan et al., NeurIPS 2020, and the authors' code for EDSR + NSR: 30 passes of 1000 patches of each of "
        "800 pictures. It leaves out 2 px at the borders.",
        network=partial(sparse_resnet, 2, channels=64, width=1, cardinality=16, patches=True),
        scales=(2,),
        patch_size=48,
        batch_size=16,
        steps=1_500_000,
        learning_rate=1e-3,
        curve=Drops((1_000_000, 1_250_000), 0.2),
    ),
    Preset(
        name="mepsnet",
        source="Ahn's thesis, section 7.5, on pictures that data.write_degraded stores with degrade.shdd('moderate'); "
        "the released code has a second beta of 0.999.",
        network=mepsnet,
        scales=(1,),
        patch_size=80,
        batch_size=16,
        steps=1_200_000,
        curve=Drops((120_000, 300_000)),
        betas=(0.9, 0.99),
        weight_decay=1e-4,
        loss=F.mse_loss,
    ),
    Preset(
        name="idr",
        source="Zhang et al., CVPR 2023, supplement and authors' code: seven data sets, noise of sigma 15, 25 and 50, "
        "rain, haze, low light and blur.",
        network=idr,
        recipe="two_stage",
        scales=(1,),
        patch_size=128,
        batch_size=7,
        steps=(220_000, 260_000),
        curve=Restarts((92_000, 88_000, 172_000, 128_000), (1.0, 1.0, 0.5, 0.3), (0.2, 0.01, 0.01, 0.01)),
        arguments={"classification_weight": 0.01, "label_smoothing": 0.1},
    ),
    replace(
        _CUTBLUR_RCAN,
        name="simusr",
        source="Ahn's thesis, chapter 5, Table 5.2 (RCAN with the mixture); it states neither patch, batch nor length, "
        "which are chapter 4's.",
        recipe="pseudo_pairs",
    ),
    Preset(
        name="zssr",
        source="Shocher et al., CVPR 2018, and the authors' code; 128 px are the side of its crops.",
        network=partial(zssr, 1),
        recipe="zero_shot",
        scales=(2,),
        patch_size=128,
        batch_size=1,
        steps=3000,
        learning_rate=1e-3,
        arguments={"scale": 2, "settings": "default"},
    ),
)
