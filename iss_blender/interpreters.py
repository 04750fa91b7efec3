"""Finds a Python that can make the backend's environment, and reads what an environment was made from."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .setup_errors import SetupError

PYTHON_VERSIONS = ((3, 11), (3, 12), (3, 13))
"""Versions for which every pinned package has wheels."""
PROBE_SECONDS = 10.0
_PROBE = """
import importlib.util, json, sys
has = all(importlib.util.find_spec(name) for name in ("venv", "ensurepip"))
print(json.dumps([sys.executable, list(sys.version_info[:2]), has, sys.maxsize > 2**32]))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python program and its version."""

    path: str
    version: tuple[int, int]


def find_python(
    preferred: str | None = None, *, candidates: Sequence[Sequence[str]] | None = None
) -> Interpreter:
    """A Python that can make the environment: only `preferred` where given, else the running one, else PATH.

    Inside Blender the running one is Blender's own; it only makes the environment, nothing is installed
    into it. Raises SetupError naming every Python that was looked at and why it does not do.
    """
    refused: dict[str, list[str]] = {}
    for command in [(preferred,)] if preferred else (_candidates() if candidates is None else candidates):
        found, why = _probe(command)
        if found is not None:
            return found
        refused.setdefault(why, []).append(" ".join(command))
    told = "; ".join(f"{', '.join(names)}: {why}" for why, names in refused.items())
    raise SetupError(
        "python",
        f"No suitable Python was found ({told or 'none on PATH'}).",
        "Install a 64-bit Python 3.11, 3.12 or 3.13 with its venv module (Debian: python3-venv), or choose "
        "one that you have.",
    )


def interpreter_of(folder: Path) -> Path:
    """Path of the environment's Python, whether it exists or not."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def environment_version(folder: Path) -> tuple[int, int] | None:
    """Python version of the environment in `folder`; None where there is none."""
    numbers = re.match(r"(\d+)\.(\d+)", _environment_config(folder).get("version", ""))
    return (int(numbers[1]), int(numbers[2])) if numbers else None


def environment_works(folder: Path) -> bool:
    """Whether the environment's Python and the one it was made from are still there (Blender may be gone)."""
    home = _environment_config(folder).get("home", "")
    return bool(home) and Path(home).is_dir() and interpreter_of(folder).exists()


def _environment_config(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / "pyvenv.cfg").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.partition("=") for line in lines)
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def _candidates() -> list[tuple[str, ...]]:
    running = getattr(sys, "_base_executable", None) or sys.executable
    names = [f"python{major}.{minor}" for major, minor in PYTHON_VERSIONS]
    commands: list[tuple[str, ...]] = [(running,)] if running else []
    commands += [(name,) for name in (*names, "python3", "python")]
    if sys.platform == "win32":
        commands += [("py", f"-{major}.{minor}") for major, minor in PYTHON_VERSIONS]
    return commands


def _probe(command: Sequence[str]) -> tuple[Interpreter | None, str]:
    options = {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}
    try:
        answer = subprocess.run(
            [*command, "-I", "-c", _PROBE], capture_output=True, timeout=PROBE_SECONDS, check=True, **options
        )
        path, version, has_venv, is_64_bit = json.loads(answer.stdout)
    except FileNotFoundError:
        return None, "not found"
    except (OSError, subprocess.SubprocessError, ValueError, UnicodeDecodeError):
        return None, "does not run"
    if tuple(version) not in PYTHON_VERSIONS:
        return None, f"is Python {version[0]}.{version[1]}, not 3.11 to 3.13"
    if not is_64_bit:
        return None, "is a 32-bit Python"
    if not has_venv:
        return None, "lacks venv or ensurepip"
    return Interpreter(path, (version[0], version[1])), ""
