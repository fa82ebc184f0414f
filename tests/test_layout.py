"""The house rules that a newcomer relies on: where a test lies, how long a file is, which pages exist."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "restorekit"
TESTS = ROOT / "tests"

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
VAGUE = {"utils", "util", "common", "core", "helpers", "helper", "misc", "tools"}

# Private files need no test of their own name: what they do is tested through the public entry named here.
PRIVATE = {
    "__main__.py": "tests/cli/test_command.py",
    "_check.py": "tests/test_check.py",
    "_random.py": "tests/test_random.py",
    "augment/_pair.py": "tests/augment/test_pair.py",
    "augment/_pool.py": "tests/augment/test_mixture.py",
    "cli/_console.py": "tests/cli/test_command.py",
    "data/_manifest.py": "tests/data/test_writing.py",
    "data/_pictures.py": "tests/data/test_crops.py",
    "data/_resuming.py": "tests/data/test_writing.py",
    "data/_unreadable.py": "tests/data/test_unreadable.py",
    "degrade/_codec.py": "tests/degrade/test_jpeg.py",
    "degrade/_execute.py": "tests/degrade/test_recipe.py",
    "degrade/_filtering.py": "tests/degrade/test_sinc.py",
    "degrade/_functions.py": "tests/degrade/test_distortion.py",
    "degrade/_kernels.py": "tests/degrade/test_blur.py",
    "degrade/_labels.py": "tests/degrade/test_recipe.py",
    "degrade/_law.py": "tests/degrade/test_distortion.py",
    "degrade/_level.py": "tests/degrade/test_level.py",
    "degrade/_pieces.py": "tests/degrade/test_tone.py",
    "degrade/_search.py": "tests/degrade/test_at_psnr.py",
    "degrade/_soft_codec.py": "tests/degrade/test_jpeg.py",
    "degrade/_validate.py": "tests/degrade/test_recipe.py",
    "evaluation/_report.py": "tests/evaluation/test_compare.py",
    "evaluation/_strips.py": "tests/evaluation/test_compare.py",
    "evaluation/_violins.py": "tests/evaluation/test_compare.py",
    "image/_bands.py": "tests/degrade/test_blur.py",
    "image/_border.py": "tests/image/test_filters.py",
    "image/_precision.py": "tests/image/test_filters.py",
    "image/_spectra.py": "tests/degrade/test_blur.py",
    "image/_taps.py": "tests/image/test_resize.py",
    "inference/_folder_plan.py": "tests/inference/test_restore_folder.py",
    "inference/_folder_run.py": "tests/inference/test_restore_folder.py",
    "inference/_optimized.py": "tests/inference/test_optimize.py",
    "inference/_overlap.py": "tests/inference/test_restore_folder.py",
    "inference/_pictures.py": "tests/inference/test_restore.py",
    "inference/_rewrites/attention.py": "tests/inference/test_attention.py",
    "inference/_rewrites/concatenation.py": "tests/inference/test_rewrites.py",
    "inference/_rewrites/convolution.py": "tests/inference/test_rewrites.py",
    "inference/_rewrites/folding.py": "tests/inference/test_rewrites.py",
    "inference/_rewrites/fusing.py": "tests/inference/test_rewrites.py",
    "inference/_rewrites/graph.py": "tests/inference/test_rewrites.py",
    "inference/_rewrites/linear_tail.py": "tests/inference/test_linear_tail.py",
    "inference/_rewrites/overwriting.py": "tests/inference/test_rewrites.py",
    "inference/_rewrites/pipeline.py": "tests/inference/test_rewrites.py",
    "inference/_rewrites/precision.py": "tests/inference/test_rewrites.py",
    "inference/_rewrites/scaling.py": "tests/inference/test_scaling.py",
    "inference/_rewrites/shuffling.py": "tests/inference/test_rewrites.py",
    "inference/_rewrites/strips.py": "tests/inference/test_rewrites.py",
    "inference/_rewrites/tracing.py": "tests/inference/test_rewrites.py",
    "inference/_running.py": "tests/inference/test_restore.py",
    "inference/_runtimes.py": "tests/inference/test_runtimes.py",
    "layers/_skeleton.py": "tests/layers/test_conversion.py",
    "losses/_frozen.py": "tests/losses/test_vgg.py",
    "losses/_reduction.py": "tests/losses/test_charbonnier.py",
    "losses/_scale.py": "tests/losses/test_mdf.py",
    "metrics/_filtering.py": "tests/metrics/test_ssim.py",
    "metrics/_index.py": "tests/metrics/test_ssim.py",
    "metrics/_natural_scene.py": "tests/metrics/test_niqe.py",
    "metrics/_prepare.py": "tests/metrics/test_psnr.py",
    "metrics/_similarity.py": "tests/metrics/test_ssim.py",
    "metrics/_strips.py": "tests/metrics/test_ssim.py",
    "metrics/_threads.py": "tests/metrics/test_threads.py",
    "models/_arguments.py": "tests/models/test_edsr.py",
    "models/_interpreter.py": "tests/models/test_legacy.py",
    "models/_layouts/carn.py": "tests/models/test_carn.py",
    "models/_layouts/discriminators.py": "tests/models/test_discriminators.py",
    "models/_layouts/dncnn.py": "tests/models/test_dncnn.py",
    "models/_layouts/edsr.py": "tests/models/test_edsr.py",
    "models/_layouts/fsrcnn.py": "tests/models/test_fsrcnn.py",
    "models/_layouts/idr.py": "tests/models/test_idr.py",
    "models/_layouts/layout.py": "tests/models/test_checkpoints.py",
    "models/_layouts/mepsnet.py": "tests/models/test_mepsnet.py",
    "models/_layouts/owan.py": "tests/models/test_owan.py",
    "models/_layouts/progressive_carn.py": "tests/models/test_progressive_carn.py",
    "models/_layouts/rcan.py": "tests/models/test_rcan.py",
    "models/_layouts/rdn.py": "tests/models/test_rdn.py",
    "models/_layouts/restormer.py": "tests/models/test_restormer.py",
    "models/_layouts/ridnet.py": "tests/models/test_ridnet.py",
    "models/_layouts/rnan.py": "tests/models/test_rnan.py",
    "models/_layouts/sparse_resnet.py": "tests/models/test_sparse_resnet.py",
    "models/_layouts/srcnn.py": "tests/models/test_srcnn.py",
    "models/_layouts/srresnet.py": "tests/models/test_srresnet.py",
    "models/_layouts/vdsr.py": "tests/models/test_vdsr.py",
    "models/_layouts/zssr.py": "tests/models/test_zssr.py",
    "models/_legacy.py": "tests/models/test_legacy.py",
    "models/_loading.py": "tests/models/test_checkpoints.py",
    "models/_named_weights.py": "tests/models/test_default.py",
    "models/_onnx.py": "tests/models/test_export.py",
    "models/_trace.py": "tests/models/test_restorer.py",
    "train/_forward.py": "tests/train/test_forward.py",
    "train/_launch.py": "tests/train/test_fit.py",
    "train/_gradients.py": "tests/train/test_loop.py",
    "train/_learner.py": "tests/train/test_loop.py",
    "train/_mdf/game.py": "tests/train/test_mdf.py",
    "train/_mdf/networks.py": "tests/train/test_mdf.py",
    "train/_mdf/plan.py": "tests/train/test_mdf.py",
    "train/_mdf/pyramid.py": "tests/train/test_mdf.py",
    "train/_mdf/run.py": "tests/train/test_mdf.py",
    "train/_mdf/task.py": "tests/train/test_mdf.py",
    "train/_mdf/written_out.py": "tests/train/test_mdf.py",
    "train/_measuring.py": "tests/train/test_loop.py",
    "train/_pair.py": "tests/train/test_supervised.py",
    "train/_peers.py": "tests/train/test_peers.py",
    "train/_preset.py": "tests/train/test_presets.py",
    "train/_zero_shot/course.py": "tests/train/test_zero_shot.py",
    "train/_zero_shot/enlarge.py": "tests/train/test_zero_shot.py",
    "train/_zero_shot/fathers.py": "tests/train/test_zero_shot.py",
    "train/_zero_shot/policy.py": "tests/train/test_zero_shot.py",
    "train/_zero_shot/reconstruction.py": "tests/train/test_zero_shot.py",
    "train/_zero_shot/rescaling.py": "tests/train/test_zero_shot.py",
    "train/_zero_shot/settings.py": "tests/train/test_zero_shot.py",
    "train/_zero_shot/stage.py": "tests/train/test_zero_shot.py",
}
# __init__ files that hold more than imports, and the test that covers them.
SPEAKING_INITS = {
    "__init__.py": "tests/test_package.py",
}
# Files over 400 lines and functions over 40 code lines, each with the reason.
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}


def _sources(root: Path = PACKAGE) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py"))


def _is_private(source: str) -> bool:
    """Whether the file, or a folder that it lies in, has a leading underscore."""
    return any(part.startswith("_") for part in source.split("/"))


def _expected_test(source: str) -> str:
    folder, _, name = source.rpartition("/")
    return f"{folder}/test_{name}".lstrip("/")


def code_lines(source: str) -> Iterator[tuple[str, int]]:
    """Name and number of code lines of each function; blank lines, comments and docstrings are free."""
    quiet = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in quiet:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            own = lines & set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            if ast.get_docstring(node, clean=False) is not None:
                own -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
            yield node.name, len(own)


def test_every_public_file_has_its_test():
    public = [s for s in _sources() if not _is_private(s)]
    assert public
    missing = [f"{source} needs tests/{_expected_test(source)}" for source in public
               if not (TESTS / _expected_test(source)).is_file()]  # fmt: skip
    assert missing == []


def test_private_files_are_listed_with_the_test_that_covers_them():
    private = {s for s in _sources() if _is_private(s) and not s.endswith("__init__.py")}
    assert private == set(PRIVATE)
    assert [test for test in PRIVATE.values() if not (ROOT / test).is_file()] == []


def test_inits_that_define_something_are_listed_with_the_test_that_covers_them():
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    inits = [s for s in _sources() if s.endswith("__init__.py")]
    speaking = {s for s in inits if any(isinstance(n, definitions) for n in ast.parse((PACKAGE / s).read_text()).body)}
    assert speaking == set(SPEAKING_INITS)
    assert [test for test in SPEAKING_INITS.values() if not (ROOT / test).is_file()] == []


def test_every_test_belongs_to_something():
    """A test file left behind by a renamed source file would go on guarding nothing."""
    about_the_project = {"api_surface", "docs", "imports", "layout", "package"}
    known = {_expected_test(source) for source in _sources()} | {test.removeprefix("tests/") for test in
             [*PRIVATE.values(), *SPEAKING_INITS.values()]}  # fmt: skip
    known |= {f"test_{name}.py" for name in about_the_project}
    elsewhere = ("contract/", "examples/", "benchmarks/")
    tests = [path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")]
    assert [test for test in tests if test not in known and not test.startswith(elsewhere)] == []


def test_names_say_something():
    assert [s for s in _sources() if VAGUE & {part.removesuffix(".py").strip("_") for part in s.split("/")}] == []


def test_files_fit_in_the_head():
    long = {s for s in _sources() if len((PACKAGE / s).read_text(encoding="utf-8").splitlines()) > MAX_FILE_LINES}
    assert long == set(LONG_FILES)


def test_functions_fit_on_a_screen():
    long = {
        f"{source}:{name}"
        for source in _sources()
        for name, length in code_lines((PACKAGE / source).read_text(encoding="utf-8"))
        if length > MAX_FUNCTION_LINES
    }
    assert long == set(LONG_FUNCTIONS)


def test_code_lines_counts_code_alone():
    source = '''
def f(
    x,
):
    """Two
    lines."""
    # a comment

    text = """a string
    is code"""
    return text  # with a remark
'''
    assert list(code_lines(source)) == [("f", 6)]


def _parts() -> list[str]:
    folders = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    return sorted([*folders, *(path.stem for path in PACKAGE.glob("*.py") if not path.name.startswith("_"))])


@pytest.mark.parametrize("part", _parts())
def test_every_part_has_a_docs_page(part):
    page = (ROOT / "docs" / "api" / f"{part}.md").read_text(encoding="utf-8")
    assert f"::: restorekit.{part}\n" in page
    assert f"api/{part}.md" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_examples_are_numbered_from_one():
    names = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
    assert names
    assert [re.fullmatch(r"\d\d_[a-z0-9_]+\.py", name) is not None for name in names] == [True] * len(names)
    assert [int(name[:2]) for name in names] == list(range(1, len(names) + 1))
