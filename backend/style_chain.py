"""Styles on results: one stylization of a finished shape, and prompts whose recipe holds styles too.

A styled result is a result with the tuned decoder's file and, for texture, the colours of every iteration.
A generator like the pipeline: it yields what happens; closing it cancels.
"""

import dataclasses
import json
import logging
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backend.bundles import Bundle
from backend.config import RenderSettings
from backend.decoder_delta import FILE_NAME, DecoderDelta
from backend.device import check_precision, deterministic, peak_memory, set_threads, versions
from backend.errors import BundleError, EmptyShapeError, NumericalError, SettingError
from backend.events import Event, Notice, Preview, Progress
from backend.mesh import TriMesh
from backend.meshing import extract_mesh
from backend.pipeline import PREVIEW_RESOLUTION, Result, generate
from backend.ranking import evaluation_cameras
from backend.recipe import Recipe, Style, change_settings, check_prompt, read_recipe
from backend.rendering.surface_views import field_views
from backend.styled_field import StyledField
from backend.stylize import (
    DecoderPaint,
    StyleStep,
    is_kept,
    pack_colors,
    paint_style,
    pool_cameras,
    read_wish,
)
from backend.stylize_shape import tune_shape
from backend.svr.base import Field

logger = logging.getLogger(__name__)

_COLOR_CHUNK = 16384
"""Vertices coloured at a time."""


@dataclass(frozen=True)
class StyledResult(Result):
    """A finished stylization; `scores` and `best_step` are its own, 0 the shape as it was."""

    delta: DecoderDelta | None = None
    """The tuned decoder, all styles of the recipe together."""
    iterates: NDArray[np.uint8] | None = None
    """[K, N, 3] vertex colours of some iterations and, last, of the result, 0 to 255 (texture only)."""
    iterate_steps: tuple[int, ...] = ()
    """Their numbers among `scores`."""


@dataclass(frozen=True)
class Shape:
    """What a stylization starts from."""

    recipe: Recipe
    code: NDArray[np.float32]
    delta: DecoderDelta | None = None
    """Of earlier styles."""


def read_shape(folder: Path) -> Shape:
    """The shape in a result's folder; SettingError or CheckpointError where something is missing."""
    recipe = read_recipe(folder / "result.json")
    values = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    code = values.get("code")
    if not isinstance(code, list) or not code or not all(isinstance(n, int | float) for n in code):
        raise SettingError(
            f"{folder / 'result.json'} holds no shape code.", remedy="Generate the shape again."
        )
    delta = DecoderDelta.load(folder) if recipe.styles else None
    return Shape(recipe, np.asarray(code, dtype=np.float32), delta)


def result_files(result: Result) -> dict[str, bytes]:
    """What a result's folder holds beside its meshes and record: the tuned decoder of a styled one."""
    delta = getattr(result, "delta", None)
    return {FILE_NAME: delta.to_bytes()} if delta is not None else {}


def generate_styled(
    bundle: Bundle,
    recipe: Recipe,
    *,
    stop: Callable[[], bool] = lambda: False,
    preview_every: int = 0,
) -> Generator[Event, None, Result]:
    """As the pipeline's `generate`, followed by the recipe's styles."""
    plain = dataclasses.replace(recipe, styles=())
    result = yield from generate(bundle, plain, stop=stop, preview_every=preview_every)
    for style in recipe.styles:
        if stop():
            break
        shape = Shape(result.recipe, result.code, getattr(result, "delta", None))
        styled = yield from stylize(bundle, shape, style, stop=stop, preview_every=preview_every)
        seconds = {**result.seconds, **styled.seconds}
        notices = (*result.notices, *styled.notices)
        result = dataclasses.replace(styled, seconds=seconds, notices=notices, candidates=result.candidates)
    return result


def stylize(
    bundle: Bundle,
    shape: Shape,
    style: Style,
    *,
    stop: Callable[[], bool] = lambda: False,
    preview_every: int = 0,
) -> Generator[Event, None, StyledResult]:
    """Style a shape; the generator's return is the StyledResult, whose recipe ends with the style.

    stop: asked between iterations; the best until then is kept. preview_every: steps between previews; 0
    gives none. PromptError for an empty style, SettingError for a model that cannot be tuned, BundleError or
    CheckpointError for a decoder of another bundle or shape.
    """
    style = style.replace(style=check_prompt(style.style))
    base = _base_field(bundle, shape)
    if shape.recipe.bundle_sha256 and shape.recipe.bundle_sha256 != bundle.sha256:
        raise BundleError(
            f"The shape was made with another version of the bundle {shape.recipe.bundle}.",
            remedy="Install that version, or generate the shape anew.",
        )
    check_precision(shape.recipe.precision, bundle.device)
    threads = set_threads(shape.recipe.threads or None)
    with deterministic(bundle.device):
        job = _Job(bundle, shape, style, base, stop, preview_every)
        yield from job.run()
    recipe = dataclasses.replace(
        shape.recipe,
        styles=(*shape.recipe.styles, job.as_run()),
        bundle_sha256=bundle.sha256,
        device=str(bundle.device),
        threads=threads,
        versions=shape.recipe.versions or versions(),
    )
    return StyledResult(
        mesh=job.mesh,
        code=shape.code,
        recipe=recipe,
        scores=job.scores,
        codes=shape.code[None],
        best_step=job.best_step,
        candidates=(),
        seconds={phase: round(seconds, 3) for phase, seconds in job.seconds.items()},
        peak_memory=peak_memory(bundle.device),
        notices=tuple(job.notices),
        stopped=job.stopped,
        delta=job.delta,
        iterates=pack_colors([colors for _, colors in job.kept]),
        iterate_steps=tuple(number for number, _ in job.kept),
    )


