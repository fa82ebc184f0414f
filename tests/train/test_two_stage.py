"""IDR's two stages against loops written out, what their batches hold, and runs that were stopped anywhere."""

import signal

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from restorekit.losses import SDAMLoss
from restorekit.models import IDR
from restorekit.models.idr import DEGRADATIONS
from restorekit.train import Adaptive, cosine, two_stage
from restorekit.train.checkpoint import stage_path

NAMES = ("noise/15", "noise/50", "haze")
KINDS = {"noise/15": "noise", "noise/50": "noise", "haze": "haze"}
QUIET = {"progress": False, "channels_last": False}


def _idr(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return IDR(
            channels=4, blocks=(1, 1, 1, 1), heads=(1, 1, 1, 1), refinement_blocks=1, hub_size=2,
            placement=("encoder1", "decoder3"), **options,
        )  # fmt: skip


@pytest.fixture
def pairs():
    """Pictures by which their data set is known: the mean of lq is about 0.2, 0.5 or 0.8."""
    generator = torch.Generator().manual_seed(3)

    def some(level, count):
        return [
            (level + 0.1 * torch.rand(3, 8, 8, generator=generator), torch.rand(3, 8, 8, generator=generator))
            for _ in range(count)
        ]

    return {"noise/15": some(0.15, 5), "noise/50": some(0.45, 4), "haze": some(0.75, 3)}


class Spy:
    """An augmentation that changes nothing and notes which data set each picture came from."""

    def __init__(self):
        self.batches = []

    def __call__(self, lq, hq, *, generator=None):
        self.batches.append([NAMES[min(int(level * 3.1), 2)] for level in lq.mean(dim=(1, 2, 3)).tolist()])
        self.last = lq.clone(), hq.clone()
        return lq, hq


class Recorder(Spy):
    """It keeps the pictures too."""

    def __init__(self):
        super().__init__()
        self.pictures = []

    def __call__(self, lq, hq, *, generator=None):
        super().__call__(lq, hq)
        self.pictures.append((lq.clone(), hq.clone()))
        return lq, hq


def _equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def _by_hand(model, batches, split, *, reference, weight, rate):
    """Both stages as a plain loop over batches (name of the data set or None, lq, hq)."""
    losses = []
    for number, (name, lq, hq) in enumerate(batches):
        if number in (0, split):
            if number:
                model.reformulate()
            adam = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=rate)
        found = model.analyse(lq, degradation=None if name is None else KINDS[name])
        loss = (found.restored - hq).abs().mean()
        for image in found.images:
            picture = lq if reference == "degraded" else hq
            resized = picture if image.shape == picture.shape else F.interpolate(
                picture, size=image.shape[2:], mode="bilinear"
            )  # fmt: skip
            loss = loss + (image - resized).abs().mean()
        if name is not None:
            label = torch.full((5,), 0.025)
            label[{"noise": 0, "rain": 1, "haze": 2, "blur": 3, "low-light": 4}[KINDS[name]]] = 0.9
            for chances in found.probabilities:
                loss = loss - weight * (chances.log() * label).sum() / len(lq)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("reference", ["degraded", "clean"])
def test_both_stages_are_the_loop_written_out(pairs, reference):
    model, expected, seen = _idr(), _idr(), Recorder()
    first, second = two_stage(
        model, pairs, steps=(3, 2), attention_loss=SDAMLoss(reference), learning_rate=1e-3, augment=seen, **QUIET
    )
    names = [batch[0] for batch in seen.batches[:3]] + [None] * 2
    batches = [(name, *pictures) for name, pictures in zip(names, seen.pictures, strict=True)]
    losses = _by_hand(expected, batches, 3, reference=reference, weight=0.01, rate=1e-3)
    assert [*first.losses, *second.losses] == pytest.approx(losses, rel=1e-4)
    for mine, theirs in zip(model.state_dict().values(), expected.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)
    assert model.stage == 2
    assert model.config["stage"] == 2


def test_batches_hold_one_degradation_then_one_of_each(pairs):
    spy = Spy()
    two_stage(_idr(), pairs, steps=(9, 2), batch_size=6, augment=spy, **QUIET)
    first, second = spy.batches[:9], spy.batches[9:]
    assert [len(set(batch)) for batch in first] == [1] * 9
    assert {batch[0] for batch in first} == set(NAMES)
    assert second == [list(NAMES) * 2] * 2


def test_the_published_setting_is_the_default(pairs):
    """Supplement and authors' code: L1, images against the input, 0.01, labels of 0.9 and 0.025, one of each."""
    plain, spelt_out = (two_stage(_idr(), pairs, steps=(2, 1), **options, **QUIET) for options in (
        {}, {"loss": F.l1_loss, "attention_loss": SDAMLoss("degraded"), "classification_weight": 0.01,
             "label_smoothing": 0.1, "batch_size": 3}))  # fmt: skip
    assert plain == spelt_out
    assert two_stage(_idr(), pairs, steps=(2, 1), loss=F.mse_loss, **QUIET)[0].losses != plain[0].losses


