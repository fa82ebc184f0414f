"""Violin plots as SVG that takes its colours from the page around it."""

import io
import re
import warnings
from typing import Any

from restorekit.evaluation.comparison import Comparison, Summary, title

# Matplotlib wants colours; these three stand for what the page uses, in light and in dark.
_INK, _ACCENT, _MUTED = "#010203", "#040506", "#070809"
_COLOURS = {_INK: "currentColor", _ACCENT: "var(--accent)", _MUTED: "var(--rule)"}
_MAX_LABEL = 28
_BELOW = 0.22
_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.edgecolor": _MUTED,
    "axes.unicode_minus": True,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _MUTED,
    "font.size": 10,
    "axes.labelsize": 10,
}


def violins(comparison: Comparison, metric: str) -> str:
    """The scores of all pictures, a row for each method, better ones to the right."""
    try:
        from matplotlib import style  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("a report needs matplotlib: pip install 'restorekit[plots]'") from error
    rows = [comparison.summary(method, metric) for method in comparison.methods]
    # A page looks the same whatever the user's settings, and it is the browser that has to know the characters.
    with style.context({**_STYLE, "svg.hashsalt": metric}, after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=(6.2, 0.75 + 0.5 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        for place, (row, result) in enumerate(zip(rows, comparison.evaluations, strict=True)):
            values = [value for value in result.values(metric) if abs(value) < float("inf")]
            _draw(axes, place, row, values)
        names = [_shortened(method) for method in comparison.methods]
        axes.set_yticks(range(len(rows)), names)
        axes.set(xlabel=title(metric), ylim=(len(rows) - 0.4, -0.55))
        axes.margins(x=0.03)
        axes.grid(axis="x", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        if rows[0].lower_is_better:
            axes.invert_xaxis()
        file = io.StringIO()
        blank = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=blank)
    return _inlined(file.getvalue())


def _draw(axes: Any, place: int, row: Summary, values: list[float]) -> None:
    """Density, one dot for each picture, mean and tail with their intervals."""
    if len(set(values)) > 2:
        bodies = axes.violinplot(values, [place], orientation="horizontal", widths=0.82, showextrema=False)["bodies"]
        for body in bodies:
            body.set(facecolor=_ACCENT, edgecolor="none", alpha=0.2)
    axes.plot(values, [place] * len(values), "o", color=_ACCENT, markersize=3.4, alpha=0.6, markeredgewidth=0)
    below = [place + _BELOW] * 2  # beside the dots, not over them
    for estimate, marker, width, size in ((row.tail, "|", 1.2, 11), (row.mean, "o", 2.4, 6)):
        if abs(estimate.low) < float("inf") and abs(estimate.high) < float("inf"):
            axes.plot([estimate.low, estimate.high], below, color=_INK, linewidth=width, solid_capstyle="butt")
        if abs(estimate.value) < float("inf"):
            axes.plot([estimate.value], below[:1], marker, color=_INK, markersize=size)


def _shortened(name: str) -> str:
    name = name.encode("utf-8", "backslashreplace").decode()  # matplotlib takes no halves of characters
    return name if len(name) <= _MAX_LABEL else name[: _MAX_LABEL - 1] + "…"


def _inlined(text: str) -> str:
    """Without the head of a file, and with no name that another drawing on the page could have, too."""
    text = text[text.index("<svg") :]
    text = re.sub(r' id="([^"]+)"', lambda found: found[0] if f"#{found[1]}" in text else "", text)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text)
    for placeholder, colour in _COLOURS.items():
        text = text.replace(placeholder, colour)
    return text
