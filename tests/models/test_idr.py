import math

import pytest
import torch
from models import published_restormer
from models.published import assert_parity, picture, published_weights, random_weights, without_memory

from restorekit.layers import degradation_attention_loss
from restorekit.models import IDR, idr, load_checkpoint, load_weights, save_weights
from restorekit.models._loading import interpret
from restorekit.models.idr import DEGRADATIONS
from restorekit.models.restormer import Restormer

LAYOUTS = {kind.__name__: kind.layouts for kind in (Restormer, IDR)}
CODE = {"placement": ("encoder1", "encoder2", "encoder3"), "additive_first": True}
SMALL = {"channels": 4, "blocks": (1, 1, 1, 1), "heads": (1, 2, 2, 4), "refinement_blocks": 1, "hub_size": 3}
SMALL_FILE = published_restormer.idr(4, (1, 1, 1, 1), (1, 2, 2, 4), 1, priors=3)

# What the authors' module returns for a 32x32 picture at 8 channels, 1 block everywhere and 6 priors, and its loss
# for a reference that is the mirrored picture.
PARITY = {
    "noise": (0.5196358848036956, 0.6416034161423672, (-0.757957, 1.24497, -0.145999), 16.756412506103516),
    "rain": (0.518917887827835, 0.6255751915945573, (-0.953299, 1.32696, -0.113316), 17.979476928710938),
    "haze": (0.7870734179177816, 3.403286368475966, (4.796027, -4.067034, 4.838362), 7.877722263336182),
    "blur": (0.4707455610900979, 1.3749381785164725, (-3.278048, 3.258867, -1.621227), 9.361124038696289),
    "low-light": (0.7373189368751506, 3.395059684171362, (4.631899, -3.926003, 4.722704), 7.486506462097168),
}
PROBABILITIES = [0.171555, 0.22154, 0.179521, 0.240768, 0.186617]


@pytest.fixture
def save(tmp_path):
    def write(tensors):
        torch.save(tensors, tmp_path / "published.pth")
        return tmp_path / "published.pth"

    return write


def pictures(height=16, width=24, dtype=torch.float64):
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=dtype)


def doubled(path):
    """The network of a file, in double precision."""
    return load_checkpoint(path).double()


def tame(layout):
    """Random weights small enough for features that are multiplied with each other; the priors stay as they are."""
    return {key: t / 2 if key != "degra_key" else t for key, t in random_weights(layout).items()}


# Values


@pytest.mark.parametrize("degradation", PARITY)
def test_stage_1_computes_what_the_authors_network_computes(degradation, save):
    path = save(published_weights(published_restormer.idr(8, (1, 1, 1, 1), (1, 2, 4, 8), 1, priors=6)))
    sizes = {"channels": 8, "blocks": (1, 1, 1, 1), "refinement_blocks": 1, "hub_size": 6}
    model = idr(1, **sizes, **CODE, weights=path).eval()
    mean, std, center, loss = PARITY[degradation]
    x = picture(32, 32)
    found = model.analyse(x, degradation=degradation)
    assert_parity(found.restored, ((32, 32), mean, std, center), tolerance=2e-5)
    assert found.restored.std().item() == pytest.approx(std, rel=1e-5)
    assert degradation_attention_loss(found.images, x.flip(-1)).item() == pytest.approx(loss, rel=1e-5)
    assert found.probabilities[0][0].tolist() == pytest.approx(PROBABILITIES, abs=1e-6)


def test_stage_2_computes_what_its_layout_computes_written_out(save):
    """Whatever the signs of the singular vectors are here: the file is read for them."""
    tensors = tame(SMALL_FILE)
    model = doubled(save(tensors))
    assert model.stage == 2
    plain = {key: tensor.float().double() for key, tensor in tensors.items()}
    expected = published_restormer.plain_idr(plain, pictures())
    assert (expected - pictures()).abs().max() > 0.01
    assert (model(pictures()) - expected).abs().max() < 1e-5 * expected.abs().max()
    for module in model.priors.values():
        module.additive_first = False
    assert (model(pictures()) - expected).abs().max() > 1e-3 * expected.abs().max()


def test_stage_2_does_not_depend_on_the_signs_of_the_svd(monkeypatch):
    torch.manual_seed(0)
    model = IDR(2, **SMALL).double()
    expected, decompose = model(pictures()), torch.linalg.svd

    def flipped(x, full_matrices):
        left, values, right = decompose(x, full_matrices=full_matrices)
        return -left, values, -right

    monkeypatch.setattr(torch.linalg, "svd", flipped)
    assert torch.allclose(model(pictures()), expected, rtol=0, atol=1e-12)


