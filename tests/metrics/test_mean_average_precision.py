import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restorekit.metrics import mean_average_precision

FAR = 100


def found(*rows):
    """Detections (label, score, left, top, right, bottom)."""
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
    return {"boxes": table[:, 2:], "labels": table[:, 0].long(), "scores": table[:, 1]}


def truth(*rows):
    """Truths (label, left, top, right, bottom)."""
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 5)
    return {"boxes": table[:, 1:], "labels": table[:, 0].long()}


def at(place):
    """A box of 10x10 pixels away from those at other places."""
    return (FAR * place, 0, FAR * place + 10, 10)


def average(predictions, targets, **options):
    return mean_average_precision(predictions, targets, **{"iou": (0.5,)} | options).overall


# Right, wrong, right among three truths: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3.
THREE = (
    [found((1, 0.9, *at(0)), (1, 0.8, *at(7)), (1, 0.7, *at(1)))],
    [truth((1, *at(0)), (1, *at(1)), (1, *at(2)))],
)


def test_all_point_worked_by_hand():
    assert average(*THREE) == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)


def test_eleven_point_worked_by_hand():
    # Recalls 0 to 0.3 have precision 1, 0.4 to 0.6 have 2/3, the others none.
    assert average(*THREE, method="11-point") == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)


def test_a_recall_of_three_tenths_counts():
    predictions = [found(*((1, 1 - 0.1 * i, *at(i)) for i in range(3)))]
    targets = [truth(*((1, *at(i)) for i in range(10)))]
    assert average(predictions, targets, method="11-point") == pytest.approx(4 / 11)
    assert average(predictions, targets) == pytest.approx(3 / 10)


def test_precision_is_made_falling_from_its_end():
    # Wrong, right, right: precision 0, 1/2, 2/3; a recall of 1/2 is reached with 1/2, but 1 with 2/3.
    predictions = [found((1, 0.9, *at(7)), (1, 0.8, *at(0)), (1, 0.7, *at(1)))]
    targets = [truth((1, *at(0)), (1, *at(1)))]
    assert average(predictions, targets) == pytest.approx(2 / 3)
    assert average(predictions, targets, method="11-point") == pytest.approx(2 / 3)


def test_a_second_box_around_one_thing_is_wrong():
    predictions = [found((1, 0.9, *at(0)), (1, 0.8, *at(0)), (1, 0.7, *at(1)))]
    assert average(predictions, [truth((1, *at(0)), (1, *at(1)))]) == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)


def test_a_second_box_is_wrong_even_if_another_thing_is_near():
    # The second overlaps the first truth with 9.5/10.5 and the other, which is free, with 8.5/11.5.
    predictions = [found((1, 0.9, 0, 0, 10, 10), (1, 0.8, 0.5, 0, 10.5, 10))]
    assert average(predictions, [truth((1, 0, 0, 10, 10), (1, 2, 0, 12, 10))]) == 0.5


def test_overlap_must_be_exceeded():
    predictions, targets = [found((1, 0.9, 0, 0, 10, 5))], [truth((1, 0, 0, 10, 10))]
    assert average(predictions, targets, iou=(0.5,)) == 0
    assert average(predictions, targets, iou=(0.4999,)) == 1


def test_a_box_that_is_not_enough_leaves_the_truth_free():
    predictions = [found((1, 0.9, 0, 0, 10, 4), (1, 0.8, 0, 0, 10, 9))]
    assert average(predictions, [truth((1, 0, 0, 10, 10))]) == 0.5


def test_each_overlap_has_its_value():
    predictions = [found((1, 0.9, 0, 0, 10, 8), (1, 0.8, *at(1)))]
    result = mean_average_precision(predictions, [truth((1, 0, 0, 10, 10), (1, *at(1)))])
    assert result.iou == (0.5, 0.75, 0.9)
    assert result.per_iou.tolist() == [1, 1, pytest.approx(0.25)]
    assert result.overall == pytest.approx(0.75)


