"""Makes many results without a window: a list of prompts in, files, a contact sheet and a report out.

    blender -b -P scripts/batch.py -- --prompts prompts.txt --out renders --formats blend,glb,ply,png
    python scripts/batch.py --prompts prompts.csv --out renders --variations 4 --jobs 2 --resume

The second form needs the bpy module. Exit codes: 0 all there, 2 bad arguments, 3 some failed, 130 stopped.
"""

import argparse
import importlib.util
import logging
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from iss_blender import batch  # noqa: E402 - Blender runs this file without the root on its path
from iss_blender.batch import BatchSettings, Outcome, OutputFolder  # noqa: E402
from iss_blender.batch_runner import BatchRunner, DeliveryError  # noqa: E402
from iss_blender.client import BackendClient, Limits  # noqa: E402
from iss_blender.interpreters import interpreter_of  # noqa: E402
from iss_blender.progress import format_seconds  # noqa: E402
from iss_blender.prompt_list import MOST_VARIATIONS, PromptListError, read_prompts  # noqa: E402
from iss_blender.protocol import Array, Fields  # noqa: E402

log = logging.getLogger("batch")

LIMITS = Limits(start_s=120.0, silence_s=120.0)
"""Generous: nobody waits at a screen, and several backends may share a slow disk."""
LINE_EVERY_S = 10.0
"""Between progress lines where the output is no terminal."""
MOST_JOBS = 16
_FOREIGN = ("PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV")
CAPTION_HEIGHT = 28
RECORDED = (
    "recipe", "scores", "best_step", "vertices", "faces", "watertight", "warnings", "backend_version",
)  # fmt: skip
"""Fields of a result that its record takes over."""


class ArgumentProblem(Exception):
    """Arguments that cannot be followed."""


def main(arguments: Sequence[str]) -> int:
    """Run a batch; returns the exit code."""
    given = parser().parse_args(arguments)
    try:
        settings = settings_of(given)
        outcomes = [Outcome(item) for item in batch.plan(read_prompts(given.prompts), settings)]
        command = backend_command(given.backend)
        if importlib.util.find_spec("bpy") is None:
            raise ArgumentProblem("This needs Blender (blender -b -P scripts/batch.py -- ...) or bpy.")
        folder = OutputFolder(given.out.resolve())
        folder.prepare()
    except PromptListError as problem:
        return refuse(f"{problem.message} {problem.remedy}")
    except ArgumentProblem as problem:
        return refuse(str(problem))
    except OSError as problem:
        return refuse(f"{given.out} cannot be written: {problem}. Choose another folder with --out.")
    if given.resume:
        for outcome in outcomes:
            record = folder.finished(outcome.item)
            if record is not None:
                outcome.state, outcome.record = batch.SKIPPED, record
    run = Run(folder, settings, outcomes, command, given.jobs)
    try:
        return run.work()
    except KeyboardInterrupt:
        print("\nStopped; what is done is kept, --resume goes on.", file=sys.stderr)
        return batch.STOPPED


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="batch.py", description=__doc__.splitlines()[0])
    defaults = BatchSettings()
    made.add_argument("--prompts", type=Path, required=True, help="text, .csv or .json")
    made.add_argument("--out", type=Path, required=True, help="folder for everything that is made")
    made.add_argument("--formats", default=",".join(defaults.formats), help="of blend,glb,ply,png")
    made.add_argument("--variations", type=int, default=1, help="seeds per prompt")
    made.add_argument("--seed", type=int, default=0, help="the first seed of each prompt")
    made.add_argument("--preset", default=defaults.preset, help="draft, normal or fine")
    made.add_argument("--height", type=float, default=1.0, help="real-world height in metres")
    made.add_argument("--bundle", default=defaults.bundle, help="name or folder of a model bundle")
    made.add_argument("--device", default=defaults.device)
    made.add_argument("--jobs", type=int, default=1, help="backends that work at the same time")
    made.add_argument("--resume", action="store_true", help="leave alone what is done")
    made.add_argument("--render", action="store_true", help="a Cycles still of each result")
    made.add_argument("--bake", type=int, default=0, metavar="PIXELS", help="a colour texture as well")
    made.add_argument("--assets", action="store_true", help="mark the objects in the .blend as assets")
    made.add_argument("--size", type=int, default=defaults.picture_size, help="pixels of pictures")
    made.add_argument("--backend", default="", help="the command that starts a backend")
    return made


