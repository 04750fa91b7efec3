"""The losses of an SVR model on real data: DVR's L_D along rays, cross entropy at points, L_bg.

Where a data set has cameras, rays through random pixels are compared with the picture (method.md, stage 1).
Where it has labelled points, those say more than rays do, and the rays serve the background loss alone.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backend import losses
from backend.config import RenderSettings, Settings, bounded
from backend.datasets.base import Dataset
from backend.errors import SettingError
from backend.losses import STAGE1_WEIGHTS
from backend.rendering.implicit import trace
from backend.rendering.occupancy_grid import HALF_SIDE
from backend.rendering.shading import surface_normals
from backend.rendering.surface import MISSED_CUBE_SPAN, Crossings, cube_span
from backend.svr.base import Field, SvrModel
from backend.training.batches import RayBatch, input_batch, point_batch, ray_batch
from backend.training.processes import own_part, process_count

NORMAL_STEP = 1e-3
"""Step of the differences for normals, and side of the box that a neighbour is drawn from (DVR)."""
ENCODERS = ("encoder.", "img_encoder.")
"""What the parameters of the SVR models' image encoders are called."""


@dataclass(frozen=True)
class SvrLossSettings(Settings):
    """What a step looks at, and the weights of its losses (the reference's)."""

    rays: int = bounded(768, 1, 100_000)
    """Rays per shape."""
    points: int = bounded(2048, 1, 1_000_000)
    """Labelled points per shape."""
    march_steps: int = bounded(64, 4, 1024)
    secant_steps: int = bounded(8, 0, 32)
    color: float = bounded(STAGE1_WEIGHTS.color, 0.0, 1e6)
    depth: float = bounded(STAGE1_WEIGHTS.depth, 0.0, 1e6)
    freespace: float = bounded(STAGE1_WEIGHTS.freespace, 0.0, 1e6)
    occupancy: float = bounded(STAGE1_WEIGHTS.occupancy, 0.0, 1e6)
    normal: float = bounded(STAGE1_WEIGHTS.normal, 0.0, 1e6)
    background: float = bounded(STAGE1_WEIGHTS.background, 0.0, 1e6)
    """Of L_bg; DVR on its own trains without (0), ISS's stage 1 with 30. Losses at points are means and not
    sums over rays: there it counts as weight / rays."""


class SvrLoss:
    """Loss of a step, from the data set's pictures and whatever truth it has."""

    def __init__(
        self, model: SvrModel, data: Dataset, batch: int, settings: SvrLossSettings, *, tuned: str = "all"
    ) -> None:
        """tuned: `all`, or `decoder`, whose codes come from the encoder without gradients.

        SettingError where the data cannot teach this model.
        """
        if model.spec.explicit:
            raise SettingError(
                f"A {model.spec.kind} model has no field to train.",
                remedy="Train one of the kinds dvr, triplane, imnet and ss3d.",
            )
        if not data.has_views and not data.has_points:
            raise SettingError(
                f"{data.title} has neither cameras nor labelled points.", remedy="Train on another data set."
            )
        self._model, self._data, self._batch = model, data, batch
        self._settings, self._tuned = settings, tuned
        self._render = RenderSettings(
            march_steps=settings.march_steps, secant_steps=settings.secant_steps, grid_resolution=0,
            iso_logit=model.spec.iso_logit,
        )  # fmt: skip
        self._background = settings.background if model.spec.has_color and data.has_views else 0.0

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        data, settings, total = self._data, self._settings, self._batch * process_count()
        shapes = own_part(rng.choice(len(data), total, replace=total > len(data)))
        inputs, views = own_part(rng.random(total)), own_part(rng.random(total))
        field = self._model.field(self._codes(shapes, inputs))
        terms: dict[str, Tensor] = {}
        if data.has_points:
            terms |= self._at_points(field, shapes, own_part(rng.random((total, settings.points))))
        if self._background or not data.has_points:
            rays = ray_batch(data, shapes, views, own_part(rng.random((total, settings.rays))))
            device = self._model.device
            rays = RayBatch(*(getattr(rays, name).to(device) for name in RayBatch.__dataclass_fields__))
            draws = torch.from_numpy(own_part(rng.random((total, settings.rays, 5), np.float32))).to(device)
            terms |= self._along_rays(field, rays, draws)
        return terms

    def _codes(self, shapes: np.ndarray, inputs: np.ndarray) -> Tensor:
        spec, data = self._model.spec, self._data
        numbers = np.array([int(u * data.records[i].inputs) for i, u in zip(shapes, inputs, strict=True)])
        images = input_batch(data, shapes, numbers, size=spec.image_size, background=spec.background)
        with torch.set_grad_enabled(self._tuned == "all" and torch.is_grad_enabled()):
            return self._model.encode(images.to(self._model.device))

    def _at_points(self, field: Field, shapes: np.ndarray, places: np.ndarray) -> dict[str, Tensor]:
        device = self._model.device
        points, inside, colors = (t.to(device) for t in point_batch(self._data, shapes, places))
        logits = field.occupancy(points) - self._model.spec.iso_logit
        terms = {"occupancy": F.binary_cross_entropy_with_logits(logits, inside)}
        known = ~colors.isnan().any(-1)
        if self._model.spec.has_color and known.any():
            error = (field.color(points) - colors.nan_to_num()).abs().mean(-1)
            terms["color"] = (error * known).sum() / known.sum()
        return terms

    def _along_rays(self, field: Field, rays: RayBatch, draws: Tensor) -> dict[str, Tensor]:
        """draws: [B, P, 5] in [0, 1): free place, inside place, neighbour."""
        w, colored = self._settings, self._model.spec.has_color
        seen = see(field, rays, self._render)
        if self._data.has_points:
            weight = self._background / w.rays
            return {"background": weight * losses.background_loss(seen.rgb, seen.crossings.hit)}
        free, inside = training_points(rays, seen, draws[..., :2])
        found = ray_terms(field, rays, seen, free, inside, self._model.spec.iso_logit)
        terms = {
            "depth": w.depth * found["depth"],
            "freespace": w.freespace * found["freespace"],
            "occupancy": w.occupancy * found["occupancy"],
        }
        if colored:
            terms["color"] = w.color * found["color"]
        if self._background:
            terms["background"] = self._background * found["background"]
        if w.normal:
            neighbours = seen.points.detach() + NORMAL_STEP * (draws[..., 2:] - 0.5)
            terms["normal"] = w.normal * _smoothness(field, seen, neighbours)
        return terms


