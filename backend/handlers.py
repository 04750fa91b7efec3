"""The requests that Blender can make, as a table of name -> handler.

A handler is a generator: what it yields are events, its return value is the result. Closing it between two
yields cancels the job. Everything heavy is imported inside, so this module needs no torch.
"""

import gc
import hashlib
import logging
import os
import sys
import tomllib
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.bundle_places import RECORD_NAME, resolve_bundle
from backend.config import PipelineSettings
from backend.errors import ImageError, SettingError
from backend.handlers_models import ModelHandlers
from backend.handlers_request import HandlerTable, Reply, Request, Steps, Update, progress_update
from backend.recipe import (
    PRESETS,
    Recipe,
    Style,
    apply_preset,
    change_settings,
    check_prompt,
    complete_styles,
)
from iss_blender import protocol
from iss_blender.protocol import Array, Fields

if TYPE_CHECKING:
    from backend.bundles import Bundle
    from backend.events import Event
    from backend.mesh import TriMesh
    from backend.pipeline import Result
    from backend.style_chain import Shape

log = logging.getLogger(__name__)

LARGEST_IMAGE_BYTES = 64 * 2**20


def handler_table(
    *, bundle_parents: list[Path] | None = None, image_folder: Path | None = None
) -> HandlerTable:
    """The real handlers, with one shelf of loaded models.

    bundle_parents: folders searched for bundles instead of the usual ones. image_folder: where input images
    that came over the pipe are kept, so that a recipe can name them (default ~/.iss/images).
    """
    work = _Work(bundle_parents, image_folder or Path.home() / ".iss" / "images")
    return HandlerTable(
        handlers={
            "generate": work.generate,
            "refine": work.refine,
            "blend": work.blend,
            "remesh": work.remesh,
            "stylize": work.stylize,
            "stylize_mesh": work.stylize_mesh,
            **work.models.table(),
            "doctor": work.doctor,
            "free_memory": work.free,
        },
        hello=work.hello,
        warm_up=work.warm_up,
        free_memory=work.free_memory,
    )


