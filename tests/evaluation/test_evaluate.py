import hashlib
import math

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn
from torch.nn import functional as F

import restorekit
from restorekit import models
from restorekit.data import PairedFolder
from restorekit.evaluation import Protocol, evaluate


def network(scale=2, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return models.carn_m(scale=scale, channels=8, blocks=1, units=1)


def watch(model):
    """What the network is given from now on, by itself or by copies of it; dry runs on the meta device do not count."""
    calls = []

    def note(module, arguments):
        if not arguments[0].is_meta:
            calls.append((module.training, torch.is_grad_enabled(), arguments[0].dtype))

    model.register_forward_pre_hook(note)
    return calls


def nearest(scale, gain=1.0):
    return lambda x: gain * F.interpolate(x, scale_factor=scale)


def l1(prediction, target):
    return (prediction - target).abs().mean(dim=(1, 2, 3))


@pytest.fixture
def folder(tmp_path):
    """Two crops of photographs with their low-resolution partners for 2 and 3; one is grey, one not a multiple."""
    for name, pixels in {"cat": data.chelsea()[90:131, 100:152], "man": data.camera()[50:86, 200:230]}.items():
        height, width = pixels.shape[:2]
        write(tmp_path / "HR" / f"{name}.png", pixels)
        for scale in (2, 3):
            low = Image.fromarray(pixels).resize((width // scale, height // scale), Image.Resampling.BOX)
            write(tmp_path / f"LRbicx{scale}" / f"{name}.png", np.asarray(low))
    return tmp_path


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def read(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(np.float64)


def expected(folder, name, scale, *, gain=1.0, round_y=False, truncate=False, rgb=False, lq=None, border=None):
    """PSNR and SSIM of ``nearest(scale, gain)`` with NumPy and skimage alone; the gains in use never hit a half."""
    low = read(folder / (lq or f"LRbicx{scale}") / f"{name}.png")
    prediction = np.clip(gain * low.repeat(scale, axis=0).repeat(scale, axis=1), 0, 255)
    prediction = np.floor(prediction if truncate else prediction + 0.5)
    target = read(folder / f"HR/{name}.png")[: prediction.shape[0], : prediction.shape[1]]
    if not rgb:
        weights = np.array([65.481, 128.553, 24.966]) / 255
        prediction, target = ((x @ weights + 16)[..., None] for x in (prediction, target))
    if round_y:
        prediction, target = np.round(prediction), np.round(target)
    border = scale if border is None else border
    prediction, target = (x[border:-border, border:-border] for x in (prediction, target))
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": -1}
    return (
        peak_signal_noise_ratio(target, prediction, data_range=255),
        structural_similarity(target, prediction, data_range=255, **window),
    )


def scores(result):
    return {record.name: pytest.approx((record.psnr, record.ssim), rel=1e-9) for record in result.records}


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize(
    ("protocol", "options"),
    [
        ("sr-y", {}),
        ("sr-y-matlab", {"round_y": True}),
        ("sr-y-truncated", {"round_y": True, "truncate": True}),
        ("rgb", {"rgb": True}),
    ],
)
def test_equals_skimage(folder, scale, protocol, options):
    result = evaluate(nearest(scale, 1.3001), folder, scale=scale, protocol=protocol)
    assert scores(result) == {n: expected(folder, n, scale, gain=1.3001, **options) for n in ("cat", "man")}
    assert result.psnr == pytest.approx(np.mean([record.psnr for record in result.records]))


@pytest.mark.parametrize(
    ("protocol", "options"),
    [
        (Protocol("truncated", quantise="truncate"), {"truncate": True}),
        (Protocol("rgb", color="rgb"), {"rgb": True}),
        (Protocol("both", quantise="truncate", color="rgb"), {"rgb": True, "truncate": True}),
    ],
)
def test_protocol_of_your_own(folder, protocol, options):
    result = evaluate(nearest(2, 0.9001), folder, scale=2, protocol=protocol)
    assert scores(result) == {name: expected(folder, name, 2, gain=0.9001, **options) for name in ("cat", "man")}
    assert result.protocol is protocol


@pytest.mark.parametrize(("protocol", "options"), [("rgb", {"rgb": True}), ("jpeg-y", {"round_y": True})])
def test_pictures_that_keep_their_size(folder, protocol, options):
    for name in ("cat", "man"):
        noise = np.random.default_rng(0).normal(0, 12, read(folder / f"HR/{name}.png").shape)
        write(folder / f"noisy/{name}.png", np.clip(read(folder / f"HR/{name}.png") + noise, 0, 255).astype(np.uint8))
    pairs = PairedFolder(folder / "noisy", folder / "HR", scale=1)
    result = evaluate(lambda x: 0.9001 * x, pairs, scale=1, protocol=protocol)
    options = {"gain": 0.9001, "lq": "noisy", "border": 4, **options}
    assert scores(result) == {name: expected(folder, name, 1, **options) for name in ("cat", "man")}
    assert (result.scale, result.crop, result.lq_source) == (1, 4, "noisy")


def test_a_denoiser_is_run_on_pairs_of_equal_size(folder):
    model = models.dncnn(3, in_channels=3, channels=8)
    result = evaluate(model, PairedFolder(folder / "HR", folder / "HR", scale=1), scale=1, protocol="rgb")
    assert len(result.records) == 2
    assert result.weight_hash is not None


def test_further_metrics_see_rgb_without_border(folder):
    seen = []

    def note(prediction, target):
        seen.append((prediction, target))
        return (prediction - target).abs().mean(dim=(1, 2, 3))

    result = evaluate(nearest(2, 1.3001), folder, scale=2, metrics={"l1": note}, lower_is_better=("l1",))
    assert result.metrics == ("psnr", "ssim", "l1")
    assert result.lower_is_better == ("l1",)
    prediction, target = seen[0]
    low, truth = read(folder / "LRbicx2/cat.png"), read(folder / "HR/cat.png")[2:38, 2:50]
    restored = np.floor(np.clip(1.3001 * low.repeat(2, axis=0).repeat(2, axis=1), 0, 255) + 0.5)[2:-2, 2:-2]
    for x, pixels in ((prediction, restored), (target, truth)):
        assert x.dtype == torch.float32
        np.testing.assert_allclose(255 * x[0].permute(1, 2, 0).numpy(), pixels, rtol=0, atol=1e-4)
    assert result.records[0].scores["l1"] == pytest.approx(np.abs(restored - truth).mean() / 255)


def test_the_pictures_can_be_kept(folder):
    kept = folder / "restored" / "nearest"
    protocol = Protocol("truncated", quantise="truncate")
    evaluate(nearest(2, 0.9001), folder, scale=2, protocol=protocol, keep_pictures=kept)
    assert sorted(path.name for path in kept.iterdir()) == ["cat.png", "man.png"]
    low = read(folder / "LRbicx2/cat.png")
    np.testing.assert_array_equal(read(kept / "cat.png"), np.floor(0.9001 * low.repeat(2, axis=0).repeat(2, axis=1)))


@pytest.mark.parametrize("place", ["HR", "LRbicx2", "HR/../HR"])
def test_given_pictures_are_not_overwritten(folder, place):
    before = (folder / "HR/cat.png").read_bytes()
    with pytest.raises(ValueError, match="holds the given pictures"):
        evaluate(nearest(2), folder, scale=2, keep_pictures=folder / place)
    assert (folder / "HR/cat.png").read_bytes() == before


def test_kept_pictures_do_not_overwrite_each_other(tmp_path):
    for suffix in ("png", "bmp"):
        write(tmp_path / "set" / f"cat.{suffix}", data.chelsea()[:40, :40])
    with pytest.raises(ValueError, match="keep_pictures needs pictures of different names"):
        evaluate(nearest(2), tmp_path / "set", scale=2, keep_pictures=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("linked", ["set", "kept"])
def test_pictures_behind_links_are_safe_too(folder, linked):
    """A set of links to pictures elsewhere, kept there; and a folder to keep that holds links to the set."""
    store, links = folder / "HR", folder / "links"
    links.mkdir()
    for path in store.iterdir():
        (links / path.name).symlink_to(path)
    before = {path: path.read_bytes() for path in store.iterdir()}
    given, kept = (links, store) if linked == "set" else (store, links)
    with pytest.raises(ValueError, match="holds the given pictures"):
        evaluate(nearest(2), given, scale=2, keep_pictures=kept)
    assert {path: path.read_bytes() for path in store.iterdir()} == before


def test_metrics_that_learn_are_run_without_gradients(folder):
    weight = torch.ones((), requires_grad=True)
    result = evaluate(nearest(2), folder, scale=2, metrics={"l1": lambda a, b: weight * l1(a, b)})
    assert result.values("l1") == evaluate(nearest(2), folder, scale=2, metrics={"l1": l1}).values("l1")


def test_result_says_what_was_done(folder):
    result = evaluate(nearest(3), folder, scale=3)
    assert (result.protocol.name, result.scale, result.crop, result.lq_source) == ("sr-y", 3, 3, "LRbicx3")
    assert [(record.name, record.height, record.width) for record in result.records] == [
        ("cat", 39, 51),
        ("man", 36, 30),
    ]
    assert (result.weight_hash, result.self_ensemble, result.tile, result.dtype) == (None, False, None, None)
    assert result.version == restorekit.__version__


def test_made_low_resolution_is_what_the_model_gets(folder):
    seen = []

    def model(lq):
        seen.append(lq)
        return nearest(2)(lq)

    result = evaluate(model, folder / "HR", scale=2)
    assert result.lq_source == "resize_uint8"
    assert [lq.shape for lq in seen] == [(1, 3, 20, 26), (1, 3, 18, 15)]
    assert all(lq.dtype == torch.float32 for lq in seen)
    torch.testing.assert_close(seen[0] * 255, (seen[0] * 255).round(), rtol=0, atol=1e-4)


def test_perfect_answer(folder):
    answers = iter([read(folder / f"HR/{name}.png") for name in ("cat", "man")])

    def oracle(lq):
        pixels = next(answers)[: 2 * lq.shape[2], : 2 * lq.shape[3]]
        return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255

    result = evaluate(oracle, folder, scale=2)
    assert result.psnr == math.inf
    assert result.ssim == 1.0


def test_restorer_runs_in_eval_mode_without_gradients_and_stays_as_it_was(folder):
    model = network().train()
    calls = watch(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    result = evaluate(model, folder, scale=2)
    assert calls == [(False, False, torch.float32)] * 2
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    function = evaluate(model.forward, folder, scale=2)
    assert scores(result) == {record.name: (record.psnr, record.ssim) for record in function.records}


def test_scale_picks_the_head(folder):
    model = network((2, 3))
    results = {scale: evaluate(model, folder, scale=scale) for scale in (2, 3)}
    functions = {s: evaluate(lambda x, s=s: model(x, scale=s), folder, scale=s) for s in (2, 3)}
    for scale, result in results.items():
        expected_scores = {record.name: (record.psnr, record.ssim) for record in functions[scale].records}
        assert scores(result) == expected_scores


def test_tiles_do_not_change_the_scores(folder):
    model = network()
    whole = evaluate(model, folder, scale=2)
    calls = watch(model)
    tiled = evaluate(model, folder, scale=2, tile=8)
    assert len(calls) > 2
    assert tiled.tile == 8
    assert [record.psnr for record in tiled.records] == pytest.approx([record.psnr for record in whole.records])


class Luma(models.Restorer):
    """Nearest neighbours for one channel, with a weight so that it is a network."""

    def __init__(self):
        super().__init__([2], size_multiple=1, in_channels=1, config={})
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x, scale=None):
        self.check_input(x)
        return self.gain * nearest(self.pick_scale(scale))(x)


def test_a_network_for_grey_is_scored_on_colour(folder):
    """Its luma is compared; enlarging the chroma by another kernel moves the score through rounding and clipping."""
    result = evaluate(Luma(), folder, scale=2)
    for record in result.records:
        assert record.psnr == pytest.approx(expected(folder, record.name, 2)[0], abs=0.05)
    assert result.psnr != evaluate(nearest(2), folder, scale=2).psnr


def test_self_ensemble_is_used_and_recorded(folder):
    model = network()
    plain = evaluate(model, folder, scale=2)
    calls = watch(model)
    ensemble = evaluate(model, folder, scale=2, self_ensemble=True)
    assert ensemble.self_ensemble
    assert len(calls) == 16
    assert ensemble.psnr != plain.psnr


def test_dtype_reaches_a_restorer_and_the_result(folder):
    model = network()
    calls = watch(model)
    result = evaluate(model, folder, scale=2, dtype=torch.float64, device="cpu")
    assert {dtype for *_, dtype in calls} == {torch.float64}
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert result.dtype == "float64"
    assert result.weight_hash == evaluate(model, folder, scale=2).weight_hash


def test_dtype_reaches_a_function(folder):
    dtypes = []

    def model(lq):
        dtypes.append(lq.dtype)
        return nearest(2)(lq)

    assert evaluate(model, folder, scale=2, dtype=torch.float64, device="cpu").dtype == "float64"
    assert dtypes == [torch.float64] * 2


def test_weight_hash_is_what_it_says(folder):
    model = network()
    total = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        total.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode() + value.numpy().tobytes())
    assert evaluate(model, folder, scale=2).weight_hash == total.hexdigest()


def test_weight_hash_follows_names_types_shapes_and_values(folder):
    def digest(model):
        return evaluate(model, folder, scale=2).weight_hash

    changed, extended, low = network(), network(), network()
    with torch.no_grad():
        next(changed.parameters()).flatten()[0] += 1e-6
    extended.register_buffer("count", torch.tensor(3))
    low.register_buffer("count", torch.tensor(3, dtype=torch.bfloat16))
    assert digest(network().eval()) == digest(network())
    hashes = {digest(model) for model in (network(), network(seed=1), network((2, 3)), changed, extended, low)}
    assert len(hashes) == 6


def test_same_inputs_give_the_same_result(folder):
    assert evaluate(network(), folder, scale=2) == evaluate(network(), folder, scale=2)


def test_progress_bar_is_shown_on_request_only(folder, capsys):
    evaluate(nearest(2), folder, scale=2)
    assert capsys.readouterr().err == ""
    evaluate(nearest(2), folder, scale=2, progress=True)
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (nearest(3), {}, ValueError, r"HR.cat\.png: the model must return \(1, 3, 40, 52\), got \(1, 3, 60, 78\)"),
        (lambda x: nearest(2)(x)[:, :1], {}, ValueError, r"cat\.png: the model must return \(1, 3, 40, 52\)"),
        (
            lambda x: nearest(2)(x) * math.nan,
            {},
            ValueError,
            r"cat\.png: the model returned values that are not numbers",
        ),
        (lambda x: [x], {}, TypeError, "must return a tensor, got list"),
        ("bicubic", {}, TypeError, "model must be an nn.Module or a function of a tensor, got str"),
        (nn.Upsample(scale_factor=2), {}, TypeError, "got Upsample; evaluate and self_ensemble take any function"),
        (network((2, 4)), {"scale": 3}, ValueError, r"^scale must be one of the network's scales \(2, 4\), got 3"),
        (network(4), {}, ValueError, r"^scale must be one of the network's scales \(4\), got 2"),
        (nearest(2), {"tile": 8}, ValueError, "tile and self_ensemble need an nn.Module"),
        (nearest(2), {"self_ensemble": True}, ValueError, "tile and self_ensemble need an nn.Module"),
        (nearest(1), {"scale": 1}, ValueError, "scale must be at least 2"),
        (nearest(2), {"scale": 0}, ValueError, "scale must be at least 1"),
        (nearest(2), {"metrics": {"psnr": l1}}, ValueError, "a metric cannot be called 'psnr'; taken are"),
        (nearest(2), {"metrics": {"records": l1}}, ValueError, "a metric cannot be called 'records'; taken are"),
        (nearest(2), {"metrics": {"": l1}}, ValueError, "a metric cannot be called ''"),
        (nearest(2), {"metrics": {"l1": 3}}, TypeError, r"metrics\['l1'\] must be a function of two pictures, got int"),
        (nearest(2), {"metrics": {"l1": F.l1_loss}}, ValueError, r"cat\.png: l1 must return one value .* shape \(\)"),
        (nearest(2), {"metrics": {"l1": lambda a, b: 0.5}}, TypeError, "l1 must return a tensor, .* got float"),
        (nearest(2), {"metrics": [l1]}, TypeError, "metrics must be a mapping of names to functions, got list"),
        (nearest(2), {"lower_is_better": ("l1",)}, ValueError, r"lower_is_better must be names from metrics, \(\)"),
        (nearest(2), {"metrics": {"l": l1}, "lower_is_better": "l"}, ValueError, "lower_is_better must be names"),
        (nearest(2), {"scale": 2.0}, TypeError, "scale must be an integer"),
    ],
)
def test_bad_calls(folder, model, options, error, message):
    with pytest.raises(error, match=message):
        evaluate(model, folder, **{"scale": 2, **options})


def test_picture_smaller_than_the_window_is_named(folder):
    write(folder / "HR/dot.png", data.coffee()[:14, :40])
    write(folder / "LRbicx2/dot.png", data.coffee()[:7, :20])
    with pytest.raises(ValueError, match=r"dot\.png: ssim needs at least 11x11 pixels, got 10x36"):
        evaluate(nearest(2), folder, scale=2)
