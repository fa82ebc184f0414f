"""A comparison as one HTML file that asks for nothing from elsewhere."""

import base64
import hashlib
import math
from html import escape
from importlib.resources import files as resources

from restorekit import __version__
from restorekit.evaluation._strips import JPEG_QUALITY, Files, strips
from restorekit.evaluation._violins import violins
from restorekit.evaluation.comparison import Comparison, Summary, best_of, number, p_text, title


def report(
    comparison: Comparison, files: Files, heading: str, *, shown: int, lossless: bool, max_bytes: int, draws: int
) -> str:
    """The whole page."""
    style, script = (resources(__package__).joinpath(f"_report.{kind}").read_text("utf-8") for kind in ("css", "js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # A page that may load nothing and run this one script only: names in it can do no harm even unescaped.
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    body = "\n".join(
        [
            f"<header><h1>{escape(heading)}</h1>{_conditions(comparison)}</header>",
            f"<main>{_summary(comparison, draws)}",
            _plots(comparison),
            _tests(comparison),
            _pictures(comparison, files, shown, lossless, max_bytes),
            f"{_scores(comparison)}{_settings(comparison)}</main>",
        ]
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="generator" content="restorekit {escape(__version__)}">'
        f"<title>{escape(heading)}</title><style>{style}</style></head>\n"
        f"<body>{body}<script>{script}</script></body></html>\n"
    )


def _conditions(comparison: Comparison) -> str:
    shared = comparison.evaluations[0]
    name, _, how = str(shared.protocol).partition(": ")
    facts = {
        "Protocol": f"<b>{escape(name)}</b>: {escape(how)}, border of {shared.crop} px left out",
        "Pictures": f"{len(shared.records)}, SHA-256 <code>{escape(shared.data_hash[:16])}</code>",
        "Degraded": f"from {escape(shared.lq_source)}, scale {shared.scale}",
    }
    return "<dl>" + "".join(f"<div><dt>{key}</dt><dd>{value}</dd></div>" for key, value in facts.items()) + "</dl>"


def _head(text: str, first: str | None) -> str:
    """A heading to sort by; ``first`` is the direction of the first click."""
    kind = ' class="name"' if first is None else ""
    button = f'<button type="button" data-first="{first or "ascending"}">{text}</button>'
    return f'<th scope="col" aria-sort="none"{kind}>{button}</th>'


def _best_first(comparison: Comparison, metric: str) -> str:
    return "ascending" if metric in comparison.evaluations[0].lower_is_better else "descending"


def _summary(comparison: Comparison, draws: int) -> str:
    heads = [_head("Method", None)]
    for metric in comparison.metrics:
        row = comparison.summary(comparison.methods[0], metric)
        arrow, first = "↓" if row.lower_is_better else "↑", _best_first(comparison, metric)
        name = escape(title(metric))
        heads += [_head(f"{name} {arrow}", first), _head(f"{name}, {row.percent}th percentile", first)]
    rows = "".join(f"<tr>{_method_cells(comparison, method)}</tr>" for method in comparison.methods)
    return (
        f'<section><h2>Summary</h2><div class="scroll"><table class="sortable"><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        '<p class="note"><b class="best">Bold</b>: best of its column. <b>≈</b>: the best is not significantly better '
        "than this (one-tailed paired t-test, p ≥ 0.05). ±: half the 95 % confidence interval of the mean, by "
        "Student's t; it is wide where pictures differ, which the paired test below looks past. Brackets: 95 % "
        "bootstrap interval of the "
        f"percentile ({draws:,} draws).</p></section>"
    )


def _method_cells(comparison: Comparison, method: str) -> str:
    cells = [f'<th scope="row">{escape(method)}</th>']
    for metric in comparison.metrics:
        row = comparison.summary(method, metric)
        cells += [_mean_cell(comparison, row), _tail_cell(comparison, row)]
    return "".join(cells)


def _mean_cell(comparison: Comparison, row: Summary) -> str:
    best = comparison.best(row.metric)
    kind = ' class="best"' if row.method in best else ""
    rival = (
        bool(best)
        and row.method not in best
        and not any(comparison.test(row.metric, first, row.method).significant for first in best)
    )
    mark = '<abbr title="the best is not significantly better">≈</abbr> ' if rival else ""
    half = number(row.metric, row.mean.high - row.mean.value if math.isfinite(row.mean.value) else math.nan)
    value = number(row.metric, row.mean.value)
    return f'<td data-value="{row.mean.value}">{mark}<span{kind}>{value}</span> <small>± {half}</small></td>'


def _tail_cell(comparison: Comparison, row: Summary) -> str:
    values = [comparison.summary(method, row.metric).tail.value for method in comparison.methods]
    kind = ' class="best"' if row.tail.value == best_of(values, row.lower_is_better) else ""
    low, high = number(row.metric, row.tail.low), number(row.metric, row.tail.high)
    value = number(row.metric, row.tail.value)
    return f'<td data-value="{row.tail.value}"><span{kind}>{value}</span> <small>[{low}, {high}]</small></td>'


def _plots(comparison: Comparison) -> str:
    figures = "".join(
        f'<figure role="img" aria-label="Violin plot of {escape(title(metric))} for each method">'
        f"{violins(comparison, metric)}</figure>"
        for metric in comparison.metrics
    )
    return (
        f'<section><h2>Distributions</h2><div class="plots">{figures}</div><p class="note">Better is to the right. '
        "Small dots: pictures. Large dot and thick line: mean with its interval. Tick and thin line: the percentile of "
        "the table with its interval. Infinite scores are left out.</p></section>"
    )


def _tests(comparison: Comparison) -> str:
    tables = "".join(_matrix(comparison, metric) for metric in comparison.metrics)
    return (
        f'<section><h2>Is the row better than the column?</h2><div class="matrices">{tables}</div>'
        '<p class="note">Mean difference, row minus column, with p of the one-tailed paired t-test; '
        '<b class="best">bold</b> where p &lt; 0.05. The p-values are not corrected for the number of comparisons.</p>'
        "</section>"
    )


def _matrix(comparison: Comparison, metric: str) -> str:
    names = {method: f'title="{escape(method)}">{escape(method)}</th>' for method in comparison.methods}
    heads = "".join(f'<th scope="col" {name}' for name in names.values())
    rows = []
    for first in comparison.methods:
        cells = "".join(_test_cell(comparison, metric, first, second) for second in comparison.methods)
        rows.append(f'<tr><th scope="row" {names[first]}{cells}</tr>')
    return (
        f'<div class="scroll"><table><caption>{escape(title(metric))}</caption><thead><tr><td></td>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _test_cell(comparison: Comparison, metric: str, first: str, second: str) -> str:
    if first == second:
        return '<td class="self"></td>'
    test = comparison.test(metric, first, second)
    kind = ' class="best"' if test.significant else ""
    value, p = number(metric, test.difference.value, signed=True), p_text(test)
    sign, p = ("=", p) if p[0] not in "<>" else (escape(p[0]), p[1:])
    return f"<td><span{kind}>{value}</span> <small>p {sign} {p}</small></td>"


def _pictures(comparison: Comparison, files: Files, shown: int, lossless: bool, max_bytes: int) -> str:
    if not files or not shown:
        return ""
    parts, size = [], 0
    for strip in strips(comparison, files, shown, lossless):
        size += len(strip)
        if size > max_bytes:
            break
        parts.append(strip)
    total = len(comparison.evaluations[0].records)
    form = "PNG" if lossless else f"JPEG of quality {JPEG_QUALITY}"
    bounded = f" More would exceed {max_bytes / 2**20:.3g} MiB." if len(parts) < min(shown, total) else ""
    return (
        f"<section><h2>Pictures</h2><p class='note'>The first {len(parts)} of {total}, as {form}.{bounded} Click a "
        "picture or press its button to enlarge it in all methods; move the pointer or use the arrow keys to look "
        "around, Escape to go back.</p><p><label>Enlargement "
        "<input id='factor' type='range' min='2' max='12' value='4'>"
        f" <output for='factor'>4</output>×</label></p>{''.join(parts)}</section>"
    )


def _scores(comparison: Comparison) -> str:
    heads = [_head("Picture", None)]
    for metric in comparison.metrics:
        first = _best_first(comparison, metric)
        heads += [_head(f"{escape(title(metric))}<br>{escape(method)}", first) for method in comparison.methods]
    rows = []
    for records in zip(*(result.records for result in comparison.evaluations), strict=True):
        cells = "".join(
            f'<td data-value="{record.scores[metric]}">{number(metric, record.scores[metric])}</td>'
            for metric in comparison.metrics
            for record in records
        )
        rows.append(f'<tr><th scope="row">{escape(records[0].name)}</th>{cells}</tr>')
    return (
        '<section><details><summary>Scores of every picture</summary><div class="scroll"><table class="sortable">'
        f"<thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details></section>"
    )


def _settings(comparison: Comparison) -> str:
    heads = "".join(
        f'<th scope="col" class="name">{head}</th>'
        for head in ("Method", "Weights, SHA-256", "Self-ensemble", "Tile", "Type", "restorekit")
    )
    rows = []
    for method, result in zip(comparison.methods, comparison.evaluations, strict=True):
        weights = "none (a function)" if result.weight_hash is None else f"<code>{escape(result.weight_hash)}</code>"
        facts = (result.tile or "whole pictures", result.dtype or "its own", result.version)
        cells = [weights, "yes" if result.self_ensemble else "no", *(escape(str(fact)) for fact in facts)]
        rows.append(f'<tr><th scope="row">{escape(method)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>')
    data_hash = escape(comparison.evaluations[0].data_hash)
    return (
        '<section><details><summary>Settings and hashes</summary><div class="scroll"><table class="text"><thead><tr>'
        f"{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div><p class='note'>Pictures, SHA-256: "
        f"<code>{data_hash}</code></p></details></section>"
    )