def test_without_a_threshold_boxes_must_still_meet():
    assert average([found((1, 0.9, *at(3)))], [truth((1, *at(0)))], iou=(0.0,)) == 0
    assert average([found((1, 0.9, 9, 9, 19, 19))], [truth((1, *at(0)))], iou=(0.0,)) == 1


def test_classes_are_judged_apart():
    predictions = [found((1, 0.9, *at(0)), (2, 0.8, *at(1)), (2, 0.7, *at(2)))]
    result = mean_average_precision(predictions, [truth((1, *at(0)), (1, *at(1)), (2, *at(2)))], iou=(0.5,))
    assert result.classes == (1, 2)
    assert result.per_class.tolist() == [[0.5, 0.5]]


def test_pictures_are_judged_together_but_boxes_stay_in_theirs():
    predictions = [found((1, 0.5, *at(0))), found((1, 0.9, *at(0)))]
    targets = [truth((1, *at(0))), truth((1, *at(1)))]
    # The wrong one of the second picture comes first.
    assert average(predictions, targets) == pytest.approx(1 / 2 * 1 / 2)


def test_equal_scores_keep_the_order_given():
    wrong, right = (1, 0.5, *at(7)), (1, 0.5, *at(0))
    assert average([found(right, wrong)], [truth((1, *at(0)))]) == 1
    assert average([found(wrong, right)], [truth((1, *at(0)))]) == 0.5
    many = [found(*([wrong] * 50)), found(right), found(*([wrong] * 50))]
    assert average(many, [truth(), truth((1, *at(0))), truth()]) == pytest.approx(1 / 51)


def test_class_without_detections_has_zero():
    result = mean_average_precision([found((1, 0.9, *at(0)))], [truth((1, *at(0)), (2, *at(1)))])
    assert result.per_class[0].tolist() == [1, 0]
    assert result.overall == 0.5


def test_class_without_truths_is_left_out():
    predictions = [found((1, 0.9, *at(0)), (2, 0.9, *at(0)))]
    result = mean_average_precision(predictions, [truth((1, *at(0)))], classes=(2, 1))
    assert result.classes == (1, 2)
    assert result.per_class[:, 0].tolist() == [1, 1, 1]
    assert result.per_class[:, 1].isnan().all()
    assert result.overall == 1
    assert mean_average_precision(predictions, [truth((1, *at(0)))]).classes == (1,)


def test_other_classes_are_left_out():
    predictions = [found((1, 0.9, *at(0)), (2, 0.9, *at(5)))]
    targets = [truth((1, *at(0)), (2, *at(1)))]
    assert average(predictions, targets) == 0.5
    assert average(predictions, targets, classes=[1]) == 1


@pytest.mark.parametrize("method", ["all-point", "11-point"])
def test_empty_pictures(method):
    assert average([found(), found()], [truth((1, *at(0))), truth()], method=method) == 0
    predictions = [found((1, 0.9, *at(0))), found((1, 0.95, *at(0)))]
    assert average(predictions, [truth((1, *at(0))), truth()], method=method) == 0.5
    for classes in (None, (3,)):
        result = mean_average_precision([found((1, 0.9, *at(0)))], [truth()], method=method, classes=classes)
        assert result.per_iou.shape == (3,)
        assert result.per_iou.isnan().all()
        assert math.isnan(result.overall)


def test_detection_without_area_is_wrong():
    assert average([found((1, 0.9, 5, 5, 5, 8))], [truth((1, *at(0)))], iou=(0.0,)) == 0


def test_types_of_numbers_do_not_matter():
    predictions, targets = THREE
    half = [{"boxes": p["boxes"].half(), "labels": p["labels"].int(), "scores": p["scores"].bfloat16()}
            for p in predictions]  # fmt: skip
    whole = [{"boxes": t["boxes"].int(), "labels": t["labels"].to(torch.uint8)} for t in targets]
    assert average(half, whole) == average(predictions, targets)


