"""Prompt, image or both to a coloured mesh: the method's test time from end to end.

CLIP feature -> candidate codes by the mapper -> the best by ranking -> stage 2 -> mesh. A generator: it
yields what happens and returns the result; closing it between yields cancels the job.
"""

import logging
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from backend.bundles import Bundle
from backend.code_fit import CodeFit
from backend.consensus import expected_overlaps
from backend.device import check_precision, deterministic, memory_guard, peak_memory, set_threads, versions
from backend.errors import (
    BundleError,
    EmptyShapeError,
    ImageError,
    NumericalError,
    SettingError,
)
from backend.events import Event, Notice, Preview, Progress
from backend.image_input import read_image
from backend.mapper import Mapper
from backend.mesh import TriMesh
from backend.meshing import extract_mesh
from backend.paint_words import paintwork
from backend.prompt_notices import prompt_notices
from backend.prompt_phrasing import phrased
from backend.proportions import proportions
from backend.ranking import Judge, Score
from backend.recipe import Recipe, change_settings, check_prompt
from backend.silhouettes import FINE, Outline, object_mask
from backend.svr.base import SvrModel
from backend.text_guidance import guide

logger = logging.getLogger(__name__)

PREVIEW_RESOLUTION = 40
"""Grid cells per axis of preview meshes."""
HURRIED_RESOLUTION = 64
"""Greatest mesh resolution of a job that was asked to stop early."""
_GUIDE_SEED_STEP = 0x9E3779B97F4A7C15
"""Sets stage 2's random stream apart from the mapper's."""
_FINELY = 16
"""Proposals for an image whose silhouettes are compared once more, finely."""
_CONSENSUS_WEIGHT = 5.0
"""Of such a proposal's expected overlap with the true shape, beside its fit and its silhouette's overlap."""


@dataclass(frozen=True)
class Result:
    """A finished shape."""

    mesh: TriMesh
    code: NDArray[np.float32]
    """[C]; with the bundle it is all that is needed to decode the shape again."""
    recipe: Recipe
    """Completed: hashes, versions, threads; repeats this result."""
    scores: tuple[float, ...]
    """CLIP score of the start and of every iteration."""
    codes: NDArray[np.float32]
    """[iterations + 1, C]"""
    best_step: int
    candidates: tuple[float, ...]
    """Ranking totals of the proposed codes."""
    seconds: dict[str, float]
    """Per phase."""
    peak_memory: dict[str, int]
    """Bytes."""
    notices: tuple[Notice, ...] = ()
    stopped: bool = False
    """The user asked to stop early; this is the best until then."""


@dataclass(frozen=True)
class Seen:
    """An image, and what the SVR model sees in it."""

    image: Tensor
    """[1, 3, S, S] in [0, 1]."""
    code: Tensor
    """[C]"""


@dataclass
class _Record:
    """What accumulates while a job runs."""

    notices: list[Notice] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    codes: list[Tensor] = field(default_factory=list)
    candidates: list[float] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    best_step: int = 0
    stopped: bool = False


def generate(
    bundle: Bundle,
    recipe: Recipe,
    *,
    stop: Callable[[], bool] = lambda: False,
    preview_every: int = 0,
) -> Generator[Event, None, Result]:
    """Make one shape; the last value (the generator's return) is the Result.

    stop: asked between steps; once true, the best shape so far is meshed quickly and returned.
    preview_every: stage 2 iterations between previews; 0 gives none, and then also none of the start.
    Raises the errors of errors.py: PromptError, ImageError, BundleError, EmptyShapeError, ...
    """
    mapper = _mapper_of(bundle)
    recipe, feature, seen = _prepare(bundle, recipe)
    record = _Record()
    with deterministic(bundle.device):
        for notice in _notices(bundle, recipe, seen):
            record.notices.append(notice)
            yield notice
        judge = Judge(
            bundle.clip,
            bundle.svr,
            feature,
            stage2=recipe.settings.stage2,
            render=recipe.settings.render,
            mapper=recipe.settings.mapper,
            fit=_fit(mapper, bundle.svr, recipe, seen),
            precision=recipe.precision,
        )
        if recipe.start_code:
            code = _given_code(bundle, np.asarray(recipe.start_code, dtype=np.float32))
            record.codes.append(code)
            record.scores.append(judge(code).clip)
        else:
            proposal = _propose(bundle, recipe, feature, seen, judge, record, stop)
            code = yield from _timed("propose", record, proposal)
        guidance = _guide(bundle, recipe, feature, code, judge, record, stop, preview_every)
        code = yield from _timed("guide", record, guidance)
        recipe = _as_run(recipe, record)
        mesh = yield from _timed("mesh", record, _mesh(bundle, recipe, code))
    return Result(
        mesh=mesh,
        code=code.cpu().numpy(),
        recipe=recipe,
        scores=tuple(record.scores),
        codes=torch.stack(record.codes).cpu().numpy(),
        best_step=record.best_step,
        candidates=tuple(record.candidates),
        seconds={phase: round(seconds, 3) for phase, seconds in record.seconds.items()},
        peak_memory=peak_memory(bundle.device),
        notices=tuple(record.notices),
        stopped=record.stopped,
    )


