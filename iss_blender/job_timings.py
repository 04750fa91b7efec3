"""How long earlier jobs took, per phase and iteration, so that the next one tells a remaining time at once.

A small file beside the journal outlives Blender. What a job of the same kind took is taken over; with another
number of iterations, or for another quality preset, the seconds per iteration are. Needs no bpy.
"""

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .journal import write_json
from .progress import JobClock
from .protocol import Fields

log = logging.getLogger(__name__)

MOST_KINDS = 60
"""Kinds of jobs that are remembered; the oldest go first."""
MOST_BYTES = 1 << 20
"""A larger file is none of ours."""
LOADING = ("start", "load")
"""Phases that only the first job after a start of the backend takes long for."""
_SETTINGS = {
    "propose": ("mapper", "candidates"),
    "guide": ("stage2", "steps"),
    "stylize": ("stylize", "steps"),
}
"""Phases that go by counts, and where a request's changes name the count."""


class JobTimings:
    """The file of timings; a damaged or missing one is an empty one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kinds: dict[str, Fields] = _read(path)

    def expected(
        self, name: str, params: Fields, device: str, *, cold: bool, presets: Mapping[str, Any] | None = None
    ) -> dict[str, float] | None:
        """Seconds per phase that a job will take; None where nothing alike has run on this device.

        cold: the backend was just started. presets: counts per phase of each quality preset, as the backend's
        hello tells them.
        """
        key = _key(name, params, device)
        known = self._kinds.get(key)
        preset = str(params.get("preset", ""))
        if known is None:
            known = self._of_another_preset(key)
            counts = dict((presets or {}).get(preset) or {})
            if known is None or not counts:
                return None
        else:
            counts = {}
        for given in ((params.get("recipe") or {}).get("settings"), params.get("changes")):
            counts |= _counts(given or {})
        seconds = dict(known["seconds"])
        for phase, count in counts.items():
            measured = known["counts"].get(phase, 0)
            if measured and phase in seconds:
                seconds[phase] *= int(count) / measured
        return {phase: s for phase, s in seconds.items() if cold or phase not in LOADING}

    def note(self, name: str, params: Fields, device: str, clock: JobClock, *, cold: bool) -> None:
        """Remember a job that ended well; a disk that refuses costs the estimate, no more."""
        key, seconds = _key(name, params, device), clock.finish()
        earlier = self._kinds.pop(key, None) or self._of_another_preset(key)
        if not cold:  # keep what loading took when it had to be done
            loading = earlier["seconds"] if earlier else {}
            seconds |= {phase: loading[phase] for phase in LOADING if phase in loading}
        self._kinds[key] = {"seconds": seconds, "counts": dict(clock.counts)}
        while len(self._kinds) > MOST_KINDS:
            del self._kinds[next(iter(self._kinds))]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._path, {"kinds": self._kinds})
        except OSError as problem:
            log.info("how long jobs take cannot be remembered: %s", problem)

    def _of_another_preset(self, key: str) -> Fields | None:
        alike = key.rpartition("|")[0]
        found = [entry for other, entry in self._kinds.items() if other.rpartition("|")[0] == alike]
        # The one with the most iterations knows best how long one takes.
        return max(found, key=lambda entry: sum(entry["counts"].values()), default=None)


def _key(name: str, params: Fields, device: str) -> str:
    recipe, style = params.get("recipe") or {}, params.get("style") or {}
    styles = f"{len(recipe.get('styles') or ())} {style.get('mode', '')}"
    return f"{name}|{recipe.get('bundle', '')}|{device}|{styles}|{params.get('preset', '')}"


def _counts(settings: Any) -> dict[str, int]:
    """Counts per phase that settings, or changes of them, name."""
    counts = {}
    for phase, (group, field) in _SETTINGS.items():
        values = settings.get(group) if isinstance(settings, dict) else None
        count = values.get(field) if isinstance(values, dict) else None
        if isinstance(count, int):
            counts[phase] = count
    return counts


def _read(path: Path) -> dict[str, Fields]:
    try:
        if path.stat().st_size > MOST_BYTES:
            return {}
        kinds = json.loads(path.read_text("ascii"))["kinds"]
        return {str(key): _entry(values) for key, values in kinds.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        log.info("the timings in %s are unreadable: %s", path, problem)
        return {}


def _entry(values: Any) -> Fields:
    seconds = {str(phase): float(s) for phase, s in values["seconds"].items()}
    if not all(math.isfinite(s) and s >= 0 for s in seconds.values()):
        raise ValueError("a time is not a number of seconds")
    return {"seconds": seconds, "counts": {str(p): int(c) for p, c in values["counts"].items()}}
