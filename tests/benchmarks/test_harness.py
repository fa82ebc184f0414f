"""The vocabulary of the benchmarks: what is counted, compared and kept. No time is judged."""

import json
import os
import sys

import pytest
import torch
from floor import Limits
from harness import Floor, Measurement, Options, Way, amount, compare, main, record, summary
from processes import fresh, peak

from restorekit.models import carn_m


def test_ways_run_in_turns_after_one_run_that_is_not_timed():
    calls = []
    ways = {"a": lambda: calls.append("a"), "restorekit": lambda: calls.append("b")}
    found = compare("both", ways, repeats=2, table="t", note="equal", aside=["a"])
    assert "".join(calls) == "ab" * 3
    assert (found.title, found.table, found.unit, found.runs, found.note) == ("both", "t", "s", 2, "equal")
    assert [way.name for way in found.ways] == ["a", "restorekit"]
    assert [way.ours for way in found.ways] == [False, True]


def test_a_peer_that_raises_is_left_out_and_ours_or_the_first_is_not():
    def broken():
        raise ArithmeticError("no\n  number")

    found = compare("x", {"restorekit": int, "peer": broken, "other": int}, repeats=1, note="equal")
    assert [way.name for way in found.ways] == ["restorekit", "other"]
    assert found.note == "equal; peer is left out: ArithmeticError: no number"
    with pytest.raises(ArithmeticError):
        compare("x", {"peer": int, "restorekit": broken}, repeats=1)
    with pytest.raises(RuntimeError, match="nothing to compare with: peer is left out: ArithmeticError"):
        compare("x", {"peer": broken, "restorekit": int}, repeats=1)


def test_a_limit_ends_the_rounds_but_leaves_three():
    calls = []
    assert compare("x", {"a": lambda: calls.append(1)}, repeats=50, limit=0).runs == 3
    assert len(calls) == 4


def test_summary_is_median_and_quartiles():
    assert summary("a", [4.0, 1.0, 3.0, 2.0, 5.0]) == Way("a", 3.0, 1.5, 4.5)
    assert summary("a", [2.0]) == Way("a", 2.0, 2.0, 2.0)


def test_ratios_are_to_the_first_way():
    found = record("t", {"a": 4.0, "b": 1.0}, table="", unit="MB")
    assert [found.ratio(way) for way in found.ways] == [1.0, 0.25]
    assert found["b"] == 1.0
    nothing = record("t", {"a": 0.0, "b": 1.0}, table="", unit="MB")
    assert nothing.ratio(nothing.ways[1]) is None


def test_measurements_survive_a_file():
    ways = (Way("a", 2.0, 1.0, 3.0), Way("b", 4.0, 4.0, 4.0, Floor(0.5, 10, 20)))
    found = Measurement("title", ways, "table", "s", 7, "note", ("a",), 0.1)
    values = json.loads(json.dumps(found.to_json()))
    assert [(way["ratio"], way["times_floor"]) for way in values["ways"]] == [(1.0, None), (2.0, 8.0)]
    assert Measurement.from_json(values) == found


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(12.34, "s", "12.3 s"), (0.5, "s", "500 ms"), (0.0123, "s", "12.3 ms"), (2e-5, "s", "0.020 ms"),
     (1234.5, "MB", "1,234 MB"), (0.0451, "levels", "0.0451 levels")],
)  # fmt: skip
def test_amounts_are_readable(value, unit, text):
    assert amount(value, unit) == text


def test_a_floor_is_the_longer_of_arithmetic_and_traffic():
    machine = Limits({torch.float32: 100.0, torch.bfloat16: 1000.0}, bandwidth=10.0)
    assert machine.floor(200, 10) == Floor(2.0, 200, 10)
    assert machine.floor(200, 10, torch.bfloat16) == Floor(1.0, 200, 10)


def test_the_floor_of_a_network_counts_its_arithmetic_and_each_byte_once():
    model = carn_m(scale=4)
    machine = Limits({torch.float32: 1.0}, bandwidth=1e30)
    found = machine.network(model, torch.empty(1, 3, 180, 320), 4)
    assert round(found.flops / 2e9, 1) == 32.5  # as published, for 1280 x 720
    weights = sum(p.numel() for p in model.parameters())
    assert found.bytes == 4 * (3 * 180 * 320 * 17 + weights)


def test_a_missing_peer_is_said_once():
    options = Options()
    assert options.peer("Nobody", "no_such_package") is None
    assert options.peer("Nobody", "no_such_package") is None
    assert options.peer("torch", "torch") is torch
    assert options.notes == ["Nobody is left out: No module named 'no_such_package'"]


def test_main_writes_the_numbers(tmp_path, monkeypatch):
    def measure(options):
        options.say("said")
        return [record("t", {"restorekit": 2.0}, table="x", unit="MB")]

    path = tmp_path / "numbers.json"
    monkeypatch.setattr(sys, "argv", ["script.py", "--quick", "--threads", "1", "--json", str(path)])
    main("What it measures.", measure)
    report = json.loads(path.read_text())
    assert (report["quick"], report["threads"], report["notes"]) == (True, 1, ["said"])
    assert report["versions"]["torch"] == torch.__version__
    assert [Measurement.from_json(one).title for one in report["measurements"]] == ["t"]


def test_a_fresh_process_has_its_own_environment_and_may_end_without_a_result():
    found = fresh(os.getenv, "BENCHMARK_WORD", threads=1, environment={"BENCHMARK_WORD": "heard"})
    assert found == "heard"
    assert "BENCHMARK_WORD" not in os.environ
    assert fresh(os._exit, 3, threads=1) is None


def test_the_peak_rises_with_what_is_held():
    before = peak()
    held = torch.ones(int(before + 100) * 250_000)  # more than was ever held before, in MB
    assert peak() > before + 50
    del held
