import copy
import json
import math

import pytest
import torch

from restorekit._random import seeded
from restorekit.degrade import (
    Boxes,
    Chain,
    Cuts,
    Distortion,
    Identity,
    OneOf,
    SmoothMask,
    Spatial,
    applied_types,
    blind_degradation,
    boxes,
    brightness,
    flickr_distortion,
    level_map,
    mixed_distortion,
    replay,
    shdd,
    sr_blur,
    sr_dn,
    type_map,
)
from restorekit.degrade._execute import mask_weights
from restorekit.degrade.noise import gaussian_noise


def seed(number):
    return torch.Generator().manual_seed(number)


def pictures(n=2, channels=3, height=32, width=48, dtype=torch.float32):
    return torch.rand(n, channels, height, width, generator=seed(0)).to(dtype)


def mine(x, level, *, generator=None):
    """A user's own function."""
    return (x + level * torch.rand(x.shape, generator=generator)).clamp(0, 1)


def one_step(**step):
    return {"restorekit": 1, "device": "cpu", "pictures": [{"size": [4, 6], "steps": [step]}]}


NOISE = {"type": "gaussian_noise", "level": 0.1, "seed": 7}
DIM = {"type": "brightness", "level": -0.25}
CLOUDS = {"type": "f_noise", "level": 6.0, "seed": 1}
COMPOSITIONS = {
    "mild": mixed_distortion("mild"),
    "moderate": mixed_distortion(),
    "severe": mixed_distortion("severe"),
    "sr_dn": sr_dn(2),
    "sr_blur": sr_blur(2),
    "easy": shdd("easy"),
    "difficult": shdd("difficult"),
    "classification": flickr_distortion(),
    "detection-basic": flickr_distortion("detection-basic"),
    "detection-difficult": flickr_distortion("detection-difficult"),
    "blind": blind_degradation(4),
    "mask": Spatial(OneOf(Distortion("jpeg", 10), Distortion("gaussian_blur", 2.0)), SmoothMask(3)),
    "nested": Spatial(Chain(shdd("easy"), Spatial(Identity(), Boxes(2, 0.2))), Cuts(2, orientation="blocks")),
    "own": Chain(Distortion(mine, (0.1, 0.3)), Distortion("jpeg", 30)),
}


@pytest.mark.parametrize("name", sorted(COMPOSITIONS))
def test_replay_is_exact(name):
    composition = COMPOSITIONS[name]
    x = pictures(3)
    before = x.clone()
    lq, recipe = composition(x, generator=seed(5), return_recipe=True)
    assert torch.equal(x, before)
    assert torch.equal(composition(x, generator=seed(5)), lq)
    text = json.dumps(recipe, allow_nan=False)
    read = json.loads(text)
    assert read == recipe
    assert json.dumps(read) == text
    assert torch.equal(replay(x, read, functions=composition.functions), lq)
    assert read == recipe  # nothing is written into it
    for i in range(3):
        alone = {**read, "pictures": read["pictures"][i : i + 1]}
        assert torch.equal(replay(x[i : i + 1], alone, functions=composition.functions), lq[i : i + 1])


@pytest.mark.parametrize("name", ["blind", "moderate", "mask", "detection-difficult"])
def test_threads_leave_no_trace(name):
    x = torch.rand(1, 3, 212, 308, generator=seed(1))  # large enough for torch to share the work out
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        lq, recipe = COMPOSITIONS[name](x, generator=seed(2), return_recipe=True)
        torch.set_num_threads(1)
        assert torch.equal(replay(x, recipe), lq)
    finally:
        torch.set_num_threads(before)


def test_the_order_in_memory_leaves_no_trace():
    """The mean of a picture is added up along its memory, and shows where that differs."""
    x = pictures(8, 3, 67, 91)
    about_the_mean = Distortion("contrast", (20, 60), options={"centre": "mean"})
    lq, recipe = about_the_mean(x, generator=seed(5), return_recipe=True)
    for other in (x.mT.contiguous().mT, x.to(memory_format=torch.channels_last)):
        assert not other.is_contiguous()
        assert torch.equal(replay(other, recipe), lq)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtypes(dtype):
    x = pictures(dtype=dtype)
    for name in ("difficult", "mask"):
        lq, recipe = COMPOSITIONS[name](x, generator=seed(1), return_recipe=True)
        assert lq.dtype == dtype
        assert torch.equal(replay(x, recipe), lq)


