"""The folder of a batch: one folder per result that appears whole or not at all, and the report.

A result is finished when its folder is there with the digest of what was asked for. A kill at any moment
leaves whole results, and temporary folders that the next run removes.
"""

import json
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from backend.errors import OutputError
from backend.output_file import write_file
from iss_blender.batch import REPORT_NAME, Item

_UNFINISHED = ".unfinished-"
_LOCK = ".batch.lock"
_RECORD = "batch.json"
"""In each result's folder: digest, row, attempts, worker, sizes of the files."""


class BatchFolder:
    """A batch's folder, held by one batch at a time: a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: BinaryIO | None = None

    def __enter__(self) -> Self:
        """Make and lock the folder, and remove what a killed run left half done; OutputError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / _LOCK).open("ab")
        except OSError as error:
            raise _unwritable(self.path, error) from error
        try:
            _hold(self._lock)
        except OSError as error:
            self._lock.close()
            raise OutputError(
                f"Another batch is at work in {self.path}.", remedy="Wait for it, or choose another --out."
            ) from error
        for left in self.path.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()  # the file stays: another batch may have opened it already

    def commit(self, item: Item, digest: str, files: Mapping[str, bytes], record: dict[str, Any]) -> None:
        """Put a result's files into its folder, which takes the place of an older one; OutputError."""
        place = self.path / item.stem
        staging = self.path / f"{_UNFINISHED}{item.stem}-{secrets.token_hex(4)}"
        replaced = staging.with_name(f"{staging.name}.old")
        whole = {**record, "digest": digest, "files": {name: len(data) for name, data in files.items()}}
        try:
            for name, data in files.items():
                write_file(staging / name, data)
            write_file(staging / _RECORD, (json.dumps(whole, indent=1) + "\n").encode())
            if place.exists():
                os.rename(place, replaced)
            os.rename(staging, place)
        except OSError as error:
            raise _unwritable(place, error) from error
        finally:
            for left in (staging, replaced):
                shutil.rmtree(left, ignore_errors=True)

    def finished(self, item: Item, digest: str) -> dict[str, Any] | None:
        """The record of a result that is there as it is asked for now, with all its files; else None."""
        place = self.path / item.stem
        try:
            record = json.loads((place / _RECORD).read_text("utf-8"))
            sizes = {name: (place / name).stat().st_size for name in record["files"]}
            return dict(record) if record["digest"] == digest and sizes == record["files"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write_report(self, content: Mapping[str, Any]) -> None:
        """Write report.json by rename; OutputError."""
        write_file(self.path / REPORT_NAME, (json.dumps(content, indent=1) + "\n").encode())


def _hold(handle: BinaryIO) -> None:
    """Lock an open file for this process; OSError where another one holds it."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path} cannot be written: {error.strerror or error}.",
        remedy="Free some space or choose a folder that you may write to, with --out.",
    )
