"""Every Python block of the pages runs, in the order of its page and in one namespace, as a reader would type it.

``<!-- no-test -->`` on the line before a block leaves it out: it needs something that the project does not ship.
"""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^(<!-- no-test -->\n+)?```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script(page: str) -> str:
    """The tested blocks of a page, each on the lines where it stands, so that errors point into the page."""
    text = ""
    for match in BLOCK.finditer(page):
        if match[1] is None:
            text += "\n" * (page.count("\n", 0, match.start(2)) - text.count("\n")) + match[2]
    return text


WITH_CODE = [page for page in PAGES if script(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    y, x = np.mgrid[:18, :24]
    Image.fromarray(np.stack([10 * x, 14 * y, 5 * (x + y)], axis=-1).astype(np.uint8)).save(tmp_path / "photo.png")
    (tmp_path / "page.py").write_text(script(page.read_text(encoding="utf-8")), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    runpy.run_path("page.py")


def test_the_fidelity_page_is_what_the_networks_say():
    page = runpy.run_path(str(ROOT / "docs" / "fidelity.py"))["page"]()
    assert page == (ROOT / "docs" / "fidelity.md").read_text(encoding="utf-8")
    assert "| no |" not in page
    assert "**" not in page


def test_the_pages_have_code():
    names = {page.name for page in WITH_CODE}
    tutorials = {page.name for page in (ROOT / "docs" / "tutorials").iterdir()} - {"command_line.md"}
    assert "train.md" in tutorials
    assert {"README.md", "index.md", "install.md", *tutorials} <= names


def test_blocks_are_found_where_they_stand():
    page = "text\n```python\na = 1\n```\n\n<!-- no-test -->\n```python\nboom\n```\n```bash\nls\n```\n"
    page += "```python\nb = a\n```\n"
    assert script(page) == "\n\na = 1\n" + "\n" * 10 + "b = a\n"


def test_links_between_files_lead_somewhere():
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []
