import json
import os
import pickle
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from models import published, published_plain
from models.published import published_weights
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from restorekit.models import (
    CARN,
    FSRCNN,
    SRCNN,
    carn,
    carn_m,
    checkpoints,
    edsr,
    load_checkpoint,
    load_weights,
    save_weights,
    vdsr,
)

SMALL = {"channels": 8, "blocks": 2, "units": 2}


def small(scale=2, **options):
    return CARN(scale, **{**SMALL, **options})


def filled(model, value):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    return model


def assert_equal_weights(model, other):
    own, expected = model.state_dict(), other.state_dict()
    assert own.keys() == expected.keys()
    assert all(torch.equal(own[key], expected[key]) for key in own)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def save(tmp_path):
    """Save anything as a PyTorch file."""

    def save(content, **options):
        torch.save(content, tmp_path / "model.pth", **options)
        return tmp_path / "model.pth"

    return save


@pytest.fixture
def own_file(target):
    """A file of save_weights whose metadata are replaced."""

    def write(options, metadata):
        model = small()
        config = json.dumps({**model.config, **options})
        written = {"format": "restorekit", "format_version": "1", "model": "CARN", "config": config}
        metadata = {**written, **metadata}
        save_file(model.state_dict(), target, metadata=metadata)
        return target

    return write


# This library's own files


@pytest.mark.parametrize(
    "model",
    [
        CARN(3, **SMALL, groups=2, recursive=True, mean=(0.1, 0.2, 0.3)),
        CARN((2, 4), **SMALL, local_cascade=False, global_skip=True, fusion_relu=False),
        CARN(2, **SMALL, head="desubpixel", unit_relu=False, upsampler_relu=False, init="he-normal"),
        CARN(1, **SMALL, global_cascade=False),
    ],
    ids=["efficient", "several scales", "desubpixel", "scale 1"],
)
def test_own_file_gives_the_same_network_back(model, target):
    save_weights(model, target)
    loaded = load_checkpoint(target)
    assert_equal_weights(loaded, model)
    assert loaded.config == model.config
    assert type(loaded) is CARN
    assert not loaded.training
    other = CARN(**model.config)
    load_weights(other, target)
    assert_equal_weights(other, model)


def test_own_file_holds_arguments_and_each_tensor_once(target):
    model = carn_m(2, **SMALL)
    save_weights(model, target)
    with safe_open(target, framework="pt") as file:
        metadata = file.metadata()
    assert (metadata["format"], metadata["format_version"], metadata["model"]) == ("restorekit", "1", "CARN")
    assert json.loads(metadata["config"])["recursive"] is True
    assert sum(tensor.numel() for tensor in load_file(target).values()) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_own_file_in_another_precision_becomes_float32(dtype, target):
    model = small().to(dtype)
    save_weights(model, target)
    assert load_file(target)["entry.weight"].dtype == dtype
    loaded = load_checkpoint(target)
    assert loaded.entry.weight.dtype == torch.float32
    assert_equal_weights(loaded, model.float())


def test_saves_weights_that_are_views_of_one_vector(target):
    model = small()
    vector = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    torch.nn.utils.vector_to_parameters(vector, model.parameters())
    save_weights(model, target)
    assert_equal_weights(load_checkpoint(target), model)


def test_saves_weights_in_channels_last(target):
    model = small().to(memory_format=torch.channels_last)
    save_weights(model, target)
    assert_equal_weights(load_checkpoint(target), model)


def test_loading_keeps_mode_dtype_and_the_random_state(target):
    save_weights(filled(small(), 0.5), target)
    model = small().double().train()
    state = torch.get_rng_state()
    load_weights(model, target)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert model.entry.weight.dtype == torch.float64
    assert torch.equal(model.exit.bias, torch.full((3,), 0.5, dtype=torch.float64))


def test_factories_load_weights(target):
    save_weights(filled(carn_m(2, **SMALL), 0.25), target)
    assert_equal_weights(carn_m(2, weights=target, **SMALL), filled(carn_m(2, **SMALL), 0.25))
    assert_equal_weights(carn_m(2, weights=str(target), **SMALL), filled(carn_m(2, **SMALL), 0.25))


