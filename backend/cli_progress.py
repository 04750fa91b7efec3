"""Progress of a job on the command line: a bar on a terminal, plain lines in a pipe; and a polite Ctrl-C."""

import shutil
import signal
import sys
import time
from collections.abc import Generator
from types import FrameType, TracebackType
from typing import Any, Self, TextIO, TypeVar

from backend.config import PipelineSettings
from backend.events import Event, Notice, Progress

Outcome = TypeVar("Outcome")

_LINE_SECONDS = 2.0
"""Least time between two plain lines of one phase."""
_NAMES = {
    "propose": "proposing shapes", "guide": "text guidance", "mesh": "meshing", "stylize": "stylizing"
}  # fmt: skip


class ProgressDisplay:
    """Shows the events of one job; use as a context manager."""

    def __init__(
        self,
        settings: PipelineSettings,
        *,
        stream: TextIO | None = None,
        quiet: bool = False,
        styles: int = 0,
        shape_known: bool = False,
    ) -> None:
        """A bar where `stream` (default stderr) is a terminal.

        styles: stylizations that follow. shape_known: there is nothing to propose and guide.
        """
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._weights = _phase_weights(settings)
        if shape_known:
            self._weights = {"mesh": self._weights["mesh"]}
        if styles:
            self._weights["stylize"] = 2 * styles * self._weights["mesh"]
        self._start = time.monotonic()
        self._last_line = float("-inf")
        self._last_phase = ""
        self._bar: Any = None

    def __enter__(self) -> Self:
        if not self._quiet and self._stream.isatty():
            from tqdm import tqdm

            layout = "{desc:24}{percentage:3.0f}% |{bar}| {elapsed} < {remaining}{postfix}"
            # Some terminals (a container's, script's) tell no size, and tqdm would then draw nothing.
            columns, lines = shutil.get_terminal_size()
            self._bar = tqdm(
                total=1.0, file=self._stream, bar_format=layout, leave=False, ncols=columns, nrows=lines
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, event: Progress) -> None:
        """Draw or print one step."""
        if self._bar is not None:
            self._bar.set_description_str(_NAMES.get(event.phase, event.phase), refresh=False)
            if event.score is not None:
                self._bar.set_postfix_str(f" score {event.score:.3f}", refresh=False)
            self._bar.update(self._fraction(event) - self._bar.n)
        elif not self._quiet:
            self._print_line(event)

    def follow(self, work: Generator[Event, None, Outcome]) -> Outcome:
        """Run a job to its end, showing its progress and warnings; returns its result."""
        while True:
            try:
                event = next(work)
            except StopIteration as finished:
                return finished.value
            if isinstance(event, Progress):
                self.show(event)
            elif isinstance(event, Notice):
                self.say(f"Warning: {event.message}")

    def say(self, message: str) -> None:
        """Print a message without breaking the bar; also when quiet."""
        if self._bar is not None:
            self._bar.write(message, file=self._stream)
            return
        try:
            self._stream.write(f"{message}\n")
            self._stream.flush()
        except BrokenPipeError:
            self._quiet = True  # the reader left, as `| head` does; the work is still wanted

    def _print_line(self, event: Progress) -> None:
        now = time.monotonic()
        changed = event.phase != self._last_phase or event.step == event.total
        if not changed and now - self._last_line < _LINE_SECONDS:
            return
        self._last_line, self._last_phase = now, event.phase
        score = "" if event.score is None else f", score {event.score:.3f}"
        name = _NAMES.get(event.phase, event.phase)
        self.say(f"{name} {event.step}/{event.total}{score}, {now - self._start:.0f} s")

    def _fraction(self, event: Progress) -> float:
        """Share of the whole job that is done, 0 to 1."""
        phases = list(self._weights)
        before = sum(self._weights[phase] for phase in phases[: phases.index(event.phase)])
        share = event.step / event.total if event.total else 1.0
        return (before + self._weights[event.phase] * share) / sum(self._weights.values())


class StopRequest:
    """Ctrl-C within: the first sets a flag that the job looks at, the second interrupts at once."""

    def __init__(self, message: str) -> None:
        self._message = message
        self._asked = False
        self._before: Any = None

    def __call__(self) -> bool:
        """Whether the user asked to stop."""
        return self._asked

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        sys.stderr.write(f"\n{self._message}\n")


def _phase_weights(settings: PipelineSettings) -> dict[str, float]:
    """Relative durations of the phases, guessed from how many rays and samples each takes."""
    stage2, mesh = settings.stage2, settings.mesh
    rays = stage2.view_size**2
    judged = stage2.evaluation_views * rays
    return {
        "propose": settings.mapper.candidates * judged,
        "guide": (stage2.steps + 1) * (3 * stage2.views * rays + judged),
        "mesh": 30 * mesh.resolution**2,
    }
