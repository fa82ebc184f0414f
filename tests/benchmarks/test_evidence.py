"""The page of the evidence, of made-up runs and of those that are kept; and what is done about runs that are there."""

import json
from pathlib import Path

import pytest
import torch
from evidence import run
from evidence.experiment import Experiment, Job, Trained, thinned
from evidence.page import ARMS, TEMPLATE, clear, one_picture, page, section
from evidence.plots import dots
from harness import record
from PIL import Image

from restorekit.image import write_image
from restorekit.models import carn

DOCS = Path(__file__).parents[2] / "docs"


def made_up(arm, seed, psnr):
    scores = {name: {"psnr": psnr + shift, "ssim": 0.8} for name, shift in (("Set5", 2.0), ("Set14", 0.0))}
    trained = {} if arm == "bicubic" else {"steps": 1000, "multadds": 2.5e12, "losses": [0.1]}
    return {"arm": arm, "seed": seed, "scores": scores, **trained}


RUNS = [
    made_up("bicubic", 0, 26.0),
    *(made_up("supervised", seed, 28.0 + 0.1 * seed) for seed in range(3)),
    *(made_up("simusr", seed, 27.8 + 0.1 * seed) for seed in (2, 0, 1)),
]


def test_a_section_has_budget_table_and_differences():
    assert section("simusr", RUNS) == [
        "Budget of a run, forward passes counted: supervised: 1,000 steps, 2.5 T multiply-adds; "
        "SimUSR: 1,000 steps, 2.5 T multiply-adds.",
        "",
        "|  | Set5, PSNR, dB | Set5, SSIM | Set14, PSNR, dB | Set14, SSIM | seeds |",
        "|---|---|---|---|---|---|",
        "| bicubic | 28.00 | 0.8000 | 26.00 | 0.8000 |  |",
        "| supervised | 30.10 ± 0.10 | 0.8000 ± 0.0000 | 28.10 ± 0.10 | 0.8000 ± 0.0000 | 3 |",
        "| SimUSR | 29.90 ± 0.10 | 0.8000 ± 0.0000 | 27.90 ± 0.10 | 0.8000 ± 0.0000 | 3 |",
        "",
        "| less supervised, seed by seed | Set5, PSNR, dB | Set5, SSIM | Set14, PSNR, dB | Set14, SSIM |",
        "|---|---|---|---|---|",
        "| SimUSR | -0.20 ± 0.00, clear | +0.0000 ± 0.0000 | -0.20 ± 0.00, clear | +0.0000 ± 0.0000 |",
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.1, 0.11, 0.12], True),
        ([-0.1, -0.11, -0.12], True),
        ([0.1, 0.2, 0.3], False),  # they agree, but three seeds are few: 0.2 -+ 0.25
        ([-0.01, 0.2, 0.2], False),
        ([0.3], False),
    ],
)
def test_seeds_must_agree_by_more_than_they_differ(values, expected):
    assert clear(values) is expected


def test_seeds_that_one_arm_lacks_are_not_compared():
    (line,) = section("simusr", [one for one in RUNS if (one["arm"], one["seed"]) != ("simusr", 2)])[-1:]
    assert line.startswith("| SimUSR | -0.20 ± 0.00")


def test_an_experiment_without_runs_says_how():
    assert section("simusr", RUNS[:1]) == ["Not measured yet: `python -m evidence.run --only simusr ...`."]


def test_one_picture_has_costs_with_their_ratio():
    values = {"bicubic": 30.0, "restorekit, ZSSR": 32.0, "restorekit, feed-forward": 31.5}
    seconds = {"restorekit, feed-forward": 0.05, "restorekit, ZSSR": 200.0}
    rows = [
        record("to 40 x 30", values, table="PSNR, sr-y", unit="dB"),
        record("to 40 x 30", seconds, table="Time", unit="s"),
    ]
    assert one_picture({"measurements": [row.to_json() for row in rows]}) == [
        "| to 40 x 30 | bicubic | SimUSR | ZSSR | ZSSR / SimUSR |",
        "|---|---|---|---|---|",
        "| PSNR, sr-y, dB | 30.00 | 31.50 | 32.00 |  |",
        "| Time, s |  | 0.050 | 200.000 | 4,000 |",
    ]