def test_a_network_takes_its_scale_from_a_file_with_several(target):
    several = small((2, 3, 4))
    save_weights(several, target)
    single = small(3)
    load_weights(single, target)
    x = published.picture(4, 5)
    assert torch.equal(single(x), several(x, scale=3))


def test_a_file_with_one_scale_does_not_fill_a_network_with_several(target):
    save_weights(small(2), target)
    model = filled(small((2, 3)), 0.5)
    with pytest.raises(ValueError, match="holds CARN for scale 2, not for 3"):
        load_weights(model, target)
    assert_equal_weights(model, filled(small((2, 3)), 0.5))


@pytest.mark.parametrize("option", ["fusion_relu", "unit_relu", "upsampler_relu", "global_skip"])
def test_options_that_change_the_function_but_no_tensor_are_compared(option, target):
    model = small()
    save_weights(model, target)
    with pytest.raises(ValueError, match=f"holds CARN with {option}=.*but the network has {option}="):
        load_weights(small(**{option: not model.config[option]}), target)


def test_wrong_shape_is_named(target):
    save_weights(small(), target)
    with pytest.raises(ValueError, match="holds CARN with channels=8, but the network has channels=16"):
        load_weights(small(channels=16), target)
    save_file(small().state_dict() | {"exit.bias": torch.zeros(4)}, target)
    with pytest.raises(ValueError, match=r"'exit.bias' has shape \(4,\), the network needs \(3,\)"):
        load_weights(small(), target)


# Writing


def test_an_old_file_survives_a_full_disk(target, monkeypatch):
    save_weights(filled(small(), 0.5), target)
    before = target.read_bytes()

    def full(tensors, path, metadata=None):
        Path(path).write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        save_weights(small(), target)
    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_writing_overwrites(target):
    save_weights(filled(small(), 0.5), target)
    save_weights(filled(small(), 0.75), target)
    assert_equal_weights(load_checkpoint(target), filled(small(), 0.75))


