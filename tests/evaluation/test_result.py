import csv
import dataclasses
import json
import math

import pytest

from restorekit.evaluation import PROTOCOLS, Evaluation, Record

RESULT = Evaluation(
    records=(Record("bird", 40, 60, 30.125, 0.91), Record("a very long name", 32, 32, 33.0, 0.95)),
    protocol=PROTOCOLS["sr-y-matlab"],
    scale=4,
    crop=4,
    lq_source="LRbicx4",
    self_ensemble=False,
    tile=None,
    dtype=None,
    weight_hash="ab" * 32,
    data_hash="cd" * 32,
    version="1.2.3",
)
EXTRA = dataclasses.replace(
    RESULT,
    records=tuple(
        dataclasses.replace(record, extra=(("lpips", value), ("a_long_name", 7.0)))
        for record, value in zip(RESULT.records, (0.25, math.nan), strict=True)
    ),
    lower_is_better=("lpips",),
)
PERFECT = dataclasses.replace(RESULT, records=(*RESULT.records, Record("same", 20, 20, math.inf, 1.0)))


def test_means_are_over_pictures():
    assert RESULT.psnr == pytest.approx((30.125 + 33.0) / 2)
    assert RESULT.ssim == pytest.approx(0.93)
    assert PERFECT.psnr == math.inf
    opposite = tuple(
        dataclasses.replace(record, extra=(("log", value),))
        for record, value in zip(RESULT.records, (math.inf, -math.inf), strict=True)
    )
    assert math.isnan(dataclasses.replace(RESULT, records=opposite).mean("log"))


def test_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RESULT.scale = 2


def test_table():
    assert str(RESULT).splitlines() == [
        "sr-y-matlab: output rounded to 8 bits, Y rounded, crop 4, x4",
        "pictures 2 (cdcdcdcdcdcd), low resolution from LRbicx4, weights abababababab, restorekit 1.2.3",
        "picture              PSNR     SSIM",
        "bird               30.125   0.9100",
        "a very long name   33.000   0.9500",
        "mean               31.562   0.9300",
    ]


def test_table_of_a_function_with_self_ensemble():
    text = str(dataclasses.replace(PERFECT, weight_hash=None, self_ensemble=True))
    assert text.splitlines()[0].endswith("crop 4, x4, self-ensemble")
    assert "weights none" in text
    assert text.splitlines()[-1].split() == ["mean", "inf", "0.9533"]


def test_json_holds_everything(tmp_path):
    path = tmp_path / "scores.json"
    text = RESULT.to_json(path)
    assert json.loads(path.read_text()) == json.loads(text) == RESULT_AS_DICT


RESULT_AS_DICT = {
    "pictures": 2,
    "psnr": 31.5625,
    "ssim": pytest.approx(0.93),
    "records": [
        {"name": "bird", "height": 40, "width": 60, "psnr": 30.125, "ssim": 0.91},
        {"name": "a very long name", "height": 32, "width": 32, "psnr": 33.0, "ssim": 0.95},
    ],
    "protocol": {"name": "sr-y-matlab", "quantise": "round", "color": "y", "round_y": True, "crop_border": None},
    "scale": 4,
    "crop": 4,
    "lq_source": "LRbicx4",
    "self_ensemble": False,
    "tile": None,
    "dtype": None,
    "weight_hash": "ab" * 32,
    "data_hash": "cd" * 32,
    "version": "1.2.3",
    "lower_is_better": [],
}


def test_further_metrics_join_the_others(tmp_path):
    assert EXTRA.metrics == ("psnr", "ssim", "lpips", "a_long_name")
    assert EXTRA.records[0].scores == {"psnr": 30.125, "ssim": 0.91, "lpips": 0.25, "a_long_name": 7.0}
    assert EXTRA.values("ssim") == (0.91, 0.95)
    assert EXTRA.mean("psnr") == EXTRA.psnr
    assert EXTRA.mean("a_long_name") == 7
    assert str(EXTRA).splitlines()[2:4] == [
        "picture              PSNR     SSIM    lpips a_long_name",
        "bird               30.125   0.9100   0.2500      7.0000",
    ]
    found = json.loads(EXTRA.to_json())
    assert found["records"][0] == RESULT_AS_DICT["records"][0] | {"lpips": 0.25, "a_long_name": 7.0}
    assert (found["records"][1]["lpips"], found["lpips"], found["a_long_name"]) == ("NaN", "NaN", 7.0)
    assert found["lower_is_better"] == ["lpips"]
    EXTRA.to_csv(tmp_path / "scores.csv")
    assert (tmp_path / "scores.csv").read_text().splitlines()[0].startswith("name,height,width,psnr,ssim,lpips,a_long")


def test_a_metric_that_was_not_measured():
    with pytest.raises(ValueError, match="metric must be one of psnr, ssim, got 'lpips'"):
        RESULT.values("lpips")


def test_pictures_of_equal_size_are_not_called_low_resolution():
    text = str(dataclasses.replace(RESULT, scale=1, lq_source="noisy"))
    assert "degraded from noisy" in text
    assert "low resolution" not in text


def test_json_of_identical_pictures_is_strict_json():
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    found = json.loads(PERFECT.to_json(), parse_constant=refuse)
    assert found["psnr"] == found["records"][2]["psnr"] == "Infinity"
    assert float(found["psnr"]) == math.inf


def test_csv_rows_carry_protocol_and_hashes(tmp_path):
    path = tmp_path / "scores.csv"
    PERFECT.to_csv(path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], float(row["psnr"]), float(row["ssim"])) for row in rows] == [
        ("bird", 30.125, 0.91),
        ("a very long name", 33.0, 0.95),
        ("same", math.inf, 1.0),
    ]
    shared = {"protocol": "sr-y-matlab", "scale": "4", "crop": "4", "weight_hash": "ab" * 32, "data_hash": "cd" * 32}
    assert [row | shared for row in rows] == rows
    assert (rows[0]["height"], rows[0]["width"]) == ("40", "60")


@pytest.mark.parametrize("write", [RESULT.to_json, RESULT.to_csv])
def test_replaces_the_old_file_and_leaves_nothing_else(tmp_path, write):
    path = tmp_path / "scores"
    path.write_text("old")
    write(path)
    assert "bird" in path.read_text()
    assert list(tmp_path.iterdir()) == [path]


def test_names_that_are_no_text_can_be_written(tmp_path):
    """A file name in another encoding than that of the system reaches Python as half a character."""
    odd = dataclasses.replace(RESULT, records=(dataclasses.replace(RESULT.records[0], name="caf\udce9"),))
    odd.to_csv(tmp_path / "odd.csv")
    assert r"caf\udce9,40,60" in (tmp_path / "odd.csv").read_text(encoding="utf-8")
    odd.to_json(tmp_path / "odd.json")
    assert json.loads((tmp_path / "odd.json").read_text(encoding="utf-8"))["records"][0]["name"] == "caf\udce9"


def test_small_scores_keep_their_digits():
    """As the squared error has them, which four decimals would make alike."""
    small = tuple(
        dataclasses.replace(record, extra=(("mse", value), ("other", 0.0)))
        for record, value in zip(RESULT.records, (0.0012345, 0.0000456), strict=True)
    )
    rows = str(dataclasses.replace(RESULT, records=small)).splitlines()[3:]
    assert [row.split()[-2:] for row in rows] == [["0.00123", "0.0000"], ["4.56e-05", "0.0000"], ["0.00064", "0.0000"]]