def refine(
    bundle: Bundle,
    recipe: Recipe,
    code: NDArray[np.float32],
    *,
    stop: Callable[[], bool] = lambda: False,
    preview_every: int = 0,
) -> Generator[Event, None, Result]:
    """As `generate`, but text guidance starts from a shape code [C]; the words may be new ones."""
    start = recipe.replace(start_code=tuple(float(number) for number in code))
    return generate(bundle, start, stop=stop, preview_every=preview_every)


def decode(bundle: Bundle, recipe: Recipe, code: NDArray[np.float32]) -> Generator[Event, None, TriMesh]:
    """The mesh of a shape code [C] with the recipe's mesh settings; nothing is tuned."""
    set_threads(recipe.threads or None)
    with deterministic(bundle.device):
        return (yield from _mesh(bundle, recipe, _given_code(bundle, code)))


@torch.no_grad()
def blended(
    bundle: Bundle, first: NDArray[np.float32], second: NDArray[np.float32], weight: float
) -> NDArray[np.float32]:
    """The shape code [C] between two, at `weight` in [0, 1]: 0 is the first, 1 the second."""
    mapper = _mapper_of(bundle)
    codes = (_given_code(bundle, code) for code in (first, second))
    with deterministic(bundle.device):
        return mapper.between(*codes, weight).cpu().numpy()


def _mapper_of(bundle: Bundle) -> Mapper:
    """The bundle's mapper; BundleError where it has none."""
    if bundle.mapper is None:
        raise BundleError(f"The bundle {bundle.name} has no mapper.", remedy="Run `align` on it first.")
    return bundle.mapper


def _fit(mapper: Mapper, svr: SvrModel, recipe: Recipe, seen: Seen | None) -> CodeFit:
    """With an image strangeness does not count: what is seen decides (no difference was measured)."""
    return CodeFit(mapper, svr, 0.0 if seen else recipe.settings.mapper.strangeness_weight)


def _given_code(bundle: Bundle, code: NDArray[np.float32]) -> Tensor:
    """A shape code [C] from outside on the bundle's device; SettingError where it does not fit."""
    size = bundle.spec.code_size
    if code.shape != (size,) or not np.isfinite(code).all():
        raise SettingError(
            f"The shape code has shape {code.shape}; the bundle {bundle.name} takes [{size}] finite numbers.",
            remedy="Use a result that was made with this bundle.",
        )
    return torch.from_numpy(np.array(code, dtype=np.float32)).to(bundle.device)


@memory_guard("for reading the prompt")
def _prepare(bundle: Bundle, recipe: Recipe) -> tuple[Recipe, Tensor, Seen | None]:
    """The recipe completed, the unit feature [F] of prompt or image, or the mean direction of both, and the
    image, if there is one and the SVR model reads images."""
    if recipe.bundle_sha256 and recipe.bundle_sha256 != bundle.sha256:
        raise BundleError(
            f"The recipe was made with another version of the bundle {recipe.bundle}.",
            remedy="Install that version, or generate anew from the prompt.",
        )
    check_precision(recipe.precision, bundle.device)
    threads = set_threads(recipe.threads or None)
    kind = bundle.record.mapper.get("kind")
    if recipe.settings.stage2.target == "mapper" and kind not in ("regressor", "get3d"):
        raise SettingError(
            "Stage 2 can tune the mapper only of a bundle with a regressing mapper.",
            remedy='Use the target "code".',
        )
    filled: dict[str, Any] = {
        "bundle_sha256": bundle.sha256,
        "device": str(bundle.device),
        "threads": threads,
        "versions": recipe.versions or versions(),
    }
    features, seen = [], None
    if recipe.prompt or not recipe.image:
        filled["prompt"] = check_prompt(recipe.prompt)
        features.append(bundle.clip.encode_text([_phrased(bundle, filled["prompt"])])[0])
    if recipe.image:
        image, sha256 = read_image(Path(recipe.image))
        if recipe.image_sha256 and recipe.image_sha256 != sha256:
            raise ImageError(f"{recipe.image} is not the image of the recipe.", remedy="Restore the image.")
        filled["image_sha256"] = sha256
        image = image.to(bundle.device)
        with torch.no_grad():
            features.append(bundle.clip.encode_image(image)[0])
            if bundle.spec.has_encoder:
                seen = Seen(image, bundle.svr.encode(image)[0])
    return recipe.replace(**filled), F.normalize(torch.stack(features).mean(dim=0), dim=-1), seen


