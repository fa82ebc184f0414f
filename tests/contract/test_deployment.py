"""Where every network of the registry runs: the checks of the deployment page, on the small cases of the contract."""

import deployment
import pytest
from contract.test_restorers import CASES, build

EXPORTED = {name: case for name, case in CASES.items() if case.export}
# ONNX takes seconds, so one case of each network and each head.
ONNX = {(case.name, case.options.get("head")): (name, case) for name, case in reversed(EXPORTED.items())}


def test_every_network_is_checked():
    assert {name for name, _ in ONNX} == {case.name for case in CASES.values()}


def check(kind, case):
    model = build(case)
    run, allowed = deployment.CHECKS[kind]
    assert run(model, model.scales[-1]) <= allowed


@pytest.mark.parametrize("kind", ["export", "compile", "bfloat16", "DDP"])
@pytest.mark.parametrize("case", EXPORTED.values(), ids=EXPORTED)
def test_runs_elsewhere(case, kind):
    check(kind, case)


@pytest.mark.parametrize("case", dict(ONNX.values()).values(), ids=dict(ONNX.values()))
def test_runs_in_onnx_runtime(case):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    check("ONNX", case)
