"""Recipes of the weights that ship, and what is written about a made-up run: scores, card, curve, page, file, hash."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from weights import card, same_size, score, ship, strips, super_resolution
from weights.conditions import CONDITIONS, Condition, Once, compressed, draws, heterogeneous, noisy
from weights.page import TEMPLATE, page, summary
from weights.plots import curve
from weights.published import PUBLISHED, published
from weights.recipe import Pictures, Stage, timed
from weights.train import RECIPES, changed

from restorekit.degrade import gaussian_noise
from restorekit.evaluation import PROTOCOLS, evaluate
from restorekit.image import write_image
from restorekit.models import carn_m, load_checkpoint, save_weights
from restorekit.weights import list_shipped

DOCS = Path(__file__).parents[2] / "docs"


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def photograph(height=48, width=56, seed=0):
    """Something with edges and flat ground, uint8."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([128 + 100 * np.sin((x * k + y * (3 - k)) / 6 + seed) for k in range(3)], axis=-1)
    return waves.astype(np.uint8)


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Four pictures as those of a training, of which one is held out, with crops and patches that fit."""
    for name, value in (("CROP", 48), ("STRIDE", 48), ("HELD_OUT", 4)):
        monkeypatch.setattr(f"weights.recipe.{name}", value)
    for script in (same_size, super_resolution):
        monkeypatch.setattr(script, "HELD_OUT_SIDE", 48)
    (tmp_path / "data").mkdir()
    for index in range(4):
        write_image(tmp_path / "data" / f"{index}.png", photograph(seed=index))
    return Pictures(tmp_path / "data", tmp_path)


@pytest.fixture
def benchmark(tmp_path):
    for folder in ("Set5/HR", "Set14/HR", "classic5"):
        (tmp_path / folder).mkdir(parents=True)
        picture = photograph(seed=len(folder))
        write_image(tmp_path / folder / "a.png", picture[:, :, 0] if folder == "classic5" else picture)
    return tmp_path


def made_up_training(recipe, *, fall=0.999):
    """What a run of a recipe leaves, without its having run."""
    total = sum(stage.steps for stage in recipe.stages)
    measured = [30.0 + place for stage in recipe.stages for place, _ in enumerate(range(0, stage.steps, 500))]
    losses = [0.1 * fall**step for step in range(total)]
    seconds = [3600.0] * len(recipe.stages)
    told = {"name": recipe.name, "seed": 3, "start": None, "machine": "a machine", "final": 40.0}
    stages = [asdict(stage) for stage in recipe.stages]
    return {**told, "stages": stages, "losses": losses, "measured": measured, "seconds": seconds}


def made_up(name):
    """What a file of weights is said to score."""
    lines = [
        {
            "condition": condition.label,
            "set": where,
            "protocol": protocol.name,
            "psnr": 30.0,
            "ssim": 0.9,
            "reference": {"name": condition.reference, "psnr": 27.5, "ssim": 0.8},
            "published": published(name, condition.label, where, protocol.name),
        }
        for condition in CONDITIONS[name]
        for where in condition.sets
        for protocol in condition.protocols
    ]
    scales = dict.fromkeys(str(condition.scale) for condition in CONDITIONS[name])
    return {
        "source": "0" * 64,
        "network": "CARN",
        "parameters": 414787,
        "multadds": dict.fromkeys(scales, 92.16e9),
        "stored": "half",
        "half_difference": 0.0004,
        "scores": lines,
        "training": score.training(made_up_training(RECIPES[name])),
    }


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_goes_on_and_leaves_its_run(name, pictures, tmp_path):
    recipe = RECIPES[name]
    size = 8 if name.startswith("carn") else 24 if name.startswith("sparse") else 32
    recipe = replace(recipe, stages=tuple(replace(s, steps=1, patch_size=size, batch_size=2) for s in recipe.stages))
    run = recipe.train(pictures, tmp_path / name, 0, progress=False)
    assert len(run["losses"]) == len(run["measured"]) == len(run["seconds"]) == len(recipe.stages)
    assert run == json.loads((tmp_path / name / "run.json").read_text())
    assert score.training(run)["measured"][-1] == [len(recipe.stages), round(run["final"], 3)]
    model = load_checkpoint(tmp_path / name / "weights.safetensors")
    again = recipe.train(pictures, tmp_path / name, 0, progress=False)
    assert again["losses"] == run["losses"]
    with pytest.raises(ValueError, match="holds a run with other settings, seed or start; give another folder"):
        recipe.train(pictures, tmp_path / name, 1, progress=False)
    assert CONDITIONS[name][0].scale in model.scales


def test_a_training_can_begin_with_weights_and_take_longer(tmp_path):
    save_weights(carn_m((2, 3), channels=8), tmp_path / "small.safetensors")
    recipe = changed(RECIPES["carn_m"], tmp_path / "small.safetensors", 10)
    assert recipe.network().scales == (2, 3)
    assert [stage.steps for stage in recipe.stages] == [120000, 20000]
    assert recipe.start == hashlib.sha256((tmp_path / "small.safetensors").read_bytes()).hexdigest()
    assert changed(RECIPES["carn_m"], None, 1) == RECIPES["carn_m"]


def test_the_desubpixel_network_starts_as_the_identity():
    x = torch.rand(2, 3, 13, 18, generator=generator())
    torch.manual_seed(0)
    with torch.no_grad():
        assert torch.allclose(same_size.identity_edsr().eval()(x), x, atol=1e-5)


@pytest.mark.parametrize("damage", [same_size.noisy, same_size.compressed], ids=["noise", "jpeg"])
def test_damage_is_drawn_for_each_picture_and_repeats(damage):
    hq = torch.from_numpy(photograph(32, 32)).permute(2, 0, 1)[None].float().div(255).expand(12, -1, -1, -1)
    lq, target = damage(hq, hq, generator=generator(1))
    assert torch.equal(lq, damage(hq, hq, generator=generator(1))[0])
    assert not torch.equal(lq, damage(hq, hq, generator=generator(2))[0])
    errors = (lq - target).square().mean(dim=(1, 2, 3))
    assert len(errors.unique()) == 12
    assert lq.shape == target.shape == hq.shape


def test_half_of_the_noise_is_within_the_range_of_a_file_and_none_above_sigma_50():
    hq = torch.full((400, 3, 8, 8), 0.02)
    lq, _ = same_size.noisy(hq, hq, generator=generator())
    assert 0.35 < ((lq >= 0).flatten(1).all(dim=1)).float().mean() < 0.65
    assert (lq - hq).flatten(1).std(dim=1).max() < 1.35 * 50 / 255


def test_some_jpegs_are_grey_with_their_target():
    hq = torch.from_numpy(photograph(16, 16)).permute(2, 0, 1)[None].float().div(255).expand(40, -1, -1, -1)
    lq, target = same_size.compressed(hq, hq, generator=generator())
    grey = (target[:, :1] - target).abs().amax(dim=(1, 2, 3)) < 1e-6
    assert 2 < grey.sum() < 20
    assert (lq[grey][:, :1] - lq[grey]).abs().max() <= 2 / 255


def test_benchmark_damage_depends_on_the_picture_alone():
    one, two = (torch.from_numpy(photograph(seed=k)).permute(2, 0, 1)[None].float() / 255 for k in (0, 1))
    for damage in (noisy(25, file=False), noisy(25, file=True), compressed(10), heterogeneous):
        first = damage(one)
        damage(two)
        assert torch.equal(damage(one), first)
    assert draws(one).initial_seed() != draws(two).initial_seed()
    wide, file = noisy(50, file=False)(one), noisy(50, file=True)(one)
    assert wide.min() < 0
    assert wide.max() > 1
    assert torch.allclose(file, wide.clamp(0, 1), atol=0.5 / 255 + 1e-6)
    assert torch.equal(wide, gaussian_noise(one, 50 / 255, clip=False, generator=draws(one)))
    grey = compressed(10, grey=True)(one)
    assert torch.equal(grey[:, :1].expand_as(grey), grey)


def test_a_picture_is_restored_once_for_all_protocols():
    calls = []
    run = Once(lambda x: calls.append(0) or x)
    one, two = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    assert [run(x).sum().item() for x in (one, two, one)] == [0, 12, 0]
    assert len(calls) == 2


def test_published_numbers_have_a_condition_that_is_scored():
    for name, by_protocol in PUBLISHED.items():
        known = {(c.label, w, p.name) for c in CONDITIONS[name] for w in c.sets for p in c.protocols}
        wanted = {(*place, protocol) for (protocol, _), numbers in by_protocol.items() for place in numbers}
        assert wanted <= known
    assert published("carn_m", "x4", "Set5", "sr-y-truncated")["psnr"] == 31.92
    assert published("carn_m", "x4", "Set5", "sr-y") is None
    assert set(CONDITIONS) == set(RECIPES) == set(card.ABOUT)


def test_scores_are_those_of_evaluate(benchmark, tmp_path, monkeypatch):
    torch.manual_seed(0)
    save_weights(carn_m((2, 4), channels=8), tmp_path / "carn_m.safetensors")
    sr_y = Condition("x2", ("Set5", "Set14"), (PROTOCOLS["sr-y"],), "bicubic", 2)
    monkeypatch.setitem(CONDITIONS, "carn_m", (sr_y,))
    found = score.score("carn_m", tmp_path / "carn_m.safetensors", benchmark)
    half = score.rounded(load_checkpoint(tmp_path / "carn_m.safetensors"))
    expected = evaluate(half, benchmark / "Set5", scale=2).psnr
    assert found["scores"][0]["psnr"] == pytest.approx(expected, abs=1e-3)
    assert (found["stored"], set(found["multadds"])) == ("half", {"2", "4"})
    assert 0 < found["half_difference"] <= score.TOLERATED
    assert [line["set"] for line in found["scores"]] == ["Set5", "Set14"]


def test_same_size_scores_and_their_input(benchmark, tmp_path, monkeypatch):
    torch.manual_seed(0)
    save_weights(same_size.identity_edsr(), tmp_path / "edsr_jpeg.safetensors")
    chosen = tuple(one for one in CONDITIONS["edsr_jpeg"] if one.label.startswith("quality 10"))
    monkeypatch.setitem(CONDITIONS, "edsr_jpeg", chosen)
    found = score.score("edsr_jpeg", tmp_path / "edsr_jpeg.safetensors", benchmark)
    assert [line["protocol"] for line in found["scores"]] == ["jpeg-y", "grey-whole", "jpeg-y", "rgb-whole"]
    for line in found["scores"]:  # an identity restores nothing
        assert line["psnr"] == pytest.approx(line["reference"]["psnr"], abs=0.01)
    luma, grey = (found["scores"][k]["psnr"] for k in (0, 1))
    assert luma > grey  # fewer levels


def test_single_precision_is_kept_where_half_would_change_the_score(benchmark, tmp_path, monkeypatch):
    save_weights(carn_m(2, channels=8), tmp_path / "carn_m.safetensors")
    monkeypatch.setattr(score, "TOLERATED", -1.0)
    monkeypatch.setitem(CONDITIONS, "carn_m", (Condition("x2", ("Set5",), (PROTOCOLS["sr-y"],), "bicubic", 2),))
    assert score.score("carn_m", tmp_path / "carn_m.safetensors", benchmark)["stored"] == "single"


def test_numbers_are_merged_in_the_order_of_the_recipes(tmp_path):
    for name, psnr in (("carn", 1.0), ("carn_m", 2.0), ("carn", 3.0)):
        score.merge(tmp_path / "weights.json", name, {"psnr": psnr}, 1)
    found = json.loads((tmp_path / "weights.json").read_text())["weights"]
    assert {name: one["psnr"] for name, one in found.items()} == {"carn_m": 2.0, "carn": 3.0}
    assert list(found) == ["carn_m", "carn"]


def test_a_run_keeps_its_curve_and_must_fit_its_stages():
    recipe = replace(RECIPES["carn"], stages=(Stage(1200, 24, 16, 1e-3), Stage(400, 48, 8, 1e-4)))
    run = made_up_training(recipe)
    found = score.training(run)
    assert found["measured"] == [[1, 30.0], [501, 31.0], [1001, 32.0], [1201, 30.0], [1600, 40.0]]
    assert len(found["losses"]) == 100
    with pytest.raises(ValueError, match="the run has 1600 steps and was measured 4 times, its stages have 1200"):
        score.training({**run, "stages": run["stages"][:1]})


def test_half_precision_keeps_metadata_and_whole_numbers(tmp_path):
    tensors = {"weight": torch.tensor([0.1, 2.0]), "steps": torch.tensor([70000]), "on": torch.tensor([True])}
    save_file(tensors, tmp_path / "a.safetensors", metadata={"model": "CARN", "config": "{}"})
    ship.copy(tmp_path / "a.safetensors", tmp_path / "b.safetensors", half=True)
    ship.copy(tmp_path / "a.safetensors", tmp_path / "c.safetensors", half=False)
    with safe_open(tmp_path / "b.safetensors", framework="pt") as half:
        assert half.metadata() == {"model": "CARN", "config": "{}"}
        kinds = {key: half.get_tensor(key).dtype for key in tensors}
        assert torch.equal(half.get_tensor("weight"), tensors["weight"].half())
    assert kinds == {"weight": torch.float16, "steps": torch.int64, "on": torch.bool}
    with safe_open(tmp_path / "c.safetensors", framework="pt") as same:
        assert torch.equal(same.get_tensor("weight"), tensors["weight"])
    before = (tmp_path / "b.safetensors").stat().st_mtime_ns
    ship.copy(tmp_path / "a.safetensors", tmp_path / "b.safetensors", half=True)
    assert (tmp_path / "b.safetensors").stat().st_mtime_ns == before
    save_file(tensors, tmp_path / "a.safetensors", metadata={"model": "EDSR", "config": "{}"})
    ship.copy(tmp_path / "a.safetensors", tmp_path / "b.safetensors", half=True)
    assert ship.read(tmp_path / "b.safetensors")[1]["model"] == "EDSR"


def test_shipping_writes_file_card_curve_and_hashes(tmp_path):
    runs, package, drawn = (tmp_path / name for name in ("runs", "package", "pictures"))
    for folder in (runs / "carn_m", package):
        folder.mkdir(parents=True)
    save_weights(carn_m((2, 3, 4), channels=8), runs / "carn_m" / "weights.safetensors")
    save_file({"a": torch.zeros(1)}, package / "other.safetensors")
    found = made_up("carn_m")
    (tmp_path / "scores.json").write_text(json.dumps({"weights": {"carn_m": found}}))
    arguments = ["--runs", str(runs), "--scores", str(tmp_path / "scores.json")]
    arguments += ["--package", str(package), "--pictures", str(drawn)]
    with pytest.raises(ValueError, match="is not the file that was scored"):
        ship.main(arguments)
    found["source"] = ship.sha256(runs / "carn_m" / "weights.safetensors")
    (tmp_path / "scores.json").write_text(json.dumps({"weights": {"carn_m": found}}))
    ship.main(arguments)
    lines = dict(reversed(line.split("  ")) for line in (package / "SHA256SUMS").read_text().splitlines())
    assert set(lines) == {"carn_m.safetensors", "other.safetensors"}
    for name, digest in lines.items():
        assert hashlib.sha256((package / name).read_bytes()).hexdigest() == digest
    shipped, trained = (load_checkpoint(folder) for folder in (package / "carn_m.safetensors",
                                                               runs / "carn_m" / "weights.safetensors"))  # fmt: skip
    assert next(shipped.parameters()).dtype == torch.float32
    expected = score.rounded(trained).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in shipped.state_dict().items())
    assert (package / "carn_m.md").read_text() == card.card("carn_m", found)
    assert Image.open(drawn / "carn_m.png").convert("L").getextrema() == (0, 255)


@pytest.mark.parametrize("name", RECIPES)
def test_a_card_says_what_one_must_know(name):
    text = card.card(name, made_up(name))
    for part in (f"# {name}: ", "Berkeley Segmentation Data Set 500", "research", "Apache-2.0", "Seed 3", "414,787",
                 f"weights.train {name} --data", "| 1 | ", "+2.50", "| step | 1 |", "--seed 3"):  # fmt: skip
        assert part in text
    assert all(len(line) <= 120 for line in text.splitlines() if not line.startswith("|"))


def test_a_card_has_the_published_number_beside():
    lines = card.card("carn_m", made_up("carn_m")).splitlines()
    assert "| x4 | Set5 | 27.50 / 0.8000 | 30.00 / 0.9000 | +2.50 | 31.92 / 0.8903 |" in lines
    assert "| x4 | Set5 | 27.50 / 0.8000 | 30.00 / 0.9000 | +2.50 |" in lines
    single = {**made_up("carn_m"), "stored": "single"}
    assert "single precision, as half precision would move PSNR by up to 0.0004 dB" in card.card("carn_m", single)


def test_the_page_has_what_was_scored_and_says_what_was_not():
    text = page({"carn_m": made_up("carn_m")}, TEMPLATE.read_text(encoding="utf-8"))
    assert "[[" not in text
    assert "| carn\\_m | CARN | 414,787 | 92.2 G at x2, 92.2 G at x3, 92.2 G at x4 | 14,000 | 2.0 | 0.0004 |" in text
    assert "Not scored yet: `python -m weights.score mepsnet ...`." in text
    both = page({name: made_up(name) for name in RECIPES}, TEMPLATE.read_text(encoding="utf-8"))
    assert "Not scored" not in both
    assert "| x2 | Set5 | sparse\\_resnet\\_dense | 27.50" in both


def test_the_page_is_what_the_kept_numbers_make():
    report = json.loads((DOCS / "weights.json").read_text(encoding="utf-8"))["weights"]
    assert (DOCS / "results.md").read_text(encoding="utf-8") == page(report, TEMPLATE.read_text(encoding="utf-8"))
    assert {row.name for row in list_shipped()} == set(report)
    for name, found in report.items():
        assert (ship.PACKAGE / f"{name}.md").read_text(encoding="utf-8") == card.card(name, found)
        assert (ship.PICTURES / f"{name}.png").is_file()


def test_the_readme_has_the_kept_numbers():
    report = json.loads((DOCS / "weights.json").read_text(encoding="utf-8"))["weights"]
    assert "\n".join(summary(report)) in (DOCS.parent / "README.md").read_text(encoding="utf-8")


def test_the_first_choice_for_super_resolution_scores_best():
    report = json.loads((DOCS / "weights.json").read_text(encoding="utf-8"))["weights"]

    def psnr(name):
        return [line["psnr"] for line in report[name]["scores"] if line["condition"] == "x2"]

    names = [row.name for row in list_shipped("super-resolution")]
    assert all(first >= other for name in names for first, other in zip(psnr(names[0]), psnr(name), strict=True))


def test_a_curve_of_one_stage_and_one_point_is_drawn(tmp_path):
    recipe = replace(RECIPES["mepsnet"], stages=(Stage(5, 8, 1, 1e-3),))
    curve("mepsnet", score.training(made_up_training(recipe)), tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.convert("L").getextrema() == (0, 255)


def test_strips_are_drawn_of_the_weights_that_are_there(tmp_path, capsys, monkeypatch):
    torch.manual_seed(0)
    save_weights(carn_m((2, 4), channels=8), tmp_path / "carn_m.safetensors")
    monkeypatch.setattr(strips, "STRIPS", {name: strips.STRIPS[name] for name in ("super_resolution", "mixed")})
    strips.main(["--weights", str(tmp_path), "--write", str(tmp_path / "out")])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["strip_super_resolution.png"]
    assert "mixed: no weights yet, mepsnet.safetensors" in capsys.readouterr().out


def test_strips_are_small_files():
    for name in strips.STRIPS:
        assert (ship.PICTURES / f"strip_{name}.png").stat().st_size < 300_000


def test_held_out_pictures_are_no_training_pictures(pictures):
    held = pictures.held_out(48)
    assert len(held) == 1
    assert len(pictures.training()) == 2 * 3  # of three pictures, each wide enough for two crops
    scale, ((lq, hq),) = same_size.damaged(same_size.noise_of_25, pictures)
    assert (scale, lq.shape) == (1, hq.shape)


def test_the_time_of_a_run_that_was_stopped_is_added_up(tmp_path):
    clock = tmp_path / "stage0.seconds"
    clock.write_text("100.0", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt), timed(clock):
        raise KeyboardInterrupt
    first = float(clock.read_text(encoding="utf-8"))
    assert 100 <= first < 101
    with timed(clock):
        pass
    assert first <= float(clock.read_text(encoding="utf-8")) < 101


def test_idle_units_wake_and_change_nothing():
    net, x = same_size.identity_edsr(), torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        net.body[-1].weight.normal_(std=0.01)
        net.body[3].conv1.weight[:40], net.body[3].conv1.bias[:40] = 0, -1
        before = net(x)
        same_size.wake(net, x)
        assert (net.body[3].conv1.weight[:40].abs().amax(dim=(1, 2, 3)) > 0).all()
        torch.testing.assert_close(net(x), before)
        assert (net.body[3].conv2.weight[:, :40] == 0).all()
        assert (net.body[3].conv2.weight[:, 40:] != 0).any()
