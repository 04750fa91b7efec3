"""The exact package versions of the backend, read from pyproject.toml, the one place that holds them."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .setup_errors import SetupError

GROUPS = ("run", "train", "dev", "ray", "blender")
"""run is always installed; train, dev and ray (batches on many machines) add to it; blender is the bpy module
for tests."""
PINS_FILE = Path(__file__).resolve().parent.parent / "pyproject.toml"
_IMPORT_NAMES = {
    "open_clip_torch": "open_clip",
    "scikit-image": "skimage",
    "pillow": "PIL",
    "fast-simplification": "fast_simplification",
    "pytest-xdist": "xdist",
}


@dataclass(frozen=True)
class Pins:
    """Requirement strings of each group, the installer's own, and those of indirect packages."""

    groups: dict[str, tuple[str, ...]]
    installer: str
    constraints: tuple[str, ...]

    def of(self, groups: Sequence[str]) -> tuple[str, ...]:
        """Requirements of several groups, in the order of GROUPS."""
        return tuple(requirement for name in GROUPS if name in groups for requirement in self.groups[name])


def checked_groups(groups: Sequence[str]) -> tuple[str, ...]:
    """Groups in their fixed order, run always among them; SetupError names unknown ones."""
    unknown = sorted(set(groups) - set(GROUPS))
    if unknown:
        raise SetupError("pins", f"Unknown groups: {', '.join(unknown)}.", f"Use {', '.join(GROUPS)}.")
    return tuple(name for name in GROUPS if name == "run" or name in groups)


def load_pins(path: Path = PINS_FILE) -> Pins:
    """The pins of pyproject.toml; SetupError when it is missing or a requirement has no exact version."""
    import tomllib  # Absent before Python 3.11, which must still be able to load this file and be told so.

    try:
        table = tomllib.loads(path.read_text("utf-8"))
        project, extra = table["project"], table["tool"]["iss"]["environment"]
        groups = {"run": tuple(project["dependencies"])}
        groups.update({name: tuple(project["optional-dependencies"][name]) for name in GROUPS[1:]})
        pins = Pins(groups, extra["installer"], tuple(extra["constraints"]))
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise SetupError(
            "pins", f"{path} does not hold the pins: {error!r}.", "Install the extension again."
        ) from error
    for requirement in (*pins.of(GROUPS), pins.installer, *pins.constraints):
        if not re.match(r"[\w.-]+==[\w.]+(;|$)", requirement.replace(" ", "")):
            raise SetupError(
                "pins", f"{requirement!r} is not an exact pin.", f"Write NAME==VERSION in {path}."
            )
    return pins


def verify(requirements: Sequence[str]) -> list[str]:
    """What is wrong with the packages of the running Python, one sentence each; each package is imported.

    A requirement with a marker (another platform, another Python) may be absent.
    """
    problems = []
    for requirement in requirements:
        pin, _, marker = (part.strip() for part in requirement.partition(";"))
        name, _, wanted = pin.partition("==")
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if not marker:
                problems.append(f"{name} is not installed; {wanted} is wanted.")
            continue
        if found.partition("+")[0] != wanted:
            problems.append(f"{name} is {found}; {wanted} is wanted.")
        try:
            importlib.import_module(_IMPORT_NAMES.get(name, name))
        except (ImportError, OSError) as error:
            problems.append(f"{name} cannot be imported: {error}.")
    return problems
