import pytest
import torch
from models import published
from models.published import PARITY, assert_parity, picture, published_weights, shared_weights

from restorekit.models import CARN, carn, carn_m, load_checkpoint, pcarn, pcarn_m

SMALL = {"channels": 8, "blocks": 2, "units": 2}


def convolution_weights(model):
    return sum(p.numel() for p in model.parameters() if p.ndim == 4)


@pytest.fixture
def save(tmp_path):
    def save(content):
        torch.save(content, tmp_path / "model.pth")
        return tmp_path / "model.pth"

    return save


def test_published_sizes():
    with torch.device("meta"):
        assert convolution_weights(pcarn((2, 3, 4))) == 1_588_608
        assert convolution_weights(pcarn_m((2, 3, 4))) == 412_032


@pytest.mark.parametrize("names", [(pcarn, carn), (pcarn_m, carn_m)], ids=["pcarn", "pcarn_m"])
def test_costs_as_much_as_carn(names):
    with torch.device("meta"):
        mine, theirs = (build((2, 3, 4)) for build in names)
    for scale in (2, 3, 4):
        assert mine.trace(scale).multadds_per_pixel == theirs.trace(scale).multadds_per_pixel


@pytest.mark.parametrize(("scale", "gigas"), [(2, 91.17), (3, 46.12), (4, 32.48)])
def test_published_multiply_adds_for_a_720p_picture(scale, gigas):
    with torch.device("meta"):
        model = pcarn_m((2, 3, 4))
    pixels = 1280 * 720 / scale**2
    assert float(model.trace(scale).multadds_per_pixel) * pixels / 1e9 == pytest.approx(gigas, abs=0.005)


def test_equals_the_published_network(save):
    model = pcarn((2, 3, 4), weights=save(published_weights(published.pcarn())))
    with torch.inference_mode():
        assert_parity(model(picture(), scale=3), PARITY["pcarn x3"])


@pytest.mark.parametrize(
    ("build", "tensors"),
    [(pcarn, published_weights(published.pcarn())), (pcarn_m, shared_weights(published.pcarn_m()))],
    ids=["pcarn", "pcarn_m"],
)
def test_published_layouts_load_through_the_factory(build, tensors, save):
    path = save(tensors)
    model, found = build((2, 3, 4), weights=path), load_checkpoint(path)
    assert model.config == found.config
    state, expected = model.state_dict(), found.state_dict()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    single = build(3, weights=path)
    assert torch.equal(single(picture(5, 6)), found(picture(5, 6), scale=3))


@pytest.mark.parametrize("build", [pcarn, pcarn_m])
def test_is_carn_with_two_options(build):
    model = build(2, **SMALL)
    efficient = {"groups": 4, "recursive": True} if build is pcarn_m else {}
    twin = CARN(2, **SMALL, **efficient, fusion_relu=False, global_skip=True)
    assert type(model) is CARN
    assert model.config == twin.config
    twin.load_state_dict(model.state_dict())
    assert torch.equal(model(picture(5, 6)), twin(picture(5, 6)))


@pytest.mark.parametrize("build", [pcarn, pcarn_m])
def test_options_go_before_the_published_ones(build):
    model = build(2, **SMALL, fusion_relu=True)
    assert (model.config["fusion_relu"], model.config["global_skip"], model.config["channels"]) == (True, True, 8)


def test_files_of_carn_are_refused(save):
    with pytest.raises(ValueError, match="fusion_relu=True, but the network has fusion_relu=False"):
        pcarn(2, weights=save(published_weights(published.carn(single=2))))


@pytest.mark.parametrize("build", [pcarn, pcarn_m])
def test_refuses_what_is_not_offered(build):
    with pytest.raises(ValueError, match="scale must be one of"):
        build(5)
    with pytest.raises(TypeError, match="depth"):
        build(2, depth=3)
    with pytest.raises(ValueError, match="3 channels"):
        build(2, **SMALL)(torch.rand(1, 4, 5, 5))