def settings_of(given: argparse.Namespace) -> BatchSettings:
    """The checked settings; ArgumentProblem."""
    formats = tuple(dict.fromkeys(name.strip() for name in given.formats.split(",") if name.strip()))
    unknown = [name for name in formats if name not in batch.FORMATS]
    if unknown or not formats:
        wrong = ", ".join(unknown) or "(none given)"
        raise ArgumentProblem(f"There is no format {wrong}; choose from {', '.join(batch.FORMATS)}.")
    ranges = {
        "variations": (given.variations, 1, MOST_VARIATIONS),
        "jobs": (given.jobs, 1, MOST_JOBS),
        "height": (given.height, 0.001, 10000),
        "size": (given.size, 16, 8192),
        "seed": (given.seed, 0, 2**63 - 1 - MOST_VARIATIONS),
    }
    for name, (value, low, high) in ranges.items():
        if not low <= value <= high:
            raise ArgumentProblem(f"--{name} is {value}; choose {low} to {high}.")
    if given.bake not in (0, 512, 1024, 2048, 4096):
        raise ArgumentProblem(f"--bake is {given.bake}; choose 512, 1024, 2048 or 4096.")
    return BatchSettings(
        formats=formats,
        variations=given.variations,
        seed=given.seed,
        preset=given.preset,
        bundle=given.bundle,
        device=given.device,
        height_m=given.height,
        render=given.render,
        bake=given.bake,
        assets=given.assets,
        picture_size=given.size,
    )


def backend_command(given: str) -> list[str]:
    """How a backend is started: as given, or with this checkout's environment; ArgumentProblem."""
    if given:
        try:
            return shlex.split(given, posix=os.name != "nt")
        except ValueError as problem:
            raise ArgumentProblem(f"--backend cannot be understood: {problem}.") from problem
    python = interpreter_of(ROOT / ".venv")
    if python.exists():
        return [str(python), "-m", "backend", "serve"]
    if importlib.util.find_spec("torch") is not None:
        return [sys.executable, "-m", "backend", "serve"]
    raise ArgumentProblem("There is no backend: run `make environment` first, or give --backend.")


class Run:
    """One batch under way."""

    def __init__(
        self,
        folder: OutputFolder,
        settings: BatchSettings,
        outcomes: list[Outcome],
        command: list[str],
        backends: int,
    ) -> None:
        self.folder, self.settings, self.outcomes, self.command = folder, settings, outcomes, command
        waiting = sum(outcome.state == batch.WAITING for outcome in outcomes)
        self.backends = min(backends, waiting)
        self.started, self._begun = time.time(), time.monotonic()
        self._told: list[str] = []
        self._line = ProgressLine(sys.stdout)

    def work(self) -> int:
        """Make everything that waits, then the sheet and the report; returns the exit code."""
        from iss_blender.scene_studio import empty_studio

        empty_studio()
        self._report(ended=False)
        clients = [self._client(number) for number in range(self.backends)]
        try:
            if clients:
                BatchRunner(clients, self.outcomes, self._deliver, tell=self._tell).run()
        finally:
            for client in clients:
                client.close()
            self._line.end()
        self._sheet()
        self._report(ended=True)
        found = batch.counts(self.outcomes)
        print(
            f"{found[batch.DONE]} done, {found[batch.SKIPPED]} were there, {found[batch.FAILED]} failed: "
            f"{self.folder.path / batch.REPORT_NAME}",
            flush=True,
        )
        return batch.exit_code(self.outcomes)

    def _client(self, number: int) -> BackendClient:
        kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
        if self.backends > 1:  # or they would fight for the same cores
            kept.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // self.backends)))
        log_path = self.folder.path / f"backend-{number + 1}.log"
        return BackendClient(self.command, log_path=log_path, limits=LIMITS, cwd=ROOT, env=kept)

    def _deliver(self, outcome: Outcome, fields: Fields, arrays: dict[str, Array]) -> None:
        from iss_blender.mesh_import import MeshImportError
        from iss_blender.result_files import ExportError, write_files

        begun = time.monotonic()
        try:
            write_files(self.folder.staging(outcome.item), outcome.item, fields, arrays, self.settings)
        except (MeshImportError, ExportError) as problem:
            raise DeliveryError(problem.code, problem.message, problem.remedy) from problem
        scores, best = fields.get("scores") or [], int(fields.get("best_step") or 0)
        seconds = {**fields.get("seconds", {}), "files": round(time.monotonic() - begun, 3)}
        record = {
            **outcome.record,
            **{key: fields[key] for key in RECORDED if key in fields},
            "score": scores[best] if best < len(scores) else None,
            "seconds": seconds,
            "code": [float(number) for number in arrays.get("code", ())],
            "height_m": outcome.item.height_m,
        }
        outcome.record = self.folder.commit(outcome.item, record)

    def _tell(self, runner: BatchRunner) -> None:
        for outcome in self.outcomes:
            if outcome.state in (batch.DONE, batch.FAILED) and outcome.item.stem not in self._told:
                self._told.append(outcome.item.stem)
                self._line.say(self._outcome_line(outcome))
                self._report(ended=False)
        self._line.show(self._progress(runner))

    def _outcome_line(self, outcome: Outcome) -> str:
        position = f"[{len(self._told)}/{self._total()}]"
        name = f"{outcome.item.title} (seed {outcome.item.seed})"
        if outcome.state == batch.FAILED:
            return f"{position} FAILED {name}: {outcome.error['message']} {outcome.error['remedy']}".rstrip()
        score = outcome.record.get("score")
        parts = [f"{outcome.record.get('faces', 0)} faces", format_seconds(outcome.record.get("total_s", 0))]
        parts += [f"score {score:.3f}"] if score is not None else []
        return f"{position} done {name}: {', '.join(parts)}"

    def _progress(self, runner: BatchRunner) -> str:
        done = [o for o in self.outcomes if o.state == batch.DONE]
        shares = sum(clock.fraction for _, clock in runner.running)
        share = (len(self._told) + shares) / max(1, self._total())
        parts = [f"{100 * share:3.0f} %"]
        parts += [f"{outcome.item.title}: {clock.describe()}" for outcome, clock in runner.running]
        if done:
            mean = sum(o.record.get("total_s", 0.0) for o in done) / len(done)
            left = (self._total() - len(self._told) - shares) * mean / max(1, self.backends)
            parts.append(f"about {format_seconds(max(0.0, left))} in all")
        return " | ".join(parts)

    def _total(self) -> int:
        return sum(outcome.state != batch.SKIPPED for outcome in self.outcomes)

    def _sheet(self) -> None:
        from iss_blender.preview_picture import contact_sheet, save_png
        from iss_blender.result_files import THUMBNAIL, read_thumbnail, thumbnail_path
        from iss_blender.text_picture import draw_caption

        by_row: dict[int, list[Outcome]] = {}
        for outcome in self.outcomes:
            by_row.setdefault(outcome.item.number, []).append(outcome)
        columns = max(map(len, by_row.values()))
        rows: list[tuple[Any, list[Any]]] = []
        for number, outcomes in by_row.items():
            best = max((o.record.get("score") or -1.0 for o in outcomes), default=-1.0)
            score = f"  ·  best score {best:.3f}" if best > -1 else ""
            words = f"{number}. {outcomes[0].item.title}{score}"
            caption = draw_caption(words, width=columns * THUMBNAIL, height=CAPTION_HEIGHT)
            pictures = []
            for outcome in outcomes:
                there = outcome.state in (batch.DONE, batch.SKIPPED)
                path = thumbnail_path(self.folder.path / outcome.item.stem)
                pictures.append(read_thumbnail(path) if there else None)
            rows.append((caption, pictures))
        save_png(contact_sheet(rows, cell=THUMBNAIL), self.folder.path / batch.SHEET_NAME)

    def _report(self, *, ended: bool) -> None:
        wall_s = time.monotonic() - self._begun
        content = batch.report(self.outcomes, started=self.started, wall_s=wall_s, ended=ended)
        batch.write_json(self.folder.path / batch.REPORT_NAME, content)