@pytest.mark.parametrize("name", ["model.pth", "model", "model.safetensors.bak"])
def test_another_suffix_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match=f"path must end in .safetensors, got '{name}'"):
        save_weights(small(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        save_weights(small(), tmp_path / "nowhere" / "model.safetensors")


def test_networks_of_others_are_refused(target):
    for call in (save_weights, load_weights):
        with pytest.raises(TypeError, match=r"network of restorekit\.models, got Conv2d"):
            call(torch.nn.Conv2d(1, 1, 1), target)


# The authors' files, small in what they hold and full in their names: see test_carn for what they compute


@pytest.mark.parametrize(
    ("layout", "model"),
    [
        (published.carn(), carn((2, 3, 4))),
        (published.carn_m(), carn_m((2, 3, 4))),
        (published.pcarn(), carn((2, 3, 4), fusion_relu=False, global_skip=True)),
        (published.carn(single=2), carn(2)),
        (published.carn(single=3), carn(3)),
        (published.carn(single=4), carn(4)),
        (published.carn_m(single=8), carn_m(8)),
    ],
    ids=["carn", "carn_m", "pcarn", "single x2", "single x3", "single x4", "single x8"],
)
def test_published_layouts_are_recognised_and_fit(layout, model, save):
    path = save(published_weights(layout))
    loaded = load_checkpoint(path)
    assert loaded.config == model.config
    assert sum(p.numel() for p in loaded.parameters()) + 24 == sum(torch.Size(s).numel() for s in layout.values())
    load_weights(model, path)
    assert_equal_weights(model, loaded)
    assert torch.equal(loaded.entry.weight, published_weights({"entry.weight": (64, 3, 3, 3)})["entry.weight"])


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_cutblur_files_are_brought_to_the_unit_range(scale, save):
    loaded = load_checkpoint(save(published_weights(published.cutblur(scale))))
    assert loaded.config["scale"] == scale
    assert loaded.config["head"] == ("conv" if scale == 1 else "desubpixel")
    assert loaded.config["mean"] == published.MEAN
    model = CARN(**loaded.config)
    load_weights(model, save(published_weights(published.cutblur(scale))))
    assert_equal_weights(model, loaded)
    shape = (64, 3 * scale**2, 3, 3)
    in_file = published_weights({"head.1.weight": shape})["head.1.weight"]
    assert torch.allclose(loaded.entry.weight, in_file * 255)


def test_equal_aliases_of_pcarn_m_become_one_shared_unit(save):
    loaded = load_checkpoint(save(published.shared_weights(published.pcarn_m())))
    assert loaded.config["recursive"]
    assert loaded.config["groups"] == 4
    assert (loaded.config["global_skip"], loaded.config["fusion_relu"]) == (True, False)
    assert sum(p.numel() for p in loaded.parameters()) == 414_787
    model = carn_m((2, 3, 4), fusion_relu=False, global_skip=True)
    load_weights(model, save(published.shared_weights(published.pcarn_m())))
    assert_equal_weights(model, loaded)


def test_units_that_differ_stay_apart(save):
    tensors = published.shared_weights(published.pcarn_m())
    tensors["b2.b3.pw.bias"] = tensors["b2.b3.pw.bias"] + 1e-3
    loaded = load_checkpoint(save(tensors))
    assert not loaded.config["recursive"]
    assert not torch.equal(
        loaded.body.blocks[1].blocks[2].pointwise.bias, loaded.body.blocks[1].blocks[0].pointwise.bias
    )
    assert sum(p.numel() for p in loaded.parameters()) == 551_131 - 24
    with pytest.raises(ValueError, match="recursive=False, but the network has recursive=True"):
        load_weights(carn_m((2, 3, 4), fusion_relu=False, global_skip=True), save(tensors))


def test_shared_units_compute_what_three_equal_ones_do(save):
    shared = load_checkpoint(save(published.shared_weights(published.pcarn_m())))
    apart = CARN(**{**shared.config, "recursive": False})
    tensors = shared.state_dict()
    for key in apart.state_dict():
        block, unit = key.split("."), None
        if key.startswith("body.blocks.") and block[3] == "blocks":
            unit = ".".join([*block[:4], "0", *block[5:]])
        tensors.setdefault(key, tensors.get(unit))
    apart.load_state_dict(tensors)
    x = published.picture(5, 6)
    assert torch.equal(shared(x, scale=2), apart(x, scale=2))


def test_several_scales_fill_a_network_with_one(save):
    path = save(published_weights(published.carn_m()))
    single = carn_m(3)
    load_weights(single, path)
    x = published.picture(5, 6)
    assert torch.equal(single.eval()(x), load_checkpoint(path)(x, scale=3))


WRAPPINGS = {
    "module.": lambda t: {f"module.{key}": value for key, value in t.items()},
    "module. twice": lambda t: {f"module.module.{key}": value for key, value in t.items()},
    "params": lambda t: {"params": t},
    "params_ema before params": lambda t: {"params": {k: v + 1 for k, v in t.items()}, "params_ema": t},
    "state_dict and more": lambda t: {"epoch": 3, "state_dict": t, "optimizer": {"lr": 1e-4}},
    "module. in params": lambda t: {"params": {f"module.{key}": value for key, value in t.items()}},
    "parameters": lambda t: {key: torch.nn.Parameter(value) for key, value in t.items()},
}


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
def test_prefixes_and_containers_are_taken_off(wrap, save):
    tensors = published_weights(published.carn(single=2, channels=8))
    plain = load_checkpoint(save(tensors))
    assert_equal_weights(load_checkpoint(save(wrap(tensors))), plain)


def test_files_of_old_torch_are_read(save):
    tensors = published_weights(published.carn(single=2, channels=8))
    path = save(tensors, _use_new_zipfile_serialization=False)
    assert path.read_bytes()[:2] != b"PK"
    assert_equal_weights(load_checkpoint(path), load_checkpoint(save(tensors)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_published_files_in_half_precision_are_read(dtype, save):
    """Their mean is rounded too, and must still be recognised."""
    tensors = {key: tensor.to(dtype) for key, tensor in published_weights(published.carn(single=2)).items()}
    model = carn(2)
    load_weights(model, save(tensors))
    assert model.config["mean"] == load_checkpoint(save(tensors)).config["mean"] == published.MEAN
    assert torch.equal(model.entry.weight, tensors["entry.weight"].float())


def test_another_mean_is_taken_from_the_file(save):
    tensors = published_weights(published.carn(single=2, channels=8))
    tensors["add_mean.shifter.bias"] = torch.tensor([0.5, 0.4, 0.3])
    tensors["sub_mean.shifter.bias"] = -torch.tensor([0.5, 0.4, 0.3])
    assert load_checkpoint(save(tensors)).config["mean"] == (0.5, 0.4, 0.3)
    model, twin = carn(2, channels=8).double(), carn(2, channels=8, mean=(0.5, 0.4, 0.3)).double()
    load_weights(model, save(tensors))
    load_weights(twin, save(tensors))
    x = torch.rand(1, 3, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(model(x), twin(x), rtol=0, atol=1e-7)
    assert model.config == twin.config


def test_trained_mean_shifts_are_absorbed_exactly(save):
    """Authors who forgot to freeze them have matrices and means that are not equal in front and behind."""
    generator = torch.Generator().manual_seed(0)
    tensors = published_weights(published.carn(single=2, channels=8))
    plain = carn(2, channels=8).double()
    load_weights(plain, save(tensors))
    noise = {
        key: 0.1 * torch.randn(tensor.shape, generator=generator) for key, tensor in tensors.items() if "_mean" in key
    }
    trained = {key: tensor + noise.get(key, 0) for key, tensor in tensors.items()}
    x = torch.rand(1, 3, 5, 6, generator=generator, dtype=torch.float64)
    front, behind = (
        [trained[f"{side}.shifter.{kind}"].double() for kind in ("weight", "bias")] for side in ("sub_mean", "add_mean")
    )
    body = carn(2, channels=8, mean=(0.0, 0.0, 0.0)).double()
    body.load_state_dict(plain.state_dict())
    body.exit.bias.data = tensors["exit.bias"].double()
    expected = F.conv2d(body(F.conv2d(x, *front)), *behind)
    loaded = load_checkpoint(save(trained)).double()
    assert torch.allclose(loaded(x), expected, rtol=0, atol=1e-6)
    assert loaded.config["mean"] != published.MEAN


def test_a_mean_of_the_files_own_travels_with_a_plain_state_dict(save):
    tensors = published_weights(published.carn(single=2, channels=8))
    tensors["add_mean.shifter.bias"] = torch.tensor([0.5, 0.4, 0.3])
    tensors["sub_mean.shifter.bias"] = -torch.tensor([0.5, 0.4, 0.3])
    model, other = load_checkpoint(save(tensors)), carn(2, channels=8).eval()
    with pytest.raises(RuntimeError, match=r"take_mean\.shift"):
        other.load_state_dict(model.state_dict())
    load_weights(other, save(model.state_dict()))
    x = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(other(x), model(x))
    assert other.config["mean"] == model.config["mean"]


def test_a_refused_file_leaves_the_mean_as_it_was(save):
    tensors = published_weights(published.carn(single=2, channels=8))
    tensors["sub_mean.shifter.bias"] = -torch.tensor([0.5, 0.4, 0.3])
    tensors["exit.weight"] = torch.zeros(3, 8, 5, 5)
    model = carn(2, channels=8)
    with pytest.raises(ValueError, match="has shape"):
        load_weights(model, save(tensors))
    assert model.config["mean"] == published.MEAN
    assert "take_mean.shift" not in model.state_dict()


@pytest.mark.parametrize("model", [edsr(2, channels=4, blocks=1, in_channels=1), vdsr(2, channels=4, depth=3)])
def test_a_mean_for_another_number_of_channels_or_for_a_network_without_is_refused(model, save):
    config = dict(model.config)
    colour = edsr(2, channels=4, blocks=1, mean=(0.5, 0.4, 0.3))
    with pytest.raises(ValueError, match="does not fit"):
        load_weights(model, save(colour.state_dict()))
    assert model.config == config


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_mean_that_is_no_number_is_refused(value, save):
    tensors = published_weights(published.carn(single=2, channels=8))
    tensors["sub_mean.shifter.bias"] = torch.tensor([0.1, 0.2, value])
    with pytest.raises(ValueError, match="mean must hold finite numbers"):
        load_checkpoint(save(tensors))


def test_a_mean_shift_that_cannot_be_undone_is_refused(save):
    tensors = published_weights(published.carn(single=2, channels=8))
    tensors["sub_mean.shifter.weight"] = torch.zeros(3, 3, 1, 1)
    with pytest.raises(ValueError, match=r"looks like CARN or CARN-M.*cannot be read as such"):
        load_checkpoint(save(tensors))


# State dicts that say nothing about their network


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}], ids=["none", "pt"])
def test_bare_state_dict_of_the_same_network(metadata, target, save):
    source, model = filled(small(), 0.5), small()
    save_file(source.state_dict(), target, metadata=metadata)
    load_weights(model, target)
    assert_equal_weights(model, source)
    model = small()
    load_weights(model, save({"params": source.state_dict()}))
    assert_equal_weights(model, source)


def test_bare_state_dict_needs_its_network(save):
    with pytest.raises(ValueError, match=r"looks like restorekit's CARN.*models\.load_weights"):
        load_checkpoint(save(small().state_dict()))


# Files that do not fit


@pytest.mark.parametrize("load", [load_checkpoint, lambda path: load_weights(carn(2), path)], ids=["new", "into"])
@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (published.edsr(), "EDSR"),
        (published.rcan(), "RCAN"),
        (["first_part.0.weight", "mid_part.0.weight", "last_part.weight"], "FSRCNN"),
        (["progression.0.b1.b1.body.1.weight"], "progressive CARN"),
        (["conv1.weight", "conv2.weight", "conv3.weight"], "SRCNN"),
        (["model.0.weight", "model.2.weight"], "DnCNN"),
        (["RDBs.0.convs.0.conv.0.weight"], "RDN"),
        (["body_nl_low.0.body.0.RA_RB1.0.weight"], "RNAN"),
        (["body.0.conv1.weight", "conv_first.weight"], "BasicSR"),
        (["residual_layer.0.conv.weight"], "VDSR"),
        (["layer1.0.weight"], "no network known here"),
    ],
)
def test_other_architectures_are_named(keys, name, load, save):
    with pytest.raises(ValueError, match=f"looks like {name}|looks like .*{name}"):
        load(save(dict.fromkeys(keys, torch.zeros(1))))


