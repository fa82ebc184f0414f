import json
import math
import zipfile

import pytest
import torch
from models.published_mdf import assert_same, discriminators, flat
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from restorekit.models import (
    SinGANDiscriminator,
    SinGANGenerator,
    load_checkpoint,
    load_discriminators,
    load_weights,
    save_discriminators,
    save_weights,
)


@pytest.fixture
def safe(tmp_path):
    """Write tensors to a safetensors file and name it."""

    def safe(tensors, metadata=None):
        save_file({key: tensor.clone() for key, tensor in tensors.items()}, tmp_path / "ds.safetensors", metadata)
        return tmp_path / "ds.safetensors"

    return safe


@pytest.fixture
def saved(tmp_path):
    """Save anything by torch.save and name the file."""

    def saved(content):
        torch.save(content, tmp_path / "ds.pth")
        return tmp_path / "ds.pth"

    return saved


# Own files


def test_a_file_gives_back_what_was_saved(tmp_path):
    models = discriminators(channels=(4, 4, 6, *[1] * 9))
    save_discriminators(models, tmp_path / "ds.safetensors")
    assert_same(load_discriminators(str(tmp_path / "ds.safetensors")), models)
    tensors = load_file(tmp_path / "ds.safetensors")
    assert set(tensors) == set(flat(models))
    assert len(tensors) == 12 * 30


def test_half_precision_is_read_as_float32(tmp_path):
    models = discriminators()
    save_discriminators(models, tmp_path / "ds.safetensors", half=True)
    stored = load_file(tmp_path / "ds.safetensors").values()
    assert {(tensor.dtype, tensor.ndim == 4) for tensor in stored} == {
        (torch.float16, True),
        (torch.float32, False),
        (torch.int64, False),
    }
    found = flat(load_discriminators(tmp_path / "ds.safetensors"))
    for key, tensor in flat(models).items():
        assert found[key].dtype == tensor.dtype
        assert torch.equal(found[key], tensor.half().float() if tensor.ndim == 4 else tensor)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_read_as_float32(tmp_path, dtype):
    models = [model.to(dtype) for model in discriminators()]
    save_discriminators(models, tmp_path / "ds.safetensors")
    assert_same(load_discriminators(tmp_path / "ds.safetensors"), [model.float() for model in models])


def test_saving_changes_no_discriminator_and_one_may_be_named_twice(tmp_path):
    [model] = discriminators([4])
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    save_discriminators([model.train()] * 2, tmp_path / "ds.safetensors", half=True)
    assert model.training
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert len(load_discriminators(tmp_path / "ds.safetensors")) == 2


def test_metadata(tmp_path):
    path = tmp_path / "ds.safetensors"
    save_discriminators(discriminators([4, 6], 1), path, metadata={"task": "sisr", "seed": "7"})
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    configs = [{"channels": 4, "in_channels": 1}, {"channels": 6, "in_channels": 1}]
    assert json.loads(metadata.pop("config")) == {"discriminators": configs}
    assert metadata == {
        "task": "sisr", "seed": "7", "format": "restorekit", "format_version": "1", "model": "SinGANDiscriminators",
    }  # fmt: skip
    with pytest.raises(ValueError, match="holds weights of 'SinGANDiscriminators'"):
        load_checkpoint(path)
    for words, error in (({"format": "mine"}, ValueError), ({"seed": 7}, TypeError), ({7: "seed"}, TypeError)):
        with pytest.raises(error, match="metadata"):
            save_discriminators(discriminators(), path, metadata=words)


def test_loading_draws_nothing_and_ignores_the_default_dtype(tmp_path):
    save_discriminators(discriminators(), tmp_path / "ds.safetensors")
    state = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        found = load_discriminators(tmp_path / "ds.safetensors")
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), state)
    assert_same(found, discriminators())


