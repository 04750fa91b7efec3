"""Writing a result file whole or not at all: a temporary name in the same folder, then rename.

An interrupted job or a full disk leaves the earlier file as it was and nothing half written.
"""

import contextlib
import os
import secrets
from pathlib import Path

from backend.errors import OutputError


def write_file(path: Path, data: bytes) -> None:
    """Write `data` to `path`, making its folder; OutputError when that is not possible."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}.",
            remedy="Free some space or choose a folder that you may write to.",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