@dataclass(frozen=True)
class Seen:
    """What a field shows along rays [B, P]."""

    points: Tensor
    """[B, P, 3] surface points; misses at depth 1."""
    depth: Tensor
    rgb: Tensor
    crossings: Crossings


def see(field: Field, rays: RayBatch, render: RenderSettings) -> Seen:
    """First crossings of the rays, with the colour there."""
    points, depth, crossings = trace(field, rays.origins, rays.directions, render)
    return Seen(points, depth, field.color(points), crossings)


def training_points(rays: RayBatch, seen: Seen, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Points [B, P, 3] that should be free where the ray should miss, and inside where it should hit.

    draws: [B, P, 2] in [0, 1). A free point lies anywhere on the ray in the padded cube, or at the wrong hit;
    an inside point at the true depth, or anywhere where nobody knows that (DVR).
    """
    corner = rays.origins.new_full((3,), HALF_SIDE)
    near, far, meets = cube_span(rays.origins, rays.directions, -corner, corner)
    near = torch.where(meets, near, MISSED_CUBE_SPAN[0])
    far = torch.where(meets, far, MISSED_CUBE_SPAN[1])

    def somewhere(share: Tensor) -> Tensor:
        return near + share * (far - near)

    free = rays.origins + somewhere(draws[..., 0])[..., None] * rays.directions
    free = torch.where(seen.crossings.hit[..., None], seen.points.detach(), free)
    known = torch.where(rays.depth.isfinite(), rays.depth, somewhere(draws[..., 1]))
    return free, rays.origins + known[..., None] * rays.directions


def ray_terms(
    field: Field, rays: RayBatch, seen: Seen, free: Tensor, inside: Tensor, iso_logit: float = 0.0
) -> dict[str, Tensor]:
    """The unweighted terms of L_D without normals, and L_bg, at given free and inside points [B, P, 3]."""
    hit = seen.crossings.hit
    both = hit & rays.mask
    return {
        "color": losses.color_loss(seen.rgb, rays.rgb, both),
        "depth": losses.depth_loss(seen.depth, rays.depth, both),
        "freespace": losses.freespace_loss(field.occupancy(free) - iso_logit, ~rays.mask),
        "occupancy": losses.occupancy_loss(field.occupancy(inside) - iso_logit, rays.mask & ~hit),
        "background": losses.background_loss(seen.rgb, hit),
    }


def _smoothness(field: Field, seen: Seen, neighbours: Tensor) -> Tensor:
    """Normal loss over the hits; hits come first, as many columns as the shape with most of them needs."""
    hit = seen.crossings.hit
    most = int(hit.sum(1).max())
    if not most:
        return seen.rgb.sum() * 0
    columns = hit.to(torch.uint8).argsort(dim=1, descending=True)[:, :most]
    places = columns[..., None].expand(-1, -1, 3)
    chosen = hit.gather(1, columns)
    at, beside = (
        surface_normals(field, points.gather(1, places), NORMAL_STEP)[chosen]
        for points in (seen.points.detach(), neighbours)
    )
    return losses.normal_loss(at, beside, len(hit))


class DecoderOnly(nn.Module):
    """An SVR model of which only the decoder is trained: the encoder keeps its weights and statistics.

    The reference leaves its "frozen" encoder in training mode, where batch statistics move; here it rests.
    """

    def __init__(self, svr: SvrModel) -> None:
        super().__init__()
        self.svr = svr
        for name, parameter in svr.named_parameters():
            parameter.requires_grad_(not name.startswith(ENCODERS))

    def train(self, mode: bool = True) -> "DecoderOnly":
        """Decoders have no layers that behave otherwise in training."""
        self.svr.eval()
        return self