def test_arguments_stay_as_they_were():
    predictions, targets = THREE
    before = {k: v.clone() for k, v in predictions[0].items()}
    mean_average_precision(predictions, targets)
    assert all(torch.equal(predictions[0][k], v) for k, v in before.items())


# The rules once more, detection by detection, in fractions.


def overlap(a, b):
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    common = max(width, 0) * max(height, 0)
    areas = sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
    return Fraction(common, areas - common)


def brute_force(predictions, targets, label, threshold, method):
    truths = [[box for other, *box in rows if other == label] for rows in targets]
    total = sum(map(len, truths))
    if not total:
        return math.nan
    listed = [(score, i, box) for i, rows in enumerate(predictions) for other, score, *box in rows if other == label]
    used, correct, curve = set(), 0, []
    for seen, (_, i, box) in enumerate(sorted(listed, key=lambda row: -row[0]), start=1):
        candidates = [overlap(box, other) for other in truths[i]]
        best = max(candidates, default=Fraction(-1))
        if best > threshold and (i, candidates.index(best)) not in used:
            used.add((i, candidates.index(best)))
            correct += 1
        curve.append((Fraction(correct, total), Fraction(correct, seen)))

    def precision(recall):
        return max((p for r, p in curve if r >= recall), default=Fraction(0))

    if method == "11-point":
        return float(sum(precision(Fraction(k, 10)) for k in range(11)) / 11)
    return float(sum(precision(Fraction(k, total)) for k in range(1, total + 1)) / total)


def scene(seed, pictures=4):
    """Random boxes of two classes that often overlap, with scores that are often equal."""
    rng = np.random.default_rng(seed)

    def box():
        left, top = rng.integers(0, 6, 2)
        return [int(v) for v in (left, top, left + rng.integers(1, 7), top + rng.integers(1, 7))]

    targets = [[(int(rng.integers(1, 3)), *box()) for _ in range(rng.integers(0, 5))] for _ in range(pictures)]
    predictions = [
        [(int(rng.integers(1, 3)), int(rng.integers(0, 8)) / 8, *box()) for _ in range(rng.integers(0, 9))]
        for _ in range(pictures)
    ]
    return predictions, targets


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), method=st.sampled_from(["all-point", "11-point"]))
def test_equals_the_rules(seed, method):
    predictions, targets = scene(seed)
    thresholds = (0.25, 0.5, 0.75)
    result = mean_average_precision(
        [found(*p) for p in predictions], [truth(*t) for t in targets], iou=thresholds, method=method, classes=(1, 2)
    )
    expected = [[brute_force(predictions, targets, c, t, method) for c in (1, 2)] for t in thresholds]
    assert result.per_class.numpy() == pytest.approx(np.array(expected), abs=1e-12, nan_ok=True)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.25, 2.0, 16.0]), shift=st.integers(-50, 50))
def test_order_of_axes_units_and_place_do_not_matter(seed, scale, shift):
    predictions, targets = (
        [make(*rows) for rows in part] for make, part in zip((found, truth), scene(seed), strict=True)
    )

    def moved(picture):
        return picture | {"boxes": scale * picture["boxes"][:, [1, 0, 3, 2]] + shift}

    first = mean_average_precision(predictions, targets)
    second = mean_average_precision([moved(p) for p in predictions], [moved(t) for t in targets])
    torch.testing.assert_close(first.per_class, second.per_class, equal_nan=True)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), method=st.sampled_from(["all-point", "11-point"]))
def test_the_truth_itself_is_perfect(seed, method):
    # Equal boxes of one class cannot be told apart by this rule, so they are taken once.
    targets = [truth(*dict.fromkeys(rows)) for rows in [*scene(seed)[1], [(1, *at(0))]]]
    predictions = [t | {"scores": torch.arange(len(t["labels"])).float()} for t in targets]
    result = mean_average_precision(predictions, targets, method=method)
    assert result.per_class.numpy() == pytest.approx(1)