def test_what_cannot_be_saved(tmp_path):
    path = tmp_path / "ds.safetensors"
    for wrong in (discriminators()[0], iter(discriminators()), [*discriminators(), SinGANGenerator()], [None], None):
        with pytest.raises(TypeError, match=r"must be a list of models\.SinGANDiscriminator, got"):
            save_discriminators(wrong, path)
    for wrong in ([], discriminators([1]) * 65):
        with pytest.raises(ValueError, match=f"must be 1 to 64, got {len(wrong)}"):
            save_discriminators(wrong, path)
    with pytest.raises(ValueError, match="number 1 takes 1 channels and number 0 takes 3"):
        save_discriminators(discriminators([2]) + discriminators([2], 1), path)
    with torch.device("meta"):
        wide = SinGANDiscriminator(channels=1025)
    with pytest.raises(ValueError, match="number 0 has 1025 channels"):
        save_discriminators([wide], path)
    with pytest.raises(ValueError, match=r"must end in \.safetensors, got 'ds.pth'"):
        save_discriminators(discriminators(), tmp_path / "ds.pth")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [65_520.0, -1e30, math.inf, math.nan])
def test_values_that_a_file_cannot_hold_are_named_and_the_old_file_stays(tmp_path, value):
    path = tmp_path / "ds.safetensors"
    save_discriminators(discriminators(), path)
    before = path.read_bytes()
    models = discriminators()
    models[1].tail.weight.data[0, 0, 0, 0] = value
    with pytest.raises(ValueError, match=r"1\.tail\.weight holds a value"):
        save_discriminators(models, path, half=True)
    assert path.read_bytes() == before
    if math.isfinite(value):
        save_discriminators(models, path)
        assert_same(load_discriminators(path), models)


# Files of others that hold tensors only


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_list_of_state_dicts_is_read(tmp_path, kind, zipped):
    models = discriminators()
    content = kind(model.state_dict() for model in models)
    torch.save(content, tmp_path / "ds.pth", _use_new_zipfile_serialization=zipped)
    assert_same(load_discriminators(tmp_path / "ds.pth"), models)


@pytest.mark.parametrize("wrap", [
    flat,
    lambda models: nn.ModuleList(models).state_dict(),
    lambda models: nn.DataParallel(nn.ModuleList(models)).state_dict(),
    lambda models: [nn.DataParallel(model).state_dict() for model in models],
    lambda models: {"state_dict": flat(models), "epoch": 3},
])  # fmt: skip
def test_state_dicts_with_containers_and_prefixes_are_read(saved, wrap):
    models = discriminators([1] * 11)
    assert_same(load_discriminators(saved(wrap(models))), models)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("wrap", [flat, lambda models: [model.state_dict() for model in models]])
def test_tensors_of_older_pytorch_are_read(tmp_path, wrap, dtype):
    models = [model.to(dtype) for model in discriminators([1] * 11)]
    torch.save(wrap(models), tmp_path / "ds.pth", _use_new_zipfile_serialization=False)
    assert_same(load_discriminators(tmp_path / "ds.pth"), [model.float() for model in models])


def test_safetensors_without_our_metadata_are_read_in_any_order(safe):
    models = discriminators()
    assert_same(load_discriminators(safe(dict(reversed(flat(models).items())))), models)


# Files that hold something else


def changed(**tensors):
    return flat(discriminators()) | {key.replace("_", "."): tensor for key, tensor in tensors.items()}


def without(*keys):
    return {key: tensor for key, tensor in flat(discriminators()).items() if key not in keys}


