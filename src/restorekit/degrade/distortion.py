"""One distortion with a drawn strength, and what every composition does: draw, do, and tell."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, final, overload

import torch
from torch import Tensor

from restorekit._check import check_batch, check_generator, check_integer
from restorekit._random import draw_seed, seeded
from restorekit.degrade._execute import call, execute
from restorekit.degrade._functions import (
    FUNCTIONS,
    Function,
    check_own,
    option_names,
    output_size,
    takes_generator,
    unknown_options,
)
from restorekit.degrade._law import Draw, Law, check_law, ends
from restorekit.degrade._validate import VERSION
from restorekit.degrade.recipe import Recipe

Program = list[dict[str, Any]]


class Composition(ABC):
    """Something that damages pictures in a drawn way. It holds no state: the same generator gives the same result.

    One seed is taken from the generator; picture i draws from that seed and i alone, and is computed alone. Its result
    depends neither on the other pictures nor on where the generator lives.
    """

    @property
    def types(self) -> tuple[str, ...]:
        """Names of the distortions that may occur, sorted: the channels for ``type_map`` and ``level_map``."""
        return tuple(sorted({name for part in self._parts() for name in part.types}))

    @property
    def functions(self) -> dict[str, Function]:
        """The user's own functions in it by name, as ``replay`` takes them."""
        return {name: function for part in self._parts() for name, function in part.functions.items()}

    def _parts(self) -> tuple["Composition", ...]:
        return ()

    @abstractmethod
    def _draw(self, draw: Draw) -> Program:
        """Decide on the steps for one picture."""

    @overload
    def __call__(
        self, x: Tensor, *, generator: torch.Generator | None = None, return_recipe: Literal[False] = False
    ) -> Tensor: ...

    @overload
    def __call__(
        self, x: Tensor, *, generator: torch.Generator | None = None, return_recipe: Literal[True]
    ) -> tuple[Tensor, Recipe]: ...

    @overload
    def __call__(
        self, x: Tensor, *, generator: torch.Generator | None = None, return_recipe: bool = False
    ) -> Tensor | tuple[Tensor, Recipe]: ...

    def __call__(
        self, x: Tensor, *, generator: torch.Generator | None = None, return_recipe: bool = False
    ) -> Tensor | tuple[Tensor, Recipe]:
        """Damage pictures.

        Args:
            x: Clean pictures (N, C, H, W) in [0, 1], any float dtype.
            generator: Source of the one seed that is drawn; torch's default if None.
            return_recipe: Return also what was done, as plain JSON that ``replay`` takes.

        Returns:
            ``lq``, or ``(lq, recipe)``.

        Raises:
            TypeError: ``x`` is not a floating-point tensor, or a function does not take such pictures.
            ValueError: The size does not suit a part, or the pictures come out in different sizes.
        """
        check_batch(x)
        check_generator(generator)
        programs = self._programs(x.shape[0], (x.shape[-2], x.shape[-1]), generator)
        lq = execute(x, programs, self.functions, "picture")
        if not return_recipe:
            return lq
        pictures = [{"size": list(x.shape[-2:]), "steps": steps} for steps in programs]
        return lq, {"restorekit": VERSION, "device": x.device.type, "pictures": pictures}

    def _programs(self, count: int, size: tuple[int, int], generator: torch.Generator | None) -> list[Program]:
        """Decide for ``count`` pictures without touching one."""
        seed = draw_seed(device=torch.device("cpu"), generator=generator)
        return [self._draw(Draw(size, seeded(seed, i))) for i in range(count)]


def check_parts(parts: Sequence[object], owner: str) -> None:
    """Require at least one composition, and one meaning for each name."""
    if not parts:
        raise ValueError(f"{owner} is empty; give it at least one part")
    own: dict[str, Function] = {}
    for part in parts:
        if not isinstance(part, Composition):
            raise TypeError(
                f"{owner} takes compositions such as Distortion('jpeg', (30, 90), decimals=0), got {part!r}"
            )
        for name, function in part.functions.items():
            if own.setdefault(name, function) is not function:
                raise ValueError(f"{owner} holds two different functions named {name!r}; rename one of them")