def test_other_published_variants_are_refused(save):
    with pytest.raises(ValueError, match="fusion_relu=False, but the network has fusion_relu=True"):
        load_weights(carn((2, 3, 4)), save(published_weights(published.pcarn())))
    with pytest.raises(ValueError, match="groups=4, but the network has groups=1"):
        load_weights(carn((2, 3, 4)), save(published_weights(published.carn_m())))


@pytest.mark.parametrize(
    "key", ["exit.bias", "b2.c3.body.0.weight", "sub_mean.shifter.bias", "upsample.up.body.0.bias"]
)
def test_missing_key_is_named(key, save):
    tensors = published_weights(published.carn(single=2, channels=8))
    del tensors[key]
    with pytest.raises(ValueError, match=rf"looks like CARN or CARN-M.*misses the key '{key}'"):
        load_checkpoint(save(tensors))


@pytest.mark.parametrize("key", ["b1.b4.body.0.weight", "upsample.up.body.1.weight", "extra"])
def test_unexpected_key_is_named(key, save):
    tensors = published_weights(published.carn(single=2, channels=8)) | {key: torch.zeros(1)}
    with pytest.raises(ValueError, match=f"looks like CARN or CARN-M.*has the unexpected key '{key}'"):
        load_checkpoint(save(tensors))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("b2.c1.body.0.weight", torch.zeros(8, 8, 1, 1), "has shape"),
        ("b1.b1.body.0.weight", torch.zeros(8), "cannot be read as such"),
        ("b1.b1.body.0.weight", torch.zeros(8, 0, 3, 3), "cannot be read as such"),
        ("b1.b1.body.0.weight", torch.zeros(8, 16, 3, 3), "cannot be built"),
        ("upsample.up.body.0.weight", torch.zeros(200, 8, 3, 3), "cannot be built"),
        ("sub_mean.shifter.bias", torch.zeros(3, dtype=torch.int64), "cannot be read as such"),
        ("sub_mean.shifter.weight", torch.zeros(4, 4), "cannot be read as such"),
        ("entry.weight", torch.zeros(8, 3, 3, 3, dtype=torch.int64), "'entry.weight' holds torch.int64"),
        ("entry.weight", torch.zeros(8, 3, 3, 3, dtype=torch.complex64), "plain dense tensors"),
        ("entry.weight", torch.zeros(8, 3, 3, 3).to_sparse(), "plain dense tensors"),
        ("entry.weight", torch.zeros(8, 3, 3, 3, device="meta"), "plain dense tensors"),
        ("entry.weight", torch.zeros(1).expand(8, 3, 3, 3), "plain dense tensors"),
        ("c1000000000.body.0.bias", torch.zeros(1), "count to 1000000001"),
        ("b1.c1000000000.body.0.bias", torch.zeros(1), "count to 1000000001"),
    ],
)
def test_damaged_tensors_are_refused(key, value, message, save):
    tensors = published_weights(published.carn(single=2, channels=8)) | {key: value}
    with pytest.raises(ValueError, match=message):
        load_checkpoint(save(tensors))


