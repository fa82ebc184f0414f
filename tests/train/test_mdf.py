"""Training on one picture: against a plain transcription, exact resume, pyramid, tasks, signals, bad input."""

import math
import shutil
import signal
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from restorekit._random import seeded
from restorekit.degrade import Chain, Distortion, downscale, gaussian_blur, gaussian_noise, jpeg
from restorekit.image import resize
from restorekit.models import SinGANDiscriminator
from restorekit.train import fit_mdf
from restorekit.train._mdf.game import Game
from restorekit.train._mdf.networks import Networks, for_unit_range
from restorekit.train._mdf.pyramid import make_pyramid
from restorekit.train._mdf.task import make_task
from restorekit.train._mdf.written_out import written_out_norms
from restorekit.train.checkpoint import Checkpoints

SCALES, ITERATIONS = 3, 3


def _picture(height=20, width=26, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return resize(torch.rand(1, 3, 5, 6, generator=generator), size=(height, width)).clamp(0, 1)


def _fit(image=None, task="sisr", **options):
    settings = {"num_scales": SCALES, "iterations": ITERATIONS, "min_side": 12, "progress": False, **options}
    return fit_mdf(_picture() if image is None else image, task, **settings)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run, and the checkpoint that it left."""
    path = tmp_path_factory.mktemp("finished") / "run.pt"
    return _fit(checkpoint=path), path


def _weights(result):
    return [value for discriminator in result.discriminators for value in discriminator.state_dict().values()]


def _same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@dataclass
class Shifted:
    """A function that compares by value, so that it has no hash."""

    by: float

    def __call__(self, x):
        return x + self.by


class Noise:
    """Noise from a generator, that shows itself as the same to a checkpoint and can send a signal at some call."""

    def __init__(self, signal_at=None, number=signal.SIGINT):
        self.calls, self.signal_at, self.number = 0, signal_at, number

    def __call__(self, x, *, generator):
        assert x.min() >= 0
        assert x.max() <= 1
        self.calls += 1
        if self.calls == self.signal_at:
            signal.raise_signal(self.number)
        return x + 0.1 * torch.randn(x.shape, generator=generator)


# --- what is computed ---


def _plain(picture, distort, scales, iterations):
    """The algorithm once more, with a fresh Adam for each player and everything in line.

    What rounds, rounds as in the library: convolutions before a norm have biases without gradient, and Adam makes
    whole steps of the rounding errors there.
    """
    height, width = picture.shape[-2:]
    ratio = (12 / min(height, width)) ** (1 / (scales - 1))
    sizes = [(round(height * ratio**i), round(width * ratio**i)) for i in range(scales, -1, -1)]
    reals = [resize(picture, size=size).clamp(0, 1) * 2 - 1 for size in sizes[1:]]
    start, initial, done, notes = resize(reals[0], size=sizes[0]), Networks(scales, seed=0), [], []
    for k, real in enumerate(reals):
        critic, maker = initial.discriminators[k], initial.generators[k]
        if k:  # all within the first four scales
            critic.load_state_dict(initial.discriminators[k - 1].state_dict())
            maker.load_state_dict(done[-1].state_dict())
        players = [torch.optim.Adam(net.parameters(), lr=5e-4, betas=(0.5, 0.999)) for net in (critic, maker)]
        x = start
        for net, level in zip(done, reals, strict=False):
            x = net.eval()(distort(resize(x, size=level.shape[-2:]))).detach()
        x = distort(resize(x, size=real.shape[-2:]))
        for i in range(iterations):
            for player in players:
                player.param_groups[0]["lr"] = 5e-4 if i < 0.8 * iterations else 5e-5
            fake = maker(x).detach()
            for j in range(3):
                u = torch.rand((), generator=seeded(0, 2, k * iterations + i, j))
                between = torch.lerp(fake, real, u).requires_grad_()
                distance = critic(real).mean() - critic(fake).mean()
                with written_out_norms(critic):
                    total = critic(between).sum()
                slope = torch.autograd.grad(total, between, create_graph=True)[0]
                penalty = ((slope.norm(dim=1) - 1) ** 2).mean()
                critic.zero_grad()
                (0.3 * penalty - distance).backward()
                players[0].step()
            for _ in range(3):
                fake = maker(x)
                maker.zero_grad()
                (10 * F.mse_loss(fake, real) - critic(fake).mean()).backward()
                players[1].step()
            error = ((fake - real) / 2).square().mean().item()
            notes.append((distance.item(), penalty.item(), -10 * math.log10(error)))
        done.append(maker)
    return initial.discriminators, notes


@pytest.mark.parametrize(
    ("task", "distort"),
    [
        (lambda x: x, lambda x: 2 * ((x + 1) / 2).clamp(0, 1) - 1),
        (partial(gaussian_blur, level=1.0), lambda x: 2 * gaussian_blur(((x + 1) / 2).clamp(0, 1), 1.0) - 1),
    ],
    ids=["nothing", "blur"],
)
def test_the_training_is_the_plain_one(task, distort):
    result = _fit(task=task, num_scales=2)
    expected, notes = _plain(_picture(), distort, 2, ITERATIONS)
    curves = [row for scale in result.curves for row in zip(scale.distance, scale.penalty, scale.psnr, strict=True)]
    np.testing.assert_allclose(curves, notes, rtol=2e-3, atol=2e-3)
    for one, other in zip(result.discriminators, expected, strict=True):
        for block, plain in zip(one.body, other.body, strict=True):  # the head takes another range
            assert (block.conv.weight - plain.conv.weight).abs().mean() < 2e-5
            assert (block.norm.weight - plain.norm.weight).abs().mean() < 2e-5


def test_the_result_is_for_the_loss(finished):
    result, _ = finished
    assert [type(net) for net in result.discriminators] == [SinGANDiscriminator] * SCALES
    assert not any(module.training for net in result.discriminators for module in net.modules())
    assert not any(parameter.requires_grad for net in result.discriminators for parameter in net.parameters())
    assert {value.dtype for value in _weights(result)} == {torch.float32, torch.int64}
    assert [len(getattr(scale, name)) for scale in result.curves for name in ("distance", "penalty", "psnr")] == [
        ITERATIONS
    ] * (3 * SCALES)


def test_counters_tell_of_warm_starts_as_the_published_ones_do():
    result = _fit(_picture(30, 40), num_scales=6, iterations=1, min_side=11)
    assert [net.head.norm.num_batches_tracked.item() for net in result.discriminators] == [12, 24, 36, 48, 12, 24]


def test_widths_are_the_published_ones():
    networks = Networks(14, seed=0)
    expected = [32] * 4 + [64] * 4 + [128] * 6
    assert [net.tail.in_channels for net in networks.discriminators] == expected
    assert [net.tail.in_channels for net in networks.generators] == expected


def test_the_range_goes_into_the_first_convolution():
    trained = Networks(2, seed=0).discriminators[0].train()
    x = torch.rand(2, 3, 16, 18)
    for _ in range(3):
        trained(2 * x - 1)  # running statistics that are not the initial ones
    before = [value.clone() for value in trained.state_dict().values()]
    folded = for_unit_range(trained)
    assert _same(before, trained.state_dict().values())
    torch.testing.assert_close(folded(x), trained.eval()(2 * x - 1), rtol=1e-5, atol=1e-6)


def _game(bf16=False):
    networks = Networks(2, seed=0)
    optimizer = torch.optim.Adam(networks.parameters(), lr=5e-4, betas=(0.5, 0.999))
    return Game(networks.discriminators[0].train(), networks.generators[0].train(), optimizer, 0.3, bf16=bf16)


@pytest.mark.parametrize("bf16", [False, True])
def test_the_discriminator_learns_to_tell_two_pictures_apart(bf16):
    game, real = _game(bf16), 2 * _picture() - 1
    fake = (real + 0.3 * torch.randn(real.shape, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)
    before = [value.clone() for value in game.generator.state_dict().values()]
    distances = [game.judge(real, fake, torch.tensor(0.5))[0].item() for _ in range(20)]
    assert distances[-1] > 0.3
    assert distances[-1] > 5 * abs(distances[0])
    assert _same(before, game.generator.state_dict().values())


@pytest.mark.parametrize("bf16", [False, True])
def test_the_generator_learns_to_restore(bf16):
    game, real = _game(bf16), 2 * _picture() - 1
    weights = [parameter.clone() for parameter in game.discriminator.parameters()]
    errors = [game.restore(0.5 * real, real).item() for _ in range(20)]
    assert errors[-1] < 0.5 * errors[0]
    assert _same(weights, game.discriminator.parameters())
    assert all(parameter.requires_grad for parameter in game.discriminator.parameters())


def test_written_out_norms_are_the_norms():
    generator = torch.Generator().manual_seed(0)
    x = 3 + torch.randn(2, 4, 6, 5, generator=generator)
    wanted, twins = torch.rand(x.shape, generator=generator), []
    for written in (False, True):
        norm, one = nn.BatchNorm2d(4), x.clone().requires_grad_()
        with torch.no_grad():
            norm.weight.copy_(torch.linspace(0.5, 2, 4))
            norm.bias.copy_(torch.linspace(-1, 1, 4))
        if written:
            with written_out_norms(norm):
                out = norm(one)
        else:
            out = norm(one)
        (slope,) = torch.autograd.grad((wanted * out.exp()).sum(), one, create_graph=True)
        second = torch.autograd.grad(slope.square().sum(), [one, norm.weight, norm.bias])
        twins.append([out, slope, *second, *norm.buffers()])
        assert "forward" not in vars(norm)
    for plain, written in zip(*twins, strict=True):
        torch.testing.assert_close(written, plain, rtol=1e-4, atol=1e-5 * plain.abs().max().item())


def test_bfloat16_comes_near():
    full, half = _fit(num_scales=2, iterations=1), _fit(num_scales=2, iterations=1, mixed_precision="bf16")
    assert not _same(_weights(full), _weights(half))
    assert {value.dtype for value in _weights(half)} == {torch.float32, torch.int64}
    assert half.curves[0].psnr[0] == pytest.approx(full.curves[0].psnr[0], abs=0.5)


# --- pyramid ---


def test_sizes_of_a_photograph():
    pyramid = make_pyramid(torch.rand(1, 3, 400, 600), 9, 250, 25, "picture")
    sizes = [tuple(level.shape[-2:]) for level in pyramid.levels]
    assert sizes[0] == (25, 37)
    assert sizes[-1] == (167, 250)
    np.testing.assert_allclose([h / other for (h, _), (other, _) in pairwise(sizes)], 0.789, atol=0.02)
    assert tuple(pyramid.start.shape[-2:]) == (20, 30)


def test_a_picture_that_fits_is_not_resized():
    picture = _picture(40, 30)
    pyramid = make_pyramid(picture, 3, 40, 12, "picture")
    torch.testing.assert_close(pyramid.levels[-1], 2 * picture - 1)
    assert all(level.abs().max() <= 1 for level in pyramid.levels)
    assert min(pyramid.levels[0].shape) == 1
    assert min(pyramid.levels[0].shape[-2:]) == 12


# --- randomness ---


@pytest.mark.parametrize("task", ["sisr", "denoising"])
def test_the_seed_decides(task):
    small = {"task": task, "num_scales": 2, "iterations": 1}
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = _fit(**small)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again, other = _fit(**small), _fit(**small, seed=1)
    assert again.curves == first.curves
    assert _same(_weights(again), _weights(first))
    assert other.curves != first.curves


def test_nothing_is_written_into_the_picture():
    picture = _picture().requires_grad_()
    before = picture.detach().clone()
    _fit(picture, lambda x: x.mul_(0.5), num_scales=2, iterations=1, max_side=26)  # the finest size is its own
    assert torch.equal(picture, before)
    assert picture.grad is None


# --- resume ---

TWO = [_picture(), _picture(18, 22, seed=1)]


@pytest.mark.parametrize(
    ("image", "task", "scales", "mixed_precision"),
    [(TWO[0], "sisr", 3, None), (TWO[0], partial(gaussian_blur, level=1.0), 2, None), (TWO, "jpeg", 2, "bf16")],
    ids=["sisr", "drawing nothing", "two pictures"],
)
def test_a_resumed_run_ends_with_the_same_bits(image, task, scales, mixed_precision, tmp_path, monkeypatch):
    path, save = tmp_path / "run.pt", Checkpoints.save

    def keep(self, state):
        save(self, state)
        shutil.copy(path, tmp_path / f"after_{state.step}.pt")

    monkeypatch.setattr(Checkpoints, "save", keep)
    options = {"num_scales": scales, "checkpoint_every": 1, "mixed_precision": mixed_precision}
    expected = _fit(image, task, checkpoint=path, **options)
    monkeypatch.undo()
    whole = torch.load(path, weights_only=True)
    last = scales * ITERATIONS
    stops = range(1, last + 1)
    assert sorted(file.name for file in tmp_path.glob("after_*")) == sorted(f"after_{stop}.pt" for stop in stops)
    for stop in (2, last - ITERATIONS, last - 1, last):  # inside scales, between two, and at the end
        torch.manual_seed(stop)  # whatever the user does in between
        part = tmp_path / f"after_{stop}.pt"
        result = _fit(image, task, checkpoint=part, **options)
        assert result.curves == expected.curves
        assert _same(_weights(result), _weights(expected))
        again = torch.load(part, weights_only=True)
        assert _same(again["model"].values(), whole["model"].values())
        assert _same(_moments(again), _moments(whole))


def _moments(content):
    states = content["optimizer"]["state"]
    assert states
    return [value for number in sorted(states) for _, value in sorted(states[number].items())]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, r"another run: seed 0 \(here 1\)"),
        ({"iterations": 4}, r"iterations 3 \(here 4\)"),
        ({"mixed_precision": "bf16"}, r"mixed_precision None \(here 'bf16'\)"),
        ({"max_side": 25}, r"max_side 250 \(here 25\)"),
        ({"task": "jpeg"}, r"task 'sisr' \(here 'jpeg'\)"),
        ({"image": TWO[1]}, r"pictures '[0-9a-f]+' \(here '[0-9a-f]+'\)"),
        ({"num_scales": 2}, "belongs to another model"),
    ],
)
def test_another_runs_checkpoint_is_refused(change, message, finished):
    before = finished[1].read_bytes()
    with pytest.raises(ValueError, match=message):
        _fit(**{"checkpoint": finished[1], **change})
    assert finished[1].read_bytes() == before


def test_a_function_is_known_by_its_repr_without_addresses():
    assert (
        make_task(partial(gaussian_noise, level=0.1)).name == "functools.partial(<function gaussian_noise>, level=0.1)"
    )
    assert make_task(Distortion("jpeg", 10)).name == "Distortion('jpeg', 10)"


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "run.pt").write_text("weights to come")
    with pytest.raises(ValueError, match="no whole training checkpoint"):
        _fit(checkpoint=tmp_path / "run.pt")


# --- signals and losses that are not finite ---


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_iteration_end_and_writes_a_checkpoint(number, tmp_path):
    path, small = tmp_path / "run.pt", {"num_scales": 2, "iterations": 2}
    before = signal.getsignal(number)
    # the task is tried out at 2 sizes, then asked 3 times in an iteration of the first scale: this is in the first
    with pytest.raises((KeyboardInterrupt, SystemExit), check=_says_what_to_do(number, path)):
        _fit(task=Noise(2 + 2, number), checkpoint=path, **small)
    assert signal.getsignal(number) == before
    assert len(torch.load(path, weights_only=True)["losses"]) == 1
    assert _same(_weights(_fit(task=Noise(), checkpoint=path, **small)), _weights(_fit(task=Noise(), **small)))


def _says_what_to_do(number, path):
    message = f"stopped after 1 of 4 iterations; the same call goes on from {path}"
    return lambda error: error.args == ((message,) if number == signal.SIGINT else (143,))


def test_a_loss_that_is_not_finite_leaves_the_checkpoint_before(tmp_path):
    path = tmp_path / "run.pt"

    def broken(x):  # passes when it is tried out: what the networks make of the picture is not what it was
        return x if any(torch.equal(x, level) for level in levels) or x.shape[-2] < 14 else x * math.nan

    pyramid = make_pyramid(_picture(), SCALES, 250, 12, "picture")
    levels = [((level + 1) / 2).clamp(0, 1) for level in pyramid.levels]
    with pytest.raises(FloatingPointError, match=r"iteration 0 of scale 1 .* is nan: .* the same call goes on"):
        _fit(task=broken, checkpoint=path, checkpoint_every=2)
    assert len(torch.load(path, weights_only=True)["losses"]) == 2


def test_a_weight_that_is_not_finite_is_never_written(tmp_path, monkeypatch):
    restore = Game.restore

    def spoil(self, x, real):
        out = restore(self, x, real)
        with torch.no_grad():
            self.discriminator.tail.bias.fill_(math.inf)
        return out

    monkeypatch.setattr(Game, "restore", spoil)
    with pytest.raises(FloatingPointError, match="a weight is not finite after iteration 0 of scale 0"):
        _fit(checkpoint=tmp_path / "run.pt", checkpoint_every=1)
    assert not (tmp_path / "run.pt").exists()


def test_the_bar_tells_scale_distance_and_psnr(capsys):
    _fit(num_scales=2, iterations=2, progress=True)
    shown = capsys.readouterr().err
    assert "4/4" in shown
    assert all(f"{name}=" in shown for name in ("distance", "penalty", "psnr"))
    assert "scale=2/2" in shown
    _fit(num_scales=2, iterations=1)
    assert capsys.readouterr().err == ""


# --- tasks ---


@pytest.mark.parametrize(
    ("task", "draws"),
    [
        (Distortion("jpeg", 10), True),
        (Chain(Distortion("gaussian_blur", (0.5, 1.0)), Distortion("gaussian_noise", 0.1)), True),
        (partial(gaussian_noise, level=0.1), True),
        (partial(jpeg, quality=30), False),
        (lambda x: 1 - x, False),
        (torch.neg, False),
        (Shifted(0.1), False),
        (nn.AvgPool2d(3, 1, 1), False),
    ],
    ids=["distortion", "chain", "noise", "partial", "function", "builtin", "dataclass", "module"],
)
def test_any_distortion_is_a_task(task, draws):
    made, picture = make_task(task), _picture()
    assert made.draws == draws
    wanted = 2 * task(picture, **({"generator": seeded(1)} if draws else {})) - 1
    torch.testing.assert_close(made(2 * picture - 1, seeded(1)), wanted, rtol=0, atol=1e-4)


def test_a_task_may_compute_in_another_precision():
    small = {"num_scales": 2, "iterations": 1}
    assert _fit(task=lambda x: x.double(), **small).curves == _fit(task=lambda x: x, **small).curves


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_pictures_of_any_precision_are_trained_on_in_float32(dtype):
    picture, small = _picture().half(), {"num_scales": 2, "iterations": 1}
    assert _fit(picture.to(dtype), **small).curves == _fit(picture.float(), **small).curves


def test_a_task_that_draws_draws_anew_in_every_step():
    seen = []

    def task(x, *, generator):
        seen.append(torch.rand((), generator=generator).item())
        return x

    _fit(task=task, num_scales=2, iterations=2)
    tried_out, drawn = seen[:2], seen[2:]
    assert len(tried_out) == 2
    assert len(drawn) == 3 * 2 + 2 * 3 * 2  # the second scale draws for the first too
    assert len(set(drawn)) == len(drawn)


def test_a_task_that_draws_nothing_is_asked_once_for_each_scale_and_picture():
    seen = []

    def task(x):
        seen.append(x.shape)
        return x

    _fit(TWO, task, num_scales=2)
    assert len(seen) == 2 * 2 + 2 * (1 + 2)


def test_named_tasks_do_what_they_say():
    generator = torch.Generator().manual_seed(0)
    grey = torch.zeros(1, 3, 64, 64)
    spreads = [(make_task("denoising")(grey, generator) - grey).std().item() for _ in range(20)]
    assert 0 < min(spreads) < 2 * 8 / 255 < 2 * 17 / 255 < max(spreads) < 2 * 25.5 / 255
    picture = _picture(48, 48)
    first, second = (make_task("jpeg")(2 * picture - 1, generator) for _ in range(2))
    files = [2 * jpeg(picture, quality=quality) - 1 for quality in range(5, 21)]
    assert any(torch.equal(first, file) for file in files)
    assert not torch.equal(first, second)
    between = [resize(resize(picture, size=(n, n)), size=(48, 48)).clamp(0, 1) for n in range(12, 25)]
    enlarged = make_task("sisr")(2 * picture - 1, generator)
    assert any(torch.allclose(enlarged, 2 * x - 1, atol=1e-5) for x in between)


def test_several_pictures_take_turns():
    both, one, other = (_fit(image, num_scales=2, iterations=2) for image in (TWO, TWO[0], TWO[1]))
    assert both.curves[0].psnr[0] == one.curves[0].psnr[0]
    assert both.curves[0].psnr[1] != one.curves[0].psnr[1]
    assert both.curves[0].psnr != other.curves[0].psnr


def test_a_batch_is_several_pictures():
    pictures, small = [_picture(), _picture(seed=1)], {"num_scales": 2, "iterations": 1}
    assert _fit(torch.cat(pictures), **small).curves == _fit(pictures, **small).curves


# --- bad input ---


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": torch.rand(1, 3, 10, 40)}, ValueError, "picture 0 is too small for 3 scales .* short side of 12 px"),
        ({"image": torch.rand(1, 3, 12, 40)}, ValueError, r"short sides \[12, 12, 12\]"),
        ({"image": [TWO[0], torch.rand(1, 3, 13, 13)]}, ValueError, "picture 1 is too small"),
        ({"image": torch.rand(1, 3, 40, 200), "max_side": 50}, ValueError, "larger max_side"),
        ({"image": torch.rand(1, 1, 20, 26)}, ValueError, "image must have 3 channels, .* repeat grey"),
        ({"image": [TWO[0], torch.rand(1, 4, 20, 26)]}, ValueError, "picture 1 must have 3 channels, .* alpha"),
        ({"image": torch.rand(3, 20, 26)}, ValueError, "4 dimensions"),
        ({"image": torch.zeros(1, 3, 20, 26, dtype=torch.uint8)}, TypeError, "floating-point"),
        ({"image": torch.full((1, 3, 20, 26), math.nan)}, ValueError, "finite numbers in .0, 1., got NaN"),
        ({"image": 255 * torch.rand(1, 3, 20, 26)}, ValueError, "picture 0 must hold finite numbers in"),
        ({"image": [torch.rand(2, 3, 20, 26)]}, ValueError, "picture 0 must be one picture"),
        ({"image": [TWO[0], TWO[0].to("meta")]}, ValueError, "picture 1 on meta"),
        ({"image": []}, TypeError, "got an empty list"),
        ({"image": np.zeros((1, 3, 20, 26), np.float32)}, TypeError, "got ndarray"),
        ({"image": "photo.png"}, TypeError, "got str"),
        ({"task": "deblurring"}, ValueError, "sisr, denoising, jpeg or a function of a picture, got 'deblurring'"),
        ({"task": None}, TypeError, "got NoneType"),
        ({"task": lambda x: x[..., 1:]}, ValueError, "task must keep the size of the picture"),
        ({"task": partial(downscale, level=2)}, ValueError, r"made \(1, 3, 6, 8\) of \(1, 3, 12, 16\)"),
        ({"task": lambda x: x / 0}, ValueError, r"finite numbers, .* made others from a picture of \(12, 16\)"),
        ({"task": lambda x: None}, TypeError, "returned NoneType"),
        ({"task": lambda x: (255 * x).to(torch.uint8)}, TypeError, "returned torch.uint8"),
        ({"num_scales": 1}, ValueError, "num_scales must be at least 2"),
        ({"iterations": 0}, ValueError, "iterations must be at least 1"),
        ({"min_side": 10}, ValueError, "min_side must be at least 11"),
        ({"max_side": 11}, ValueError, "max_side must be at least 12"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": 0.5}, TypeError, "seed must be an integer"),
        ({"mixed_precision": "fp16"}, ValueError, "mixed_precision must be 'bf16' or None"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every must be at least 1"),
        ({"checkpoint": "absent/run.pt"}, FileNotFoundError, "folder that exists"),
    ],
)  # fmt: skip
def test_bad_input_is_named(change, error, message):
    with pytest.raises(error, match=message):
        _fit(**change)


def test_a_task_is_tried_at_all_sizes_first(tmp_path):
    with pytest.raises(ValueError, match="must keep the size"):
        _fit(task=lambda x: x if x.shape[-2] < 20 else x[..., 1:], checkpoint=tmp_path / "run.pt", checkpoint_every=1)
    assert not (tmp_path / "run.pt").exists()
