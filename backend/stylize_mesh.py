"""Stylize an artist's own mesh: a colour field over its surface, tuned to a style text by CLIP.

The mesh is looked at through the rasteriser; its geometry is never touched, only colours come back: per
vertex, and at any points asked for, such as the texels of a UV map.
"""

import dataclasses
import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from backend.bundles import Bundle
from backend.config import PipelineSettings
from backend.device import deterministic
from backend.errors import MeshError, NumericalError
from backend.events import Event, Notice, Preview, Progress
from backend.mesh import TriMesh
from backend.ranking import evaluation_cameras
from backend.recipe import Style, check_prompt
from backend.rendering.surface_views import mesh_views
from backend.stylize import Paint, is_kept, pack_colors, paint_style, pool_cameras, read_wish

logger = logging.getLogger(__name__)

MOST_FACES = 2_000_000
GREY = 0.7
"""Colour of a mesh that comes without colours."""
_CELLS, _CHANNELS, _HIDDEN = 96, 8, 32
"""Of the colour field: cells per axis of its three planes, their channels, width of its network."""
_FIT_SIZE = 0.9
"""Diameter of the mesh's bounding sphere in the unit cube that CLIP's views are made for."""
_LOOK_BACK = 300_000
"""Vertices of the largest mesh whose iterates are kept."""
_CHUNK = 65536
"""Points coloured at a time."""


@dataclass(frozen=True)
class PaintedMesh:
    """What comes of an artist's mesh."""

    mesh: TriMesh
    """The same vertices and faces with the new colours [N, 3], sRGB."""
    sample_colors: NDArray[np.float32]
    """[K, 3] colours at the points asked for."""
    style: Style
    """As it was run."""
    scores: tuple[float, ...]
    best_step: int
    iterates: NDArray[np.uint8]
    """[K, N, 3] vertex colours of some iterations and, last, of the result, 0 to 255."""
    iterate_steps: tuple[int, ...]
    """Their numbers among `scores`."""
    notices: tuple[Notice, ...] = ()
    stopped: bool = False


def own_mesh(
    vertices: NDArray[np.float32], faces: NDArray[np.int32], colors: NDArray[np.float32] | None = None
) -> TriMesh:
    """A checked mesh of arrays from outside; MeshError for no faces, too many, NaN, wrong shapes.

    vertices: [N, 3], any scale and place. faces: [M, 3]. colors: [N, 3] sRGB, grey where there are none.
    Open and non-manifold meshes are fine.
    """
    if not len(faces):
        raise MeshError("The object has no faces.", remedy="Choose a mesh object with faces.")
    if len(faces) > MOST_FACES:
        raise MeshError(
            f"The object has {len(faces):,} triangles, at most {MOST_FACES:,} are stylized.",
            remedy="Add a Decimate modifier, or stylize a simpler copy and transfer the colours.",
        )
    if colors is None:
        colors = np.full(vertices.shape, GREY, dtype=np.float32)
    mesh = TriMesh(vertices, faces, np.clip(colors, 0, 1))
    if not np.ptp(mesh.bounds, axis=0).max() > 0:
        raise MeshError("All vertices of the object are in one place.", remedy="Check the object's scale.")
    return mesh


def stylize_mesh(
    bundle: Bundle,
    mesh: TriMesh,
    style: Style,
    pipeline: PipelineSettings,
    *,
    subject: str = "",
    samples: NDArray[np.float32] | None = None,
    stop: Callable[[], bool] = lambda: False,
    preview_every: int = 0,
) -> Generator[Event, None, PaintedMesh]:
    """Colour a mesh (see `own_mesh`) in a style; only the mode texture is possible.

    subject: what the mesh is, such as "a chair"; empty lets CLIP guess among the bundle's categories.
    samples: [K, 3] further points on the surface whose colours are wanted. Other arguments and errors as
    in `style_chain.stylize`.
    """
    style = style.replace(style=check_prompt(style.style))
    if style.mode != "texture":
        raise MeshError(
            "Only the texture of a mesh from elsewhere can be stylized.", remedy='Use the mode "texture".'
        )
    if samples is None:
        samples = np.zeros((0, 3), dtype=np.float32)
    if samples.ndim != 2 or samples.shape[1] != 3 or not np.isfinite(samples).all():
        raise MeshError(
            f"The points to colour have shape {samples.shape} or are not finite.", remedy="Give [count, 3]."
        )
    with deterministic(bundle.device):
        return (yield from _paint(bundle, mesh, style, pipeline, subject, samples, stop, preview_every))