def test_replay_does_what_the_steps_say():
    x = pictures(1, 3, 4, 6)
    expected = gaussian_noise(x, 0.1, generator=seeded(7))
    assert torch.equal(replay(x, one_step(**NOISE)), expected)


def test_a_device_that_is_not_here():
    x = pictures(1, 3, 4, 6)
    recipe = one_step(**NOISE)
    here = replay(x, recipe)
    assert torch.equal(replay(x, {**recipe, "device": "no such device"}), here)
    if not torch.cuda.is_available():
        assert torch.equal(replay(x, {**recipe, "device": "cuda"}), here)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_device_of_the_recipe_counts():
    x = pictures()
    for name, composition in COMPOSITIONS.items():
        if name == "own":
            continue
        lq, recipe = composition(x, generator=seed(5), return_recipe=True)
        assert torch.equal(replay(x.cuda(), recipe).cpu(), lq)
        lq, recipe = composition(x.cuda(), generator=seed(5), return_recipe=True)
        assert recipe["device"] == "cuda"
        assert torch.equal(replay(x, recipe), lq.cpu())


def test_own_functions_must_be_given():
    x = pictures()
    _, recipe = COMPOSITIONS["own"](x, return_recipe=True)
    with pytest.raises(ValueError, match=r"recipe picture 0, step 0: unknown type 'mine'; known are .*functions="):
        replay(x, recipe)
    with pytest.raises(TypeError, match="functions must map names to functions"):
        replay(x, recipe, functions={"mine": 3})
    with pytest.raises(ValueError, match="the name 'jpeg' is taken"):
        replay(x, recipe, functions={"mine": mine, "jpeg": mine})


def test_a_recipe_for_other_pictures():
    _, recipe = shdd()(pictures(2), return_recipe=True)
    with pytest.raises(ValueError, match="for 2 pictures, x holds 3"):
        replay(pictures(3), recipe)
    with pytest.raises(ValueError, match=r"picture 0 is for size \(32, 48\), x has \(48, 32\)"):
        replay(pictures(2, 3, 48, 32), recipe)
    with pytest.raises(TypeError, match="floating-point"):
        replay(torch.zeros(2, 3, 32, 48, dtype=torch.uint8), recipe)


def deep(levels):
    step = dict(NOISE)
    for _ in range(levels):
        step = {"type": "regions", "regions": [{"box": [0, 0, 4, 6], "steps": [step]}]}
    return step


def region(box, *steps):
    return {"type": "regions", "regions": [{"box": [0, 0, 1, 1], "steps": []}, {"box": box, "steps": list(steps)}]}


