"""Judging shape codes: how well they look like the text, and whether they are one clean object.

CLIP alone prefers hybrids (a chair with four legs and a pedestal), so the total adds how well the code fits
by itself, and subtracts the field's uncertainty and its loose pieces (our choice). Candidates are ranked, and
stage 2's iterates compared, by it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from backend.cameras import Cameras, look_at
from backend.clip_encoder import ClipEncoder
from backend.config import MapperSettings, RenderSettings, Stage2Settings
from backend.device import autocast
from backend.rendering.implicit import Views, render_views
from backend.rendering.occupancy_grid import OccupancyGrid, build_grid, refresh_grid
from backend.svr.base import SvrModel

_GRID = 32
"""Cells per axis for uncertainty and pieces where rendering used no grid."""
_FIRST_AZIMUTH_DEG = 30.0
"""Of the evaluation views: a corner view tells more than the front."""


@dataclass(frozen=True)
class Score:
    """Of one shape code; `total` is what is compared."""

    total: float
    clip: float
    """Mean cosine over the evaluation views, -1 to 1."""
    fit: float = 0.0
    """Of code and feature, see `code_fit`; 0 where nobody was asked."""
    uncertainty: float = 0.0
    """Mean of p(1-p) over the cube."""
    pieces: int = 0
    """Connected pieces beyond the first; an empty shape counts as one too many."""
    grid: OccupancyGrid | None = field(default=None, repr=False, compare=False)
    """The grid of this very code, which serves its next rendering too."""
    provisional: bool = False
    """The volume was judged on a carried grid, which misses new pieces away from the surface: `confirm` it
    before it decides."""


class Judge:
    """Scores codes against one CLIP feature on fixed evaluation views."""

    def __init__(
        self,
        clip: ClipEncoder,
        svr: SvrModel,
        feature: Tensor,
        *,
        stage2: Stage2Settings,
        render: RenderSettings,
        mapper: MapperSettings,
        fit: Callable[[Tensor, Tensor], Tensor] | None = None,
        precision: str = "float32",
    ) -> None:
        """`feature` [F] is of unit length; `fit` says how well codes [B, C] fit it by themselves."""
        self._clip = clip
        self._svr = svr
        self._feature = feature
        self._stage2 = stage2
        self._render = render
        self._weights = mapper
        self._fit = fit if mapper.agreement_weight else None
        self._precision = precision
        self._cameras = evaluation_cameras(stage2).to(feature.device)

    @torch.no_grad()
    def __call__(self, code: Tensor, carried: OccupancyGrid | None = None) -> Score:
        """The score of a code [C].

        carried: the grid of a code shortly before, of which only what is near the surface is asked again;
        without it one is built.
        """
        if self._svr.spec.explicit:
            views = render_code(self._svr, code, self._cameras, self._stage2.view_size, self._render)
        else:
            field = self._svr.field(code[None])
            grid = carried and refresh_grid(field, carried, self._render.iso_logit)
            views = render_views(field, self._cameras, self._stage2.view_size, self._render, grid=grid)
        clip = float((view_features(self._clip, views.rgb, self._precision) @ self._feature).mean())
        fit = float(self._fit(code[None], self._feature)[0]) if self._fit else 0.0
        seen = Score(total=clip + self._weights.agreement_weight * fit, clip=clip, fit=fit)
        if self._svr.spec.explicit or not self._counts_volume:
            return replace(seen, grid=views.grid)
        score = self._with_volume(seen, views.grid or self._built(code, _GRID))
        return replace(score, grid=views.grid, provisional=carried is not None)

    @torch.no_grad()
    def confirm(self, code: Tensor, score: Score) -> Score:
        """The score of a code [C] with its volume judged on a grid built anew, where it is provisional."""
        if not score.provisional:
            return score
        return self._with_volume(score, self._built(code, self._render.grid_resolution))

    @property
    def _counts_volume(self) -> bool:
        return bool(self._weights.uncertainty_weight or self._weights.pieces_weight)

    def _built(self, code: Tensor, cells: int) -> OccupancyGrid:
        return build_grid(self._svr.field(code[None]), cells, self._render.iso_logit, device=code.device)

    def _with_volume(self, score: Score, grid: OccupancyGrid) -> Score:
        """The score with the volume judged on this grid."""
        uncertainty, pieces = volume_quality(grid.logits)
        penalty = self._weights.uncertainty_weight * uncertainty + self._weights.pieces_weight * pieces
        total = score.clip + self._weights.agreement_weight * score.fit - penalty
        return Score(total, score.clip, score.fit, uncertainty, pieces, grid=grid)


def volume_quality(logits: Tensor) -> tuple[float, int]:
    """Mean of p(1-p), and the number of connected pieces beyond the first, of grid logits [G, G, G].

    Logits are relative to the iso level. Cells that touch at a corner are connected, since a thin slanted
    leg may cross the grid so. An empty grid counts one piece, as a shape that fell apart does.
    """
    from scipy import ndimage

    p = logits.sigmoid()
    pieces = int(ndimage.label((logits > 0).cpu().numpy(), structure=np.ones((3, 3, 3)))[1])
    return float((p * (1 - p)).mean()), abs(pieces - 1)


def evaluation_cameras(stage2: Stage2Settings) -> Cameras:
    """Fixed cameras around the shape, at the middle of stage 2's distances and elevations."""
    count = stage2.evaluation_views
    azimuths = [_FIRST_AZIMUTH_DEG + 360.0 * i / count for i in range(count)]
    return look_at(azimuths, sum(stage2.elevation_deg) / 2, sum(stage2.distance) / 2)


def render_code(
    svr: SvrModel,
    code: Tensor,
    cameras: Cameras,
    size: int,
    settings: RenderSettings,
    *,
    background_stride: int = 0,
    grid: OccupancyGrid | None = None,
) -> Views:
    """Views of a code [C]: of the field (see `render_views`), or by the model itself where it is explicit."""
    if svr.spec.explicit:
        return svr.render(code[None], cameras, size)
    return render_views(
        svr.field(code[None]), cameras, size, settings, background_stride=background_stride, grid=grid
    )


def view_features(clip: ClipEncoder, images: Tensor, precision: str) -> Tensor:
    """Unit features [V, F] of rendered images [V, H, W, 3]; differentiable."""
    with autocast(images.device, precision):
        features = clip.encode_image(images.permute(0, 3, 1, 2))
    return features.float()