@pytest.mark.parametrize(("tensors", "message"), [
    (without("1.tail.bias"), "first missing key '1.tail.bias', first unexpected key none"),
    (without("0.head.conv.weight"), "first missing key '0.head.conv.weight'"),
    (changed(**{"2_tail_extra": torch.zeros(1)}), "first missing key none, first unexpected key '2.tail.extra'"),
    (changed(**{"1_tail_bias": torch.zeros(2)}), r"'1\.tail\.bias' has shape \(2,\), it must have \(1,\)"),
    (changed(**{"0_head_conv_weight": torch.zeros(4)}), r"'0\.head\.conv\.weight' has shape"),
    (changed(**{"1_tail_bias": torch.zeros(1, dtype=torch.int64)}), "holds torch.int64, it must hold torch.float32"),
    (changed(**{"1_tail_bias": torch.zeros(1, dtype=torch.complex64)}), "holds torch.complex64"),
    (changed(**{"1_tail_bias": torch.zeros(1, dtype=torch.float8_e5m2)}), "holds torch.float8_e5m2"),
    (changed(**{"1_tail_bias": torch.tensor([math.nan])}), r"'1\.tail\.bias' holds a value that is not finite"),
    (changed(**{"1_tail_bias": torch.tensor([math.inf]).half()}), "a value that is not finite"),
    (changed(**{"1_tail_bias": torch.tensor([1e300]).double()}), "not finite in float32"),
    (changed(**{"0_head_conv_weight": torch.zeros(1025, 3, 3, 3)}), "number 0 has 1025 channels for pictures of 3"),
    (changed(**{"0_head_conv_weight": torch.zeros(0, 3, 3, 3)}), "number 0 has 0 channels"),
    (flat(discriminators([2]))| {f"1.{k}": v for k, v in discriminators([2], 1)[0].state_dict().items()},
     "number 1 takes 1 channels, number 0 takes 3"),
    ({f"1.{key}": t for key, t in discriminators([2])[0].state_dict().items()}, "number 0 is missing"),
    ({f"{i}.tail.bias": torch.zeros(1) for i in range(65)}, "holds 65 discriminators; at most 64"),
    (discriminators([2])[0].state_dict(), r"'body\.block1\.conv\.bias', but .* models\.load_weights reads a single"),
    ({f"0{key}": tensor for key, tensor in flat(discriminators([2])).items()}, "holds '00"),
    ({"x" * 10_000: torch.zeros(1)}, "holds 'x{80}'[.]{3},"),
    ({"0." + "x" * 10_000: torch.zeros(1)}, "unexpected key '0[.]x{78}'[.]{3}"),
])  # fmt: skip
def test_other_tensors_are_refused_and_named(safe, tensors, message):
    with pytest.raises(ValueError, match=message):
        load_discriminators(safe(tensors))


def test_files_of_this_library_for_something_else_are_named(tmp_path, safe):
    save_weights(discriminators()[0], tmp_path / "one.safetensors")
    with pytest.raises(ValueError, match="holds weights of 'SinGANDiscriminator', not a list of discriminators"):
        load_discriminators(tmp_path / "one.safetensors")
    metadata = {"format": "restorekit", "format_version": "9", "model": "SinGANDiscriminators"}
    with pytest.raises(ValueError, match="format version '9', this restorekit reads version '1'"):
        load_discriminators(safe(flat(discriminators()), metadata))


@pytest.mark.parametrize("content", [[], [1], [{}], {"a": 1}, 3, "text", [torch.zeros(1)], [{"a": torch.zeros(1)}, 2]])
def test_other_content_is_refused(saved, content):
    with pytest.raises(ValueError, match=r"must hold|holds no tensors"):
        load_discriminators(saved(content))


def test_an_expanded_weight_is_refused_before_it_grows(saved):
    huge = torch.zeros(1).expand(1000, 1000, 3, 3)
    with pytest.raises(ValueError, match="plain dense tensors"):
        load_discriminators(saved([discriminators()[0].state_dict() | {"tail.weight": huge}]))


def test_a_compressed_file_is_refused_before_it_grows(saved, tmp_path):
    path = saved([model.state_dict() | {"more": torch.zeros(10_000)} for model in discriminators()])
    with zipfile.ZipFile(path) as stored, zipfile.ZipFile(tmp_path / "small.pth", "w", zipfile.ZIP_DEFLATED) as small:
        for entry in stored.infolist():
            small.writestr(entry.filename, stored.read(entry))
    with pytest.raises(ValueError, match=r"small\.pth is no readable checkpoint .*: compressed"):
        load_discriminators(tmp_path / "small.pth")


def test_numbers_that_end_like_an_archive_make_none(tmp_path):
    """PyTorch's files of before 2020, read by what reads checkpoints of networks."""
    [model] = discriminators([1])
    end = torch.frombuffer(bytearray(b"PK\x05\x06" + b"\x01" * 24), dtype=torch.float32)
    tensors = model.state_dict() | {"body.block1.conv.weight": torch.cat([torch.zeros(2), end]).view(1, 1, 3, 3)}
    torch.save(tensors, tmp_path / "one.pth", _use_new_zipfile_serialization=False)
    load_weights(model, tmp_path / "one.pth")
    assert torch.equal(model.body.block1.conv.weight.detach().flatten()[2:], end)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_discriminators(tmp_path / "none.pth")
    with pytest.raises(IsADirectoryError):
        load_discriminators(tmp_path)
    (tmp_path / "empty.pth").touch()
    with pytest.raises(ValueError, match="is empty"):
        load_discriminators(tmp_path / "empty.pth")