def test_the_page_is_what_the_kept_numbers_make():
    report = json.loads((DOCS / "evidence.json").read_text(encoding="utf-8"))
    assert set(report["experiments"]) == set(run.EXPERIMENTS) == set(ARMS)
    for name, runs in report["experiments"].items():
        wanted = {(arm, seed) for arm, seed in run.EXPERIMENTS[name].EXPERIMENT.jobs()}
        assert {(one["arm"], one["seed"]) for one in runs} == wanted
        assert (DOCS / "pictures" / f"evidence_{name}.png").is_file()
    text = page(report, TEMPLATE.read_text(encoding="utf-8"))
    assert (DOCS / "evidence.md").read_text(encoding="utf-8") == text
    assert "[[" not in text
    assert "Not measured" not in text


def test_dots_are_drawn(tmp_path):
    dots("simusr", RUNS, tmp_path / "dots.png")
    assert Image.open(tmp_path / "dots.png").convert("L").getextrema() == (0, 255)


def test_losses_are_thinned_to_means():
    assert thinned([1.0, 3.0, 5.0, 7.0], points=2) == [2.0, 6.0]
    assert thinned([1.0, 3.0], points=20) == [1.0, 3.0]


@pytest.fixture
def job(tmp_path):
    for name in ("Set5", "Set14"):
        (tmp_path / name).mkdir()
        picture = torch.rand(32, 40, 3, generator=torch.Generator().manual_seed(1))
        write_image(tmp_path / name / "noise.png", (255 * picture).byte().numpy())
    return Job("little", "tiny", 1, tmp_path, tmp_path, tmp_path / "out")


def test_a_run_is_judged_and_kept_and_not_done_twice(job):
    calls = []

    def tiny(job):
        calls.append(job.seed)
        return Trained(job.start(lambda: carn(2, channels=4, blocks=1, units=1)), [0.2, 0.1], 1e6, {"note": "short"})

    little = Experiment("little", 2, {"tiny": tiny})
    found = little.run(job)
    assert found == little.run(job)
    assert calls == [1]
    assert set(found["scores"]) == {"Set5", "Set14"}
    assert (found["steps"], found["losses"], found["note"]) == (2, [0.2, 0.1], "short")
    assert (job.folder() / "weights.safetensors").is_file()
    assert list(little.jobs()) == [("bicubic", 0), ("tiny", 0), ("tiny", 1), ("tiny", 2)]


def test_a_start_is_that_of_its_seed_and_leaves_the_global_generator(job):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = (job.start(lambda: torch.nn.Conv2d(3, 4, 3)) for _ in range(2))
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(torch.rand(1), expected)


def test_runs_that_need_others_come_after_them_and_failures_are_told(tmp_path, monkeypatch, capsys):
    order = []

    def train(script, arm, seed, chosen):
        order.append((script.EXPERIMENT.name, arm, seed))
        return not arm.startswith("gan")

    monkeypatch.setattr(run, "train", train)
    arguments = ["--only", "adversarial", "--data", "d", "--benchmark", "b", "--out", str(tmp_path), "--jobs", "1"]
    assert run.main(arguments) == 1
    arms = [arm for _, arm, _ in order]
    assert arms == ["bicubic", "l1", "l1", "l1", *["gan", "gan-strong"] * 3]
    assert "failed: adversarial/gan-0, adversarial/gan-strong-0, " in capsys.readouterr().out


def test_numbers_of_experiments_without_runs_here_are_kept(tmp_path):
    target, folder = tmp_path / "evidence.json", tmp_path / "runs" / "simusr" / "simusr-1"
    kept = {"experiments": {"augmentation": [made_up("none", 0, 20.0)], "simusr": RUNS}, "zero_shot": {"threads": 1}}
    target.write_text(json.dumps(kept))
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(made_up("simusr", 1, 21.0)))
    run.write(tmp_path / "runs", target)
    found = json.loads(target.read_text())
    assert found["experiments"]["augmentation"] == [made_up("none", 0, 20.0)]
    assert found["experiments"]["simusr"] == [made_up("simusr", 1, 21.0)]
    assert found["zero_shot"] == {"threads": 1}