def mask(**changes):
    return {"type": "mask", "seed": 1, "smoothness": 0.5, "layers": [{"steps": []}, {"steps": [DIM]}], **changes}


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({**NOISE, "type": "sharpen"}, "unknown type 'sharpen'; known are brightness, contrast"),
        ({"type": "brightness"}, "has no 'level'; it needs type, level"),
        ({**NOISE, "colour": 1}, "unknown entry 'colour'"),
        ({**NOISE, "options": {"colour": 1}}, "gaussian_noise has no option 'colour'; it has variance, grey, clip"),
        ({**NOISE, "options": {"generator": 1}}, "no option 'generator'"),
        ({**NOISE, "level": math.nan}, "level must be finite"),
        ({**NOISE, "level": math.inf}, "level must be finite"),
        ({**NOISE, "level": 10**400}, "level must be finite"),
        ({**NOISE, "level": 2}, r"gaussian_noise: level must be in \[0, 1\]"),
        ({**NOISE, "seed": -1}, "seed must be in"),
        ({**NOISE, "seed": 2**53}, "seed must be in"),
        ({"type": "gaussian_noise", "level": 0.1}, 'draws and needs a "seed"'),
        ({**DIM, "seed": 1}, 'draws nothing and takes no "seed"'),
        (region([0, 0, 5, 6]), r"region 1: box \[0, 0, 5, 6\] lies outside the picture of size \(4, 6\)"),
        (region([0, 0, 4, 7]), "region 1: box .* lies outside"),
        (region([-1, 0, 2, 2]), "region 1: box must be 4 integers of at least 0"),
        (region([0, 0, 2.0, 2]), "region 1: box must be 4 integers"),
        (region([0, 0, 2]), "region 1: box must be 4 integers"),
        (region([2, 0, 2, 2]), r"region 1: box must be \[top, left, bottom, right\] with some area"),
        (region([0, 0, 2, 2], {"type": "downscale", "level": 2}), "region 1: .* must keep its shape"),
        (region([0, 0, 2, 2], NOISE, {**NOISE, "type": "x"}), "region 1, step 1: unknown type 'x'"),
        (mask(smoothness=0), "smoothness"),
        (mask(layers=[]), "layers must not be empty"),
        (mask(layers=[{"steps": []}] * 65), "layers must not be empty and at most 64, got 65"),
        ({**DIM, "level": 1e39}, "level must be finite"),
        ({"type": "resample", "level": 1, "options": {"size": [8192, 8193]}}, "resample: it would enlarge .* 67108864"),
        ({"type": "gaussian_blur", "level": 1.0, "options": {"kernel_size": 503}}, "kernel_size must be at most 501"),
        ({**CLOUDS, "options": {"reference_size": [1, 8193]}}, "reference_size must be at most 8192"),
        ({"type": "nlm_denoise", "level": 0.1, "options": {"patch_distance": 3000}}, "patch_distance must be at most"),
        ({"type": "nlm_denoise", "level": 0.1, "options": {"patch_size": 10**9}}, "patch_size must be at most 21"),
        ({"type": "rain", "level": 0.1, "options": {"length": 10**9}, "seed": 1}, "length must be at most 501"),
        (mask(layers=[{"steps": [{"type": "downscale", "level": 2}]}]), "layer 0: .* must keep its shape"),
        (deep(40), "nested more than 16 deep"),
    ],
)
def test_malformed_values_name_the_place(step, message):
    recipe = one_step(**DIM)
    recipe["pictures"][0]["steps"].append(step)
    with pytest.raises(ValueError, match=f"^recipe picture 0, step 1.*{message}"):
        replay(pictures(1, 3, 4, 6), recipe)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("blur", 'a step must be a dictionary with a string "type"'),
        ({"type": 3}, 'string "type"'),
        ({**NOISE, "level": "0.1"}, "level must be a number"),
        ({**NOISE, "level": True}, "level must be a number"),
        ({**NOISE, "seed": 1.5}, "seed must be an integer"),
        ({**NOISE, "seed": True}, "seed must be an integer"),
        ({**NOISE, "options": [1]}, "options must be a dictionary"),
        ({**NOISE, "options": {"grey": {}}}, "option 'grey'"),
        ({"type": "regions", "regions": 3}, "regions must be a list"),
        (region("0022"), "region 1: box must be a list"),
        (mask(seed=None), "seed must be an integer"),
        (mask(layers=[3]), "layer 0 must be a dictionary"),
    ],
)
def test_malformed_types_name_the_place(step, message):
    recipe = one_step(**DIM)
    recipe["pictures"][0]["steps"].append(step)
    with pytest.raises(TypeError, match=f"^recipe picture 0, step 1.*{message}"):
        replay(pictures(1, 3, 4, 6), recipe)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"restorekit": 2}, ValueError, "has version 2, this restorekit reads 1"),
        ({"restorekit": True}, ValueError, "has version True"),
        ({"device": 3}, TypeError, "device must be a string"),
        ({"pictures": {}}, TypeError, "pictures must be a list"),
        ({"more": 1}, ValueError, "unknown entry 'more'"),
        ({"pictures": [{"size": [4, 6]}]}, ValueError, "picture 0 has no 'steps'"),
        ({"pictures": [{"size": [4], "steps": []}]}, ValueError, "size must be 2 integers"),
        ({"pictures": [{"size": [4, 6], "steps": 0}]}, TypeError, "steps must be a list"),
    ],
)
def test_malformed_heads(change, error, message):
    x = pictures(1, 3, 4, 6)
    with pytest.raises(error, match=message):
        replay(x, {**one_step(**NOISE), **change})
    with pytest.raises(error, match=message):
        boxes({**one_step(**NOISE), **change})


