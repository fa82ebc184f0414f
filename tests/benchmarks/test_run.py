"""The one command: what it runs, keeps and writes. The groups themselves are stood in for."""

import json
import subprocess

import pytest
import run
from harness import record
from measurements import ROWS, group
from PIL import Image


@pytest.fixture
def measured(monkeypatch):
    """Groups that were asked for; each gives the same rows, "mdf" fails."""
    asked = []

    def stand_in(name, threads, quick):
        asked.append((name, threads, quick))
        return None if name == "mdf" else group(*ROWS, date=f"2026-01-{len(asked):02}")

    monkeypatch.setattr(run, "run", stand_in)
    return asked


def numbers(path):
    return json.loads(path.with_suffix(".json").read_text())["groups"]


def test_groups_are_measured_in_order_and_kept(tmp_path, measured, capsys):
    target = tmp_path / "page.md"
    assert run.main(["--only", "losses", "metrics", "--write", str(target), "--threads", "1"]) == 0
    assert measured == [("metrics", 1, False), ("losses", 1, False)]
    assert "2 groups, about" in capsys.readouterr().out
    assert run.main(["--only", "losses", "--write", str(target)]) == 0
    found = numbers(target)
    assert list(found) == ["metrics", "losses"]
    assert [found[name]["date"] for name in found] == ["2026-01-01", "2026-01-03"]
    assert target.read_text().count("| large | 200 ms") == 2


def test_resume_leaves_out_what_is_there(tmp_path, measured):
    target = tmp_path / "page.md"
    run.main(["--only", "metrics", "--write", str(target)])
    run.main(["--only", "metrics", "losses", "--resume", "--write", str(target)])
    assert [name for name, *_ in measured] == ["metrics", "losses"]


def test_a_group_that_fails_leaves_the_others_and_is_told(tmp_path, measured, capsys):
    target = tmp_path / "page.md"
    assert run.main(["--only", "mdf", "data", "--write", str(target)]) == 1
    assert list(numbers(target)) == ["data"]
    assert "failed, their numbers are those of before: mdf" in capsys.readouterr().out


def test_the_page_can_be_written_again_without_measuring(tmp_path, measured):
    target = tmp_path / "page.md"
    run.main(["--only", "metrics", "--write", str(target)])
    target.unlink()
    assert run.main(["--only", "--write", str(target)]) == 0
    assert len(measured) == 1
    assert "| large | 200 ms" in target.read_text()


def test_growth_is_plotted(tmp_path):
    table = run.growth.TIME, run.growth.MEMORY
    rows = [record(f"{x} MP", {"2 threads": 200.0 + x}, table=t, unit="s", at=x) for t in table for x in (0.1, 1, 10)]
    run.write({"growth": group(*rows)}, tmp_path / "page.md")
    picture = Image.open(tmp_path / "pictures" / "cost_growth.png").convert("L")
    assert picture.getextrema() == (0, 255)


def test_a_group_runs_in_a_process_and_a_failure_is_none(tmp_path, monkeypatch, capsys):
    (tmp_path / "good.py").write_text(
        "import json, sys\nprint('progress')\n"
        "json.dump({'asked': sys.argv[1:3], 'quick': '--quick' in sys.argv}, open(sys.argv[4], 'w'))\n"
    )
    (tmp_path / "bad.py").write_text("raise SystemExit(2)\n")
    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.setattr(run, "GROUPS", {"good": ("good.py", 1), "bad": ("bad.py", 1)})
    assert run.run("good", 3, quick=True) == {"asked": ["--threads", "3"], "quick": True}
    assert run.run("bad", 1, quick=False) is None
    assert "bad failed" in capsys.readouterr().out


def test_all_groups_together_are_said_to_take_less_than_25_minutes():
    assert sum(seconds for _, seconds in run.GROUPS.values()) < 25 * 60


@pytest.mark.parametrize("script", sorted({script for script, _ in run.GROUPS.values()}))
def test_every_group_has_its_script(script):
    text = (run.HERE / script).read_text(encoding="utf-8")
    assert "main(__doc__, measure)" in text


def test_a_name_that_is_no_group_is_refused(capsys):
    with pytest.raises(SystemExit):
        run.main(["--only", "everything"])
    assert "invalid choice" in capsys.readouterr().err


def test_what_hangs_is_given_up(monkeypatch, capsys):
    def hang(*arguments, timeout, **options):
        raise subprocess.TimeoutExpired("script", timeout)

    monkeypatch.setattr(run.subprocess, "run", hang)
    assert run.run("metrics", 1, quick=False) is None
    assert f"timed out after {run.LIMIT} seconds" in capsys.readouterr().out
