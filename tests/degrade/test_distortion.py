import functools
import inspect
import math
import pickle

import pytest
import torch
from scipy.stats import chisquare, kstest

from restorekit.degrade import Chain, Distortion, brightness, contrast
from restorekit.degrade._functions import FUNCTIONS, output_size


def seed(number):
    return torch.Generator().manual_seed(number)


def pictures(n=2, channels=3, height=8, width=10, dtype=torch.float32):
    return torch.rand(n, channels, height, width, generator=seed(0)).to(dtype)


def levels(distortion, count=4000, number=0):
    return [steps[0]["level"] for steps in distortion._programs(count, (8, 8), seed(number))]


def doubled(x, level, *, generator=None):
    """A user's own function that draws."""
    return x * level + torch.rand(x.shape, generator=generator)


def darker(x, level, *, by=0.5):
    """A user's own function that draws nothing."""
    return x * (1 - level * by)


def half(generator):
    return 0.5 if torch.rand((), generator=generator) < 0.5 else 0.25


def never_a_number(generator):
    return torch.rand((), generator=generator)


# A level at which every function does something, for a sweep over all of them.
SOME = {
    "brightness": 0.1, "contrast": 30, "defocus_blur": 1.5, "differentiable_jpeg": 30, "downscale": 2, "f_noise": 8,
    "gaussian_blur": 1.2, "gaussian_noise": 0.1, "generalized_blur": 1.0, "haze": 0.1, "jpeg": 30, "low_light": 0.5,
    "low_pass": 0.5, "motion_blur": 3, "nlm_denoise": 0.1, "poisson_noise": 50, "quantize": 8, "rain": 0.3,
    "resample": 0.5, "salt_and_pepper": 0.1, "sinc_blur": 1.0, "sinusoidal_grating": 0.1,
}  # fmt: skip


def test_the_sweep_covers_all_functions():
    assert set(SOME) == set(FUNCTIONS)
    for name, function in FUNCTIONS.items():
        parameters = list(inspect.signature(function).parameters.values())
        assert [parameter.name for parameter in parameters[:2]] in (["x", "level"], ["x", "quality"])
        assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters[2:]), name


@pytest.mark.parametrize("name", sorted(SOME))
def test_a_distortion_is_its_function(name):
    x = pictures(2, 3, 16, 18)
    before = x.clone()
    lq, recipe = Distortion(name, SOME[name])(x, generator=seed(3), return_recipe=True)
    assert torch.equal(x, before)
    assert lq.dtype == x.dtype
    assert lq.shape[-2:] == output_size(name, SOME[name], {}, (16, 18))
    for i, picture in enumerate(recipe["pictures"]):
        (step,) = picture["steps"]
        assert step["type"] == name
        assert step["level"] == SOME[name]
        assert ("seed" in step) == ("generator" in inspect.signature(FUNCTIONS[name]).parameters)
        if "seed" not in step:
            assert torch.equal(lq[i : i + 1], FUNCTIONS[name](x[i : i + 1], SOME[name]))


@pytest.mark.parametrize("size", [(16, 18), (7, 5), (1, 1)])
@pytest.mark.parametrize(
    ("name", "level", "options"),
    [("downscale", 3, {}), ("downscale", 2.5, {}), ("resample", 0.37, {}), ("resample", 1.0, {"size": [4, 9]})],
)
def test_sizes_are_foretold(name, level, options, size):
    out = FUNCTIONS[name](pictures(1, 3, *size), level, **options)
    assert tuple(out.shape[-2:]) == output_size(name, level, options, size)


def test_a_pair_is_uniform():
    drawn = levels(Distortion("gaussian_noise", (0.1, 0.3)))
    assert kstest(drawn, "uniform", (0.1, 0.2)).pvalue > 0.001
    assert min(drawn) >= 0.1
    assert max(drawn) < 0.3


def test_a_list_is_equally_likely():
    drawn = levels(Distortion("gaussian_blur", [1, 2.5, (2.0, 0.5)]))
    counts = [drawn.count(value) for value in (1, 2.5, [2.0, 0.5])]
    assert sum(counts) == len(drawn)
    assert chisquare(counts).pvalue > 0.001


