"""Weights by name: which network gets which, and what is said where none fits."""

import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

from restorekit.models import (
    carn,
    carn_m,
    create_model,
    dncnn,
    edsr,
    list_models,
    load_checkpoint,
    load_default,
    mepsnet,
    pcarn,
    save_weights,
    sparse_resnet,
)
from restorekit.weights import list_shipped, shipped

SMALL_MEPSNET = {"experts": 3, "units": 1, "blocks": 4, "channels": 32, "extraction_channels": 64}
FITTING = {
    "carn": lambda: carn(scale=(2, 3, 4), weights="default"),
    "carn_m": lambda: carn_m(scale=(2, 3, 4), weights="default"),
    "edsr_denoising": lambda: edsr(2, head="desubpixel", weights="denoising"),
    "edsr_jpeg": lambda: edsr(2, head="desubpixel", weights="jpeg-artifact-removal"),
    "mepsnet": lambda: mepsnet(**SMALL_MEPSNET, weights="default"),
    "sparse_resnet": lambda: sparse_resnet(2, channels=24, blocks=8, weights="default"),
    "sparse_resnet_dense": lambda: sparse_resnet(2, channels=24, blocks=8, num_sparsity_groups=None, weights="default"),
}


@pytest.mark.parametrize("row", list_shipped(), ids=lambda row: row.name)
def test_factories_take_each_of_the_files(row):
    net = FITTING[row.name]()
    expected = load_checkpoint(shipped(row.name))
    assert net.training
    assert net.config == expected.config
    assert net.state_dict().keys() == expected.state_dict().keys()
    assert all(torch.equal(value, expected.state_dict()[key]) for key, value in net.state_dict().items())


def test_a_name_is_taken_too():
    named = edsr(2, head="desubpixel", weights="edsr_jpeg").state_dict()
    by_task = edsr(2, head="desubpixel", weights="jpeg-artifact-removal").state_dict()
    assert all(torch.equal(value, by_task[key]) for key, value in named.items())
    with pytest.raises(ValueError, match=r"no weights='carn_m' for such a CARN come .*carn_m is with groups=4"):
        carn(weights="carn_m")


def test_one_damaged_file_leaves_the_others_alone(tmp_path, monkeypatch):
    folder = tmp_path / "weights"
    shutil.copytree(shipped("carn").parent, folder)
    monkeypatch.setattr(sys.modules[shipped.__module__], "_FOLDER", folder)
    for damage in (lambda path: path.write_bytes(path.read_bytes()[:50]), lambda path: path.unlink()):
        damage(folder / "sparse_resnet.safetensors")
        assert carn_m(2, weights="default").scales == (2,)
    (folder / "carn_m.safetensors").write_bytes(b"8")
    with pytest.raises(ValueError, match=r"carn_m\.safetensors is damaged"):
        carn_m(2, weights="carn_m")


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("factory", [carn, carn_m])
def test_one_factor_of_several_computes_the_same(factory, scale):
    x = torch.rand(1, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    alone, all_of_them = factory(scale, weights="default"), factory((2, 3, 4), weights="default")
    torch.testing.assert_close(alone(x), all_of_them(x, scale=scale), rtol=0, atol=0)


def test_a_task_is_asked_for_where_there_are_two():
    with pytest.raises(ValueError, match=r"may be edsr_denoising \(denoising\), edsr_jpeg .*weights='denoising'$"):
        edsr(2, head="desubpixel", weights="default")


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: carn(8, weights="default"), "carn is for scale 2, 3, 4, not for 8"),
        (lambda: carn_m(channels=32, weights="default"), "but the network has channels=32"),
        (lambda: pcarn(weights="default"), "carn is with fusion_relu=True, but the network has fusion_relu=False"),
        (lambda: mepsnet(weights="default"), "mepsnet is with blocks=4, but the network has blocks=12"),
        (lambda: edsr(weights="denoising"), "edsr_denoising is for scale 2, not for 4"),
        (lambda: dncnn(weights="default"), "for such a DnCNN come with the library: there are carn ("),
        (lambda: carn(weights="denoising"), "no weights='denoising' for such a CARN come"),
    ],
)
def test_what_does_not_fit_names_what_would(build, reason):
    with pytest.raises(ValueError, match=re.escape(reason)) as told:
        build()
    for row in list_shipped():
        assert str(row) in str(told.value)
    assert "train.fit" in str(told.value)


@pytest.mark.parametrize("name", sorted(set(list_models()) - {row.model for row in list_shipped()} - {"idr"}))
def test_every_other_network_says_so(name):
    with pytest.raises(ValueError, match=r"no weights='default' for such a \w+ come with the library"):
        create_model(name, weights="default")


@pytest.mark.parametrize("word", ["deraining", "Default", "carn_x"])
def test_a_word_that_is_no_name_is_answered_with_what_there_is(word):
    with pytest.raises(ValueError, match=f"no weights='{word}' for such a CARN come .*there are carn "):
        carn(weights=word)


def test_any_other_text_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("denoising.pth", "denoising.safetensors", f"{tmp_path}/denoising", "./default"):
        with pytest.raises(FileNotFoundError, match=Path(path).name):
            edsr(2, head="desubpixel", weights=path)
    save_weights(carn_m(2, channels=8), "mine.safetensors")
    (tmp_path / "mine.safetensors").rename("mine")
    assert carn_m(2, channels=8, weights="mine").scales == (2,)
    with pytest.raises(FileNotFoundError):
        carn_m(2, weights=Path("default"))


@pytest.mark.parametrize("row", list_shipped(), ids=lambda row: row.name)
def test_load_default_takes_the_first_of_a_task(row):
    net = load_default(row.task)
    first = load_checkpoint(shipped(list_shipped(row.task)[0].name))
    assert not net.training
    assert net.config == first.config


def test_load_default_of_a_network():
    assert load_default().config == load_checkpoint(shipped(list_shipped("super-resolution")[0].name)).config
    assert load_default(model="mepsnet").config == mepsnet(**SMALL_MEPSNET).config
    assert load_default(model="sparse_resnet", scale=2).scales == (2,)
    assert 3 in load_default(scale=3).scales
    assert load_default(model="carn_m").config == carn_m((2, 3, 4)).config
    assert load_default("super-resolution", model="carn").config == carn((2, 3, 4)).config


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"task": "deraining"}, r"^no weights for deraining come with the library; there are .*carn_m.*train\.fit"),
        ({"task": "denoising", "model": "carn"}, r"^no weights for denoising with carn come with"),
        ({"scale": 8}, r"^no weights for super-resolution by 8 come with"),
        ({"scale": 1}, r"^no weights for super-resolution by 1 come with"),
        ({"model": "rcan"}, r"^no weights for any task with rcan come with"),
        ({"model": "edsr"}, r"^edsr comes trained for denoising and jpeg-artifact-removal; say which as the task$"),
        ({"task": "dancing"}, r"^task must be one of deblurring, .*, got 'dancing'$"),
        ({"task": "denoising", "model": "crane"}, r"^name must be one of carn, .*, got 'crane'$"),
    ],
)
def test_load_default_refuses(asked, told):
    with pytest.raises(ValueError, match=told):
        load_default(**asked)
