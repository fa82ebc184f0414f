"""Training by stages against a loop written out, what learns how fast in which stage, exact resume, bad input."""

import copy
import signal

import pytest
import torch
import torch.nn.functional as F

from restorekit.image import resize
from restorekit.models import ProgressiveCARN, pcarn
from restorekit.train import ProgressiveStage, halve_every, progressive

PLAN = (ProgressiveStage(3, 4), ProgressiveStage(4, 2), ProgressiveStage(3, 1))
OPTIONS = {"learning_rate": 0.01, "clip_norm": 0.5, "channels_last": False, "progress": False}


def _network(scale=8, stage=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ProgressiveCARN(scale, stage=stage, channels=4, blocks=1, units=1)


class Noted(list):
    """A data set that notes which items were taken."""

    def __init__(self, items):
        super().__init__(items)
        self.taken = []

    def __getitem__(self, index):
        self.taken.append(index)
        return super().__getitem__(index)


@pytest.fixture
def large():
    """Pairs at the scale of the finished network."""
    generator = torch.Generator().manual_seed(7)
    return Noted(
        (torch.rand(3, 4, 4, generator=generator), torch.rand(3, 32, 32, generator=generator)) for _ in range(6)
    )


@pytest.fixture
def by_scale(large):
    """The same with the targets of each stage."""
    return {
        scale: Noted((lq, resize(hq[None], scale / 8).clamp(0, 1)[0]) for lq, hq in list(large)) for scale in (2, 4, 8)
    }


def _written_out(model, taken, items, *, decay, plan=PLAN):
    """Algorithm 1: the rates of all parts so far fall with every new one, which comes in at the full rate."""
    rates, losses = {}, []
    for number, stage in enumerate(plan):
        if number == 0:
            rates["entry"] = 0.01
        else:
            model.grow()
        rates[f"stages.{number}"] = 0.01
        groups = [
            {"params": [p for name, p in model.named_parameters() if name.startswith(part)], "lr": rate}
            for part, rate in {**rates, f"to_rgb.{number}": 0.01}.items()
        ]
        adam = torch.optim.Adam(groups, fused=True)
        used = [parameter for group in groups for parameter in group["params"]]
        losses.append([])
        for _ in range(stage.steps):
            batch = [items[taken.pop(0)] for _ in range(stage.batch_size)]
            lq, hq = (torch.stack(part) for part in zip(*batch, strict=True))
            target = resize(hq, 2 ** (number + 1) / 8).clamp(0, 1)
            loss = (model(lq) - target).abs().mean()
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(used, 0.5)
            adam.step()
            losses[-1].append(loss.item())
        rates = {part: rate * decay for part, rate in rates.items()}
    return losses


def _assert_close(one, other):
    for name, value in other.state_dict().items():
        torch.testing.assert_close(one.state_dict()[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("decay", [0.1, 0.5])
def test_it_is_algorithm_1_written_out(large, decay):
    model, plain = _network(), _network()
    results = progressive(model, large, stages=PLAN, decay=decay, **OPTIONS)
    losses = _written_out(plain, list(large.taken), list(large), decay=decay)
    assert [result.steps for result in results] == [3, 4, 3]
    for result, row in zip(results, losses, strict=True):
        assert result.losses == pytest.approx(row, abs=1e-6)
    _assert_close(model, plain)
    assert (model.stage, model.scale) == (2, 8)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_targets_of_ones_own(large, by_scale):
    model, plain = _network(), _network()
    results = progressive(model, by_scale, stages=PLAN, **OPTIONS)
    expected = progressive(plain, large, stages=PLAN, **OPTIONS)
    for result, other in zip(results, expected, strict=True):
        assert result.losses == pytest.approx(other.losses, abs=1e-6)
    _assert_close(model, plain)


def test_smaller_targets_stay_pictures():
    step = torch.zeros(3, 32, 32)
    step[..., 17:] = 1  # where bicubic weights go beyond
    assert resize(step[None], 1 / 2).max() > 1
    found = []

    def loss(prediction, target):
        found.append((target.min().item(), target.max().item()))
        return F.l1_loss(prediction, target)

    progressive(_network(), [(step[:, ::8, ::8], step)] * 2, stages=[ProgressiveStage(1, 1)] * 3, loss=loss, **OPTIONS)
    assert found == [(0, 1)] * 3


def test_what_learns_in_which_stage(large):
    model, seen = _network(4), []

    def loss(prediction, target):
        seen.append({name for name, parameter in model.named_parameters() if parameter.requires_grad})
        return F.l1_loss(prediction, target)

    pairs = [(lq, resize(hq[None], 1 / 2)[0]) for lq, hq in list(large)]
    model.entry.bias.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    stages = (ProgressiveStage(1, 2), ProgressiveStage(1, 2))
    progressive(model, pairs, stages=stages, loss=loss, decay=0.0, weight_decay=0.1, **OPTIONS)
    parts = [{".".join(name.split(".")[:2]) for name in names} for names in seen]
    assert parts == [{"entry.weight", "stages.0", "to_rgb.0"}, {"entry.weight", "stages.0", "stages.1", "to_rgb.1"}]
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert "entry.bias" not in changed
    assert not model.entry.bias.requires_grad


def test_a_decay_of_nothing_keeps_earlier_parts(large):
    model = _network()
    weights = []

    def loss(prediction, target):
        weights.append(copy.deepcopy(model.state_dict()))
        return F.l1_loss(prediction, target)

    progressive(model, large, stages=PLAN, loss=loss, decay=0.0, **OPTIONS)
    first, last = weights[3], model.state_dict()  # where the second stage begins
    for name, value in last.items():
        kept = name.startswith(("entry.", "stages.0.", "to_rgb.0."))
        assert torch.equal(value, first[name]) == kept, name


def test_a_network_starts_from_its_first_stage_wherever_it_stands(large):
    model, other = _network(stage=0), _network(stage=2)
    expected = progressive(model, large, stages=PLAN, **OPTIONS)
    assert progressive(other, large, stages=PLAN, **OPTIONS) == expected
    _assert_close(other, model)


def test_a_stage_can_have_a_schedule_of_its_own(large):
    seen = []

    def noted(name):
        return lambda step: seen.append((name, step)) or 1.0

    plan = (PLAN[0], ProgressiveStage(2, 2, schedule=noted("own")), PLAN[2])
    progressive(_network(), large, stages=plan, schedule=noted("all"), **OPTIONS)
    assert {step for name, step in seen if name == "own"} >= {0, 1}
    assert {step for name, step in seen if name == "all"} >= {0, 1, 2}
    halved, plain = _network(4), _network(4)
    pairs, plan = [(lq, hq[:, ::2, ::2]) for lq, hq in list(large)], (ProgressiveStage(2, 2),) * 2
    progressive(halved, pairs, stages=plan, schedule=halve_every(1), **OPTIONS)
    progressive(plain, pairs, stages=[ProgressiveStage(2, 2, halve_every(1))] * 2, **OPTIONS)
    _assert_close(halved, plain)


def test_the_augmentation_gets_targets_of_the_stages_size(large):
    sizes = []

    def augment(lq, hq, *, generator=None):
        sizes.append((len(lq), hq.shape[-1], torch.rand((), generator=generator).item()))
        return lq, hq

    progressive(_network(), large, stages=PLAN, augment=augment, **OPTIONS)
    assert [size[:2] for size in sizes] == [(4, 8)] * 3 + [(2, 16)] * 4 + [(1, 32)] * 3
    assert len({drawn for _, _, drawn in sizes}) > 1


def _interrupting(at):
    """L1, and Ctrl-C in call ``at`` over all stages."""
    count = iter(range(100))

    def loss(prediction, target):
        if next(count) == at:
            signal.raise_signal(signal.SIGINT)
        return F.l1_loss(prediction, target)

    return loss


# within each stage, and in the last step of the first and the second one
@pytest.mark.parametrize(
    ("at", "again"), [(1, "fresh"), (2, "same"), (2, "grown"), (4, "same"), (6, "fresh"), (8, "grown"), (8, "same")]
)
def test_a_run_stopped_anywhere_ends_with_the_same_bits(large, tmp_path, at, again):
    options = {"stages": PLAN, "ema_decay": 0.9, "schedule": halve_every(2), **OPTIONS}
    model, stopped = _network(), _network()
    expected = progressive(model, large, checkpoint=tmp_path / "whole.pt", **options)
    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt, match=r"run\.stage\d\.pt"):
        progressive(stopped, large, checkpoint=path, loss=_interrupting(at), **options)
    if again != "same":
        stopped = ProgressiveCARN(8, stage=0 if again == "fresh" else 2, channels=4, blocks=1, units=1)
    results = progressive(stopped, large, checkpoint=path, **options)
    assert [result.losses for result in results] == [result.losses for result in expected]
    pairs = [(stopped, model), *((one.ema, other.ema) for one, other in zip(results, expected, strict=True))]
    for one, other in pairs:
        assert one.stage == other.stage
        for name, value in other.state_dict().items():
            assert torch.equal(one.state_dict()[name], value), name
    assert sorted(file.name for file in tmp_path.glob("run*")) == [f"run.stage{number}.pt" for number in range(3)]


@pytest.mark.parametrize(
    ("plan", "changed", "message"),
    [
        ((ProgressiveStage(4, 4), *PLAN[1:]), {}, r"run\.stage1\.pt goes on from a stage that ended earlier"),
        ((ProgressiveStage(2, 4), *PLAN[1:]), {}, "holds 3 steps already"),
        ((PLAN[0], ProgressiveStage(5, 2), PLAN[2]), {}, r"run\.stage2\.pt goes on from a stage that ended earlier"),
        ((PLAN[0], ProgressiveStage(4, 3), PLAN[2]), {}, r"run\.stage1\.pt belongs to another run: batch_size"),
        (PLAN, {"decay": 0.2}, r"run\.stage1\.pt belongs to another run: rate_factors"),
        (PLAN, {"learning_rate": 0.02}, r"run\.stage0\.pt belongs to another run: learning_rate"),
    ],
)
def test_the_files_of_another_plan_are_refused_and_stay(large, tmp_path, plan, changed, message):
    path = tmp_path / "run.pt"
    progressive(_network(), large, stages=PLAN, checkpoint=path, **OPTIONS)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=message):
        progressive(_network(), large, stages=plan, checkpoint=path, **{**OPTIONS, **changed})
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_lost_file_of_an_earlier_stage_is_noticed(large, tmp_path):
    progressive(_network(), large, stages=PLAN, checkpoint=tmp_path / "run.pt", **OPTIONS)
    (tmp_path / "run.stage0.pt").unlink()
    with pytest.raises(ValueError, match=r"run\.stage1\.pt goes on from a stage .* whose file is gone"):
        progressive(_network(), large, stages=PLAN, checkpoint=tmp_path / "run.pt", **OPTIONS)


def test_the_last_stage_may_be_made_longer(large, tmp_path):
    longer = (*PLAN[:2], ProgressiveStage(5, 1))
    model, whole = _network(), _network()
    progressive(model, large, stages=PLAN, checkpoint=tmp_path / "run.pt", **OPTIONS)
    results = progressive(model, large, stages=longer, checkpoint=tmp_path / "run.pt", **OPTIONS)
    assert results == progressive(whole, large, stages=longer, **OPTIONS)
    _assert_close(model, whole)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"model": pcarn(4, channels=4, blocks=1, units=1)}, TypeError, "model must be a models.ProgressiveCARN"),
        ({"stages": PLAN[:2]}, ValueError, "stages must be 3, one for each of the network's, got 2"),
        ({"stages": [(3, 4), (4, 2), (3, 1)]}, TypeError, "stages must hold ProgressiveStage, got tuple"),
        ({"pairs": {2: [], 4: []}}, ValueError, r"scales \[2, 4, 8\], got \[2, 4\]"),
        ({"pairs": {0: [], 1: [], 2: []}}, ValueError, r"scales \[2, 4, 8\]"),
        ({"decay": 1.5}, ValueError, "decay must be in"),
        ({"decay": None}, TypeError, "decay must be a number"),
        ({"epochs": 3}, TypeError, "epochs"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_changes(large, wrong, error, message):
    arguments = {"model": _network(stage=2), "pairs": large, "stages": PLAN, **OPTIONS, **wrong}
    model = arguments.pop("model")
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(error, match=message):
        progressive(model, arguments.pop("pairs"), **arguments)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_targets_of_another_size_are_refused(large):
    with pytest.raises(ValueError, match="must have the same shape"):
        progressive(_network(4), large, stages=PLAN[:2], **OPTIONS)
    with pytest.raises(TypeError, match=r"batches \(lq, hq\)"):
        progressive(_network(4), [hq for _, hq in list(large)], stages=PLAN[:2], **OPTIONS)


@pytest.mark.parametrize(("steps", "batch_size"), [(0, 4), (4, 0), (-1, 1)])
def test_stages_have_steps_and_pictures(steps, batch_size):
    with pytest.raises(ValueError, match="must be at least 1"):
        ProgressiveStage(steps, batch_size)


def test_the_published_plan():
    stages = progressive.__kwdefaults__["stages"]
    assert [(stage.steps, stage.batch_size) for stage in stages] == [(150_000, 32), (200_000, 8), (300_000, 2)]
    assert progressive.__kwdefaults__["decay"] == 0.1