class ProgressLine:
    """One line that is written over on a terminal; elsewhere a line now and then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._terminal = stream, stream.isatty()
        self._last, self._shown = time.monotonic(), False

    def show(self, text: str) -> None:
        """The state of things."""
        now = time.monotonic()
        if now - self._last < (0.1 if self._terminal else LINE_EVERY_S):
            return
        self._last = now
        if self._terminal:
            columns = os.get_terminal_size(self._stream.fileno()).columns
            self._stream.write(f"\r\033[K{text[: columns - 1]}")
            self._shown = True
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._stream.write(f"{self._over()}{text}\n")
        self._stream.flush()

    def end(self) -> None:
        """Clear the line."""
        self._stream.write(self._over())
        self._stream.flush()

    def _over(self) -> str:
        over, self._shown = "\r\033[K" if self._shown else "", False
        return over


def refuse(message: str) -> int:
    """Say why nothing was done."""
    print(f"batch.py: {message.strip()}", file=sys.stderr)
    return batch.BAD_ARGUMENTS


def own_arguments(everything: Sequence[str]) -> list[str]:
    """This script's arguments: under Blender those after `--`."""
    if "--" in everything:
        return list(everything[everything.index("--") + 1 :])
    inside = Path(everything[0]).stem.lower().startswith("blender")
    return [] if inside else list(everything[1:])


def leave(exit_code: int) -> NoReturn:
    """End with this code.

    Under the bpy module at once: bpy 4.2 crashes while Python ends after an export of glTF, and the code
    would be that of the crash.
    """
    bpy = sys.modules.get("bpy")
    if bpy is None or bpy.app.binary_path:
        sys.exit(exit_code)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


if __name__ == "__main__":
    try:
        exit_code = main(own_arguments(sys.argv))
    except Exception:  # Blender would end with code 0 after an exception
        log.exception("something unexpected went wrong; please report it")
        exit_code = batch.UNEXPECTED
    leave(exit_code)
