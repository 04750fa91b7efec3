"""The ledger of a batch: which items wait, what came of each, and the report that is kept up to date.

Whoever makes the results (this process, or workers on Ray) takes items from here and brings back plain data;
only the ledger writes to the batch's folder, so that no result is written twice.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.batch_folder import BatchFolder
from backend.bundle_places import RECORD_NAME, resolve_bundle
from backend.errors import ImageError, IssError
from iss_blender.batch import DONE, FAILED, SKIPPED, WAITING, Item, Outcome, counts, exit_code, report

Teller = Callable[[str], None]
"""Takes a line for the user."""


class Ledger:
    """Items and what came of them."""

    def __init__(
        self, folder: BatchFolder, items: Sequence[Item], *, resume: bool, tell: Teller = lambda line: None
    ) -> None:
        """resume: results that are there as asked for are left alone. BundleError for an unknown bundle."""
        self._folder, self._tell = folder, tell
        self.outcomes = [Outcome(item) for item in items]
        names = {str(item.params["recipe"]["bundle"]) for item in items}
        self._bundles = {name: _sha256(resolve_bundle(name) / RECORD_NAME) for name in sorted(names)}
        self._workers: list[dict[str, Any]] = []
        self._made_by: dict[str, int] = {}
        self._started, self._begun = time.time(), time.monotonic()
        for outcome in self.outcomes if resume else []:
            record = folder.finished(outcome.item, self._digest(outcome.item))
            if record is not None:
                outcome.state, outcome.record = SKIPPED, record
        self.queue = deque(outcome for outcome in self.outcomes if outcome.state == WAITING)
        self._total = len(self.queue)
        self.write_report(ended=False)

    @property
    def exit_code(self) -> int:
        """0 when every item is there, else 3."""
        return exit_code(self.outcomes)

    def order(self, outcome: Outcome) -> tuple[dict[str, Any], bytes, str]:
        """What `BatchWorker.make` is to be called with; counts as an attempt. ImageError."""
        outcome.attempts += 1
        item = outcome.item
        try:
            image = Path(item.image).read_bytes() if item.image else b""
        except OSError as error:
            raise ImageError(
                f"{item.image} cannot be read: {error.strerror}.", remedy="Check its path in the list."
            ) from error
        recipe = dict(item.params["recipe"])
        if item.image:
            recipe["image"] = item.image
        return {**item.params, "recipe": recipe}, image, self._bundles[str(recipe["bundle"])]

    def worker(self, description: Mapping[str, Any]) -> int:
        """Note a worker; returns its number, from 1."""
        self._workers.append(dict(description))
        return len(self._workers)

    def take(self, outcome: Outcome, made: Mapping[str, Any], worker: int) -> None:
        """Write a worker's result, or note why there is none."""
        if "error" in made:
            self.fail(outcome, made["error"])
            return
        item, record = outcome.item, {**made["record"], "seed": outcome.item.seed, "worker": worker}
        try:
            self._folder.commit(item, self._digest(item), made["files"], record)
        except IssError as error:
            self.fail(outcome, {"code": error.code, "message": error.message, "remedy": error.remedy})
            return
        outcome.state, outcome.error = DONE, {}
        outcome.record = {**record, "files": {name: len(data) for name, data in made["files"].items()}}
        self._made_by[item.stem] = worker
        score, seconds = record["score"], record["total_s"]
        self._say(outcome, f"done {item.stem}: {seconds:.1f} s, score {score:.3f}, worker {worker}")

    def fail(self, outcome: Outcome, error: Mapping[str, str]) -> None:
        """Note that an item has failed for good."""
        outcome.state, outcome.error = FAILED, dict(error)
        told = f"{error['message']} {error['remedy']}".strip()
        self._say(outcome, f"FAILED {outcome.item.stem}: {told}")

    def again(self, outcome: Outcome) -> None:
        """Put an item whose worker was lost before the others."""
        self.queue.appendleft(outcome)
        self._tell(f"{outcome.item.stem} will be made again: its worker was lost")

    def write_report(self, *, ended: bool) -> None:
        """Bring report.json up to date."""
        wall_s = time.monotonic() - self._begun
        content = report(self.outcomes, started=self._started, wall_s=wall_s, ended=ended)
        for entry, outcome in zip(content["items"], self.outcomes, strict=True):
            entry["folder"] = outcome.item.stem
            if outcome.item.stem in self._made_by:
                entry["worker"] = self._made_by[outcome.item.stem]
        self._folder.write_report({**content, "bundles": self._bundles, "workers": self._workers})

    def summary(self) -> str:
        """One line for the end."""
        found = counts(self.outcomes)
        return f"{found[DONE]} done, {found[SKIPPED]} were there, {found[FAILED]} failed"

    def _say(self, outcome: Outcome, line: str) -> None:
        done = sum(one.state in (DONE, FAILED) for one in self.outcomes)
        self._tell(f"[{done}/{self._total}] {line}")
        self.write_report(ended=False)

    def _digest(self, item: Item) -> str:
        """Changes with what is asked for, with the bundle, and with the picture's contents."""
        parts = [item.digest, self._bundles[str(item.params["recipe"]["bundle"])]]
        if item.image and Path(item.image).is_file():
            parts.append(_sha256(Path(item.image)))
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def work_here(ledger: Ledger, formats: tuple[str, ...], threads: int) -> None:
    """Make everything that waits in this process, with the bundle loaded once."""
    from backend.batch_worker import BatchWorker

    worker = BatchWorker(formats, threads)
    number = ledger.worker(worker.describe())
    while ledger.queue:
        outcome = ledger.queue.popleft()
        try:
            made: Mapping[str, Any] = worker.make(*ledger.order(outcome))
        except IssError as error:
            made = {"error": {"code": error.code, "message": error.message, "remedy": error.remedy}}
        ledger.take(outcome, made, number)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
