"""Where every network of the registry runs: the checks of the deployment page, on the small cases of the contract."""

import re
import sys
import weakref

import deployment
import pytest
import torch
from contract.cases import CASES, build
from torch import nn

from restorekit.models import Restorer

EXPORTED = {name: case for name, case in CASES.items() if case.export}
# ONNX takes seconds, so one case of each network and each head.
ONNX = {(case.name, case.options.get("head")): (name, case) for name, case in reversed(EXPORTED.items())}


def test_every_network_is_checked():
    assert {name for name, _ in ONNX} == {case.name for case in CASES.values()}


def check(kind, case):
    model = build(case)
    run, allowed = deployment.CHECKS[kind]
    assert run(model, model.scales[-1]) <= allowed


@pytest.mark.parametrize("kind", ["optimised", "export", "compile", "bfloat16", "DDP"])
@pytest.mark.parametrize("case", EXPORTED.values(), ids=EXPORTED)
def test_runs_elsewhere(case, kind):
    check(kind, case)


@pytest.mark.parametrize("case", dict(ONNX.values()).values(), ids=dict(ONNX.values()))
def test_runs_in_onnx_runtime(case):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    check("ONNX", case)


# The checks themselves: each must be able to fail, and a failure must not stop the table


class Broken(Restorer):
    """Runs well as it is, and not elsewhere."""

    receptive_radius = 1  # but it reads 2 px to each side

    def __init__(self):
        super().__init__([1], size_multiple=1, in_channels=3, config={})
        self.entry, self.exit, self.spare = (nn.Conv2d(3, 3, kernel, padding=kernel // 2) for kernel in (5, 1, 1))

    def forward(self, x, scale=None):
        self.pick_scale(scale)
        features = self.entry(x)
        if features.sum() > -1e9:  # a branch that a graph cannot hold
            features = features.sin()
        if features.dtype == torch.bfloat16:
            features = features + 1
        return self.exit(features)


@pytest.mark.parametrize("kind", ["tiles", "export", "ONNX", "compile", "bfloat16", "DDP"])
def test_a_check_can_fail_and_says_why(kind):
    torch.manual_seed(0)
    model = Broken()
    said = deployment.attempt(lambda: deployment.check_cell(kind, model))
    differs, raises = r"differs by \de[+-]0\d", r"\w{9,} [ -{}~]+"
    assert re.fullmatch(f"fails: ({differs if kind in {'tiles', 'bfloat16'} else raises})", said)
    for other in ("channels_last", "optimised"):  # which keeps a forward that it cannot follow
        assert not deployment.check_cell(other, model).startswith("fails")


def test_a_rewritten_network_that_computes_something_else_fails(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(deployment, "optimize", lambda model: lambda x, scale: 1.001 * model(x, scale=scale))
    assert deployment.check_cell("optimised", Broken()) == "fails: differs by 1e-03"
    monkeypatch.undo()
    hooked = Broken()
    hooked.register_forward_hook(lambda *_: None)
    said = deployment.attempt(lambda: deployment.check_cell("optimised", hooked))
    assert said.startswith("fails: ValueError model has forward hooks")


def test_a_wrapper_is_gone_before_its_process_group(monkeypatch):
    # Freed the other way round, the process hangs once in some hundred times.
    wrappers, alive = [], []

    class Watched(deployment.DistributedDataParallel):
        def __init__(self, module):
            super().__init__(module)
            wrappers.append(weakref.ref(self))

    def destroy():
        alive.append(wrappers[0]() is not None)
        destroy_process_group()

    destroy_process_group = deployment.dist.destroy_process_group
    monkeypatch.setattr(deployment, "DistributedDataParallel", Watched)
    monkeypatch.setattr(deployment.dist, "destroy_process_group", destroy)
    check("DDP", CASES["vdsr x2"])
    assert alive == [False]


def test_the_page_holds_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["deployment.py", "--only", "carn_m", "--write", str(tmp_path / "page.md")])
    monkeypatch.setattr(deployment, "CHECKS", {"DDP": deployment.CHECKS["DDP"]})
    monkeypatch.setattr(deployment, "REDUCED", {"carn_m": {"blocks": 1}})
    deployment.main()
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "carn_m` \\*" in line]
    assert row.startswith("| `carn_m` \\* | 3 | x4 | 294 K | 32.5 G | 21 px | ")
    page = (tmp_path / "page.md").read_text()
    assert row in page
    assert "fewer blocks: `carn_m` (blocks=1)." in page