@final
class Distortion(Composition):
    """One function with a law for its strength.

    A law is a number (fixed), a pair ``(low, high)`` (uniform between), a list (one of its values, equally likely; a
    list of one pair fixes a level that is a pair), or your own function that takes a ``torch.Generator`` (on the CPU)
    and returns a value drawn from it alone.

    Args:
        function: Name of a function of this package, or such a function, or your own
            ``f(x, level, *, ..., generator=None)`` defined at the top of a module. Your own must keep the size, and if
            it draws it must take a ``generator``.
        level: Law of the level.
        options: Laws of the function's keywords, in the same form; strings, bools and None stand for themselves. For
            whole numbers, such as sizes of kernels, list them: ``{"kernel_size": [7, 9, 11]}``.
        decimals: Round a drawn level to so many places; 0 makes it whole, which ``jpeg`` and ``quantize`` need. The two
            ends of a pair are then half as likely as the values between.

    Raises:
        TypeError: An argument is not what its name says.
        ValueError: The function or an option is unknown, a law malformed, or a level or an option outside the
            function's range.

    Example:
        >>> turned = Distortion("gaussian_blur", [(2.0, 0.5)], options={"angle": (0.0, 3.14)})
        >>> turned(torch.rand(2, 3, 8, 8), generator=torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(
        self,
        function: str | Function,
        level: Law,
        *,
        options: Mapping[str, Law] | None = None,
        decimals: int | None = None,
    ) -> None:
        self.name, self._own = _resolve(function)
        check_law(level, f"level of {self.name}", numeric=True)
        if options is not None and not isinstance(options, Mapping):
            raise TypeError(f"options must be a dictionary of laws by name, got {options!r}")
        if decimals is not None:
            check_integer(decimals, "decimals", 0)
        self.level = level
        self.options = dict(options or {})
        self.decimals = decimals
        for name, law in self.options.items():
            check_law(law, f"option {name!r} of {self.name}")
        if unknown := unknown_options(self._function, self.options):
            known = ", ".join(option_names(self._function)) or "none"
            raise ValueError(f"{self.name} has no option {unknown[0]!r}; it has {known}")
        if self._own is None:
            self._try_out()

    @property
    def _function(self) -> Function:
        return FUNCTIONS[self.name] if self._own is None else self._own

    def _try_out(self) -> None:
        """Let the function itself say whether it takes the ends of the laws, one law after the other."""
        x = torch.full((1, 3, 8, 8), 0.5, device="cpu")
        draw = Draw((8, 8), seeded(0))
        step = self._draw(draw)[0]
        steps = [{**step, "level": level} for level in ends(self.level, draw, self.decimals)]
        for name, law in self.options.items():
            steps += [{**step, "options": {**step["options"], name: value}} for value in ends(law, draw, None)]
        with torch.no_grad():
            for one in steps:
                call(self._function, x, one, "Distortion")

    @property
    def types(self) -> tuple[str, ...]:
        """The one name."""
        return (self.name,)

    @property
    def functions(self) -> dict[str, Function]:
        """The function, if it is the user's own."""
        return {} if self._own is None else {self.name: self._own}

    def _draw(self, draw: Draw) -> Program:
        step: dict[str, Any] = {"type": self.name, "level": draw.value(self.level, self.decimals)}
        if self.options:
            step["options"] = {name: draw.value(law) for name, law in self.options.items()}
        if takes_generator(self._function):
            step["seed"] = draw.seed()
        draw.size = output_size(self.name, step["level"], step.get("options", {}), draw.size)
        return [step]

    def __repr__(self) -> str:
        more = f", options={self.options!r}" if self.options else ""
        more += "" if self.decimals is None else f", decimals={self.decimals}"
        return f"Distortion({self.name!r}, {self.level!r}{more})"


def _resolve(function: str | Function) -> tuple[str, Function | None]:
    """The name of a function, and the function if it is not of this package."""
    if isinstance(function, str):
        if function not in FUNCTIONS:
            raise ValueError(f"unknown distortion {function!r}; known are {', '.join(sorted(FUNCTIONS))}")
        return function, None
    name = getattr(function, "__name__", None)
    if not callable(function) or not isinstance(name, str) or not name.isidentifier():
        raise TypeError(f"function must be a name or a function defined with def, got {function!r}")
    check_own(name, function)
    return (name, None) if name in FUNCTIONS else (name, function)