def _phrased(bundle: Bundle, prompt: str) -> str:
    """A prompt as it is read."""
    return phrased(prompt, bundle.svr.names)


def _notices(bundle: Bundle, recipe: Recipe, seen: Seen | None) -> list[Notice]:
    notices = prompt_notices(bundle, _phrased(bundle, recipe.prompt)) if recipe.prompt else []
    asks_outline = seen is not None and recipe.settings.mapper.silhouette_weight and not recipe.start_code
    if asks_outline and object_mask(seen.image) is None:
        notices.append(
            Notice(
                "no_outline",
                "No object stands out in the image, so that its outline does not count. Use an image with "
                "one object before a plain or transparent background.",
            )
        )
    if recipe.versions != (now := versions()):
        changed = sorted(key for key in now if recipe.versions.get(key) != now[key])
        notices.append(
            Notice("other_versions", f"The recipe was made with other versions of {', '.join(changed)}.")
        )
    return notices


def _lacking(bundle: Bundle, recipe: Recipe, code: Tensor) -> list[Notice]:
    """What a proposal [C] lacks of the parts that the prompt paints."""
    if not recipe.settings.mapper.repaints:
        return []
    names = bundle.svr.lacking_parts(code, paintwork(_phrased(bundle, recipe.prompt)))
    message = (
        f"This shape has no {' and no '.join(names)} of its own, so that the paint may be elsewhere. "
        "Try another seed, or leave that paint out."
    )
    return [Notice("no_such_part", message)] if names else []


def _timed(phase: str, record: _Record, work: Generator[Event, None, Any]) -> Generator[Event, None, Any]:
    """Run a phase and note its seconds; running out of memory becomes MemoryShortError."""
    start = time.perf_counter()
    try:
        with memory_guard(f"in the phase {phase}"):
            return (yield from work)
    finally:
        record.seconds[phase] = time.perf_counter() - start


def _propose(
    bundle: Bundle,
    recipe: Recipe,
    feature: Tensor,
    seen: Seen | None,
    judge: Callable[[Tensor], Score],
    record: _Record,
    stop: Callable[[], bool],
) -> Generator[Event, None, Tensor]:
    """Codes for the feature, ranked; returns the best [C] and starts the record with it."""
    count = recipe.settings.mapper.candidates
    yield Progress("propose", 0, count)
    codes = candidates(bundle, recipe, feature, seen, stop)
    best: tuple[Score, Tensor] | None = None
    for index, code in enumerate(codes):
        score = judge(code)
        record.candidates.append(score.total)
        if best is None or score.total > best[0].total:
            best = (score, code)
        yield Progress("propose", index + 1, len(codes), best[0].clip)
        if stop():
            record.stopped = True
            break
    assert best is not None
    for notice in _lacking(bundle, recipe, best[1]):
        record.notices.append(notice)
        yield notice
    record.scores.append(best[0].clip)
    record.codes.append(best[1])
    return best[1]