def test_efficient_units_of_one_group_are_refused(save):
    tensors = published.shared_weights(published.pcarn_m())
    tensors |= {key: torch.zeros(64, 64, 3, 3) for key in tensors if ".conv" in key and key.endswith("weight")}
    with pytest.raises(ValueError, match="efficient units with one group are not offered"):
        load_checkpoint(save(tensors))


@pytest.mark.parametrize(
    ("config", "metadata", "message"),
    [
        ({}, {"config": "{channels: 8"}, "its config is no JSON"),
        ({}, {"config": "[" * 100_000}, "its config is no JSON"),
        ({}, {"config": "null"}, "must be a JSON object, got NoneType"),
        ({}, {"config": "[8, 2]"}, "must be a JSON object, got list"),
        ({}, {"model": "SwinIR"}, "holds weights of 'SwinIR'; networks known here: CARN"),
        ({}, {"format_version": "2"}, "has format version '2'"),
        ({"width": 8}, {}, "cannot be built.*unexpected keyword argument 'width'"),
        ({"channels": 10**9}, {}, "channels=1000000000 is more than any network here has"),
        ({"blocks": 10**6}, {}, "blocks=1000000 is more than any network here has"),
        ({"channels": 16}, {}, "has shape"),
        ({"channels": -(10**9)}, {}, "channels must be at least 1"),
        ({"channels": 8.0}, {}, "channels must be an integer"),
        ({"scale": 10**4}, {}, "is more than any network here has"),
        ({"scale": 5}, {}, "scale must be one of"),
        ({"mean": None}, {}, "cannot be built"),
        ({"mean": ["red", "green", "blue"]}, {}, "cannot be built"),
        ({"init": []}, {}, "init must be one of"),
        ({"head": {}}, {}, "head must be one of"),
        ({"blocks": 3}, {}, "first missing key"),
        ({"blocks": 1}, {}, r"first unexpected key 'body\.blocks\.1"),
    ],
)
def test_damaged_metadata_are_refused(config, metadata, message, own_file):
    with pytest.raises(ValueError, match=message):
        load_checkpoint(own_file(config, metadata))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": [10**9, 4]}, r"channels=\[1000000000, 4\] is more than any network here has"),
        ({"kernel_sizes": [5, 1, 10**6 + 1]}, "kernel_sizes=.*is more than any network here has"),
        ({"channels": [6, "4"]}, "each of channels must be an integer"),
        ({"channels": [6, [10**9]]}, "each of channels must be an integer"),
        ({"channels": [5, 4]}, "has shape"),
    ],
)
def test_damaged_lists_of_sizes_are_refused(options, message, target):
    model = SRCNN(2, channels=(6, 4), kernel_sizes=(5, 1, 3))
    metadata = {"format": "restorekit", "format_version": "1", "model": "SRCNN"}
    save_file(model.state_dict(), target, metadata=metadata | {"config": json.dumps(model.config | options)})
    with pytest.raises(ValueError, match=message):
        load_checkpoint(target)