def test_functions_must_be_a_dictionary():
    with pytest.raises(TypeError, match="functions must be a dictionary of functions by name"):
        replay(pictures(1, 3, 4, 6), one_step(**DIM), functions=[brightness])


def test_not_a_recipe():
    for wrong in ("recipe", None, []):
        with pytest.raises(TypeError, match="recipe must be a dictionary"):
            replay(pictures(), wrong)
    with pytest.raises(ValueError, match="recipe has no 'restorekit'"):
        replay(pictures(), {})


PAINTED = {
    "restorekit": 1,
    "device": "cpu",
    "pictures": [
        {
            "size": [4, 6],
            "steps": [
                {"type": "contrast", "level": 30},
                {
                    "type": "regions",
                    "regions": [
                        {"box": [0, 0, 4, 3], "steps": [{"type": "gaussian_blur", "level": [2.0, 0.5]}]},
                        {"box": [1, 1, 3, 5], "steps": [DIM, {**DIM, "level": 0.5}]},
                        {"box": [2, 2, 3, 6], "steps": []},
                    ],
                },
            ],
        }
    ],
}


def test_maps():
    types = ["brightness", "contrast", "gaussian_blur", "jpeg"]
    levels = level_map(PAINTED, types)
    assert levels.dtype == torch.float32
    blur = torch.zeros(4, 6)
    blur[:, :3] = 2.0  # the larger of the two
    blur[1:3, 1:5] = 0  # hidden by the second region
    light = torch.zeros(4, 6)
    light[1:3, 1:5] = 0.5  # the later of two steps
    light[2, 2:] = 0  # hidden by the clean third region
    expected = torch.stack([light, torch.full((4, 6), 30.0), blur, torch.zeros(4, 6)])
    assert torch.equal(levels[0], expected)
    assert torch.equal(type_map(PAINTED, types)[0], expected != 0)
    assert type_map(PAINTED, types).dtype == torch.bool
    assert type_map(PAINTED, []).shape == (1, 0, 4, 6)
    assert applied_types(PAINTED) == ("brightness", "contrast", "gaussian_blur")


def test_a_level_of_zero_is_applied():
    recipe = one_step(type="brightness", level=0)
    assert type_map(recipe, ["brightness"]).all()
    assert not level_map(recipe, ["brightness"]).any()


def test_boxes():
    assert boxes(PAINTED) == [
        [
            {"box": [0, 0, 4, 6], "types": ["contrast"], "levels": [30]},
            {"box": [0, 0, 4, 3], "types": ["gaussian_blur"], "levels": [[2.0, 0.5]]},
            {"box": [1, 1, 3, 5], "types": ["brightness", "brightness"], "levels": [-0.25, 0.5]},
        ]
    ]


def test_nested_boxes_are_what_shows():
    recipe = copy.deepcopy(PAINTED)
    inner = {"type": "regions", "regions": [{"box": [0, 0, 2, 2], "steps": [NOISE]}]}
    recipe["pictures"][0]["steps"][1]["regions"] = [{"box": [1, 1, 4, 6], "steps": [inner]}]
    assert boxes(recipe)[0][1:] == [{"box": [1, 1, 2, 2], "types": ["gaussian_noise"], "levels": [0.1]}]
    shown = type_map(recipe, ["gaussian_noise"])[0, 0]
    assert shown.nonzero().tolist() == [[1, 1]]


def test_labels_of_resized_pictures_are_of_the_clean_size():
    halves = Spatial(Distortion("gaussian_noise", 0.1), Cuts(2, orientation="horizontal"))
    recipe = Chain(Distortion("downscale", 2), halves)(pictures(1), return_recipe=True)[1]
    labels = boxes(recipe)[0]
    assert labels[0] == {"box": [0, 0, 32, 48], "types": ["downscale"], "levels": [2]}
    edge = recipe["pictures"][0]["steps"][1]["regions"][0]["box"][2] * 2
    assert [label["box"] for label in labels[1:]] == [[0, 0, edge, 48], [edge, 0, 32, 48]]
    assert type_map(recipe, ["gaussian_noise"]).all()