def test_a_function_of_a_generator_is_asked():
    drawn = levels(Distortion("gaussian_noise", half))
    assert chisquare([drawn.count(0.5), drawn.count(0.25)]).pvalue > 0.001


def test_decimals():
    whole = levels(Distortion("jpeg", (10, 50), decimals=0), 500)
    assert all(isinstance(value, int) for value in whole)
    assert {min(whole), max(whole)} == {10, 50}
    drawn = levels(Distortion("gaussian_noise", (0.005, 0.02), decimals=3), 500)
    assert set(drawn) == {round(0.001 * i, 3) for i in range(5, 21)}


def test_options_are_drawn():
    blur = Distortion("gaussian_blur", [(2.0, 0.5)], options={"angle": (0.0, 3.14), "border": ["zero", "reflect"]})
    drawn = [steps[0]["options"] for steps in blur._programs(2000, (8, 8), seed(0))]
    assert kstest([one["angle"] for one in drawn], "uniform", (0, 3.14)).pvalue > 0.001
    assert chisquare([sum(one["border"] == name for one in drawn) for name in ("zero", "reflect")]).pvalue > 0.001
    assert blur(pictures()).shape == pictures().shape


def test_every_picture_draws_for_itself():
    noise = Distortion("gaussian_noise", (0.1, 0.3))
    x = pictures(3)
    _, recipe = noise(x, generator=seed(1), return_recipe=True)
    steps = [picture["steps"][0] for picture in recipe["pictures"]]
    assert len({step["level"] for step in steps}) == 3
    assert len({step["seed"] for step in steps}) == 3


def test_a_picture_does_not_depend_on_the_rest_of_the_batch():
    noise = Distortion("gaussian_noise", (0.1, 0.3))
    x = pictures(4)
    whole = noise(x, generator=seed(1))
    assert torch.equal(noise(x[:2], generator=seed(1)), whole[:2])


def test_same_generator_same_result():
    noise = Distortion("gaussian_noise", (0.1, 0.3))
    x = pictures()
    generator = seed(1)
    first = noise(x, generator=generator)
    assert not torch.equal(noise(x, generator=generator), first)
    assert torch.equal(noise(x, generator=seed(1)), first)
    lq, _ = noise(x, generator=seed(1), return_recipe=True)
    assert torch.equal(lq, first)
    torch.manual_seed(5)
    first = noise(x)
    torch.manual_seed(5)
    assert torch.equal(noise(x), first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dtypes(dtype):
    assert Distortion("gaussian_noise", 0.1)(pictures(dtype=dtype)).dtype == dtype


def test_gradients_pass():
    x = pictures(dtype=torch.float64).requires_grad_()
    Distortion("contrast", 1.5, options={"reading": "factor", "clip": False})(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 1.5))


def test_functions_of_this_package_go_by_name():
    assert repr(Distortion(contrast, 30)) == "Distortion('contrast', 30)"
    assert Distortion(brightness, 0.1).functions == {}


def test_own_functions():
    mine = Chain(Distortion(doubled, (0.1, 0.3)), Distortion(darker, 0.5, options={"by": 0.2}))
    assert mine.types == ("darker", "doubled")
    assert mine.functions == {"doubled": doubled, "darker": darker}
    x = pictures()
    lq, recipe = mine(x, generator=seed(0), return_recipe=True)
    assert torch.equal(mine(x, generator=seed(0)), lq)
    assert ["seed" in step for step in recipe["pictures"][0]["steps"]] == [True, False]


def test_an_own_function_that_returns_something_else():
    def mean(x, level):
        return x.mean() * level

    with pytest.raises(TypeError, match=r"picture 0, step 0: mean must return pictures \(1, C, H, W\)"):
        Distortion(mean, 1.0)(pictures())


