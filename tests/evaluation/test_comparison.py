import math

import pytest

from restorekit.evaluation import PROTOCOLS, Estimate, Evaluation, PairedTest, Record, compare


def result(psnr, ssim, lpips):
    """Three pictures with these scores."""
    rows = zip("abc", psnr, ssim, lpips, strict=True)
    return Evaluation(
        records=tuple(Record(name, 40, 60, p, s, (("lpips", v),)) for name, p, s, v in rows),
        protocol=PROTOCOLS["rgb"],
        scale=1,
        crop=4,
        lq_source="noisy",
        self_ensemble=False,
        tile=None,
        dtype=None,
        weight_hash=None,
        data_hash="cd" * 32,
        version="1.2.3",
        lower_is_better=("lpips",),
    )


COMPARISON = compare(
    {
        "good": result([30.0, 32.0, 31.0], [0.9, 0.8, 0.85], [0.1, 0.2, 0.15]),
        "bad": result([29.0, 30.5, 30.0], [0.9, 0.8, 0.85], [0.3, 0.5, math.nan]),
    }
)


def test_what_is_in_it():
    assert COMPARISON.methods == ("good", "bad")
    assert COMPARISON.metrics == ("psnr", "ssim", "lpips")
    assert [(row.metric, row.method) for row in COMPARISON.summaries] == [
        (metric, method) for metric in COMPARISON.metrics for method in COMPARISON.methods
    ]
    assert [(row.first, row.second) for row in COMPARISON.verdicts] == [("good", "bad"), ("bad", "good")] * 3
    assert COMPARISON.summary("good", "lpips").percent == 95
    assert COMPARISON.summary("good", "psnr").percent == 5
    assert isinstance(COMPARISON.test("psnr", "bad", "good"), PairedTest)
    assert isinstance(COMPARISON.summary("bad", "ssim").mean, Estimate)


def test_best_follows_the_direction_of_the_metric():
    lower = compare({"good": result([30] * 3, [0.9] * 3, [0.3] * 3), "bad": result([29] * 3, [0.8] * 3, [0.2] * 3)})
    assert [lower.best(metric) for metric in lower.metrics] == [("good",), ("good",), ("bad",)]


def test_equal_means_share_the_place_and_nan_has_none():
    assert COMPARISON.best("ssim") == ("good", "bad")
    assert COMPARISON.best("lpips") == ("good",)
    unknown = result([30] * 3, [0.9] * 3, [math.nan] * 3)
    assert compare({"a": unknown, "b": unknown}).best("lpips") == ()


def test_table():
    text = str(COMPARISON).split("\n\n")
    assert text[0].splitlines() == [
        "rgb: output rounded to 8 bits, RGB, crop 4, x1",
        "pictures 3 (cdcdcdcdcdcd), degraded ones from noisy",
    ]
    psnr = text[1].splitlines()
    assert psnr[0].split("  ")[0] == "PSNR, dB"
    assert psnr[1].split() == ["good", "31.00", "28.52", "to", "33.48", "30.10", "30.00", "to", "32.00"]
    assert psnr[3:] == [
        "better than     good      bad   p, paired t-test",
        "good                    0.010",
        "bad            0.990",
    ]
    assert "95th percentile" in text[3]
    assert text[3].splitlines()[2].split() == ["bad", "–", "–", "to", "–", "–", "–", "to", "–"]
    assert text[2].splitlines()[-1].split() == ["bad", "–"]


def test_names_that_are_not_there():
    with pytest.raises(ValueError, match="no 'psnr' of 'best'; there are"):
        COMPARISON.summary("best", "psnr")
    with pytest.raises(ValueError, match="no test of 'good' and 'good' by 'psnr'"):
        COMPARISON.test("psnr", "good", "good")


def test_infinite_scores_are_shown():
    perfect = result([math.inf, 30, 31], [1, 1, 1], [0, 0, 0])
    text = str(compare({"a": perfect, "b": perfect}))
    assert "∞" in text
    assert "nan" not in text
