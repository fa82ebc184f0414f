"""Several methods on the same pictures: statistics, and one HTML file that shows everything."""

import os
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path

import torch

from restorekit._check import check_integer
from restorekit.evaluation._report import report
from restorekit.evaluation._strips import open_pictures
from restorekit.evaluation.comparison import Comparison, Summary, Verdict
from restorekit.evaluation.result import Evaluation
from restorekit.evaluation.statistics import PairedTest, mean_interval, paired_t_test, percentile_interval
from restorekit.image import atomic_path

MAX_BYTES = 64 * 2**20
"""Size of the pictures in a report."""

# What has to be equal, with what it is called where it is not.
_SHARED = {
    "data_hash": "the pictures (data_hash)",
    "lq_source": "where the degraded pictures come from (lq_source)",
    "protocol": "the protocol",
    "scale": "the scale",
    "crop": "the border crop",
    "metrics": "the metrics",
    "lower_is_better": "the metrics of which less is better (lower_is_better)",
}


def compare(
    results: Mapping[str, Evaluation],
    path: str | os.PathLike[str] | None = None,
    *,
    pictures: Mapping[str, str | os.PathLike[str]] | None = None,
    title: str = "Comparison of restoration methods",
    shown: int = 30,
    lossless: bool = False,
    max_bytes: int = MAX_BYTES,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare methods that restored the same pictures, and write the comparison as one HTML file.

    For every metric and method: the mean with its 95 % confidence interval, and the 5th percentile (the 95th where
    lower is better) with its bootstrap interval; for every two methods the one-tailed paired t-test of whether the
    first is better. The p-values are not corrected for their number.

    The file needs nothing else: tables that are sorted by a click on a heading, violin plots (matplotlib, extra
    ``plots``), and for each picture a strip of what the methods made of it, which a click enlarges in all at once.

    Args:
        results: What ``evaluate`` found, by the name of the method; at least two, in the order they shall have.
        path: File to write, ending in .html; it is replaced only when complete. None writes nothing.
        pictures: Folders of pictures to show, by name, in the order they shall have: those of the methods, which
            ``evaluate(keep_pictures=...)`` fills, and others, such as {"Original": "set/HR"}. A picture is found by
            the name of its record, suffixes aside; what it has beyond the record's size at the bottom and right is
            cut off.
        title: Heading of the report.
        shown: Number of pictures to show, the first ones by name.
        lossless: Embed them as PNG; else as JPEG of quality 90 with colour at full resolution.
        max_bytes: Size of the pictures in the file; of more, the first ones that fit are shown, and the report says so.
        resamples: Number of draws of the bootstrap.
        seed: Of the bootstrap; each method gets the same draws of pictures.

    Returns:
        The statistics.

    Raises:
        TypeError: ``results`` is no mapping of names to ``Evaluation``, or an option has the wrong type.
        ValueError: There are fewer than two results, or they differ in pictures, protocol, scale, crop or metrics; a
            picture to show is missing, smaller than its record or one of two of its name; an option is out of range.
        FileNotFoundError: ``path`` lies in a folder that does not exist.
        NotADirectoryError: A folder of pictures is none.
        ImportError: A report is asked for without matplotlib.

    Example:
        >>> from restorekit.evaluation import PROTOCOLS, Record
        >>> shared = (PROTOCOLS["rgb"], 1, 4, "lq", False, None, None, None, "", "")
        >>> one, other = (Evaluation((Record("cat", 64, 64, psnr, 0.9),), *shared) for psnr in (30.5, 30.0))
        >>> compare({"A": one, "B": other}).test("psnr", "A", "B").difference.value
        0.5

    Source:
        Mustafa et al., "Training a task-specific image reconstruction loss", WACV 2022: violin plots, these intervals,
        the t-test (paired or not is unstated there), and a report of the first 30 pictures as JPEG of quality 90.
    """
    _check_results(results)
    if not isinstance(title, str):
        raise TypeError(f"title must be a string, got {title!r}")
    for name, value, least in (("shown", shown, 0), ("max_bytes", max_bytes, 0), ("seed", seed, 0)):
        check_integer(value, name, least)
    comparison = _compared(results, resamples, seed)
    if path is not None:
        if Path(path).suffix.lower() not in {".html", ".htm"}:
            raise ValueError(f"path must end in .html, got {str(path)!r}")
        files = open_pictures(pictures or {}, comparison)
        text = report(comparison, files, title, shown=shown, lossless=lossless, max_bytes=max_bytes, draws=resamples)
        with atomic_path(path) as beside:
            beside.write_text(text, encoding="utf-8", errors="backslashreplace")  # names of files may be no text
    return comparison


def _check_results(results: Mapping[str, Evaluation]) -> None:
    if not isinstance(results, Mapping):
        raise TypeError(f"results must be a mapping of names to what evaluate returned, got {type(results).__name__}")
    for name, result in results.items():
        if not isinstance(name, str) or not isinstance(result, Evaluation):
            raise TypeError(f"results must map names to what evaluate returned, got {name!r}: {type(result).__name__}")
    if len(results) < 2:
        raise ValueError(f"results must hold at least two methods, got {len(results)}")
    (reference, first), *others = results.items()
    for name, result in others:
        _check_same(reference, first, name, result)


def _check_same(reference: str, first: Evaluation, name: str, result: Evaluation) -> None:
    lists = [[(record.name, record.height, record.width) for record in one.records] for one in (first, result)]
    if lists[0] != lists[1]:
        only = sorted(set(lists[0]) ^ set(lists[1]))[:3]
        raise ValueError(
            f"{reference!r} and {name!r} are scores of different pictures ({len(lists[0])} and {len(lists[1])}), such "
            f"as (name, height, width) {', '.join(map(str, only))}; evaluate both on the same folder"
        )
    for field, words in _SHARED.items():
        one, other = getattr(first, field), getattr(result, field)
        if one != other:
            raise ValueError(
                f"{reference!r} and {name!r} cannot be compared, they differ in {words}: {one} and {other}; "
                "evaluate both in the same way"
            )


def _compared(results: Mapping[str, Evaluation], resamples: int, seed: int) -> Comparison:
    metrics = next(iter(results.values())).metrics
    summaries = [
        _summary(name, result, metric, resamples, seed) for metric in metrics for name, result in results.items()
    ]
    verdicts = [
        Verdict(metric, first, second, _tested(results[first], results[second], metric))
        for metric in metrics
        for first, second in permutations(results, 2)
    ]
    return Comparison(tuple(results), tuple(results.values()), tuple(summaries), tuple(verdicts))


def _summary(name: str, result: Evaluation, metric: str, resamples: int, seed: int) -> Summary:
    values, lower = result.values(metric), metric in result.lower_is_better
    generator = torch.Generator().manual_seed(seed)
    tail = percentile_interval(values, 95 if lower else 5, resamples=resamples, generator=generator)
    return Summary(name, metric, lower, mean_interval(values), tail)


def _tested(first: Evaluation, second: Evaluation, metric: str) -> PairedTest:
    return paired_t_test(first.values(metric), second.values(metric), lower_is_better=metric in first.lower_is_better)
