"""What static analysis of the sources needs to be told to show them as they are written."""

import re
from typing import Any

import griffe


class HouseStyle(griffe.Extension):
    """Read ``Example:`` as a section of code, and let an exported name win over the submodule of that name."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Give the section that holds a doctest the name that the parser knows."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Show ``restorekit.metrics.psnr`` as the function that it is at run time, not as the file ``psnr.py``."""
        for part in (pkg, *pkg.modules.values()):
            for name in map(str, part.exports or ()):
                member = part.members.get(name)
                if part.imports.get(name) == f"{part.path}.{name}.{name}" and isinstance(member, griffe.Module):
                    part.members[name] = griffe.Alias(name, member[name], parent=part)
                    part.members[f"_{name}"] = member  # extensions that run later must still find what is in the file
