"""Presets against the papers' numbers, written down here a second time, and each of them in use."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from picture_files import noise, write_folder

from restorekit.augment import Mixture
from restorekit.data import PairedFolder, RandomCropPairs
from restorekit.image import rgb_to_y
from restorekit.layers import Desubpixel
from restorekit.models import (
    CARN,
    EDSR,
    FSRCNN,
    IDR,
    RCAN,
    RDN,
    SRCNN,
    ZSSR,
    DnCNN,
    MEPSNet,
    MSRResNet,
    PatchDiscriminator,
    ProgressiveCARN,
    SparseResNet,
)  # fmt: skip
from restorekit.train import adversarial, fit, list_presets, preset, progressive, pseudo_pairs, two_stage

QUIET = {"progress": False, "channels_last": False}
K = 1000

# name: (network, parameters, recipe, factors, patch, batch, steps, rate, steps at which the rate halves)
# Parameters: Table 2.4 and 2.5 of the thesis for CARN (weights and biases), chapter 4 for the networks of CutBlur
# (EDSR 43.2 and 38.4 M, RCAN 15.6 M, CARN 1.14 M), the papers or their code elsewhere.
TABLE = {
    # ECCV 2018, 4.2, and the code's README (64)
    "carn-eccv": (CARN, 1_591_939, "fit", (2, 3, 4), 64, 64, 600 * K, 1e-4, [400 * K]),
    "carn-m-eccv": (CARN, 414_787, "fit", (2, 3, 4), 64, 64, 600 * K, 1e-4, [400 * K]),
    # thesis 2.4.1
    "pcarn": (CARN, 1_591_939, "fit", (2, 3, 4), 48, 64, 600 * K, 1e-4, [400 * K]),
    "pcarn-m": (CARN, 414_787, "fit", (2, 3, 4), 48, 64, 600 * K, 1e-4, [400 * K]),
    # thesis 2.4.1, last sentence; batch and constant rate of the code
    "pcarn-gan": (CARN, 1_591_939, "adversarial", (2, 3, 4), 48, 32, 200 * K, 1e-4, []),
    "pcarn-m-gan": (CARN, 414_787, "adversarial", (2, 3, 4), 48, 32, 200 * K, 1e-4, []),
    # thesis 3.4.1
    "progressive-carn": (
        ProgressiveCARN, 9_464_905, "progressive", (8,), 48, (32, 8, 2), (150 * K, 200 * K, 300 * K), 1e-4, [],
    ),
    # thesis 4.3.3; CutBlur's code
    "cutblur-carn": (CARN, 1_137_795, "fit", (4,), 48, 64, 700 * K, 1e-4, [400 * K]),
    "cutblur-edsr": (EDSR, 43_193_603, "fit", (4,), 48, 16, 700 * K, 1e-4, [200 * K, 400 * K, 600 * K]),
    "cutblur-rcan": (RCAN, 15_618_275, "fit", (4,), 48, 16, 1000 * K, 1e-4, [200 * K, 400 * K, 600 * K, 800 * K]),
    "cutblur-dn": (EDSR, 38_369_283, "fit", (1,), 48, 16, 1000 * K, 1e-4, [300 * K, 550 * K, 800 * K]),
    "cutblur-jpeg": (EDSR, 38_369_283, "fit", (1,), 48, 16, 1000 * K, 1e-4, [300 * K, 550 * K, 800 * K]),
    # EDSR-PyTorch
    "edsr": (EDSR, 43_089_923, "fit", (4,), 48, 16, 300 * K, 1e-4, [200 * K]),
    "edsr-baseline": (EDSR, 1_517_571, "fit", (4,), 48, 16, 300 * K, 1e-4, [200 * K]),
    # RCAN's code: 1000 epochs of 1000 batches
    "rcan": (RCAN, 15_592_355, "fit", (4,), 48, 16, 1000 * K, 1e-4, [200 * K, 400 * K, 600 * K, 800 * K]),
    # RDN's code: the same with patches of 32
    "rdn": (RDN, 22_271_107, "fit", (4,), 32, 16, 1000 * K, 1e-4, [200 * K, 400 * K, 600 * K, 800 * K]),
    # BasicSR's options: HR patches of 128
    "srresnet-basicsr": (MSRResNet, 1_517_571, "fit", (4,), 32, 16, 1000 * K, 2e-4, None),
    # KAIR's options
    "dncnn": (DnCNN, 557_057, "fit", (1,), 40, 64, 1000 * K, 1e-4, [200 * K, 400 * K, 600 * K, 800 * K]),
    # yjn870's code: 33 px after enlargement; 24,800 patches in TPAMI 2016, section 4.1, 400 passes
    "srcnn": (SRCNN, 57_281, "fit", (3,), 11, 16, 400 * 24_800 // 16, 1e-4, []),
    # yjn870's code: 7 px at a factor of 3
    "fsrcnn": (FSRCNN, 12_809, "fit", (3,), 7, 16, 750 * K, 1e-3, []),
    # the authors' code: 30 passes of 800 x 1000 patches
    "nsr": (SparseResNet, 4_877_812, "fit", (2,), 48, 16, 30 * 800 * 1000 // 16, 1e-3, None),
    # thesis 7.5
    "mepsnet": (MEPSNet, 2_241_187, "fit", (1,), 80, 16, 1200 * K, 1e-4, [120 * K, 300 * K]),
    # supplement, section 3; the authors' options: 550 and 650 epochs of 400 steps
    "idr": (IDR, 13_862_023, "two_stage", (1,), 128, 7, (550 * 400, 650 * 400), 1e-4, None),
    # thesis 5.4 with the setting of 4.3.3
    "simusr": (RCAN, 15_618_275, "pseudo_pairs", (4,), 48, 16, 1000 * K, 1e-4, [200 * K, 400 * K, 600 * K, 800 * K]),
    # ZSSR's configs.py
    "zssr": (ZSSR, 224_640, "zero_shot", (2,), 128, 1, 3000, 1e-3, []),
}  # fmt: skip


def test_all_presets_are_in_the_table():
    assert list_presets() == sorted(TABLE)
    assert all(preset(name).name == name for name in TABLE)
    assert all(preset(name).source.endswith(".") for name in TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_numbers(name):
    kind, parameters, recipe, scales, patch, batch, steps, rate, halvings = TABLE[name]
    p = preset(name)
    assert (p.recipe, p.scales, p.patch_size, p.batch_size, p.steps, p.learning_rate) == (
        recipe, scales, patch, batch, steps, rate,
    )  # fmt: skip
    with torch.device("meta"):
        model = p.model()
    assert type(model) is kind
    assert sum(x.numel() for x in model.parameters()) == parameters
    factors = (
        (model.size_multiple,) if any(isinstance(m, Desubpixel) and m.scale > 1 for m in model.modules()) else None
    )
    assert (factors or model.scales) == (scales if name != "zssr" else (1,))
    if halvings is not None:
        schedule = p.curve.schedule()
        total = steps if isinstance(steps, int) else sum(steps)
        seen = [(step, schedule(step)) for edge in halvings for step in (edge - 1, edge)]
        assert seen == [(edge - 1 + i, 0.5 ** (n + i)) for n, edge in enumerate(halvings) for i in (0, 1)]
        assert (schedule(0), schedule(total - 1)) == (1.0, 0.5 ** len(halvings))


# What differs from Adam (0.9, 0.999) without decay, clipping, average, L1, rates by name, and augmentation
OTHERS = {
    "carn-eccv": {"clip_norm": 10.0},  # code
    "carn-m-eccv": {"clip_norm": 10.0},
    "pcarn": {"clip_norm": 10.0},
    "pcarn-m": {"clip_norm": 10.0},
    "pcarn-gan": {"clip_norm": 10.0, "arguments": {"gan_weight": 0.005, "discriminator_rate": 1e-4}},  # code
    "pcarn-m-gan": {"clip_norm": 10.0, "arguments": {"gan_weight": 0.005, "discriminator_rate": 1e-4}},
    "progressive-carn": {"clip_norm": 10.0, "arguments": {"decay": 0.1}},  # thesis 3.4.1, "by ten times"
    "srresnet-basicsr": {"betas": (0.9, 0.99), "ema_decay": 0.999},
    "srcnn": {"loss": F.mse_loss, "rate_factors": {"exit.": 0.1}, "luminance": True},
    "fsrcnn": {"loss": F.mse_loss, "rate_factors": {"exit.": 0.1}, "luminance": True},
    "dncnn": {"luminance": True},
    "mepsnet": {"loss": F.mse_loss, "betas": (0.9, 0.99), "weight_decay": 1e-4},  # thesis 7.5
    "idr": {"arguments": {"classification_weight": 0.01, "label_smoothing": 0.1}},
    "zssr": {"arguments": {"scale": 2, "settings": "default"}},
}
PLAIN = {
    "betas": (0.9, 0.999), "weight_decay": 0.0, "clip_norm": None, "ema_decay": None, "rate_factors": {},
    "loss": F.l1_loss, "luminance": False, "arguments": {},
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_everything_else(name):
    p = preset(name)
    assert {key: getattr(p, key) for key in PLAIN} == {**PLAIN, **OTHERS.get(name, {})}


@pytest.mark.parametrize(
    ("name", "p", "ratios"),
    [  # thesis, Table 4.1 and "Augmentation setup": p = 1 for super-resolution, 0.6 else, 0.2 for CARN; r uniform
        ("cutblur-edsr", 1.0, [1 / 7] * 7),
        ("cutblur-rcan", 1.0, [1 / 7] * 7),
        ("cutblur-carn", 0.2, [1 / 7] * 7),
        ("cutblur-dn", 0.6, [1 / 7] * 7),
        ("cutblur-jpeg", 0.6, [1 / 7] * 7),
        ("simusr", 1.0, [1 / 7] * 7),
    ],
)
def test_mixtures(name, p, ratios):
    mixture = preset(name).augment
    assert isinstance(mixture, Mixture)
    assert (mixture.p, mixture.ratios) == (p, pytest.approx(ratios))
    assert set(mixture.names) == {"blend", "permute_rgb", "mixup", "cutout", "cutmix", "cutmixup", "cutblur"}


def test_the_others_are_not_augmented():
    assert [name for name in TABLE if preset(name).augment is not None] == [
        name for name in TABLE if name.startswith("cutblur") or name == "simusr"
    ]


def test_the_schedules_that_do_not_halve():
    nsr = preset("nsr").curve.schedule()  # x 0.2 after 20 and 25 passes of 50,000 steps
    assert [nsr(step) for step in (999_999, 1_000_000, 1_249_999, 1_250_000)] == pytest.approx([1, 0.2, 0.2, 0.04])
    basicsr = preset("srresnet-basicsr").curve.schedule()  # 2e-4, four times to 1e-7
    for start in range(0, 1_000_000, 250_000):
        assert 2e-4 * basicsr(start) == pytest.approx(2e-4)
        assert 2e-4 * basicsr(start + 249_999) == pytest.approx(1e-7, rel=1e-3)
    idr = preset("idr").curve.schedule()  # 92k, 88k, 172k, 128k; weights 1, 1, .5, .3; to 2e-5 and three times 1e-6
    starts = [1e-4 * idr(step) for step in (0, 92_000, 180_000, 352_000)]
    ends = [1e-4 * idr(step) for step in (91_999, 179_999, 351_999, 479_999)]
    assert starts == pytest.approx([1e-4, 1e-4, 1e-6 + 0.5 * 99e-6, 1e-6 + 0.3 * 99e-6])
    assert ends == pytest.approx([2e-5, 1e-6, 1e-6, 1e-6], rel=1e-3)


@pytest.mark.parametrize("name", TABLE)
def test_shortened_presets_keep_their_proportions(name):
    p, total = preset(name), np.sum(preset(name).steps)
    short = preset(name, steps=2000)
    assert np.sum(short.steps) == 2000
    assert short == p.shortened(2000)
    whole, curve = p.curve.schedule(), short.curve.schedule()
    for share in (0.005, 0.21, 0.49, 0.77, 0.99):  # off all milestones
        assert curve(round(share * 2000)) == pytest.approx(whole(round(share * total)), rel=0.02, abs=0.02)
    unchanged = replace(short, steps=p.steps, curve=p.curve)
    assert unchanged == p
    assert p.shortened(int(total)) == p


def test_presets_can_be_made_too_short():
    assert preset("idr", steps=2).steps == (1, 1)
    assert [preset("edsr", steps=1).curve.schedule()(step) for step in (0, 1)] == [1.0, 0.5]
    with pytest.raises(ValueError, match="steps must be at least 3"):
        preset("progressive-carn", steps=2)
    with pytest.raises(TypeError, match="steps must be an integer"):
        preset("edsr", steps=0.5)


def test_unknown_names_are_told_the_known_ones():
    with pytest.raises(ValueError, match=r"preset must be one of carn-eccv, carn-m-eccv, .*, zssr, got 'carn'"):
        preset("carn")


@pytest.fixture
def clean():
    return [noise(96, 104, 3, seed=seed) for seed in range(2)]


# networks of the same kind that take a moment, and patches for them
SMALL = {
    "carn-eccv": {"channels": 8, "blocks": 1, "units": 1},
    "carn-m-eccv": {"channels": 8, "blocks": 1, "units": 1},
    "pcarn": {"channels": 8, "blocks": 1, "units": 1},
    "pcarn-m": {"channels": 8, "blocks": 1, "units": 1},
    "cutblur-carn": {"channels": 8, "blocks": 1, "units": 1},
    "cutblur-edsr": {"channels": 4, "blocks": 1},
    "cutblur-rcan": {"channels": 4, "residual_groups": 1, "blocks": 1, "reduction": 2},
    "cutblur-dn": {"channels": 4, "blocks": 1},
    "cutblur-jpeg": {"channels": 4, "blocks": 1},
    "edsr": {"channels": 4, "blocks": 1},
    "edsr-baseline": {"channels": 4, "blocks": 1},
    "rcan": {"channels": 4, "residual_groups": 1, "blocks": 1, "reduction": 2},
    "rdn": {"channels": 4, "growth": 4, "blocks": 1, "layers": 1},
    "srresnet-basicsr": {"channels": 4, "blocks": 1},
    "dncnn": {"channels": 4, "depth": 3},
    "srcnn": {},
    "fsrcnn": {},
    "nsr": {"channels": 16, "blocks": 1, "cardinality": 4},
    "mepsnet": {"experts": 1, "units": 1, "blocks": 1, "channels": 4, "extraction_channels": 8},
}


def _small(name, **changes):
    p = preset(name, steps=2)
    size = p.batch_size if not isinstance(p.batch_size, int) else 4
    return replace(p, network=partial(p.network, **SMALL.get(name, {})), batch_size=size, patch_size=8, **changes)


@pytest.mark.parametrize("name", [name for name in TABLE if TABLE[name][2] == "fit"])
def test_a_step_in_use(name, clean):
    p = _small(name)
    pictures = [(x, x) for x in clean] if name == "mepsnet" else clean
    model = p.model()
    before = [x.detach().clone() for x in model.parameters()]
    run = fit(model, p.pairs(pictures, length=20), step=p.step(), **p.options(), **QUIET)
    assert run.steps == 2
    assert all(math.isfinite(loss) for loss in run.losses)
    assert any(not torch.equal(x, y) for x, y in zip(before, model.parameters(), strict=True))
    assert (run.ema is not None) == (name == "srresnet-basicsr")


def test_the_recipes_take_their_options(clean):
    p = _small("idr")
    tiny = partial(IDR, channels=4, blocks=(1, 1, 1, 1), heads=(1, 1, 1, 1), refinement_blocks=1, hub_size=2)
    p = replace(p, network=tiny, batch_size=2)
    given = [(x, x) for x in clean]
    sets = p.pairs({"noise/15": given, "blur": given}, length=4)
    assert [run.steps for run in two_stage(p.model(), sets, **p.options(), **QUIET)] == [1, 1]
    p = replace(preset("simusr", steps=1), patch_size=8, batch_size=2)
    p = replace(p, network=partial(p.network, channels=4, residual_groups=1, blocks=1, reduction=2))
    assert pseudo_pairs(p.model(), clean, **p.options(), **QUIET).steps == 1


def test_the_progressive_recipe_takes_its_options(clean):
    p = preset("progressive-carn", steps=3)
    p = replace(p, network=partial(p.network, channels=4, blocks=1, units=1), batch_size=(2, 1, 1), patch_size=4)
    runs = progressive(p.model(), p.pairs(clean, length=4), **p.options(), **QUIET)
    assert [run.steps for run in runs] == [1, 1, 1]


def test_the_adversarial_recipe_takes_its_arguments(clean):
    p = _small("pcarn-gan")
    step = adversarial(PatchDiscriminator(channels=4), content=F.mse_loss, **p.arguments)
    net = partial(p.network, channels=4, blocks=1, units=1)()
    run = fit(net, p.pairs(clean, length=4), step=step, **p.options(), **QUIET)
    assert len(run.losses) == len(run.partner_losses["discriminator"]) == 2


def test_options_of_the_other_recipes():
    by_stages = preset("progressive-carn").options()
    plan = [(stage.steps, stage.batch_size) for stage in by_stages["stages"]]
    assert plan == [(150_000, 32), (200_000, 8), (300_000, 2)]
    assert (by_stages["clip_norm"], by_stages["loss"], by_stages["decay"]) == (10.0, F.l1_loss, 0.1)
    assert not {"steps", "batch_size", "rate_factors"} & set(by_stages)
    assert preset("zssr").options() == {
        "steps": 3000, "batch_size": 1, "loss": F.l1_loss, "scale": 2, "settings": "default",
    }  # fmt: skip
    in_turns = preset("pcarn-gan").options()
    assert (in_turns["steps"], in_turns["batch_size"]) == (200_000, 32)
    assert "gan_weight" not in in_turns


def test_pairs_are_crops_at_each_scale(clean, tmp_path):
    p = _small("carn-eccv")
    crops = p.pairs(clean, length=5, seed=3)
    assert list(crops) == [2, 3, 4]
    expected = RandomCropPairs(clean, patch_size=8, scale=3, length=5, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(crops[3][4], expected[4], strict=True))
    folder = write_folder(tmp_path / "hr", {f"{i}.png": picture for i, picture in enumerate(clean)})
    from_folder = p.pairs(folder, length=5, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(from_folder[3][4], expected[4], strict=True))
    by_scale = p.pairs({4: clean, 2: [(x[::2, ::2], x) for x in clean]}, length=5)
    assert [(key, x.scale) for key, x in by_scale.items()] == [(4, 4), (2, 2)]
    assert len(p.pairs(clean)[2]) == 1 << 20
    single = _small("edsr").pairs(clean, length=2)
    assert (single.scale, single.patch_size) == (4, 8)


def test_luminance_networks_see_luma(clean):
    p = _small("srcnn")
    seen = []

    class Network(torch.nn.Module):
        def forward(self, x):
            seen.append(x)
            return F.interpolate(x, scale_factor=3)

    lq, hq = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 24, 24)
    loss = p.step()(Network(), (lq, hq), torch.Generator())
    torch.testing.assert_close(seen[0], rgb_to_y(lq))
    assert loss.item() == pytest.approx(F.mse_loss(F.interpolate(rgb_to_y(lq), scale_factor=3), rgb_to_y(hq)).item())


def _std_inside(limit):
    """Of a normal distribution whose values are cut to [-limit, limit]."""
    inside = math.erf(limit / math.sqrt(2))
    density = math.exp(-(limit**2) / 2) / math.sqrt(2 * math.pi)
    return math.sqrt(inside - 2 * limit * density + limit**2 * (1 - inside))


@pytest.mark.parametrize(("name", "sigma", "channels"), [("dncnn", 25 / 255, 1), ("cutblur-dn", 70 / 255, 3)])
def test_noise_is_drawn_anew_in_each_step(name, sigma, channels):
    p, seen = replace(preset(name), augment=None), []

    def noisy(level, seed):
        x = torch.full((1, 3, 96, 96), level)
        p.step()(lambda lq: seen.append(lq) or lq, (x, x), torch.Generator().manual_seed(seed))
        return seen[-1]

    first, second, third = (noisy(0.5, seed) for seed in (0, 1, 1))
    assert torch.equal(second, third)
    assert not torch.equal(first, second)
    assert first.shape[1] == channels
    limit = 0.5 / sigma if name == "cutblur-dn" else 10  # its noise is clipped
    assert first.std().item() == pytest.approx(sigma * _std_inside(limit), rel=0.03)
    assert (noisy(1.0, 0).max() > 1) == (name == "dncnn")


def test_jpeg_is_that_of_quality_10(clean):
    from restorekit.degrade import jpeg

    p, seen = replace(preset("cutblur-jpeg"), augment=None), []
    x = torch.rand(2, 3, 16, 16)
    p.step()(lambda lq: seen.append(lq) or lq, (x, x), torch.Generator())
    assert torch.equal(seen[0], jpeg(x, 10))


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("mepsnet", "clean", r"preset 'mepsnet' needs pairs \(lq, hq\): a DegradedSet"),
        ("cutblur-dn", "pairs", r"damages clean pictures itself; .* dataclasses\.replace\(preset, degrade=None\)"),
        ("cutblur-dn", "folders", r"damages clean pictures itself"),
        ("idr", "clean", "needs pictures by degradation"),
        ("simusr", "clean", "trains by pseudo_pairs, which takes the pictures themselves"),
        ("zssr", "clean", "trains by zero_shot, which takes the pictures themselves"),
        ("edsr", "none", "at least one picture"),
    ],
)
def test_pictures_that_do_not_suit_are_refused(name, given, message, clean, tmp_path):
    folders = [write_folder(tmp_path / kind, {"a.png": clean[0]}) for kind in ("lq", "hq")]
    pictures = {
        "clean": clean, "pairs": [(x, x) for x in clean], "folders": PairedFolder(*folders), "none": [],
    }[given]  # fmt: skip
    with pytest.raises(ValueError, match=message):
        preset(name).pairs(pictures)


def test_pairs_that_are_damaged_already(clean):
    p = replace(_small("cutblur-dn"), degrade=None, augment=None)
    crops = p.pairs([(x, 255 - x) for x in clean], length=3)
    lq, hq = crops[0]
    torch.testing.assert_close(hq, 1 - lq)


@pytest.mark.parametrize("name", ["pcarn-gan", "progressive-carn", "idr", "simusr", "zssr"])
def test_other_recipes_have_steps_of_their_own(name):
    with pytest.raises(ValueError, match=f"preset '{name}' trains by {preset(name).recipe}; see Preset"):
        preset(name).step()
