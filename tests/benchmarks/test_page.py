"""The page that the benchmarks write, of made-up measurements."""

import pytest
from harness import Measurement
from measurements import ROWS, group, way
from page import TEMPLATE, page, rival
from run import GROUPS


def test_several_rows_make_one_table_with_means():
    lines = page({"metrics": group(*ROWS, notes=["piq is old"])}, "[[metrics]]").splitlines()
    assert lines == [
        "**ssim**",
        "",
        "|  | restorekit | kornia | piq |",
        "|---|---|---|---|",
        "| large | 200 ms ± 10 %, 1.00, 2.0 floors | 400 ms ± 10 %, 2.00 | 800 ms ± 10 %, 4.00 |",
        "| small | 300 ms ± 10 %, 1.00 | 200 ms ± 10 %, 0.67 |  |",
        "| tiny | 100 ms ± 10 %, 1.00 | 100 ms ± 10 %, 1.00 |  |",
        "| geometric mean of the ratios | 1.00 | 1.10 |  |",
        "",
        "large: equal.",
        "",
        "- piq is old",
    ]


def test_one_row_has_a_line_for_each_way():
    row = Measurement("320 x 180", (way("plain", 1.0, 0.25), way("restorekit", 0.5)), "CARN")
    assert page({"inference": group(row)}, "# Title\n[[inference]]").splitlines() == [
        "# Title",
        "**CARN**",
        "",
        "| 320 x 180 | median | ± | ratio | floor | times the floor |",
        "|---|---|---|---|---|---|",
        "| plain | 1000 ms | 10 % | 1.00 | 250 ms | 4.0 |",
        "| restorekit | 500 ms | 10 % | 0.50 |  |  |",
    ]


def test_the_summary_counts_and_lists_losses():
    text = page({"metrics": group(*ROWS)}, "[[summary]]")
    assert "| metrics | 1 | 1 | 1 | 0.91 |" in text  # 0.5, 1 and 1.5
    assert text.splitlines()[-1] == "- metrics, ssim, small: restorekit 300 ms, kornia 200 ms"


def test_the_summary_without_losses_or_numbers_says_so():
    assert "Ours is nowhere worse." in page({"metrics": group(ROWS[0])}, "[[summary]]")
    assert page({}, "[[summary]]") == "Nothing measured yet.\n"


def test_what_is_aside_or_not_better_for_being_less_does_not_count():
    ways = (way("torch, L1", 0.1), way("restorekit", 0.3))
    aside = Measurement("a", ways, aside=("torch, L1",))
    rate = Measurement("b", ways, unit="pairs/s")
    assert page({"losses": group(aside, rate)}, "[[summary]]") == "Nothing measured yet.\n"


def test_bfloat16_meets_bfloat16_where_there_is_one():
    ours = way("restorekit, bfloat16", 0.1)
    plain, half = way("plain, float32", 0.2), way("plain, bfloat16", 0.3)
    assert rival(Measurement("a", (plain, half, ours)), ours) == half
    assert rival(Measurement("a", (plain, ours)), ours) == plain
    assert rival(Measurement("a", (ours,)), ours) is None


def test_machines_are_told_apart():
    one, other = group(), group(processor="Loom", quick=True)
    assert page({"mdf": one, "data": one}, "[[machines]]").startswith("Abacus (BEADS), 2 cores, 2 threads, Linux, 2026")
    lines = page({"mdf": one, "data": other}, "[[machines]]").splitlines()
    assert [line.split(" (")[0] for line in lines] == ["- mdf: Abacus", "- data: Loom"]
    assert lines[1].endswith("**A quick run: these numbers mean nothing.**")


def test_cells_stay_cells():
    row = Measurement("a|b", (way("x_y", 1.0), way("restorekit *", 2.0)), "t", note="1 < 2")
    text = page({"data": group(row)}, "[[data]]")
    assert "| a/b | median |" in text
    assert "x\\_y" in text
    assert "restorekit \\*" in text
    assert "1 &lt; 2." in text


@pytest.mark.parametrize("name", [*GROUPS, "summary", "machines"])
def test_the_template_has_a_place_for_every_group(name):
    assert TEMPLATE.read_text(encoding="utf-8").count(f"\n[[{name}]]\n") == 1


def test_a_group_that_was_not_measured_says_how():
    text = page({}, TEMPLATE.read_text(encoding="utf-8"))
    assert text.count("Not measured yet: `python benchmarks/run.py --only") == len(GROUPS)
    assert "[[" not in text