def test_labels_of_a_mask():
    step = mask(layers=[{"steps": [DIM]}, {"steps": [NOISE]}, {"steps": []}])
    recipe = one_step(**step)
    weights = mask_weights(step, 4, 6)
    owner = weights.argmax(0)
    types = ["brightness", "gaussian_noise"]
    shown = type_map(recipe, types)[0]
    assert torch.equal(shown, torch.stack([owner == 0, owner == 1]))
    expected = torch.stack([weights[0] * -0.25, weights[1] * 0.1]) * shown
    torch.testing.assert_close(level_map(recipe, types)[0], expected)
    for label in boxes(recipe)[0]:
        place = shown[types.index(label["types"][0])].nonzero()
        assert label["box"] == [*place.amin(0).tolist(), *(place.amax(0) + 1).tolist()]


def test_labels_of_own_functions():
    _, recipe = COMPOSITIONS["own"](pictures(), return_recipe=True)
    assert applied_types(recipe) == ("jpeg", "mine")
    assert type_map(recipe, COMPOSITIONS["own"].types).all()


def test_labels_that_would_fill_the_memory():
    recipe = one_step(**DIM)
    recipe["pictures"][0]["size"] = [1 << 20, (1 << 10) + 1]
    for read in (boxes, lambda one: type_map(one, ["jpeg"])):
        with pytest.raises(ValueError, match="more than 536870912 elements"):
            read(recipe)
    wide = one_step(type="resample", level=1, options={"size": [1 << 20, 1 << 20]})
    with pytest.raises(ValueError, match=r"^recipe, step 0: resample: it would enlarge"):
        boxes(wide)
    assert applied_types(recipe) == ("brightness",)  # needs no map
    recipe["pictures"][0] = {"size": [4096, 4096], "steps": [{**DIM, "type": f"own{i}"} for i in range(1000)]}
    assert not type_map(recipe, ["jpeg"]).any()  # 64 GiB if all types were painted


def test_labels_that_cannot_be_read():
    two = {**PAINTED, "pictures": [PAINTED["pictures"][0], {"size": [3, 3], "steps": []}]}
    with pytest.raises(ValueError, match="pictures of one size"):
        type_map(two, ["jpeg"])
    assert [len(one) for one in boxes(two)] == [3, 0]
    with pytest.raises(TypeError, match="list of names"):
        type_map(PAINTED, "jpeg")
    with pytest.raises(TypeError, match="types must be a list of names, got None"):
        type_map(PAINTED, None)
    with pytest.raises(ValueError, match=r"step 0, region 1: box .* lies outside"):
        boxes(one_step(**region([0, 0, 9, 9])))
    with pytest.raises(ValueError, match="step 0: downscale"):
        boxes(one_step(type="downscale", level=0))
    for level in (1e-300, 1e30, [1, 2]):
        with pytest.raises(ValueError, match="step 0: resample: level"):
            boxes(one_step(type="resample", level=level))


def test_what_is_drawn_and_read_does_not_depend_on_the_default_device():
    composition = Chain(COMPOSITIONS["mask"], COMPOSITIONS["difficult"], COMPOSITIONS["blind"])
    expected = composition._programs(5, (32, 48), seed(0))
    recipe = {"restorekit": 1, "device": "cpu", "pictures": [{"size": [32, 48], "steps": steps} for steps in expected]}
    labels = type_map(recipe, composition.types), level_map(recipe, composition.types), boxes(recipe)
    with torch.device("meta"):
        assert composition._programs(5, (32, 48), seed(0)) == expected
        types, levels, found = type_map(recipe, composition.types), level_map(recipe, composition.types), boxes(recipe)
    assert torch.equal(types, labels[0])
    assert torch.equal(levels, labels[1])
    assert found == labels[2]