def decode_styled(bundle: Bundle, shape: Shape) -> Generator[Event, None, TriMesh]:
    """The mesh of a styled shape with the recipe's mesh settings, such as another resolution."""
    set_threads(shape.recipe.threads or None)
    with deterministic(bundle.device):
        field = _base_field(bundle, shape)
        return (yield from _extract(bundle, shape.recipe, field))


class _Job:
    """One stylization while it runs."""

    def __init__(
        self,
        bundle: Bundle,
        shape: Shape,
        style: Style,
        base: Field,
        stop: Callable[[], bool],
        preview_every: int,
    ) -> None:
        self.bundle, self.shape, self.style, self.field = bundle, shape, style, base
        self.stop, self.preview_every = stop, preview_every
        self.seconds: dict[str, float] = {}
        self.notices: list[Notice] = []
        self.scores: tuple[float, ...] = ()
        self.best_step = 0
        self.stopped = False
        self.kept: list[tuple[int, NDArray[np.float32]]] = []
        self.generator = torch.Generator().manual_seed(style.seed)

    def run(self) -> Iterator[Event]:
        """Look at the shape, tune, take the stored difference, mesh."""
        recipe, settings = self.shape.recipe, self.style.settings
        start = time.perf_counter()
        self.mesh = yield from _extract(self.bundle, recipe, self.field)
        self.seconds["mesh"] = time.perf_counter() - start
        start = time.perf_counter()
        stage2, render = recipe.settings.stage2, recipe.settings.render
        size, device = stage2.view_size, self.bundle.device
        self.judged = field_views(self.field, evaluation_cameras(stage2).to(device), size, render)
        cameras = pool_cameras(stage2, settings, self.generator).to(device)
        self.pool = field_views(self.field, cameras, size, render)
        if not len(self.pool.points) or not len(self.judged.points):
            raise EmptyShapeError("No view sees the shape.", remedy="Generate another shape.")
        images = self.judged.images(self.judged.old)
        self.wish = read_wish(
            self.bundle.clip, self.style.style, recipe.prompt, self.bundle.record.categories, images
        )
        self.notices += self.wish.notices()
        yield from self.notices
        texture = self.style.mode == "texture"
        paint = DecoderPaint(self.field)
        try:
            yield from self._paint(paint, settings if texture else settings.replace(steps=0))
            styled = paint.field()
            if not texture and not self.stopped and not self.wish.is_look_alone:
                styled = yield from self._tune_shape(styled)
        except NumericalError as error:
            self.notices.append(Notice("not_finite", str(error)))
            yield self.notices[-1]
            styled = paint.field() if texture else self._best
        self.delta = DecoderDelta.between(
            _plain_field(self.bundle, self.shape),
            styled.detach().tuned,
            bundle_sha256=self.bundle.sha256,
            code=self.shape.code,
        )
        self.seconds["stylize"] = time.perf_counter() - start
        start = time.perf_counter()
        # What the file holds is what is shown.
        final = self.delta.apply(_plain_field(self.bundle, self.shape))
        if texture:
            self.mesh = dataclasses.replace(self.mesh, colors=self._colors(final))
            self.kept.append((self.best_step, self.mesh.colors))
        else:
            pieces = self.mesh.component_count()
            self.mesh = _largest((yield from _extract(self.bundle, recipe, final)), pieces)
        self.seconds["mesh"] += time.perf_counter() - start

    def as_run(self) -> Style:
        """The style as it was really run; stopped early, it did fewer iterations."""
        if not self.stopped:
            return self.style
        searched = 2 if self.style.settings.palettes else 1
        steps = max(0, len(self.scores) - searched)
        return self.style.replace(settings=self.style.settings.replace(steps=steps))

    def _paint(self, paint: DecoderPaint, settings: Any) -> Iterator[Event]:
        steps = paint_style(
            self.bundle.clip,
            self.wish,
            paint,
            pool=self.pool,
            judged=self.judged,
            settings=settings,
            strength=self.style.strength,
            surface=(self._vertices(), torch.from_numpy(self.mesh.colors).to(self.bundle.device)),
            generator=self.generator,
            precision=self.shape.recipe.precision,
        )
        more = self.style.settings.steps - settings.steps
        best = paint.state()
        told = 0
        for step in steps:
            self.best_step, self.scores = step.best_step, step.scores
            fresh, told = len(step.scores) > told, len(step.scores)
            shown = fresh and settings.steps and (self._previews(step) or is_kept(told - 1, settings.steps))
            colors = self._colors(paint.field()) if shown else None
            if colors is not None and is_kept(told - 1, settings.steps):
                self.kept.append((told - 1, colors))
            if step.improved:
                best = paint.state()
            yield Progress("stylize", step.step, step.total + more, step.score)
            if colors is not None and self._previews(step):
                yield Preview(dataclasses.replace(self.mesh, colors=colors), told - 1)
            # Only once new colours are there: before, there is nothing to keep.
            if step.best_step and step.step < step.total and self.stop():
                self.stopped = True
                paint.restore(best)
                break

    def _tune_shape(self, start: StyledField) -> Generator[Event, None, StyledField]:
        recipe, settings = self.shape.recipe, self.style.settings
        self._best = start.detach()
        done = len(self.scores)
        steps = tune_shape(
            self.bundle.clip,
            self.wish.feature,
            start,
            self.field,
            surface=self.pool,
            settings=settings,
            strength=self.style.strength,
            stage2=recipe.settings.stage2,
            render=recipe.settings.render,
            generator=self.generator,
            precision=recipe.precision,
            before=self.scores,
        )
        for step, best in steps:
            self._best, self.best_step, self.scores = best, step.best_step, step.scores
            yield Progress("stylize", step.step, step.total, step.score)
            if self._previews(step):
                yield from self._preview(best, len(self.scores) - done)
            if self.stop() and step.step < step.total:
                self.stopped = True
                break
        return self._best

    def _previews(self, step: StyleStep) -> bool:
        number = len(step.scores) - 1
        return bool(self.preview_every and step.score is not None and number % self.preview_every == 0)

    def _preview(self, field: StyledField, step: int) -> Iterator[Event]:
        coarse = change_settings(
            self.shape.recipe.settings,
            {"mesh": {"resolution": PREVIEW_RESOLUTION, "refine_steps": 0, "max_faces": 0}},
        )
        recipe = self.shape.recipe.replace(settings=coarse)
        try:
            mesh = yield from _extract(self.bundle, recipe, field, silent=True)
        except EmptyShapeError:
            logger.info("no preview at step %d: the shape is empty there", step)
            return
        yield Preview(mesh, step)

    def _colors(self, field: Field) -> NDArray[np.float32]:
        """Colours [N, 3] of the mesh's vertices."""
        field = field.detach()
        with torch.no_grad():
            parts = [field.color(part[None])[0] for part in self._vertices().split(_COLOR_CHUNK)]
        return torch.cat(parts).clamp(0, 1).cpu().numpy()

    def _vertices(self) -> Tensor:
        return torch.from_numpy(self.mesh.vertices).to(self.bundle.device)


