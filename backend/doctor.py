"""`python -m backend doctor`: is this installation sound, and what to do where it is not.

Checks the environment, the device, memory, disk and the bundles' files, and makes one small shape. The
report is plain text without the user's home folder in it, ready to be pasted into a bug report.
"""

import argparse
import dataclasses
import importlib.util
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backend.errors import BundleError, IssError
from backend.output_file import write_file

_PYTHONS = ((3, 11), (3, 13))
"""First and last supported version."""
_PACKAGES = {
    "torch": "torch",
    "open_clip": "open_clip_torch",
    "numpy": "numpy",
    "skimage": "scikit-image",
    "scipy": "scipy",
    "safetensors": "safetensors",
    "trimesh": "trimesh",
    "fast_simplification": "fast-simplification",
    "PIL": "pillow",
    "psutil": "psutil",
}
"""Module -> distribution."""
_LEAST_MEMORY = 1.5 * 2**30
_LEAST_DISK = 2**30
_PROMPT = "a red chair"


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    passed: bool
    detail: str
    remedy: str = ""
    """What to do; empty where the check passed."""

    def to_dict(self) -> dict[str, str | bool]:
        """For JSON."""
        return dataclasses.asdict(self)


def run_checks(bundle: str = "starter", *, device: str = "auto", generate: bool = True) -> Iterator[Check]:
    """All checks, one after the other; the last generates a small shape."""
    yield check_python(sys.version_info[:2])
    missing = [check for check in map(_check_package, _PACKAGES) if not check.passed]
    yield from missing
    if missing:
        return
    yield Check("packages", True, ", ".join(f"{name} {_version(name)}" for name in _PACKAGES))
    device_check = _check_device(device)
    yield device_check
    yield check_memory(_free_memory())
    yield check_disk(shutil.disk_usage(Path.home()).free)
    bundles = list(_check_bundles())
    yield from bundles
    if generate and device_check.passed and all(check.passed for check in bundles):
        yield _check_generation(bundle, device)


def check_python(version: tuple[int, int]) -> Check:
    """Whether the Python version is supported."""
    (low, high), text = _PYTHONS, ".".join(map(str, version))
    return Check(
        "python",
        low <= version <= high,
        f"{text} on {platform.platform(terse=True)}",
        "" if low <= version <= high else "Set up the environment with Python 3.11, 3.12 or 3.13.",
    )


def check_memory(free: int) -> Check:
    """Whether enough of `free` bytes of memory are there."""
    passed = free >= _LEAST_MEMORY
    return Check(
        "memory",
        passed,
        f"{free / 2**30:.1f} GB free",
        "" if passed else "Close other programs: 1.5 GB are needed.",
    )


def check_disk(free: int) -> Check:
    """Whether enough of `free` bytes on the disk are there."""
    passed = free >= _LEAST_DISK
    return Check("disk", passed, f"{free / 2**30:.1f} GB free", "" if passed else "Free 1 GB on the disk.")


def format_report(checks: list[Check], *, home: Path | None = None) -> str:
    """The report as text; `home` (default the user's) is written as ~."""
    folder = str(home or Path.home())
    lines = []
    for check in checks:
        lines.append(f"{'ok  ' if check.passed else 'FAIL'} {check.name}: {check.detail}")
        if not check.passed:
            lines.append(f"     -> {check.remedy}")
    text = "\n".join(lines) + "\n"
    return text.replace(folder, "~") if len(folder) > 1 else text


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bundle", default="starter", metavar="NAME", help="bundle to generate with (starter)"
    )
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--no-generate", action="store_true", help="leave out the small generation")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the report there as well")


def run(arguments: argparse.Namespace) -> int:
    """Print the report; 0 where all checks pass, else 1."""
    checks = []
    for check in run_checks(arguments.bundle, device=arguments.device, generate=not arguments.no_generate):
        checks.append(check)
        sys.stdout.write(format_report([check]))
        sys.stdout.flush()
    if arguments.out:
        write_file(arguments.out, format_report(checks).encode())
    return 0 if all(check.passed for check in checks) else 1


def _check_package(module: str) -> Check:
    if importlib.util.find_spec(module) is not None:
        return Check(module, True, _version(module))
    return Check(
        module,
        False,
        f"{_PACKAGES[module]} is not installed",
        "Set up the environment again: `make setup`, or Set Up in Blender's panel.",
    )


def _version(module: str) -> str:
    from importlib.metadata import version

    return version(_PACKAGES[module])


def _check_device(name: str) -> Check:
    from backend.device import describe_device, resolve_device

    try:
        text = describe_device(resolve_device(name))
    except IssError as error:
        return Check("device", False, error.message, error.remedy)
    return Check("device", True, f"{text}, {os.cpu_count()} cores")


def _free_memory() -> int:
    import psutil

    return int(psutil.virtual_memory().available)


def _check_bundles() -> Iterator[Check]:
    from backend.bundle_places import find_bundles
    from backend.bundles import read_record, verify_bundle

    found = find_bundles()
    if not found:
        yield Check(
            "bundles", False, "none is installed", "Install a bundle, for example with `make starter`."
        )
    for name, folder in found.items():
        try:
            record = read_record(folder)
            verify_bundle(folder, record)
        except BundleError as error:
            yield Check(f"bundle {name}", False, error.message, error.remedy)
        else:
            yield Check(f"bundle {name}", True, f"{len(record.files)} files as recorded, in {folder}")


def _check_generation(name: str, device: str) -> Check:
    from backend.bundles import load_bundle
    from backend.device import resolve_device
    from backend.pipeline import generate
    from backend.recipe import Recipe, apply_preset

    start = time.perf_counter()
    try:
        bundle = load_bundle(name, device=resolve_device(device))
        loaded = time.perf_counter()
        work = generate(bundle, Recipe(prompt=_PROMPT, settings=apply_preset(bundle.settings, "draft")))
        while True:
            try:
                next(work)
            except StopIteration as finished:
                result = finished.value
                break
    except IssError as error:
        return Check("generation", False, error.message, error.remedy)
    done = time.perf_counter()
    phases = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in result.seconds.items())
    return Check(
        "generation",
        True,
        f'"{_PROMPT}" as a draft: {len(result.mesh.faces)} faces; loading {loaded - start:.1f} s, '
        f"generating {done - loaded:.1f} s ({phases})",
    )
