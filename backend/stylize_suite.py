"""The floors of stylization, each as a named figure: the right look, untouched geometry, shapes that stay.

`python -m backend evaluate --suite stylize` measures them on shapes that the bundle makes. Looks are named by
the held-out judge of textures (never CLIP), colours by that of colours, categories by geometry.
"""

import statistics
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backend.bundles import Bundle
from backend.config import Settings, bounded
from backend.evaluation import share
from backend.judges.category import References
from backend.judges.colors import color_right
from backend.judges.solid import mesh_solid, mesh_surface
from backend.judges.structure import piece_count
from backend.judges.textures import TextureJudge
from backend.mesh import TriMesh
from backend.pipeline import generate
from backend.recipe import Recipe, Style
from backend.rendering.turntable import Picture, turntable_views
from backend.starter_suite import Figure
from backend.style_chain import Shape, StyledResult, stylize

STYLES: tuple[tuple[str, str], ...] = (
    ("wooden", "wood"), ("metallic", "metal"), ("marble", "marble"), ("golden", "gold"), ("rusty", "rust"),
    ("glass", "glass"), ("brick", "brick"), ("leafy", "leaf"), ("zebra", "zebra"), ("checkered", "checker"),
    ("striped", "stripes"), ("flaming", "flame"), ("icy", "ice"), ("polka dots", "dots"),
    ("red", "plain"), ("blue", "plain"), ("green", "plain"), ("yellow", "plain"), ("white", "plain"),
    ("purple", "plain"),
)  # fmt: skip
"""Style prompts with the texture that they ask for; a plain one asks for the colour too."""
SHAPES: tuple[tuple[str, str], ...] = (
    ("a chair", "chair"), ("a vase", "vase"), ("a car", "car"), ("a table", "table"),
    ("an airplane", "airplane"),
)  # fmt: skip
"""Prompts with their categories."""
_SEEDS = 4
"""Seeds tried for a shape whose category the judge sees before any style."""
PICTURE = 112
"""Pixels of a picture of the sheet."""


@dataclass(frozen=True)
class StylizeSizes(Settings):
    """How much is measured; the defaults are what the floors ask for."""

    styles: int = bounded(len(STYLES), 1, len(STYLES))
    shapes: int = bounded(len(SHAPES), 1, len(SHAPES))
    shape_styles: int = bounded(4, 0, len(STYLES))
    """Styles of each shape in the mode shape-texture, taken evenly from the list."""
    references: int = bounded(40, 30, 1000)
    """True shapes per category for the judge of categories."""
    seed: int = bounded(0, 0, 2**31)


@dataclass(frozen=True)
class Base:
    """A shape to be styled."""

    prompt: str
    category: str
    shape: Shape
    mesh: TriMesh
    known: bool
    """The judge sees its category before any style."""


@dataclass(frozen=True)
class StyledVerdict:
    """The judges' word on one look; None where the mode promises nothing."""

    prompt: str
    style: str
    mode: str
    wanted: str
    seen: str
    look_right: bool
    score_before: float
    score: float
    seconds: float
    geometry_same: bool | None = None
    category_right: bool | None = None
    sound: bool | None = None
    """Closed, and in no more pieces than before."""


@dataclass
class StyledSheet:
    """Pictures by style and prompt, of the mode texture."""

    pictures: dict[str, list[Picture]] = field(default_factory=dict)

    def rows(self) -> list[tuple[str, list[Picture]]]:
        """For a contact sheet: one row per style."""
        return list(self.pictures.items())


Judge = Callable[[TriMesh, str, str], tuple[str, bool]]
"""(mesh, style, wanted texture) -> texture seen, and whether the look is right."""


def look_judge(judge: TextureJudge) -> Judge:
    """Names the texture; a plain look must also have the colour of its style."""

    def decide(mesh: TriMesh, style: str, wanted: str) -> tuple[str, bool]:
        surface = mesh_surface(mesh)
        seen = judge.texture_of(surface)
        return seen, seen == wanted and (wanted != "plain" or color_right(surface.colors, style))

    return decide