class _Work:
    """The handlers and the one bundle that stays loaded between jobs."""

    def __init__(self, bundle_parents: list[Path] | None, image_folder: Path) -> None:
        self._parents = bundle_parents
        self._image_folder = image_folder
        self._shelf: tuple[tuple[str, str], Bundle] | None = None
        self.models = ModelHandlers(bundle_parents, self.free_memory)

    def hello(self) -> Fields:
        """Who this is, without torch."""
        return {
            "backend_version": backend_version(),
            "device": guess_device(),
            "python": sys.version.split()[0],
            **self.models.lists(),
            "presets": list(PRESETS),
            "counts": {name: _counts(name) for name in PRESETS},
        }

    def warm_up(self) -> Fields:
        """Load torch, open_clip and the pipeline; returns the device as torch sees it.

        They are loaded here and not by the first job, since an import has no step at which a cancel is heard;
        a job that still waits is cancelled at once.
        """
        import open_clip  # noqa: F401 - takes seconds, as it loads torchvision

        import backend.pipeline  # noqa: F401 - for its imports
        from backend.device import available_devices, describe_device, resolve_device

        return {"device": describe_device(resolve_device()), "devices": ["auto", *available_devices()]}

    def free_memory(self) -> Fields:
        """Drop the loaded models and hand memory back to the system."""
        held = self._shelf is not None
        self._shelf = None
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
        return {"freed": held}

    def generate(self, request: Request) -> Steps:
        """params: recipe (partial), preset, changes (phase -> fields), preview_every. Array `image_file`
        (uint8, the bytes of a picture file) stands for the recipe's image."""
        from backend.style_chain import generate_styled

        recipe, bundle = yield from self._prepare(request)
        steps = generate_styled(bundle, recipe, stop=request.stop, preview_every=_preview_every(request))
        return _result_reply((yield from _relay(steps)))

    def refine(self, request: Request) -> Steps:
        """As generate, but text guidance starts from the array `code` [C]; the words may be new ones."""
        from backend.style_chain import generate_styled

        recipe, bundle = yield from self._prepare(request)
        code = tuple(float(number) for number in _code(request, "code", bundle))
        steps = generate_styled(
            bundle, recipe.replace(start_code=code), stop=request.stop, preview_every=_preview_every(request)
        )
        return _result_reply((yield from _relay(steps)))

    def blend(self, request: Request) -> Steps:
        """The mesh between the arrays `code_a` and `code_b`; params also hold `weight`, 0 for a, 1 for b."""
        from backend.pipeline import blended, decode

        weight = request.params.get("weight", 0.5)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1:
            raise SettingError(f"weight is {weight!r:.40}.", remedy="Choose weight between 0 and 1.")
        recipe, bundle = yield from self._prepare(request, worded=False)
        first, second = _code(request, "code_a", bundle), _code(request, "code_b", bundle)
        code = blended(bundle, first, second, weight)
        mesh = yield from _relay(decode(bundle, recipe, code))
        return Reply({"recipe": recipe.to_dict(), "weight": weight}, {**_mesh_arrays(mesh), "code": code})

    def remesh(self, request: Request) -> Steps:
        """The mesh of the array `code` with the recipe's mesh settings, such as another resolution. A styled
        shape also needs the array `decoder` (uint8) of its result."""
        from backend.pipeline import decode
        from backend.style_chain import decode_styled

        recipe, bundle = yield from self._prepare(request, worded=False)
        code = _code(request, "code", bundle)
        if recipe.styles or "decoder" in request.arrays:
            mesh = yield from _relay(decode_styled(bundle, _shape(request, recipe, code)))
        else:
            mesh = yield from _relay(decode(bundle, recipe, code))
        return Reply({"recipe": recipe.to_dict()}, {**_mesh_arrays(mesh), "code": code})

    def stylize(self, request: Request) -> Steps:
        """A result in a new look. params: `recipe` of the result, `style` (style, mode, strength, seed),
        changes (phase stylize), preview_every. Arrays: `code` [C], and `decoder` (uint8) where the result
        was styled before. The reply adds `decoder` and, for texture, `iterate_colors` [S, N, 3] uint8."""
        from backend.style_chain import stylize

        style = _style(request)
        recipe, bundle = yield from self._prepare(request, worded=False)
        shape = _shape(request, recipe, _code(request, "code", bundle))
        style = style.replace(settings=recipe.settings.stylize)
        steps = stylize(bundle, shape, style, stop=request.stop, preview_every=_preview_every(request))
        return _result_reply((yield from _relay(steps)))

    def stylize_mesh(self, request: Request) -> Steps:
        """The artist's own mesh in a new look; geometry stays. params: `recipe` (bundle, device), `style`,
        `subject` (what it is, may be empty), changes, preview_every. Arrays: `vertices` [N, 3] y up,
        `faces` [M, 3], and if wanted `colors` [N, 3] sRGB and `samples` [K, 3], points such as texels. The
        reply holds `colors` [N, 3], `sample_colors` [K, 3], `iterate_colors` [S, N, 3] uint8."""
        from backend.stylize_mesh import own_mesh, stylize_mesh

        style = _style(request)
        vertices, faces = _floats(request, "vertices"), request.arrays.get("faces")
        if vertices is None or faces is None or not np.issubdtype(faces.dtype, np.integer):
            raise SettingError("The mesh came without vertices or faces.", remedy="Send both as arrays.")
        mesh = own_mesh(vertices, faces.astype(np.int32), _floats(request, "colors"))
        recipe, bundle = yield from self._prepare(request, worded=False)
        steps = stylize_mesh(
            bundle, mesh, style.replace(settings=recipe.settings.stylize), recipe.settings,
            subject=str(request.params.get("subject", "")), samples=_floats(request, "samples"),
            stop=request.stop, preview_every=_preview_every(request),
        )  # fmt: skip
        painted = yield from _relay(steps)
        fields = {
            "style": painted.style.to_dict(),
            "scores": list(painted.scores),
            "best_step": painted.best_step,
            "iterate_steps": list(painted.iterate_steps),
            "bundle": bundle.name,
            "warnings": [notice.message for notice in painted.notices],
        }
        arrays = {"colors": painted.mesh.colors, "sample_colors": painted.sample_colors}
        return Reply(fields, {**arrays, "iterate_colors": painted.iterates})

    def doctor(self, request: Request) -> Steps:
        """The checks of backend/doctor.py; params: bundle, device, generate. Each is an event as it comes."""
        from backend.doctor import format_report, run_checks

        params = request.params
        name, device = str(params.get("bundle", "starter")), str(params.get("device", "auto"))
        checks = []
        for check in run_checks(name, device=device, generate=bool(params.get("generate", True))):
            checks.append(check)
            # Nested, since the check's own field `name` would be lost in the event.
            yield Update("check", {"check": check.to_dict()})
        return Reply({"checks": [check.to_dict() for check in checks], "report": format_report(checks)})

    def free(self, request: Request) -> Steps:
        """Answers `free_memory`."""
        yield from ()
        return Reply(self.free_memory())

    def _prepare(
        self, request: Request, *, worded: bool = True
    ) -> Generator[Update, None, "tuple[Recipe, Bundle]"]:
        """The full recipe of a request and its bundle, loaded where it is not yet.

        worded: the request needs a prompt or an image.
        """
        values = request.params.get("recipe", {})
        if not isinstance(values, dict):
            raise SettingError(f"recipe is {values!r:.40}.", remedy="Give the recipe as an object.")
        recipe = Recipe.from_dict(values)
        if "image_file" in request.arrays:
            path = self._keep_image(request.arrays["image_file"])
            recipe = recipe.replace(image=str(path), image_sha256="")
        if worded and (recipe.prompt or not recipe.image):
            check_prompt(recipe.prompt)
        yield progress_update("load", 0, 1)
        bundle = self._load(recipe)
        yield progress_update("load", 1, 1)
        settings = recipe.settings
        if "settings" not in values:
            settings = apply_preset(bundle.settings, str(request.params.get("preset", "normal")))
        recipe = complete_styles(recipe, values, settings.stylize)
        changes = request.params.get("changes", {})
        if not isinstance(changes, dict) or not all(isinstance(part, dict) for part in changes.values()):
            raise SettingError(f"changes is {changes!r:.80}.", remedy="Give changes per phase, as objects.")
        return recipe.replace(settings=change_settings(settings, changes)), bundle

    def _load(self, recipe: Recipe) -> "Bundle":
        from backend.bundles import load_bundle, memory_needed, read_record
        from backend.device import require_memory, resolve_device

        device = resolve_device(recipe.device)
        folder = resolve_bundle(recipe.bundle, folders=self._parents)
        # The record's time tells a bundle that was replaced while the backend ran.
        key = (f"{folder} {(folder / RECORD_NAME).stat().st_mtime_ns}", str(device))
        if self._shelf is None or self._shelf[0] != key:
            self.free_memory()
            require_memory(memory_needed(read_record(folder)))
            self._shelf = key, load_bundle(folder, device=device)
        return self._shelf[1]

    def _keep_image(self, data: Array) -> Path:
        if data.dtype != np.uint8 or data.ndim != 1 or not 0 < data.size <= LARGEST_IMAGE_BYTES:
            raise ImageError(
                f"The image file came as {data.dtype} {data.shape}.",
                remedy=f"Give a picture file of at most {LARGEST_IMAGE_BYTES // 2**20} MB.",
            )
        content = data.tobytes()
        path = self._image_folder / hashlib.sha256(content).hexdigest()
        if not path.exists():
            try:
                self._image_folder.mkdir(parents=True, exist_ok=True)
                temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
                temporary.write_bytes(content)
                temporary.replace(path)
            except OSError as problem:
                raise ImageError(
                    f"The image cannot be kept in {self._image_folder}: {problem}.", remedy="Free disk space."
                ) from problem
        return path


