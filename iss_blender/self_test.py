"""The add-on's share of Doctor, and its report as text for a bug report. Needs no bpy."""

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .protocol import Fields

_LEAST_DISK = 10**9


def own_checks(
    *, program: str, version: str, online: bool, folder: Path, how: str, problem: str = "", remedy: str = ""
) -> list[Fields]:
    """What the add-on can tell without the backend; each check has name, passed, detail, remedy.

    program: Blender and its version. version: the add-on's. how: the backend's command. problem: why the
    backend cannot be started, "" where it can.
    """
    checks = [
        _check("add-on", True, f"{version} in {program}, {platform.platform(terse=True)}"),
        _check("online access", True, "allowed" if online else "off; only Set up needs it"),
        _check_folder(folder),
    ]
    free = shutil.disk_usage(folder).free if folder.exists() else 0
    checks.append(_check("disk", free >= _LEAST_DISK, f"{free / 1e9:.1f} GB free", "Free 1 GB on the disk."))
    checks.append(_check("backend command", not problem, problem or how, remedy))
    return checks


def format_report(checks: Sequence[Fields], *, home: Path | None = None) -> str:
    """The report as text; the home folder is written as ~, in whatever spelling."""
    lines = []
    for check in checks:
        lines.append(f"{'ok  ' if check['passed'] else 'FAIL'} {check['name']}: {check['detail']}")
        if not check["passed"] and check.get("remedy"):
            lines.append(f"     -> {check['remedy']}")
    return redact("\n".join(lines) + "\n", home=home)


def redact(text: str, *, home: Path | None = None) -> str:
    """The text without the user's home folder and name in paths."""
    folder = str(home or Path.home())
    if len(folder) > 1:
        text = text.replace(folder, "~").replace(folder.replace("\\", "/"), "~")
    return re.sub(r"((?:/home/|/Users/|\\Users\\))[^/\\\s]+", r"\1~", text)


def _check_folder(folder: Path) -> Fields:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return _check("user folder", True, f"{folder} can be written")
    except OSError as problem:
        told = f"{folder} cannot be written: {os.strerror(problem.errno or 0)}"
        return _check("user folder", False, told, "Correct the rights of this folder.")


def _check(name: str, passed: bool, detail: str, remedy: str = "") -> Fields:
    return {"name": name, "passed": passed, "detail": detail, "remedy": "" if passed else remedy}