def make_bases(bundle: Bundle, recipe: Recipe, references: References, sizes: StylizeSizes) -> list[Base]:
    """The shapes; of a few seeds the first whose category is seen, so that a style can be blamed."""
    bases = []
    for prompt, category in SHAPES[: sizes.shapes]:
        for seed in range(sizes.seed, sizes.seed + _SEEDS):
            result = _finish(generate(bundle, recipe.replace(prompt=prompt, seed=seed)))
            known = references.category_of(mesh_solid(result.mesh)) == category
            if known:
                break
        bases.append(Base(prompt, category, Shape(result.recipe, result.code), result.mesh, known))
    return bases


def measure_looks(
    bundle: Bundle,
    bases: Sequence[Base],
    judge: Judge,
    references: References,
    sizes: StylizeSizes,
    sheet: StyledSheet,
) -> Generator[StyledVerdict, None, None]:
    """Style every shape in every style, then some in shape and texture; the sheet fills on the way."""
    for style, wanted in STYLES[: sizes.styles]:
        for base in bases:
            result, seconds = _styled(bundle, base, style, "texture", sizes.seed)
            sheet.pictures.setdefault(style, []).append(turntable_views(result.mesh, 1, PICTURE)[0])
            same = np.array_equal(result.mesh.vertices, base.mesh.vertices)
            same = same and np.array_equal(result.mesh.faces, base.mesh.faces)
            yield _verdict(base, style, "texture", wanted, judge, result, seconds, geometry_same=same)
    step = max(1, len(STYLES) // max(1, sizes.shape_styles))
    for number, base in enumerate(bases):
        for style, wanted in STYLES[number % step :: step][: sizes.shape_styles]:
            result, seconds = _styled(bundle, base, style, "shape-texture", sizes.seed)
            right = references.category_of(mesh_solid(result.mesh)) == base.category
            pieces = max(1, piece_count(base.mesh))
            sound = result.mesh.is_watertight() and piece_count(result.mesh) <= pieces
            yield _verdict(
                base, style, "shape-texture", wanted, judge, result, seconds,
                category_right=right if base.known else None, sound=sound,
            )  # fmt: skip


def style_figures(verdicts: Sequence[StyledVerdict]) -> list[Figure]:
    """The floors over all verdicts."""
    texture = [v for v in verdicts if v.mode == "texture"]
    shape = [v for v in verdicts if v.mode != "texture"]
    per_style = {
        style: share(v.look_right for v in texture if v.style == style)
        for style in dict.fromkeys(v.style for v in texture)
    }
    seconds = round(statistics.median(v.seconds for v in texture), 2) if texture else None
    known = [v for v in shape if v.category_right is not None]
    return [
        Figure("texture: right look", share(v.look_right for v in texture), 0.75, len(texture),
               details=per_style),
        Figure("texture: geometry bit for bit the same", share(v.geometry_same for v in texture), 1.0,
               len(texture)),
        Figure("texture: CLIP score rises", share(v.score > v.score_before for v in texture), 0.95,
               len(texture)),
        Figure("texture: seconds, median", seconds, 15.0, len(texture), at_most=True),
        Figure("shape and texture: category still right", share(v.category_right for v in known), 0.8,
               len(known)),
        Figure("shape and texture: CLIP score rises", share(v.score > v.score_before for v in shape), 0.95,
               len(shape)),
        Figure("shape and texture: closed, in no more pieces than before", share(v.sound for v in shape), 1.0,
               len(shape)),
    ]  # fmt: skip


def _styled(bundle: Bundle, base: Base, style: str, mode: str, seed: int) -> tuple[StyledResult, float]:
    settings = base.shape.recipe.settings.stylize
    start = time.perf_counter()
    result = _finish(stylize(bundle, base.shape, Style(style=style, mode=mode, seed=seed, settings=settings)))
    return result, time.perf_counter() - start


def _verdict(
    base: Base,
    style: str,
    mode: str,
    wanted: str,
    judge: Judge,
    result: StyledResult,
    seconds: float,
    **found: bool | None,
) -> StyledVerdict:
    seen, right = judge(result.mesh, style, wanted)
    return StyledVerdict(
        prompt=base.prompt, style=style, mode=mode, wanted=wanted, seen=seen, look_right=right,
        score_before=round(result.scores[0], 4), score=round(result.scores[result.best_step], 4),
        seconds=round(seconds, 2), **found,
    )  # fmt: skip


def _finish(work: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as finished:
            return finished.value