GOOD = found((1, 0.9, *at(0)))
TRUTH = truth((1, *at(0)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": torch.tensor([[5.0, 0, 4, 10]])}, "before its left or upper"),
        ({"boxes": torch.tensor([[0.0, 5, 10, 4]])}, "before its left or upper"),
        ({"boxes": torch.tensor([[0.0, 0, 10, math.nan]])}, r"predictions\[0\]\['boxes'\] must hold finite"),
        ({"boxes": torch.zeros(1, 5)}, r"must have shape \(K, 4\), got \(1, 5\)"),
        ({"boxes": torch.zeros(0)}, r"must have shape \(K, 4\)"),
        ({"scores": torch.tensor([math.nan])}, r"predictions\[0\]\['scores'\] must hold finite"),
        ({"scores": torch.tensor([math.inf])}, "must hold finite"),
        ({"scores": torch.tensor(0.5)}, r"\['scores'\] must have shape \(1,\), one per box, got \(\)"),
        ({"labels": torch.tensor([1, 1])}, r"\['labels'\] must have shape"),
    ],
)
def test_bad_numbers(change, message):
    with pytest.raises(ValueError, match=message):
        mean_average_precision([GOOD | change], [TRUTH])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.tensor([1.0])}, "must hold integers, got torch.float32"),
        ({"labels": [1]}, r"\['labels'\] must be a tensor of real numbers, got list"),
        ({"scores": torch.tensor([True])}, "got torch.bool"),
        ({"boxes": torch.zeros(1, 4, dtype=torch.complex64)}, "got torch.complex64"),
    ],
)
def test_bad_types(change, message):
    with pytest.raises(TypeError, match=message):
        mean_average_precision([GOOD | change], [TRUTH])


def test_target_without_area_is_refused():
    with pytest.raises(ValueError, match=r"targets\[0\] has a box without area; .* add 1"):
        mean_average_precision([GOOD], [truth((1, 3, 3, 3, 8))])


@pytest.mark.parametrize(
    ("predictions", "targets", "error", "message"),
    [
        ([], [], ValueError, "at least one, got 0 and 0"),
        ([GOOD], [TRUTH, TRUTH], ValueError, "got 1 and 2"),
        (GOOD, [TRUTH], TypeError, "predictions must be a sequence with one mapping per picture, got dict"),
        ([GOOD], TRUTH, TypeError, "targets must be a sequence"),
        ([[1]], [TRUTH], TypeError, r"predictions\[0\] must be a mapping"),
        ([TRUTH], [TRUTH], ValueError, r"predictions\[0\] .*'scores' is missing"),
        ([GOOD], [{"labels": torch.zeros(0).long()}], ValueError, r"targets\[0\] .*'boxes' is missing"),
    ],
)
def test_bad_sets(predictions, targets, error, message):
    with pytest.raises(error, match=message):
        mean_average_precision(predictions, targets)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"iou": 0.5}, TypeError, "iou must be a sequence"),
        ({"iou": ()}, ValueError, "iou must hold at least one"),
        ({"iou": (1.0,)}, ValueError, "iou must be below 1"),
        ({"iou": (-0.1,)}, ValueError, "iou must be in"),
        ({"iou": (math.nan,)}, ValueError, "iou must be in"),
        ({"iou": ("0.5",)}, TypeError, "iou must be a number"),
        ({"method": "101-point"}, ValueError, "method must be one of all-point, 11-point, got '101-point'"),
        ({"classes": ()}, ValueError, "classes must hold at least one"),
        ({"classes": (1, 1)}, ValueError, "each once"),
        ({"classes": (1.0,)}, TypeError, "classes must be an integer"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        mean_average_precision([GOOD], [TRUTH], **options)