def _plain_field(bundle: Bundle, shape: Shape) -> Field:
    """The field of the shape code, without styles."""
    size = bundle.spec.code_size
    if shape.code.shape != (size,) or not np.isfinite(shape.code).all():
        raise SettingError(
            f"The shape code has shape {shape.code.shape}; the bundle {bundle.name} takes [{size}] "
            "finite numbers.",
            remedy="Use a result that was made with this bundle.",
        )
    code: Tensor = torch.from_numpy(np.array(shape.code, dtype=np.float32)).to(bundle.device)
    with torch.no_grad():
        return bundle.svr.field(code[None])


def _base_field(bundle: Bundle, shape: Shape) -> Field:
    """The field of the shape with its earlier styles."""
    if bundle.spec.explicit or not bundle.spec.has_color:
        raise SettingError(
            f"The decoder of a {bundle.spec.kind} model cannot be stylized.",
            remedy="Stylize its mesh instead: colours only, on any mesh.",
        )
    plain = _plain_field(bundle, shape)
    if shape.delta is None:
        if shape.recipe.styles:
            raise SettingError(
                f"The shape was styled, but its {FILE_NAME} is missing.",
                remedy="Put the file back, or repeat the recipe with `generate --recipe`.",
            )
        return plain
    shape.delta.check(bundle.sha256, shape.code)
    return shape.delta.apply(plain)


def _extract(
    bundle: Bundle, recipe: Recipe, field: Field, *, silent: bool = False
) -> Generator[Event, None, TriMesh]:
    """The mesh of a field; progress in per cent."""
    render: RenderSettings = recipe.settings.render
    work = extract_mesh(
        field, recipe.settings.mesh, render.iso_logit, bundle.spec.bound, device=bundle.device
    )
    while True:
        try:
            done = next(work)
        except StopIteration as finished:
            return finished.value
        if not silent:
            yield Progress("mesh", round(100 * done), 100)


def _largest(mesh: TriMesh, count: int) -> TriMesh:
    """The mesh with only its `count` largest pieces, by faces: a style adds no loose ones."""
    if mesh.component_count() <= count:
        return mesh
    labels = mesh.face_components()
    kept = np.argsort(-np.bincount(labels), kind="stable")[:count]
    return mesh.select_faces(np.isin(labels, kept))