def test_stage_2_mixes_by_its_own_prediction():
    """Predictors that are sure of haze leave the affine route alone to work."""
    torch.manual_seed(0)
    model = IDR(2, **SMALL).double()
    for module in model.priors.values():
        torch.nn.init.zeros_(module.predictor[1].weight)
        module.predictor[1].bias.data = torch.tensor([0.0, 0.0, 1e4, 0.0, 0.0], dtype=torch.float64)
    before = model(pictures())
    for module in model.priors.values():
        for name in ("additive", "kernel"):
            torch.nn.init.normal_(module.routes[name].evidence[0].weight)
    found = model.analyse(pictures())
    assert torch.equal(found.restored, before)
    assert all(torch.equal(p, torch.tensor([0.0, 0, 1, 0, 0], dtype=torch.float64).expand(2, 5)) for p in found[2])


def test_stage_1_uses_the_priors_and_the_route_of_the_degradation():
    torch.manual_seed(0)
    model = IDR(**SMALL)
    x = pictures(8, 8, torch.float32)
    for kind, (name, route) in enumerate(DEGRADATIONS.items()):
        model.zero_grad()
        model(x, degradation=name).square().mean().backward()
        touched = [t for t in range(5) if model.hub.grad[t].any()]
        routes = [r for r in ("additive", "affine", "kernel")
                  if model.priors["encoder1"].routes[r].evidence[0].weight.grad is not None]  # fmt: skip
        assert (touched, routes) == ([kind], [route])


def test_what_training_supervises_has_gradients():
    torch.manual_seed(0)
    model = IDR(**SMALL)
    x = pictures(8, 8, torch.float32)
    found = model.analyse(x, degradation=["blur", "blur"])
    loss = degradation_attention_loss(found.images, x) - sum(p[:, 3].log().mean() for p in found.probabilities)
    (found.restored.mean() + loss).backward()
    assert [tuple(image.shape) for image in found.images] == [(2, 3, 8, 8), (2, 3, 4, 4), (2, 3, 2, 2)]
    idle = {name for name, p in model.named_parameters() if p.grad is None}
    assert not any("predictor" in name for name in idle)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_a_degradation_can_be_named_in_several_ways(name):
    torch.manual_seed(0)
    model = IDR(**SMALL).eval()
    x, kind = pictures(8, 8, torch.float32), list(DEGRADATIONS).index(name)
    expected = model(x, degradation=name)
    for other in (kind, [name, kind], (name, name)):
        assert torch.equal(model(x, degradation=other), expected)
    silent = IDR(**SMALL, degradation=name).eval()
    silent.load_state_dict(model.state_dict())
    assert torch.equal(silent(x), expected)
    assert torch.equal(silent(x, degradation="rain"), model(x, degradation="rain"))


@pytest.mark.parametrize("placement", [("encoder3",), ("decoder3", "decoder2", "decoder1"), CODE["placement"]])
def test_modules_stand_where_they_are_placed(placement):
    model = IDR(**SMALL, placement=placement)
    widths = {"encoder1": 4, "encoder2": 8, "encoder3": 16, "decoder3": 16, "decoder2": 8, "decoder1": 8}
    assert {place: model.priors[place].norm1.weight.numel() for place in placement} == {p: widths[p] for p in placement}
    found = model.analyse(pictures(8, 8, torch.float32), degradation="noise")
    assert len(model.priors) == len(found.images) == len(found.probabilities) == len(placement)


def test_the_order_of_the_places_does_not_matter():
    assert IDR(**SMALL, placement=["decoder3", "encoder1"]).config["placement"] == ("encoder1", "decoder3")


def test_reformulation_freezes_the_hub():
    torch.manual_seed(0)
    model = IDR(**SMALL, degradation="noise")
    assert "hub" not in model.unused_parameters()
    hub = model.hub.clone()
    model.reformulate()
    assert model.stage == model.config["stage"] == 2
    assert torch.equal(model.hub, hub)
    assert model.unused_parameters() == ["hub"]
    model(pictures(8, 8, torch.float32)).mean().backward()
    assert model.hub.grad is None
    with pytest.raises(RuntimeError, match="stage 2 already"):
        model.reformulate()


