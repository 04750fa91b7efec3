"""The history of prompts and the favourites: a small JSON file that outlives Blender.

Several Blenders may share it: it is read again before each change, and written by rename.
"""

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

log = logging.getLogger(__name__)

LONGEST_HISTORY = 200
"""Entries that are no favourites; the oldest go first."""
MOST_BYTES = 4 * 2**20
"""A larger file is none of ours."""


@dataclass(frozen=True)
class Prompt:
    """One prompt with the settings that go with it."""

    prompt: str
    seed: int = 0
    preset: str = "normal"
    bundle: str = "starter"
    favourite: bool = False
    used: float = 0.0
    """Seconds since the epoch."""


class PromptHistory:
    """Prompts in the order of use, the latest first. Words are kept once; the settings are the last ones."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path, self._clock = path, clock
        self.problem = ""
        """Why the file could not be read or written, as a sentence; "" when all is well."""
        self.entries: list[Prompt] = []
        self.reload()

    def reload(self) -> None:
        """Read the file again; a damaged one is kept aside and the history starts anew."""
        try:
            if self.path.stat().st_size > MOST_BYTES:
                raise ValueError("the file is too large")
            content = json.loads(self.path.read_text("utf-8"))
            self.entries = [_prompt(values) for values in content["prompts"]]
        except FileNotFoundError:
            self.entries = []
        except (OSError, ValueError, KeyError, TypeError) as problem:
            log.warning("the prompt history %s is unreadable: %s", self.path, problem)
            self.problem = f"The prompt history could not be read and was put aside: {problem}."
            try:
                os.replace(self.path, self.path.with_suffix(".damaged"))
            except OSError:
                log.warning("the damaged prompt history stays where it is")

    def remember(self, prompt: str, *, seed: int, preset: str, bundle: str) -> None:
        """Put a prompt on top."""
        if not prompt.strip():
            return
        self.reload()
        known = self.find(prompt)
        entry = Prompt(prompt, seed, preset, bundle, bool(known and known.favourite), self._clock())
        self._store([entry, *(other for other in self.entries if other.prompt != prompt)])

    def find(self, prompt: str) -> Prompt | None:
        """The entry with these words."""
        return next((entry for entry in self.entries if entry.prompt == prompt), None)

    def set_favourite(self, prompt: str, favourite: bool) -> None:
        """Mark or unmark a prompt; an unknown one is passed over."""
        self.reload()
        self._store([replace(e, favourite=favourite) if e.prompt == prompt else e for e in self.entries])

    def remove(self, prompt: str) -> None:
        """Forget a prompt."""
        self.reload()
        self._store([entry for entry in self.entries if entry.prompt != prompt])

    def clear(self) -> None:
        """Forget everything but the favourites."""
        self.reload()
        self._store([entry for entry in self.entries if entry.favourite])

    def listed(self, *, search: str = "", favourites_only: bool = False) -> list[Prompt]:
        """Favourites first, then by last use; `search` is looked for in the words, in any case."""
        wanted = search.casefold()
        kept = [e for e in self.entries if wanted in e.prompt.casefold()]
        kept = [e for e in kept if e.favourite or not favourites_only]
        return sorted(kept, key=lambda entry: not entry.favourite)

    def _store(self, entries: list[Prompt]) -> None:
        plain = [entry for entry in entries if not entry.favourite]
        dropped = {entry.prompt for entry in plain[LONGEST_HISTORY:]}
        self.entries = [entry for entry in entries if entry.prompt not in dropped]
        text = json.dumps({"prompts": [asdict(entry) for entry in self.entries]}, indent=1)
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text, "utf-8")
            os.replace(temporary, self.path)
            self.problem = ""
        except OSError as problem:
            self.problem = f"The prompt history cannot be saved to {self.path.parent}: {problem}."


def _prompt(values: dict[str, object]) -> Prompt:
    """An entry of the file; ValueError, KeyError or TypeError where it is none."""
    return Prompt(
        prompt=str(values["prompt"]),
        seed=int(str(values.get("seed", 0))),
        preset=str(values.get("preset", "normal")),
        bundle=str(values.get("bundle", "starter")),
        favourite=bool(values.get("favourite", False)),
        used=float(str(values.get("used", 0.0))),
    )
