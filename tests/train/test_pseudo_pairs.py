"""Training on low-resolution pictures alone: `fit` on pseudo pairs, with the factor read off the network."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from picture_files import noise, write_folder

from restorekit.augment import Mixture
from restorekit.data import ImageFolder, PseudoPairs, RandomCropPairs
from restorekit.models import carn, carn_m, dncnn, fold_desubpixel, srcnn
from restorekit.train import fit, pseudo_pairs, supervised

QUIET = {"progress": False, "channels_last": False}
small = partial(carn_m, channels=8, blocks=1, units=1)


@pytest.fixture
def pictures():
    return [noise(24, 30, 3, seed=seed) for seed in range(3)]


def _made(make, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make(**options)


def _equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def _crops(pairs, scale, seed=0):
    return RandomCropPairs(pairs, patch_size=6, scale=scale, length=1 << 20, seed=seed)


def test_it_is_fit_on_crops_of_pseudo_pairs(pictures):
    mine, theirs = _made(small, scale=2), _made(small, scale=2)
    options = {"steps": 3, "batch_size": 2, "learning_rate": 1e-3, "seed": 5, **QUIET}
    run = pseudo_pairs(mine, pictures, patch_size=6, loss=F.mse_loss, ema_decay=0.5, **options)
    pairs = _crops(PseudoPairs(pictures, scale=2), 2, seed=5)
    expected = fit(theirs, pairs, step=supervised(loss=F.mse_loss), ema_decay=0.5, **options)
    assert run.losses == expected.losses
    assert _equal(mine, theirs)
    assert _equal(run.ema, expected.ema)
    assert not _equal(mine, _made(small, scale=2))


def test_folders_are_read_like_lists(pictures, tmp_path):
    folder = write_folder(tmp_path / "low", {f"{i}.png": picture for i, picture in enumerate(pictures)})
    runs = [
        pseudo_pairs(_made(small, scale=2), given, steps=2, batch_size=2, patch_size=6, **QUIET)
        for given in (pictures, folder, str(folder), ImageFolder(folder))
    ]
    assert len({run.losses for run in runs}) == 1


def test_a_network_of_several_factors_gets_one_in_each_batch(pictures):
    mine, theirs = _made(small, scale=(2, 3)), _made(small, scale=(2, 3))
    options = {"steps": 6, "batch_size": 2, **QUIET}
    run = pseudo_pairs(mine, pictures, patch_size=6, **options)
    expected = fit(theirs, {s: _crops(PseudoPairs(pictures, scale=s), s) for s in (2, 3)}, **options)
    assert run.losses == expected.losses
    assert _equal(mine, theirs)


def test_a_desubpixel_head_gets_inputs_enlarged_by_its_factor(pictures):
    make = partial(carn, 2, channels=8, blocks=1, units=1, head="desubpixel")
    mine, theirs, folded = _made(make), _made(make), fold_desubpixel(_made(make))
    options = {"steps": 2, "batch_size": 2, **QUIET}
    run = pseudo_pairs(mine, pictures, patch_size=6, **options)
    crops = _crops(PseudoPairs(pictures, scale=2), 2)

    def enlarge(lq, hq, *, generator=None):
        return lq.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3), hq

    expected = fit(theirs, crops, step=supervised(augment=enlarge), **options)
    assert run.losses == expected.losses
    small_inputs = fit(folded, crops, **options)  # the same function, as long as the weights are those of the start
    assert small_inputs.losses[0] == pytest.approx(run.losses[0], rel=1e-4)
    mixed = pseudo_pairs(_made(make), pictures, patch_size=6, augment=Mixture("sr"), **options)
    assert mixed.losses != run.losses


def test_a_denoiser_cleans_what_is_learned_from(pictures, tmp_path):
    seen = []

    def denoiser(x):
        seen.append(x.shape)
        return x / 2

    options = {"steps": 4, "batch_size": 2, "patch_size": 6, **QUIET}
    mine, theirs = _made(small, scale=2), _made(small, scale=2)
    kept = tmp_path / "kept"
    run = pseudo_pairs(mine, pictures, denoiser=denoiser, denoised=kept, **options)
    halved = [np.floor(picture / np.float32(255) / 2 * 255 + 0.5).astype(np.uint8) for picture in pictures]
    assert run.losses == pseudo_pairs(theirs, halved, **options).losses
    assert len(seen) == len(list(kept.iterdir())) == 3  # each picture once
    again = pseudo_pairs(_made(small, scale=2), pictures, denoiser=denoiser, denoised=kept, **options)
    assert (again.losses, len(seen)) == (run.losses, 3)


def test_a_stopped_run_ends_like_one_that_was_not(pictures, tmp_path):
    options = {"batch_size": 2, "patch_size": 6, "augment": Mixture(["mixup"]), **QUIET}
    whole, parts = _made(small, scale=2), _made(small, scale=2)
    expected = pseudo_pairs(whole, pictures, steps=5, **options)
    pseudo_pairs(parts, pictures, steps=2, checkpoint=tmp_path / "run.pt", **options)
    fresh = _made(small, scale=2)
    run = pseudo_pairs(fresh, pictures, steps=5, checkpoint=tmp_path / "run.pt", **options)
    assert run.losses == expected.losses
    assert _equal(fresh, whole)


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (lambda: torch.nn.Conv2d(3, 3, 1), {}, TypeError, "model must be a Restorer, .* got Conv2d"),
        (lambda: dncnn(3, in_channels=3, channels=4), {}, ValueError, "model must enlarge, got a DnCNN of scale 1"),
        (lambda: srcnn(1, in_channels=3), {}, ValueError, "model must enlarge, got a SRCNN of scale 1"),
        (small, {"patch_size": 20}, ValueError, "12 x 15 pixels at low resolution are too few for patches of 20"),
        (small, {"pictures": "nowhere"}, NotADirectoryError, "nowhere is not a folder"),
        (small, {"pictures": []}, ValueError, "at least one picture"),
        (small, {"pictures": [torch.rand(4, 30, 30)]}, ValueError, "picture 0: .*RGB"),
        (small, {"denoised": "kept"}, ValueError, "give a denoiser too"),
        (small, {"denoiser": "bm3d"}, TypeError, "denoiser must be a function"),
        (small, {"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        (small, {"steps": 0}, ValueError, "steps must be at least 1"),
        (small, {"rate": 3}, TypeError, "unexpected keyword argument 'rate'"),
    ],
)
def test_what_is_refused(pictures, make, options, error, message):
    model = make(scale=2) if make is small else make()
    options = {"pictures": pictures, "steps": 1, "batch_size": 2, "patch_size": 6, **QUIET, **options}
    with pytest.raises(error, match=message):
        pseudo_pairs(model, **options)