def backend_version() -> str:
    """Version of the tree that the backend runs from, as its pyproject.toml tells."""
    try:
        content = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
        return str(content["project"]["version"])
    except (OSError, ValueError, KeyError):
        return "unknown"


def guess_device() -> str:
    """The likely device, told from the machine alone; torch has the last word after it is loaded."""
    if Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists():
        return "cuda"
    return "cpu"


def _relay(work: "Generator[Event, None, Any]") -> Generator[Update, None, Any]:
    """Run pipeline work, handing its events on as updates."""
    from backend.events import Notice, Preview, Progress

    try:
        while True:
            try:
                event = next(work)
            except StopIteration as end:
                return end.value
            if isinstance(event, Progress):
                yield progress_update(event.phase, event.step, event.total, event.score)
            elif isinstance(event, Preview):
                yield Update(protocol.PREVIEW, {"step": event.step}, _mesh_arrays(event.mesh))
            elif isinstance(event, Notice):
                yield Update("notice", {"code": event.code, "message": event.message})
    finally:
        work.close()


def _mesh_arrays(mesh: "TriMesh") -> dict[str, Array]:
    return {"vertices": mesh.vertices, "faces": mesh.faces, "colors": mesh.colors}


def _result_reply(result: "Result") -> Reply:
    from backend.results import describe_result
    from backend.style_chain import StyledResult, result_files

    fields = describe_result(result)
    del fields["code"]  # crosses exactly, as an array
    fields["backend_version"] = backend_version()
    arrays = {**_mesh_arrays(result.mesh), "code": result.code, "codes": result.codes}
    for contents in result_files(result).values():
        arrays["decoder"] = np.frombuffer(contents, np.uint8)
    if isinstance(result, StyledResult) and result.iterates is not None:
        arrays["iterate_colors"] = result.iterates
        fields["iterate_steps"] = list(result.iterate_steps)
    return Reply(fields, arrays)