def test_the_cross_entropy_is_taken_from_the_chances_of_all_modules(pairs):
    with_, without = (
        two_stage(_idr(), pairs, steps=(1, 1), classification_weight=weight, label_smoothing=0.2, **QUIET)[0].losses[0]
        for weight in (3.0, 0.0)
    )
    seen = Recorder()
    two_stage(_idr(), pairs, steps=(1, 1), augment=seen, **QUIET)
    kind = KINDS[seen.batches[0][0]]
    found = _idr().analyse(seen.pictures[0][0], degradation=kind)
    chances = torch.stack(found.probabilities).detach()
    torch.testing.assert_close(chances.sum(2), torch.ones(2, 3))
    index = list(DEGRADATIONS).index(kind)
    smoothed = [
        F.cross_entropy(p.log(), torch.full((3,), index), label_smoothing=0.25) for p in chances
    ]  # torch shares among all five classes: 0.25 / 5 for each of the others is 0.2 / 4
    assert with_ - without == pytest.approx(3 * sum(smoothed).item(), rel=1e-4)


def test_a_chance_of_zero_keeps_the_loss_finite(pairs):
    model = _idr()
    with torch.no_grad():
        for module in model.priors.values():
            module.predictor[1].bias.copy_(torch.tensor([-300.0, 300.0, -300.0, 0.0, 0.0]))
    first, _ = two_stage(model, pairs, steps=(2, 1), **QUIET)
    assert all(torch.tensor(first.losses).isfinite())


RUN = {"steps": (3, 2), "learning_rate": 1e-3, "schedule": cosine(6), "ema_decay": 0.5, **QUIET}


class Stop:
    """An augmentation that calls for a stop in the batch of one number, and draws."""

    def __init__(self, at=None):
        self.at, self.count = at, 0

    def __call__(self, lq, hq, *, generator=None):
        self.count += 1
        if self.count == self.at:
            signal.raise_signal(signal.SIGINT)
        return lq + 0.01 * torch.randn(lq.shape, generator=generator), hq


@pytest.fixture(scope="module")
def unstopped():
    """What the runs that are stopped below must come to; built once, by their fixture's pictures."""
    cache = []

    def run(pairs):
        if not cache:
            model = _idr()
            cache.extend((model, two_stage(model, pairs, augment=Stop(), **RUN)))
        return cache

    return run


@pytest.mark.parametrize("stops", [(2,), (3,), (1, 4)], ids=["in stage 1", "between them", "in both"])
def test_a_run_stopped_in_any_stage_ends_with_the_same_bits(pairs, unstopped, tmp_path, stops):
    whole, expected = unstopped(pairs)
    path, done = tmp_path / "run.pt", 0
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            two_stage(_idr(), pairs, augment=Stop(stop - done), checkpoint=path, **RUN)
        done = stop
    model = _idr()
    with torch.no_grad():
        model.hub.normal_()  # what is in the model does not matter
    runs = two_stage(model, pairs, augment=Stop(), checkpoint=path, **RUN)
    assert [run.losses for run in runs] == [run.losses for run in expected]
    assert _equal(model, whole)
    assert all(_equal(mine.ema, theirs.ema) for mine, theirs in zip(runs, expected, strict=True))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.stage0.pt", "run.stage1.pt"]
    x = torch.rand(1, 3, 9, 8)
    assert torch.equal(model.eval()(x), whole.eval()(x))  # the signs of the directions are in it


def test_a_whole_run_is_read_back(pairs, unstopped, tmp_path):
    whole, expected = unstopped(pairs)
    path, spy = tmp_path / "run.pt", Stop()
    two_stage(_idr(), pairs, augment=Stop(), checkpoint=path, **RUN)
    again = two_stage(model := _idr(), pairs, augment=spy, checkpoint=path, **RUN)
    assert spy.count == 0
    assert [run.losses for run in again] == [run.losses for run in expected]
    assert (model.stage, _equal(model, whole)) == (2, True)


def test_the_second_stage_belongs_to_its_priors(pairs, tmp_path):
    path = tmp_path / "run.pt"
    two_stage(_idr(), pairs, steps=(2, 1), checkpoint=path, **QUIET)
    stage_path(path, 0).unlink()
    with pytest.raises(ValueError, match=r"run\.stage1\.pt belongs to another run: model .*'hub': "):
        two_stage(_idr(), pairs, steps=(3, 1), checkpoint=path, **QUIET)