def test_pickle_and_repr():
    law = Distortion("gaussian_blur", (0.5, 2), options={"kernel_size": [5, 7]}, decimals=2)
    assert repr(law) == "Distortion('gaussian_blur', (0.5, 2), options={'kernel_size': [5, 7]}, decimals=2)"
    for one in (law, Distortion(doubled, half)):
        again = pickle.loads(pickle.dumps(one))
        assert repr(again) == repr(one)
        assert torch.equal(again(pictures(), generator=seed(0)), one(pictures(), generator=seed(0)))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("sharpen", 1), {}, "unknown distortion 'sharpen'; known are brightness"),
        (("gaussian_noise", 2), {}, r"gaussian_noise: level must be in \[0, 1\]"),
        (("gaussian_noise", (0.5, 1.5)), {}, r"\[0, 1\].*got 1.5"),
        (("gaussian_noise", [0.5, -0.1]), {}, r"\[0, 1\].*got -0.1"),
        (("gaussian_noise", (0.3, 0.1)), {}, "low end of level"),
        (("gaussian_noise", math.nan), {}, "finite"),
        (("gaussian_noise", (0.1, math.inf)), {}, "finite"),
        (("gaussian_noise", []), {}, "empty list"),
        (("jpeg", (10, 50)), {}, "jpeg: .*whole"),
        (("gaussian_noise", 0.1), {"options": {"colour": True}}, "no option 'colour'; it has variance, grey"),
        (("gaussian_noise", 0.1), {"options": {"generator": 1}}, "no option 'generator'"),
        (("contrast", 30), {"options": {"reading": "gamma"}}, "contrast: reading must be one of"),
        (("gaussian_noise", 0.1), {"decimals": -1}, "decimals"),
    ],
)
def test_bad_values(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        Distortion(*arguments, **options)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("gaussian_noise", "0.1"), {}, "number"),
        (("gaussian_noise", True), {}, "number"),
        (("gaussian_noise", torch.tensor(0.1)), {}, "number"),
        (("gaussian_noise", ["a"]), {}, "each value of level"),
        (("gaussian_noise", never_a_number), {}, "a law returned"),
        (("gaussian_noise", 0.1), {"options": ["grey"]}, "dictionary"),
        (("gaussian_noise", 0.1), {"options": {"grey": torch.zeros(1)}}, "option 'grey'"),
        ((lambda x, level: x, 1), {}, "defined with def"),
        ((functools.partial(darker, by=1), 1), {}, "defined with def"),
        ((3, 1), {}, "function must be"),
    ],
)
def test_bad_types(arguments, options, message):
    with pytest.raises(TypeError, match=message):
        Distortion(*arguments, **options)


def test_names_that_are_taken():
    def jpeg(x, level):
        return x

    def regions(x, level):
        return x

    for function in (jpeg, regions):
        with pytest.raises(ValueError, match="is taken"):
            Distortion(function, 1)


def test_bad_pictures():
    noise = Distortion("gaussian_noise", 0.1)
    with pytest.raises(TypeError, match="floating-point"):
        noise(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match="4 dimensions"):
        noise(torch.zeros(3, 4, 4))
    with pytest.raises(TypeError, match="generator"):
        noise(pictures(), generator=3)


@pytest.mark.parametrize("error", [ValueError, TypeError])
def test_what_a_function_refuses_names_the_place(error):
    def refuses(x, level):
        raise error("not today")

    with pytest.raises(error, match=r"^picture 0, step 1: refuses: not today$"):
        Chain(Distortion("brightness", 0.1), Distortion(refuses, 1))(pictures())


def test_every_law_of_an_option_is_tried_out():
    Distortion("gaussian_blur", 1.0, options={"border": ["reflect", "zero"], "kernel_size": [7, 9]})
    with pytest.raises(ValueError, match="gaussian_blur: border must be one of"):
        Distortion("gaussian_blur", 1.0, options={"border": ["reflect", "zero", "bad"]})
    with pytest.raises(ValueError, match="gaussian_blur: kernel_size must be odd"):
        Distortion("gaussian_blur", 1.0, options={"kernel_size": [7, 9, 10]})
    with pytest.raises(ValueError, match="kernel_size must be at most 501 in compositions"):
        Distortion("gaussian_blur", 1.0, options={"kernel_size": [7, 1001]})
