"""The statistics, what is refused, and the report: as text, and as a browser shows it."""

import base64
import dataclasses
import io
import json
import math
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest
from picture_files import noise, write_folder
from PIL import Image
from scipy import stats
from skimage import data

from restorekit.evaluation import PROTOCOLS, Evaluation, Record, compare, mean_interval

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>&$x_1$'
NAMES = ("bird", "cat", 'dog <b>"&')


def result(*psnr, names=NAMES, size=(24, 32), **changes):
    """SSIM follows PSNR, and a distance goes against it."""
    values = zip(names, psnr, strict=True)
    base = Evaluation(
        records=tuple(Record(name, *size, p, p / 40, (("distance", 1 / p),)) for name, p in values),
        protocol=PROTOCOLS["sr-y"],
        scale=2,
        crop=2,
        lq_source="LRbicx2",
        self_ensemble=False,
        tile=None,
        dtype=None,
        weight_hash="ab" * 32,
        data_hash="cd" * 32,
        version="1.2.3",
        lower_is_better=("distance",),
    )
    return dataclasses.replace(base, **changes)


RESULTS = {
    "Middle": result(30.0, 27.0, 33.0),
    HOSTILE: result(31.0, 27.9, 34.2),
    "Low": result(29.0, 26.5, 31.5, weight_hash=None, self_ensemble=True),
}


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A report with pictures, and the folder it lies in."""
    folder = tmp_path_factory.mktemp("shown")
    photo = {"bird": data.rocket()[100:126, 280:313], "cat": data.chelsea()[90:116, 100:133]}
    photo[NAMES[2]] = data.astronaut()[60:86, 200:233]
    pictures = {}
    for index, column in enumerate(["Original", *RESULTS]):
        pictures[column] = write_folder(
            folder / str(index), {f"{name}.png": x // (1 + index) for name, x in photo.items()}
        )
    compare(RESULTS, folder / "report.html", pictures=pictures, title=f"All {HOSTILE}", resamples=200)
    return folder


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag, kind=None):
        return [a for name, a in self.tags if name == tag and (kind is None or kind in (a.get("class") or "").split())]


@pytest.fixture(scope="module")
def page(shown):
    return Page((shown / "report.html").read_text(encoding="utf-8"))


def test_statistics_are_those_of_scipy():
    found = compare(RESULTS, resamples=50)
    for metric, tail, side in (("psnr", 5, "greater"), ("ssim", 5, "greater"), ("distance", 95, "less")):
        for name, one in RESULTS.items():
            row = found.summary(name, metric)
            assert row.mean == mean_interval(one.values(metric))
            assert row.tail.value == pytest.approx(np.percentile(one.values(metric), tail))
            for other in RESULTS.keys() - {name}:
                expected = stats.ttest_rel(one.values(metric), RESULTS[other].values(metric), alternative=side)
                assert found.test(metric, name, other).p_value == pytest.approx(expected.pvalue)


def test_the_seed_decides_the_bootstrap():
    values = list(np.random.default_rng(0).normal(30, 3, 20))
    both = {"a": result(*values, names=list(map(str, range(20)))), "b": result(*values, names=map(str, range(20)))}
    first, again, other = (compare(both, resamples=40, seed=seed) for seed in (0, 0, 1))
    assert first.summaries == again.summaries
    assert first.summary("a", "psnr").tail != other.summary("a", "psnr").tail
    assert first.summary("a", "psnr").tail == first.summary("b", "psnr").tail  # the same draws for each method


def test_nothing_is_written_without_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compare(RESULTS, resamples=10)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (result(30.0, names=["bird"]), r"'a' and 'b' are scores of different pictures \(3 and 1\), such as .*'cat'"),
        (result(30, 27, 33, names=["bird", "cat", "cow"]), r"different pictures .*'cow', 24, 32"),
        (result(30, 27, 33, size=(24, 30)), "different pictures"),
        (result(30, 27, 33, data_hash="ef" * 32), r"they differ in the pictures \(data_hash\): cdcd.* and efef"),
        (result(30, 27, 33, lq_source="resize_uint8"), r"\(lq_source\): LRbicx2 and resize_uint8"),
        (result(30, 27, 33, protocol=PROTOCOLS["sr-y-matlab"]), "the protocol: sr-y: .* and sr-y-matlab"),
        (result(30, 27, 33, scale=4), "the scale: 2 and 4"),
        (result(30, 27, 33, crop=4), "the border crop: 2 and 4"),
        (result(30, 27, 33, lower_is_better=()), r"less is better \(lower_is_better\): "),
        (
            dataclasses.replace(
                result(30, 27, 33),
                records=tuple(dataclasses.replace(record, extra=()) for record in result(30, 27, 33).records),
            ),
            r"the metrics: .*distance.* and \('psnr', 'ssim'\)",
        ),
    ],
)
def test_what_cannot_be_compared(tmp_path, other, message):
    with pytest.raises(ValueError, match=message):
        compare({"a": RESULTS["Low"], "b": other}, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("results", "options", "error", "message"),
    [
        ([RESULTS["Low"]], {}, TypeError, "results must be a mapping .* got list"),
        ({"a": 3, "b": 4}, {}, TypeError, "results must map names to what evaluate returned, got 'a': int"),
        ({"a": RESULTS["Low"]}, {}, ValueError, "at least two methods, got 1"),
        (RESULTS, {"path": "report.pdf"}, ValueError, r"path must end in \.html, got 'report\.pdf'"),
        (RESULTS, {"title": None}, TypeError, "title must be a string, got None"),
        (RESULTS, {"shown": -1}, ValueError, "shown must be at least 0"),
        (RESULTS, {"max_bytes": 1.5}, TypeError, "max_bytes must be an integer"),
        (RESULTS, {"resamples": 0}, ValueError, "resamples must be at least 1"),
        (RESULTS, {"path": "report.html", "pictures": ["x"]}, TypeError, "pictures must be a mapping"),
        (RESULTS, {"path": "report.html", "pictures": {"Low": "nowhere"}}, NotADirectoryError, "nowhere"),
    ],
)
def test_bad_calls(tmp_path, monkeypatch, results, options, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        compare(results, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "size", "message"),
    [
        (["bird.png", "cat.png"], (24, 32), r"has no picture 'dog .*' for 'Low' \(1 are missing\)"),
        ([f"{name}.png" for name in NAMES] + ["cat.bmp"], (24, 32), "two pictures of one name"),
        ([f"{name}.png" for name in NAMES], (24, 31), r"bird\.png: 24 x 31 pixels are less than the 24 x 32"),
    ],
)
def test_pictures_that_do_not_belong(tmp_path, names, size, message):
    folder = write_folder(tmp_path / "low", {name: noise(*size, 3) for name in names})
    with pytest.raises(ValueError, match=message):
        compare(RESULTS, tmp_path / "report.html", pictures={"Low": folder}, resamples=10)
    assert not (tmp_path / "report.html").exists()


def test_pictures_of_one_name_cannot_be_shown(tmp_path):
    twice = result(30, 31, names=["a", "a"])
    with pytest.raises(ValueError, match="pictures of one name, suffixes aside, cannot be told apart"):
        compare({"x": twice, "y": twice}, tmp_path / "report.html", pictures={"x": tmp_path}, resamples=10)


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'restorekit\[plots\]'"):
        compare(RESULTS, tmp_path / "report.html", resamples=10)


# --- the report as text ---


def test_the_page_holds_everything_and_asks_for_nothing(shown, page):
    assert sorted(path.name for path in shown.iterdir()) == ["0", "1", "2", "3", "report.html"]
    for tag, attributes in page.tags:
        for key in ("src", "href", "xlink:href", "action", "srcset", "data"):
            assert (attributes.get(key) or "#").startswith(("#", "data:image/jpeg;base64,")), (tag, attributes)
    text = (shown / "report.html").read_text(encoding="utf-8")
    assert [url for url in re.findall(r"url\(([^)]*)\)", text) if not url.startswith("#")] == []
    assert not {"link", "iframe", "object", "base", "form"} & {tag for tag, _ in page.tags}
    assert "@import" not in text
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:")


def test_names_are_text_and_nothing_else(page):
    assert len(page.all("script")) == 1
    assert [a for _, a in page.tags if any(key.startswith("on") for key in a)] == []
    assert page.text.count(HOSTILE) >= 8  # title, heading, tables and captions
    assert page.text.count(NAMES[2]) >= 2


def test_what_the_numbers_depend_on_is_stated(page):
    for words in ("output rounded to 8 bits, Y unrounded", "border of 2 px", "cd" * 32, "ab" * 32, "from LRbicx2"):
        assert words in page.text
    assert "none (a function)" in page.text
    assert "(200 draws)" in page.text


def test_the_best_and_those_as_good_are_marked(tmp_path):
    close = {"a": result(30, 31, 32), "b": result(30.1, 30.7, 32.1), "c": result(20, 21, 22)}
    compare(close, tmp_path / "report.html", resamples=10)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    rows = re.findall(r'<tr><th scope="row">([abc])</th>(.*?)</td>', text)[:3]
    found = {name: ('class="best"' in cell, "≈" in cell) for name, cell in rows}
    assert found == {"a": (True, False), "b": (False, True), "c": (False, False)}


def test_names_in_a_drawing_are_unique(page):
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(page.all("svg")) == 3
    assert len(set(ids)) == len(ids)


def test_pictures_are_those_of_the_folders(shown, page):
    images = page.all("img")
    assert len(page.all("section", "strip")) == 3
    assert len(images) == 3 * 4
    first = Image.open(io.BytesIO(base64.b64decode(images[0]["src"].partition(",")[2])))
    assert (first.format, first.size) == ("JPEG", (32, 24))
    truth = np.asarray(Image.open(shown / "0" / "bird.png"))[:24, :32]  # cut as its record
    assert np.abs(np.asarray(first).astype(int) - truth).mean() < 4


def test_pictures_can_be_lossless_and_fewer(tmp_path, shown):
    compare(RESULTS, tmp_path / "a.html", pictures={"Low": shown / "3"}, shown=2, lossless=True, resamples=10)
    page = Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert "The first 2 of 3, as PNG." in page.text
    (source, _) = (image["src"] for image in page.all("img"))
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(shown / "3" / "bird.png"))[:24, :32])


def test_the_size_is_bounded(tmp_path, shown):
    bound = 10_000
    compare(RESULTS, tmp_path / "a.html", pictures={"Low": shown / "3"}, max_bytes=bound, resamples=10)
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert sum(map(len, re.findall(r'<section class="strip".*?</section>', text, re.DOTALL))) <= bound
    shown_count = len(Page(text).all("img"))
    compare(RESULTS, tmp_path / "b.html", pictures={"Low": shown / "3"}, max_bytes=2000, resamples=10)
    fewer = Page((tmp_path / "b.html").read_text(encoding="utf-8"))
    assert len(fewer.all("img")) < shown_count == 3
    assert "More would exceed 0.00191 MiB." in fewer.text


def test_infinite_and_unknown_scores_can_be_drawn(tmp_path):
    perfect, unknown = result(math.inf, 30, 31), result(math.inf, math.inf, math.inf)
    records = tuple(dataclasses.replace(record, extra=(("distance", math.nan),)) for record in unknown.records)
    unknown = dataclasses.replace(unknown, records=records)
    found = compare({"a": perfect, "b": unknown}, tmp_path / "a.html", resamples=10)
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert found.best("psnr") == ("a", "b")
    assert "∞" in text
    assert ">nan<" not in text
    marked = re.findall(r'<td data-value="[^"]*"><span class="best">([^<]*)</span>', text)
    assert marked == ["∞", "∞", "0.0219", "0.0332", *"∞∞∞∞"]  # by hand; NaN is never the best


def test_the_drawings_do_not_depend_on_the_settings_of_the_user(tmp_path):
    compare(RESULTS, tmp_path / "a.html", resamples=10)
    with matplotlib.rc_context({"text.usetex": True, "font.size": 30, "figure.dpi": 300, "path.sketch": (1, 9, 2)}):
        compare(RESULTS, tmp_path / "b.html", resamples=10)
        assert matplotlib.rcParams["font.size"] == 30
    assert (tmp_path / "b.html").read_text("utf-8") == (tmp_path / "a.html").read_text("utf-8")


def test_names_in_any_writing(tmp_path):
    """Characters that matplotlib has no shape for (the browser may), that end a line, and that are no text."""
    names = ["\u53cc\u4e09\u6b21", "two\nlines\0", "caf\udce9"]
    results = {name: result(30, 31, 32 + index, names=names) for index, name in enumerate(names)}
    compare(results, tmp_path / "a.html", resamples=10)
    text = Page((tmp_path / "a.html").read_text(encoding="utf-8")).text
    assert text.count(names[0]) >= 8
    assert text.count(r"caf\udce9") >= 8


def test_what_is_better_comes_first_and_values_are_plain_numbers(tmp_path):
    results = {"a": result(*map(np.float64, (30, 31, 32))), "b": result(30, 31, 33)}
    compare(results, tmp_path / "a.html", resamples=10)
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert re.findall(r'data-first="(\w+)">distance', text) == ["ascending"] * 4  # 2 in the summary, 2 in the scores
    assert len([float(value) for value in re.findall(r'data-value="([^"]*)"', text)]) == 2 * 3 * 2 + 3 * 3 * 2


def test_small_differences_are_told(tmp_path):
    errors = {"a": (0.00121, 0.00312, 0.00251), "b": (0.00119, 0.00309, 0.00247)}
    results = {}
    for name, values in errors.items():
        one = result(30, 31, 32)
        pairs = zip(one.records, values, strict=True)
        records = tuple(dataclasses.replace(record, extra=(("distance", value),)) for record, value in pairs)
        results[name] = dataclasses.replace(one, records=records)
    found = compare(results, tmp_path / "a.html", resamples=10)
    assert "3e−05 <small>" in (tmp_path / "a.html").read_text(encoding="utf-8").replace("</span>", "")
    assert "  0.00228  " in str(found)


def test_an_old_report_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(NotADirectoryError):
        compare(RESULTS, path, pictures={"Low": tmp_path / "nowhere"}, resamples=10)
    assert path.read_text() == "old"
    compare(RESULTS, path, resamples=10)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert list(tmp_path.iterdir()) == [path]


# --- the report in a browser ---


def browse(page, *arguments):
    """What a headless browser prints; ``page`` is a file."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)}")
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
    command += [f"--user-data-dir={page.parent / 'profile'}", "--window-size=1200,1600", *arguments, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Appended to a copy: it does what a reader does, and leaves what it saw in the title. It awaits nothing: the browser
# prints the page as soon as it is loaded, and a busy machine would have it printed before the title is there.
READER = """
addEventListener("load", () => {
  const seen = { title: document.title };
  const table = document.querySelector("table.sortable");
  const order = () => [...table.tBodies[0].rows].map((row) => row.cells[1].dataset.value);
  const buttons = table.querySelectorAll("th button");
  seen.given = order();
  buttons[1].click(); seen.best_first = order(); seen.sort = buttons[1].parentElement.getAttribute("aria-sort");
  buttons[1].click(); seen.worst_first = order();
  buttons[5].click(); seen.distance = order(); seen.one =
    table.querySelectorAll("th[aria-sort]:not([aria-sort=none])").length;
  buttons[0].click(); seen.names = [...table.tBodies[0].rows].map((row) => row.cells[0].textContent[0]);
  const strip = document.querySelectorAll(".strip")[1];
  const images = [...strip.querySelectorAll("img")];
  seen.widths = [...document.images].map((image) => image.naturalWidth);
  const looks = () => [...new Set(images.map((x) => getComputedStyle(x).transform + x.style.transformOrigin))];
  seen.before = looks();
  strip.querySelector("button.zoom").click(); seen.enlarged = looks();
  strip.querySelector("button.zoom").click(); seen.reduced = looks();
  document.activeElement.blur();
  images[0].dispatchEvent(new MouseEvent("click", { bubbles: true, clientX: -9, clientY: -9 })); seen.clicked = looks();
  const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  press("ArrowRight"); seen.moved = looks();
  document.getElementById("factor").value = 8;
  document.getElementById("factor").dispatchEvent(new Event("input")); seen.more = looks();
  const box = images[0].parentElement.getBoundingClientRect();
  const at = { clientX: box.left + box.width / 4, clientY: box.top + box.height / 2, bubbles: true };
  images[2].dispatchEvent(new PointerEvent("pointermove", { ...at, clientX: at.clientX + images[2].parentElement
    .getBoundingClientRect().left - box.left })); seen.pointed = looks();
  press("Escape"); seen.after = strip.classList.contains("enlarged");
  seen.scripts = document.scripts.length;
  seen.fits = document.documentElement.scrollWidth <= innerWidth;
  document.title = "seen " + JSON.stringify(seen);
});
"""


def test_a_reader_can_sort_and_enlarge(shown, tmp_path):
    text = (shown / "report.html").read_text(encoding="utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)  # it forbids the reader's script
    copy = tmp_path / "copy.html"
    copy.write_text(text.replace("</body>", f"<script>{READER}</script></body>"), encoding="utf-8")
    dom = browse(copy, "--dump-dom")
    title = re.search(r"<title>seen (.*?)</title>", dom, re.DOTALL)
    assert title is not None, dom[:2000]
    seen = json.loads(Page(title[1]).text)
    assert seen["title"] == f"All {HOSTILE}"
    assert seen["scripts"] == 2  # the report's and the reader's
    middle, best, low = seen["given"]
    assert [float(x) for x in seen["given"]] == pytest.approx([30.0, 31.03333333, 29.0])
    assert seen["best_first"] == [best, middle, low]
    assert seen["sort"] == "descending"
    assert seen["worst_first"] == [low, middle, best]
    assert seen["distance"] == [best, middle, low]  # lower is better
    assert seen["one"] == 1
    assert seen["names"] == ["<", "L", "M"]
    assert seen["widths"] == [32] * 12
    assert seen["before"] == ["none"]
    assert seen["enlarged"] == ["matrix(4, 0, 0, 4, 0, 0)"]
    assert seen["reduced"] == ["none"]
    assert seen["clicked"] == ["matrix(4, 0, 0, 4, 0, 0)0% 0%"]
    assert seen["moved"] == ["matrix(4, 0, 0, 4, 0, 0)5% 0%"]
    assert seen["more"] == ["matrix(8, 0, 0, 8, 0, 0)5% 0%"]
    assert seen["pointed"] == ["matrix(8, 0, 0, 8, 0, 0)25% 50%"]
    assert seen["after"] is False
    assert seen["fits"]


@pytest.mark.parametrize(("scheme", "dark"), [(1, False), (0, True)])
def test_it_is_legible_in_light_and_in_dark(shown, tmp_path, scheme, dark):
    """The report itself, under its own policy."""
    page = tmp_path / "report.html"
    shutil.copy(shown / "report.html", page)
    picture = tmp_path / "shot.png"
    browse(page, f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={picture}")
    pixels = np.asarray(Image.open(picture).convert("L")).astype(int)
    ground = np.bincount(pixels.ravel()).argmax()
    assert (ground < 60) == dark
    assert (ground > 200) != dark
    assert (np.abs(pixels - ground) > 120).mean() > 0.005  # text, with contrast
    rows = (np.abs(pixels - ground) > 60).any(axis=1)
    assert rows[:1500].mean() > 0.3  # all over the page