def test_the_schedule_counts_through_both_stages(pairs):
    seen = []

    def schedule(step):
        seen.append(step)
        return 1.0

    two_stage(_idr(), pairs, steps=(3, 2), schedule=schedule, **QUIET)
    assert (min(seen), sorted(set(seen))[:5]) == (0, [0, 1, 2, 3, 4])
    short, long = _idr(), _idr()
    for model, steps in ((short, (2, 1)), (long, (2, 2))):
        two_stage(model, pairs, steps=steps, schedule=lambda step: 1.0 if step < 2 else 1e-30, **QUIET)
    torch.testing.assert_close(long.state_dict(), short.state_dict(), rtol=0, atol=1e-20)  # step 2 is stage 2's first


class StopAt(Adaptive):
    def factor(self, step, measured):
        return 0.0 if step == 2 else 1.0


def test_an_adaptive_schedule_counts_in_each_stage_and_measures_the_idr(pairs):
    met = []

    def measure(model):
        met.append((type(model).__name__, model.stage, model.training))
        return 1.0

    runs = two_stage(_idr(), pairs, steps=(5, 4), schedule=StopAt(), measure=measure, measure_every=2, **QUIET)
    assert [run.steps for run in runs] == [2, 2]
    assert met == [("IDR", 1, False), ("IDR", 2, False)]
    assert [run.measured for run in runs] == [(1.0,), (1.0,)]


def test_the_average_is_an_idr_at_its_stage(pairs):
    runs = two_stage(_idr(), pairs, steps=(1, 1), ema_decay=0.9, **QUIET)
    assert [type(run.ema) for run in runs] == [IDR, IDR]
    assert [run.ema.stage for run in runs] == [1, 2]


def test_the_hub_learns_in_the_first_stage_alone(pairs):
    start, middle, end = _idr(), [], _idr()

    def measure(model):
        middle.append(model.hub.detach().clone())
        return 0.0

    two_stage(end, pairs, steps=(4, 3), measure=measure, measure_every=3, learning_rate=1e-2, **QUIET)
    moved = (end.hub - start.hub).abs().amax(dim=(1, 2)) > 0
    assert moved.tolist() == [True, False, True, False, False]  # noise and haze, which there were data for
    assert torch.equal(middle[-1], end.hub)
    assert not end.hub.requires_grad


def test_any_degradations(pairs):
    sets = dict(zip(("blur", "rain", "low-light"), pairs.values(), strict=True))
    model = _idr()
    assert [run.steps for run in two_stage(model, sets, steps=(1, 1), **QUIET)] == [1, 1]
    assert model.stage == 2


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": nn.Conv2d(3, 3, 1)}, TypeError, "model must be an IDR, got Conv2d"),
        ({"model": _idr(stage=2)}, ValueError, "model must be at stage 1, got one at stage 2; build it anew"),
        ({"pairs": [1, 2]}, TypeError, "pairs must be data sets by the name of a degradation, got list"),
        ({"pairs": {}}, ValueError, "at least one data set"),
        ({"pairs": {"noise": []}}, ValueError, r"pairs\['noise'\] must hold at least one item"),
        ({"pairs": {"snow/3": [(1, 2)]}}, ValueError, "pairs must go by one of noise, rain, .*, got 'snow/3'"),
        ({"pairs": {3: [(1, 2)]}}, ValueError, "pairs must go by one of noise, .* got 3"),
        ({"pairs": {"noise": [(torch.ones(3, 8, 8),)]}}, ValueError, r"pairs must hold \(lq, hq\) of one size"),
        (
            {"pairs": {"noise": [[torch.ones(3, 8, 8)] * 2], "blur": [[torch.ones(3, 8, 9)] * 2]}},
            ValueError,
            r"one size in all data sets, got .* in 'noise' and .*\(3, 8, 9\).* in 'blur'",
        ),
        ({"batch_size": 4}, ValueError, "batch_size must be a multiple of 3, the number of data sets"),
        ({"batch_size": 3, "accumulate": 2}, ValueError, "batch_size must be a multiple of 6"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"steps": 7}, ValueError, "steps must be two numbers"),
        ({"steps": (7,)}, ValueError, "steps must be two numbers"),
        ({"steps": (7, 0)}, ValueError, "steps must be at least 1"),
        ({"classification_weight": -1.0}, ValueError, "classification_weight must be in"),
        ({"label_smoothing": 2.0}, ValueError, "label_smoothing must be in"),
        ({"augment": lambda lq, hq, *, generator: (lq, hq[..., 1:])}, ValueError, "prediction and target"),
    ],
)
def test_what_is_refused(pairs, change, error, message):
    options = {"model": _idr(), "pairs": pairs, "steps": (1, 1), **QUIET, **change}
    with pytest.raises(error, match=message):
        two_stage(options.pop("model"), options.pop("pairs"), **options)


def test_processes_are_counted_before_the_first_stage(pairs, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="batch_size must be a multiple of 6"):
        two_stage(_idr(), pairs, steps=(1, 1), batch_size=9, **QUIET)
