"""From progress events to what an artist wants to know: the phase in words, how far, how long still."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .model_list import MODEL_JOBS
from .protocol import Fields

PHASES = ("start", "load", "propose", "guide", "mesh", "import")
STYLED_PHASES = ("start", "load", "propose", "guide", "mesh", "stylize", "remesh", "import")
"""Of a prompt whose recipe holds styles. "remesh" is a mesh phase that comes after stylizing."""
STYLE_PHASES = ("start", "load", "mesh", "stylize", "remesh", "import")
"""Of a job that styles what is there."""
MODEL_PHASES = ("start", "download", "load", "shapes", "encode", "align", "convert", "write")
"""Of jobs about models; each goes through some of them."""
TITLES = {
    "start": "Starting",
    "load": "Loading the model",
    "propose": "Proposing shapes",
    "guide": "Tuning the shape",
    "mesh": "Building the mesh",
    "stylize": "Stylizing",
    "remesh": "Building the mesh",
    "import": "Placing it in the scene",
    "verify": "Checking files",
    "download": "Downloading",
    "shapes": "Making shapes to learn from",
    "encode": "Looking at them",
    "align": "Learning how words fit shapes",
    "convert": "Reading the file",
    "write": "Writing the model",
    "remove": "Removing it",
}
_USUAL_SECONDS = {
    "start": 0.0, "load": 2.0, "propose": 3.0, "guide": 15.0, "mesh": 4.0, "stylize": 12.0, "remesh": 1.0,
    "import": 0.2, "download": 120.0, "shapes": 300.0, "encode": 200.0, "align": 150.0, "convert": 10.0,
    "write": 5.0,
}  # fmt: skip
"""Only their ratios count, until a first job was timed."""
_LEAST_ELAPSED_S = 0.4
"""A rate that was measured over less than this says nothing."""


@dataclass
class JobClock:
    """Times one job. `expected` are the seconds per phase of an earlier job of the same kind, where known."""

    expected: Mapping[str, float] | None = None
    clock: Callable[[], float] = time.monotonic
    phases: tuple[str, ...] = PHASES
    """What the job goes through, in this order."""
    phase: str = "start"
    step: int = 0
    total: int = 0
    score: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    """Measured, per finished phase."""
    counts: dict[str, int] = field(default_factory=dict)
    """Iterations of each phase, as the backend told them."""

    def __post_init__(self) -> None:
        self._begun = self.clock()
        self._phase_begun = self._begun
        self._furthest = 0.0

    def update(self, fields: Fields) -> None:
        """Take in a progress event; odd values are passed over."""
        phase = str(fields.get("phase", self.phase))
        if phase == "mesh" and (self.phase in ("stylize", "remesh") or "stylize" in self.seconds):
            phase = "remesh"
        if phase != self.phase:
            now = self.clock()
            self.seconds[self.phase] = self.seconds.get(self.phase, 0.0) + now - self._phase_begun
            self.phase, self._phase_begun = phase, now
        self.step, self.total = _count(fields.get("step")), _count(fields.get("total"))
        self.counts[self.phase] = max(self.total, self.counts.get(self.phase, 0))
        score = fields.get("score")
        if isinstance(score, int | float) and math.isfinite(score):
            self.score = float(score)

    def finish(self) -> dict[str, float]:
        """Close the last phase; seconds per phase, to expect from the next job of this kind."""
        self.update({"phase": "end"})
        return dict(self.seconds)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the job was sent."""
        return self.clock() - self._begun

    @property
    def share(self) -> float:
        """Share of the current phase that is done, in [0, 1]."""
        return min(1.0, self.step / self.total) if self.total else 0.0

    @property
    def remaining_s(self) -> float | None:
        """Seconds still to go; None where nothing is known yet."""
        in_phase = self.clock() - self._phase_begun
        usual = self._usual(self.phase)
        known = self.expected is not None
        if self.share > 0 and in_phase >= _LEAST_ELAPSED_S:
            whole, known = in_phase / self.share, True
        else:
            whole = max(usual, in_phase)
        if not known:
            return None
        # Without an earlier job, the ratio of this phase to its usual length tells how slow the machine is.
        scale = whole / usual if self.expected is None and usual else 1.0
        later = sum(self._usual(phase) for phase in self._later()) * scale
        return max(0.0, whole - in_phase) + later

    @property
    def fraction(self) -> float:
        """Share of the whole job that is done, in [0, 1]."""
        position = self.phases.index(self.phase) if self.phase in self.phases else 0
        before = sum(self._usual(phase) for phase in self.phases[:position])
        whole = sum(self._usual(phase) for phase in self.phases)
        done = min(1.0, (before + self.share * self._usual(self.phase)) / whole) if whole else 0.0
        # A second style goes through its phases once more; a bar does not run backwards.
        self._furthest = max(self._furthest, done)
        return self._furthest

    @property
    def title(self) -> str:
        """The phase in words."""
        return TITLES.get(self.phase, self.phase.capitalize())

    def describe(self) -> str:
        """One line: phase, iteration, score, remaining time."""
        parts = [self.title]
        if self.total > 1:
            per_cent, unit = self.phase in ("mesh", "remesh"), " MB" if self.phase == "download" else ""
            parts[0] += f" {self.step}%" if per_cent else f" {self.step}/{self.total}{unit}"
        if self.score is not None:
            parts.append(f"score {self.score:.3f}")
        remaining = self.remaining_s
        if remaining is not None:
            parts.append(f"{format_seconds(remaining)} left")
        return "  ·  ".join(parts)

    def _later(self) -> tuple[str, ...]:
        return self.phases[self.phases.index(self.phase) + 1 :] if self.phase in self.phases else ()

    def _usual(self, phase: str) -> float:
        table = _USUAL_SECONDS if self.expected is None else self.expected
        return float(table.get(phase, 0.0))


def phases_of(name: str, params: Fields) -> tuple[str, ...]:
    """The phases of a request."""
    if name.startswith("stylize"):
        return STYLE_PHASES
    if name in MODEL_JOBS:
        return MODEL_PHASES
    recipe = params.get("recipe")
    return STYLED_PHASES if isinstance(recipe, dict) and recipe.get("styles") else PHASES


def format_seconds(seconds: float) -> str:
    """A duration as people say it: 8 s, 2 min, 1 h 5 min."""
    if seconds < 1:
        return "<1 s"
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _count(value: object) -> int:
    return max(0, int(value)) if isinstance(value, int | float) and math.isfinite(value) else 0