@torch.no_grad()
def candidates(
    bundle: Bundle,
    recipe: Recipe,
    feature: Tensor,
    seen: Seen | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Tensor:
    """Codes [N, C] for a unit feature [F], those that fit it best first.

    seen: an image to stay near to; where silhouettes tell which proposal it shows, and no prompt asks for
    more, this is the only one. After a wish to stop, they are not asked any more.
    """
    mapper, settings = _mapper_of(bundle), recipe.settings.mapper
    asked = feature.expand(max(settings.candidates, settings.proposals), -1)
    generator = torch.Generator().manual_seed(recipe.seed)
    diversity = min(1.0, recipe.diversity * settings.noise_scale)
    codes = mapper.propose(asked, generator=generator, diversity=diversity, near=seen.code if seen else None)
    count = settings.candidates
    outline = Outline.of(bundle.svr, seen.image) if seen and settings.silhouette_weight else None
    if outline is not None:
        free = mapper.propose(asked, generator=generator, diversity=diversity)
        codes, count = torch.cat([codes, free]), count if recipe.prompt else 1
    fit = _fit(mapper, bundle.svr, recipe, seen)
    rank = fit(codes, feature)
    if outline is not None:
        rough = rank + settings.silhouette_weight * outline.overlaps(bundle.svr, codes, stop=stop)
        left = rough.argsort(descending=True, stable=True)[:_FINELY]
        codes, rank = codes[left], rank[left]
        rank = rank + settings.silhouette_weight * outline.overlaps(bundle.svr, codes, FINE, stop)
        rank = rank + _CONSENSUS_WEIGHT * expected_overlaps(bundle.svr, codes, rank)
    # A stable sort: mappers that cannot tell keep the order in which codes were drawn.
    codes = codes[rank.argsort(descending=True, stable=True)]
    if outline is not None and not stop():
        best = bundle.svr.stretched(codes[0], proportions(outline, bundle.svr, codes[0]))
        codes = torch.cat([best[None], codes[1:]])
    painted = _painted(bundle, recipe, feature, codes[: settings.repaints], fit)
    return torch.cat([painted, codes])[:count]


def _painted(bundle: Bundle, recipe: Recipe, feature: Tensor, codes: Tensor, fit: CodeFit) -> Tensor:
    """Of each of the codes [N, C] that can show all paints that the prompt names, the painting [M, C] that
    fits the feature [F] best; the best first, and after all others those without a part that is to be
    painted."""
    work = paintwork(_phrased(bundle, recipe.prompt))
    chosen = []
    for code in codes:
        paintings = bundle.svr.repainted(code, work)
        if len(paintings):
            best, index = fit(paintings, feature).max(dim=0)
            chosen.append((len(bundle.svr.lacking_parts(code, work)), -float(best), paintings[index]))
    chosen.sort(key=lambda choice: choice[:2])
    return torch.stack([painting for *_, painting in chosen]) if chosen else codes[:0]


def _guide(
    bundle: Bundle,
    recipe: Recipe,
    feature: Tensor,
    start: Tensor,
    judge: Judge,
    record: _Record,
    stop: Callable[[], bool],
    preview_every: int,
) -> Generator[Event, None, Tensor]:
    """Stage 2; returns the best code [C], also after NaNs or a wish to stop."""
    settings = recipe.settings.stage2
    if record.stopped:
        return start
    seed = (recipe.seed + _GUIDE_SEED_STEP) % 2**63
    best = start
    steps = guide(
        clip=bundle.clip,
        svr=bundle.svr,
        mapper=bundle.mapper,
        whitening=bundle.whitening,
        feature=feature,
        start=start,
        judge=judge,
        settings=settings,
        render=recipe.settings.render,
        generator=torch.Generator().manual_seed(seed),
        precision=recipe.precision,
        confirm=judge.confirm,
    )
    try:
        for step in steps:
            best, record.best_step = step.best_code, step.best_step
            if step.step:
                record.scores.append(step.score.clip)
                record.codes.append(step.code)
            yield Progress("guide", step.step, step.total, step.score.clip)
            if preview_every and step.step % preview_every == 0:
                yield from _preview(bundle, recipe, best, step.step)
            if stop() and step.step < step.total:
                record.stopped = True
                break
    except NumericalError as error:
        notice = Notice("not_finite", str(error))
        record.notices.append(notice)
        yield notice
    return best


def _preview(bundle: Bundle, recipe: Recipe, code: Tensor, step: int) -> Generator[Event, None, None]:
    coarse = change_settings(
        recipe.settings, {"mesh": {"resolution": PREVIEW_RESOLUTION, "refine_steps": 0, "max_faces": 0}}
    )
    try:
        mesh = yield from _mesh(bundle, recipe.replace(settings=coarse), code, silent=True)
    except EmptyShapeError:
        logger.info("no preview at step %d: the shape is empty there", step)
        return
    yield Preview(mesh, step)


def _as_run(recipe: Recipe, record: _Record) -> Recipe:
    """The recipe of what was really run: a job that was stopped did less than it was asked to."""
    if not record.stopped:
        return recipe
    resolution = min(recipe.settings.mesh.resolution, HURRIED_RESOLUTION)
    settings = change_settings(
        recipe.settings,
        {"stage2": {"steps": len(record.scores) - 1}, "mesh": {"resolution": resolution}},
    )
    # Not all candidates may have been judged; the code that won until then is kept instead.
    start = tuple(float(number) for number in record.codes[0])
    return recipe.replace(settings=settings, start_code=start)


def _mesh(
    bundle: Bundle, recipe: Recipe, code: Tensor, *, silent: bool = False
) -> Generator[Event, None, TriMesh]:
    """The mesh of a code [C]; progress in per cent."""
    settings = recipe.settings.mesh
    if bundle.spec.explicit:
        work = bundle.svr.extract_mesh(code[None], settings)
    else:
        work = extract_mesh(
            bundle.svr.field(code[None]),
            settings,
            recipe.settings.render.iso_logit,
            bundle.spec.bound,
            device=bundle.device,
        )
    while True:
        try:
            done = next(work)
        except StopIteration as finished:
            return finished.value
        if not silent:
            yield Progress("mesh", round(100 * done), 100)