def _paint(
    bundle: Bundle,
    mesh: TriMesh,
    style: Style,
    pipeline: PipelineSettings,
    subject: str,
    samples: NDArray[np.float32],
    stop: Callable[[], bool],
    preview_every: int,
) -> Generator[Event, None, PaintedMesh]:
    settings, stage2, device = style.settings, pipeline.stage2, bundle.device
    generator = torch.Generator().manual_seed(style.seed)
    middle, scale = _frame(mesh)
    fitted = dataclasses.replace(mesh, vertices=(mesh.vertices - middle) * scale)
    # Vertices that no face uses may lie anywhere; no camera is to stumble over them.
    seen = fitted.select_faces(np.ones(len(fitted.faces), dtype=bool))
    lit = pipeline.render.shading != "none"
    judged = mesh_views(seen, evaluation_cameras(stage2).to(device), stage2.view_size, lit=lit)
    yield Progress("stylize", 0, 1)
    pool = mesh_views(seen, pool_cameras(stage2, settings, generator).to(device), stage2.view_size, lit=lit)
    if not len(pool.points) or not len(judged.points):
        raise MeshError("No view sees the object.", remedy="Check that its faces have an area.")
    wish = read_wish(bundle.clip, style.style, subject, bundle.record.categories, judged.images(judged.old))
    paint = SurfacePaint(min(1.0, style.strength), generator, device)
    vertices = torch.from_numpy(fitted.vertices).to(device)
    old = torch.from_numpy(mesh.colors).to(device)
    steps = paint_style(
        bundle.clip, wish, paint, pool=pool, judged=judged, settings=settings, strength=1.0,
        surface=(vertices, old), generator=generator,
    )  # fmt: skip
    kept: list[tuple[int, NDArray[np.float32]]] = []
    best = paint.state()
    scores: tuple[float, ...] = ()
    best_step, stopped, notices = 0, False, wish.notices()
    yield from notices
    try:
        for step in steps:
            fresh, number = len(step.scores) > len(scores), len(step.scores) - 1
            scores, best_step = step.scores, step.best_step
            wanted = is_kept(number, settings.steps) and len(vertices) <= _LOOK_BACK
            preview = preview_every and number % preview_every == 0
            if fresh and number and (wanted or preview):
                colors = _colors(paint, vertices, old)
                kept += [(number, colors)] if wanted else []
                if preview:
                    yield Preview(dataclasses.replace(mesh, colors=colors), number)
            best = paint.state() if step.improved else best
            yield Progress("stylize", step.step, step.total, step.score)
            if best_step and step.step < step.total and stop():
                stopped = True
                searched = 2 if settings.palettes else 1
                style = style.replace(settings=settings.replace(steps=max(0, len(scores) - searched)))
                break
    except NumericalError as error:
        notices.append(Notice("not_finite", str(error)))
        yield notices[-1]
    paint.restore(best)
    points = torch.from_numpy((samples - middle) * scale).float().to(device)
    colors = _colors(paint, vertices, old)
    kept = [(0, mesh.colors), *kept, (best_step, colors)]
    return PaintedMesh(
        dataclasses.replace(mesh, colors=colors),
        _colors(paint, points, _old_colors(mesh, samples).to(device)),
        style,
        scores,
        best_step,
        np.asarray(pack_colors([one for _, one in kept])),
        tuple(number for number, _ in kept),
        tuple(notices),
        stopped,
    )


class SurfacePaint(Paint):
    """A colour field over a mesh: three feature planes and a small network, over the old colours."""

    def __init__(self, share: float, generator: torch.Generator, device: torch.device) -> None:
        """share: of the new colours, 0 to 1; the old ones keep the rest."""
        self._share = share
        inputs = 3 * _CHANNELS + 3
        self._planes = 0.1 * torch.randn(3, _CHANNELS, _CELLS, _CELLS, generator=generator)
        self._first = torch.randn(_HIDDEN, inputs, generator=generator) * (2 / inputs) ** 0.5
        self._second = torch.randn(_HIDDEN, _HIDDEN, generator=generator) * (2 / _HIDDEN) ** 0.5
        self._last = 0.1 * torch.randn(3, _HIDDEN, generator=generator)
        self._biases = [torch.zeros(_HIDDEN), torch.zeros(_HIDDEN), torch.zeros(3)]
        weights = [self._planes, self._first, self._second, self._last, *self._biases]
        self._weights = [w.to(device).requires_grad_() for w in weights]

    def parameters(self) -> list[Tensor]:
        return self._weights

    def color(self, points: Tensor, old: Tensor) -> Tensor:
        planes, first, second, last, *biases = self._weights
        at = 2 * torch.stack([points[:, [0, 1]], points[:, [2, 1]], points[:, [0, 2]]])  # [3, P, 2]
        read = functional.grid_sample(planes, at[:, None], padding_mode="border", align_corners=False)
        x = torch.cat([read[:, :, 0].permute(2, 0, 1).flatten(1), points], dim=1)  # [P, 3 C + 3]
        x = functional.silu(functional.linear(x, first, biases[0]))
        x = functional.silu(functional.linear(x, second, biases[1]))
        new = functional.linear(x, last, biases[2]).sigmoid()
        return old + self._share * (new - old)


def _colors(paint: Paint, points: Tensor, old: Tensor) -> NDArray[np.float32]:
    with torch.no_grad():
        parts = [
            paint.color(p, o) for p, o in zip(points.split(_CHUNK), old.split(_CHUNK), strict=True) if len(p)
        ]
    return torch.cat(parts).clamp(0, 1).cpu().numpy() if parts else np.zeros((0, 3), np.float32)


def _old_colors(mesh: TriMesh, samples: NDArray[np.float32]) -> Tensor:
    """Colours [K, 3] of the vertices nearest to points [K, 3]."""
    if not len(samples):
        return torch.zeros(0, 3)
    from scipy.spatial import cKDTree

    return torch.from_numpy(mesh.colors[cKDTree(mesh.vertices).query(samples)[1]])


def _frame(mesh: TriMesh) -> tuple[NDArray[np.float32], np.float32]:
    """Centre, and the scale that brings the mesh into the views' cube; loose vertices do not count."""
    used = mesh.vertices[np.unique(mesh.faces)]
    middle = (used.min(axis=0) + used.max(axis=0)) / 2
    radius = float(np.linalg.norm(used - middle, axis=1).max())
    return middle.astype(np.float32), np.float32(_FIT_SIZE / (2 * max(radius, 1e-12)))