def test_the_caller_says_what_the_tensors_do_not_tell(save):
    path = save(published_weights(published_plain.fsrcnn(channels=6, shrunk=4, blocks=1)))
    assert load_checkpoint(path, scale=3).scale == 3
    assert load_checkpoint(path, scale=2).scale == 2
    with pytest.raises(ValueError, match="holds FSRCNN and leaves no channels open"):
        load_checkpoint(path, scale=3, channels=8)
    with pytest.raises(ValueError, match="holds CARN and leaves no scale open"):
        load_checkpoint(save(published_weights(published.carn(single=2, channels=8))), scale=2)


def test_networks_with_far_more_layers_than_tensors_are_refused(own_file):
    path = own_file({"blocks": 4096, "units": 4096}, {})
    with pytest.raises(ValueError, match="cannot be built: it has far more layers than the file has tensors"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "model", [SRCNN(8, channels=(300, 1), kernel_sizes=(1, 1, 1)), FSRCNN(2, channels=400, shrunk_channels=1, blocks=1)]
)
def test_wide_and_thin_networks_are_no_damaged_ones(model, target):
    save_weights(model, target)
    assert_equal_weights(load_checkpoint(target), model)


# Files that are no checkpoints


class _Runs:
    """Unpickling this creates a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("load", [load_checkpoint, lambda path: load_weights(carn(2), path)], ids=["new", "into"])
def test_code_in_a_file_does_not_run(zipped, load, tmp_path, save):
    proof = tmp_path / "proof"
    tensors = published_weights(published.carn(single=2, channels=8)) | {"exit.bias": _Runs(proof)}
    path = save(tensors, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match="is refused: it holds more than tensors"):
        load(path)
    assert not proof.exists()
    pickle.loads(pickle.dumps(_Runs(proof)))  # it would have run
    assert proof.exists()


def test_a_pickled_network_is_refused(save):
    with pytest.raises(ValueError, match="is refused: it holds more than tensors"):
        load_checkpoint(save(torch.nn.Conv2d(1, 1, 1)))
    with pytest.raises(ValueError, match=r"save there what is read here: torch\.save\(model\.state_dict\(\), 'weights"):
        load_checkpoint(save({"epoch": 3, "model": torch.nn.Conv2d(1, 1, 1)}))


def test_truncated_files_are_refused(target, save):
    save_weights(small(), target)
    pth = save(small().state_dict())
    for path in (target, pth):
        whole = path.read_bytes()
        for length in (0, 1, 8, 9, 100, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:length])
            with pytest.raises(ValueError, match=path.name):
                load_checkpoint(path)


@pytest.mark.parametrize(
    "content", [b"not a checkpoint\n", bytes(range(256)) * 8, b"PK\x03\x04" + bytes(60), b"\xff" * 8 + b"{" + bytes(90)]
)
def test_garbage_is_refused(content, tmp_path):
    path = tmp_path / "notes.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"notes\.pth"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(3), {}, {"params": {}}, {"a": 1}, {1: torch.zeros(1)}, "text"])
def test_contents_other_than_tensors_by_name_are_refused(content, save):
    with pytest.raises(ValueError, match=r"must hold|holds no tensors"):
        load_checkpoint(save(content))


def test_an_empty_file_and_an_unknown_container_say_what_they_are(save, tmp_path):
    (tmp_path / "empty.pth").touch()
    with pytest.raises(ValueError, match=r"empty\.pth is empty"):
        load_checkpoint(tmp_path / "empty.pth")
    with pytest.raises(ValueError, match=r"'g_ema': OrderedDict; if that is the state dict, save content\['g_ema'\]"):
        load_checkpoint(save({"g_ema": small().state_dict(), "step": 3}))


@pytest.mark.parametrize(
    "keys",
    [
        [f"progression.0.c{i}.x" for i in range(300)]
        + [f"progression.0.b1.c{i}.x" for i in range(300)]
        + [f"to_rgb.{i}.x" for i in range(300)]
        + ["entry.body.0.weight", "progression.0.b1.b1.body.1.weight"],
        [f"layers.{i}.x" for i in range(2000)]
        + [f"layers.1._ops.{i}.x" for i in range(2000)]
        + ["FEB.0.weight", "layers.0.ca_fc.0.weight"],
        [f"body.{i}.body.0.x" for i in range(2000)]
        + [f"body.0.body.{i}.body.x" for i in range(2000)]
        + ["head.0.weight", "body.0.body.0.body.3.conv_du.0.weight"],
        [f"RDBs.{i}.x" for i in range(2000)]
        + [f"RDBs.0.convs.{i}.conv.0.x" for i in range(2000)]
        + ["SFENet1.weight", "RDBs.0.LFF.weight"],
        [f"body.{i}.head.0.x" for i in range(300)]
        + [f"body.0.body.{i}.body.x" for i in range(300)]
        + [f"body.0.body.0.body.{i}.body.x" for i in range(300)]
        + ["bank.templates", "head.0.expand_conv1.weight"],
        [f"c{i}.x" for i in range(2000)]
        + [f"b1.c{i}.x" for i in range(2000)]
        + ["b1.b1.body.0.weight", "b1.c1.body.0.weight", "exit.weight"],
    ],
    ids=["progressive CARN", "OWAN", "RCAN", "RDN", "MEPSNet", "CARN"],
)
def test_a_few_keys_cannot_ask_for_millions_of_layers(keys, save):
    with pytest.raises(ValueError, match=r"its keys count to [\d times]+ layers where there are only"):
        load_checkpoint(save(dict.fromkeys(keys, torch.zeros(1))))


def test_folders_and_missing_files(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder; give a checkpoint file"):
        load_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nothing\.pth"):
        load_checkpoint(tmp_path / "nothing.pth")
    with pytest.raises(FileNotFoundError, match=r"nothing\.pth"):
        carn(2, weights=tmp_path / "nothing.pth")


def test_tensors_come_onto_the_cpu(save, monkeypatch):
    """The published files hold CUDA storages; they must be mapped before a machine without a GPU meets them."""
    places = []
    original = torch.load

    def spy(*arguments, **options):
        places.append((options["map_location"], options["weights_only"]))
        return original(*arguments, **options)

    monkeypatch.setattr(torch, "load", spy)
    load_checkpoint(save(published_weights(published.carn(single=2, channels=8))))
    assert places == [("cpu", True)]


def test_load_checkpoint_draws_nothing_from_the_callers_stream(target):
    save_weights(small(), target)
    state = torch.get_rng_state()
    load_checkpoint(target)
    assert torch.equal(torch.get_rng_state(), state)


def test_prefix_of_a_compiled_network_is_taken_off(save):
    model = small()
    other = small()
    load_weights(other, save({f"_orig_mod.{key}": value for key, value in model.state_dict().items()}))
    assert_equal_weights(other, model)


def test_averaged_weights_come_before_raw_ones(save):
    raw, averaged = filled(small(), 1.0), filled(small(), 2.0)
    other = small()
    load_weights(other, save({"model": raw.state_dict(), "ema": averaged.state_dict(), "losses": torch.zeros(3)}))
    assert_equal_weights(other, averaged)
    load_weights(other, save({"model": raw.state_dict(), "ema": None}))
    assert_equal_weights(other, raw)