def test_gradient():
    torch.manual_seed(0)
    sizes = {**SMALL, "placement": ("encoder2", "decoder1")}
    x = pictures(3, 2)[:1].requires_grad_()
    assert torch.autograd.gradcheck(IDR(2, **sizes, stop_gradient=False).double(), (x,), fast_mode=True)


# Counts


@pytest.mark.parametrize(
    ("channels", "total", "modules"),
    [
        (24, 7_887_130, (200_776, 778_641, 3_065_635)),
        (30, 12_262_448, (312_770, 1_214_741, 4_786_283)),
        (32, 13_932_614, (355_644, 1_381_615, 5_444_565)),
        (48, 31_151_500, (797_072, 3_102_497, 12_238_009)),
    ],
)
def test_parameters_are_those_published_less_those_that_do_nothing(channels, total, modules):
    layout = published_restormer.idr(channels)
    assert sum(map(math.prod, layout.values())) == total
    with torch.device("meta"):
        model = IDR(channels=channels, **CODE)
    idle = [published_restormer.idle("m", 2**k * channels, 2**k) for k in range(3)]
    idle = [sum(map(math.prod, keys.values())) for keys in idle]
    found = [sum(p.numel() for p in model.priors[place].parameters()) for place in CODE["placement"]]
    assert [a + b for a, b in zip(found, idle, strict=True)] == list(modules)
    convolution_bias = 24
    assert sum(p.numel() for p in model.parameters()) + sum(idle) + convolution_bias == total


@pytest.mark.parametrize("hub_size", [12, 24, 36, 48])
def test_the_hub_sizes_of_the_supplement_can_be_built(hub_size):
    with torch.device("meta"):
        model = IDR(hub_size=hub_size)
    assert model.hub.shape == (5, hub_size, 256)
    assert model.reformulation.mix_left.weight.shape == (hub_size, 5 * hub_size)


# Reading


@pytest.mark.parametrize("channels", [24, 30, 32])
def test_published_files_are_recognised_and_fit_in_full_size(channels):
    name, config, tensors = interpret(without_memory(published_restormer.idr(channels)), {}, LAYOUTS, "published.pth")
    with torch.device("meta"):
        model = IDR(2, channels=channels, **CODE)
    assert name == "IDR"
    assert {**model.config, **config} == model.config
    assert {key: t.shape for key, t in tensors.items()} == {key: t.shape for key, t in model.state_dict().items()}


def test_missing_and_unexpected_keys_are_named(save):
    tensors = published_weights(SMALL_FILE)
    for key in ("degra_key", "dmixer.convV.bias", "kdp_level2.SAM.conv3.weight", "kdp_level1.attn.qkv.weight"):
        with pytest.raises(ValueError, match=rf"looks like IDR .* misses the key '{key}'"):
            load_checkpoint(save({k: t for k, t in tensors.items() if k != key}))
    with pytest.raises(ValueError, match=r"looks like IDR .* has the unexpected key 'kdp_level4.norm1.body.weight'"):
        load_checkpoint(save({**tensors, "kdp_level4.norm1.body.weight": torch.zeros(4)}))


@pytest.mark.parametrize("key", ["degra_key", "dmixer.convU.weight", "kdp_level1.attn.kv.weight"])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (5, 5, 32), (4, 3, 32)])
def test_misshapen_tensors_are_refused(key, shape, save):
    with pytest.raises(ValueError, match=r"published\.pth"):
        load_checkpoint(save({**published_weights(SMALL_FILE), key: torch.zeros(shape)}))


def test_a_hub_that_cannot_be_decomposed_is_refused(save):
    tensors = published_weights(SMALL_FILE)
    tensors["degra_key"][1, 1, 1] = float("nan")
    with pytest.raises(ValueError, match=r"looks like IDR .* cannot be read as such"):
        load_checkpoint(save(tensors))


def test_half_precision_files_are_read(save):
    tensors = tame(SMALL_FILE)
    exact = load_checkpoint(save(tensors))
    model = load_checkpoint(save({key: tensor.half() for key, tensor in tensors.items()}))
    x = pictures(dtype=torch.float32)
    assert model.config == exact.config
    assert (model(x) - exact(x)).abs().max() < 0.05 * exact(x).abs().max()


def test_a_network_of_another_placement_refuses_the_file(save):
    with pytest.raises(ValueError, match="IDR with placement="):
        idr(1, **SMALL, additive_first=True, weights=save(published_weights(SMALL_FILE)))