def _style(request: Request) -> Style:
    values = request.params.get("style", {})
    if not isinstance(values, dict):
        raise SettingError(f"style is {values!r:.40}.", remedy="Give the style as an object.")
    style = Style.from_dict(values)
    return style.replace(style=check_prompt(style.style))


def _shape(request: Request, recipe: Recipe, code: Array) -> "Shape":
    from backend.decoder_delta import DecoderDelta
    from backend.style_chain import Shape

    data = request.arrays.get("decoder")
    if data is None:
        return Shape(recipe, code)
    if data.dtype != np.uint8 or data.ndim != 1:
        raise SettingError(f"The decoder came as {data.dtype} {data.shape}.", remedy="Send the file's bytes.")
    return Shape(recipe, code, DecoderDelta.from_bytes(data.tobytes()))


def _floats(request: Request, name: str) -> Array | None:
    array = request.arrays.get(name)
    return None if array is None else array.astype(np.float32)


def _code(request: Request, name: str, bundle: "Bundle") -> Array:
    code = request.arrays.get(name)
    size = bundle.spec.code_size
    if code is None or code.shape != (size,) or not np.isfinite(code).all():
        shape = None if code is None else code.shape
        raise SettingError(
            f"The shape code {name} has shape {shape}; {bundle.name} takes [{size}] finite numbers.",
            remedy="Use a result that was made with this bundle.",
        )
    return code.astype(np.float32)


def _preview_every(request: Request) -> int:
    value = request.params.get("preview_every", 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1000:
        raise SettingError(f"preview_every is {value!r:.40}.", remedy="Choose a number from 0 to 1000.")
    return value


def _counts(preset: str) -> dict[str, int]:
    """How often the phases of a preset go round, where a bundle has no settings of its own."""
    settings = apply_preset(PipelineSettings(), preset)
    return {"propose": settings.mapper.candidates, "guide": settings.stage2.steps}
