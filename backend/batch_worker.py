"""The part of a batch that makes results: a warm bundle that turns one item after the other into files.

It runs in the batch's own process or in many processes on many machines, so what it takes and gives is plain
data: nothing is read from or written to the batch's folder here.
"""

import dataclasses
import logging
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

from backend.bundle_places import RECORD_NAME, resolve_bundle
from backend.bundles import Bundle, file_sha256, load_bundle, memory_needed, read_record
from backend.device import describe_device, require_memory, resolve_device
from backend.errors import BundleError, IssError
from backend.events import Event
from backend.recipe import Recipe, apply_preset, change_settings, check_prompt, complete_styles
from backend.results import describe_result, write_result
from backend.style_chain import generate_styled, result_files

logger = logging.getLogger(__name__)


class BatchWorker:
    """Makes results one at a time; keeps the bundle of the last one."""

    def __init__(self, formats: tuple[str, ...], threads: int) -> None:
        """threads: of the CPU, where a row does not say; 0 as torch chooses."""
        self._formats = formats
        self._threads = threads
        self._shelf: tuple[str, Bundle] | None = None

    def describe(self) -> dict[str, Any]:
        """Where this worker is."""
        return {
            "pid": os.getpid(),
            "host": platform.node(),
            "device": describe_device(resolve_device()),
            "threads": self._threads,
        }

    def make(self, params: dict[str, Any], image: bytes, bundle_sha256: str) -> dict[str, Any]:
        """`files` (name -> bytes) and `record`, or `error` (code, message, remedy).

        params: those of the request `generate` (recipe, preset, changes). image: contents of the recipe's
        picture, empty without one. bundle_sha256: of the bundle that every worker must have.
        """
        start = time.perf_counter()
        try:
            with tempfile.TemporaryDirectory(prefix="iss-batch-") as folder:
                made = self._make(params, image, bundle_sha256, Path(folder))
        except IssError as error:
            return {"error": {"code": error.code, "message": error.message, "remedy": error.remedy}}
        except Exception as error:
            # The one catch-all of a batch: an item that meets a bug must not end the others.
            logger.exception("an item of the batch failed")
            message = f"{type(error).__name__}: {error}"
            return {"error": {"code": "fault", "message": message, "remedy": "The log has the details."}}
        made["record"]["total_s"] = round(time.perf_counter() - start, 3)
        return made

    def _make(self, params: dict[str, Any], image: bytes, bundle_sha256: str, folder: Path) -> dict[str, Any]:
        recipe = Recipe.from_dict(params["recipe"])
        named = recipe.image
        if image:
            picture = folder / f"picture{Path(named).suffix}"
            picture.write_bytes(image)
            recipe = recipe.replace(image=str(picture))
        if recipe.prompt or not recipe.image:
            check_prompt(recipe.prompt)
        bundle = self._bundle(recipe, bundle_sha256)
        if "settings" not in params["recipe"]:
            recipe = recipe.replace(settings=apply_preset(bundle.settings, params.get("preset", "normal")))
        recipe = complete_styles(recipe, params["recipe"], recipe.settings.stylize)
        recipe = recipe.replace(
            settings=change_settings(recipe.settings, params.get("changes", {})),
            threads=recipe.threads or self._threads,
        )
        result = _finish(generate_styled(bundle, recipe))
        if image:
            result = dataclasses.replace(result, recipe=result.recipe.replace(image=named))
        place = folder / "result"
        paths = write_result(result, place, formats=self._formats, files=result_files(result))
        shown = describe_result(result)
        record = {"score": shown["scores"][shown["best_step"]], "device": str(bundle.device), **{
            key: shown[key] for key in ("scores", "best_step", "seconds", "vertices", "faces", "watertight",
                                        "warnings")
        }}  # fmt: skip
        return {"files": {path.name: path.read_bytes() for path in paths}, "record": record}

    def _bundle(self, recipe: Recipe, wanted_sha256: str) -> Bundle:
        folder = resolve_bundle(recipe.bundle)
        found = file_sha256(folder / RECORD_NAME)
        if found != wanted_sha256:
            raise BundleError(
                f"The bundle {recipe.bundle} on {platform.node()} is another one than the batch's.",
                remedy="Install the same bundle on every machine.",
            )
        device = resolve_device(recipe.device)
        key = f"{found} {device}"
        if self._shelf is None or self._shelf[0] != key:
            self._shelf = None  # the old one's memory goes first
            require_memory(memory_needed(read_record(folder)))
            self._shelf = key, load_bundle(folder, device=device)
        return self._shelf[1]


def _finish(work: Any) -> Any:
    """Run a job of the pipeline to its end; its warnings are in the result."""
    event: Event
    while True:
        try:
            event = next(work)
        except StopIteration as finished:
            return finished.value
        logger.debug("%s", event)