@pytest.mark.parametrize("stage", [1, 2])
def test_own_file_gives_the_same_network_back(stage, tmp_path):
    torch.manual_seed(0)
    model = IDR(stage, **SMALL, degradation="haze").eval()
    save_weights(model, tmp_path / "idr.safetensors")
    loaded = load_checkpoint(tmp_path / "idr.safetensors")
    x = pictures(dtype=torch.float32)
    assert loaded.config == model.config
    assert torch.equal(loaded(x), model(x))


def test_a_file_of_stage_1_starts_stage_2(tmp_path):
    torch.manual_seed(0)
    first = IDR(**SMALL, degradation="haze", stop_gradient=False).eval()
    save_weights(first, tmp_path / "idr.safetensors")
    second = idr(2, **SMALL, weights=tmp_path / "idr.safetensors").eval()
    assert second.stage == 2
    assert torch.equal(second.hub, first.hub)
    first.reformulate()
    x = pictures(dtype=torch.float32)
    assert torch.equal(second(x), first(x))
    load_weights(IDR(**SMALL), tmp_path / "idr.safetensors")


# Bad input


@pytest.mark.parametrize("stage", [0, 3, "1", 1.0, [1], None, True])
def test_refuses_stages_that_do_not_exist(stage):
    with pytest.raises(ValueError, match="stage must be 1 or 2, got"):
        idr(stage)


def test_stage_2_needs_a_trained_hub():
    with pytest.raises(ValueError, match="stage 2 needs a hub that stage 1 has trained"):
        idr(2, **SMALL)


@pytest.mark.parametrize("degradation", [5, -1, True, "fog", "denoise", 1.0])
def test_refuses_degradations_that_do_not_exist(degradation):
    x = pictures(8, 8, torch.float32)
    match = "degradation must be (one of noise, rain, haze, blur, low-light, or an id from 0 to 4|a name)"
    with pytest.raises((ValueError, TypeError), match=match):
        IDR(**SMALL)(x, degradation=degradation)
    with pytest.raises(ValueError, match="degradation must be one of noise"):
        IDR(**SMALL)(x, degradation=["noise", degradation])
    with pytest.raises(ValueError, match="degradation must be one of noise"):
        IDR(**SMALL, degradation=degradation)


def test_refuses_batches_of_several_degradations():
    x = pictures(8, 8, torch.float32)
    with pytest.raises(ValueError, match="batches of one degradation, got noise, blur; sort the pictures"):
        IDR(**SMALL)(x, degradation=["blur", "noise"])
    with pytest.raises(ValueError, match="one for each of the 2 pictures, got 3"):
        IDR(**SMALL)(x, degradation=["blur"] * 3)
    with pytest.raises(ValueError, match="batches of one degradation"):
        IDR(**SMALL)(x, degradation=torch.tensor([3, 1]))
    with pytest.raises(TypeError, match="a name, an id or a list of them, got Tensor"):
        IDR(**SMALL)(x, degradation=torch.tensor([[3, 3]]))


def test_stage_1_must_be_told_and_stage_2_must_not():
    x = pictures(8, 8, torch.float32)
    with pytest.raises(ValueError, match="stage 1 must be told the degradation: pass degradation="):
        IDR(**SMALL)(x)
    with pytest.raises(ValueError, match="stage 2 predicts the degradation itself, got degradation='rain'"):
        IDR(2, **SMALL)(x, degradation="rain")


@pytest.mark.parametrize("placement", [(), "encoder1", ("encoder4",), ("encoder1", "encoder1"), ("3E",)])
def test_refuses_places_that_do_not_exist(placement):
    with pytest.raises(ValueError, match="placement must name at least one level of encoder1, encoder2"):
        IDR(**SMALL, placement=placement)


def test_refuses_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="hub_size must be at most the length of a prior, 32, got 33"):
        IDR(**{**SMALL, "hub_size": 33})
    with pytest.raises(ValueError, match="hub_size must be at least 1, got 0"):
        IDR(**{**SMALL, "hub_size": 0})
    with pytest.raises(ValueError, match="3 channels"):
        IDR(**SMALL)(torch.rand(1, 4, 8, 8), degradation="rain")


def test_the_hub_stays_as_stage_1_left_it():
    model = IDR(1, **SMALL)
    model(torch.rand(1, 3, 8, 8), degradation=torch.tensor([1])).sum().backward()
    model.reformulate()
    assert not model.hub.requires_grad
    assert model.hub.grad is None
    assert not IDR(2, **SMALL).hub.requires_grad
