"""Which of some shapes an image shows, by their silhouettes.

An encoder gives the gist of an image and a mapper proposes shapes near to it, but neither can say which
proposal has the outline of the object that is seen. Here each is laid over the object, as the camera that the
SVR model guesses sees it, and cameras a little beside: roughly, and the best once more finely (our choice).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.cameras import Cameras, look_at
from backend.rendering.occupancy_grid import HALF_SIDE, build_grid
from backend.svr.base import SvrModel


@dataclass(frozen=True)
class Fineness:
    """How closely silhouettes are compared."""

    size: int
    """Pixels per side."""
    cells: int
    """Cells per axis of the grid of a shape; one is about a pixel, or less."""


ROUGH, FINE = Fineness(48, 32), Fineness(64, 64)
"""For many shapes, and for the few that are left: a leg is thinner than a cell of the first."""
_TURNS_DEG, _STEPS = (-5.0, 0.0, 5.0), (-0.05, 0.0, 0.05)
"""Azimuths, elevations and distances that are tried around the guessed ones."""
_STEEPEST_DEG = 80.0
_BORDER_SPREAD = 0.1
"""Greatest deviation of the border of a plain background."""
_LEAST_CONTRAST = 0.02
"""Deviation from the background's colour from which on a pixel is the object's."""
_SHARES = (0.004, 0.9)
"""Least and greatest share of the picture that an object may cover."""


@dataclass(frozen=True)
class Outline:
    """The object of an image, and where from it may be seen."""

    image: Tensor
    """[1, 3, S, S] in [0, 1]."""
    cameras: Cameras

    @classmethod
    def of(cls, svr: SvrModel, image: Tensor) -> "Outline | None":
        """None where no object stands out from a plain background, or the model cannot tell where the image
        was taken from."""
        camera = svr.camera_of(image)
        if camera is None or object_mask(image) is None:
            return None
        return cls(image, _around(camera))

    @torch.no_grad()
    def overlaps(
        self, svr: SvrModel, codes: Tensor, how: Fineness = ROUGH, stop: Callable[[], bool] = lambda: False
    ) -> Tensor:
        """Best IoU [N] over the cameras of the silhouettes of codes [N, C] with the object's. Codes that are
        not reached before a wish to stop overlap nothing."""
        true = _reduced(_differs(self.image), how.size)
        best = codes.new_zeros(len(codes))
        for index, code in enumerate(codes):
            if stop():
                break
            masks = _covered(_inside(svr, code, how.cells), self.cameras, how.size)
            shared, either = (masks & true).flatten(1).sum(-1), (masks | true).flatten(1).sum(-1)
            best[index] = (shared / either.clamp_min(1)).amax()
        return best


def object_mask(image: Tensor) -> Tensor | None:
    """Where the object of an image [1, 3, S, S] is, in the size of rough silhouettes; None where the
    background is not plain or nothing of a fit size stands out from it."""
    mask = _reduced(_differs(image), ROUGH.size)
    fits = _SHARES[0] < float(mask.float().mean()) < _SHARES[1]
    return mask if fits and _background(image)[1] <= _BORDER_SPREAD else None


def _background(image: Tensor) -> tuple[Tensor, float]:
    """Colour [3, 1] of the border of an image, and how far it strays from that."""
    pixels = image[0]
    border = torch.cat([pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], dim=1)
    color = border.median(dim=1, keepdim=True).values
    return color, float((border - color).abs().amax(0).quantile(0.9))


def _differs(image: Tensor) -> Tensor:
    """Pixels [S, S] that are not of the background."""
    color, spread = _background(image)
    return (image[0] - color[..., None]).abs().amax(0) > max(_LEAST_CONTRAST, 2 * spread)


def _reduced(mask: Tensor, size: int) -> Tensor:
    return F.interpolate(mask[None, None].float(), (size, size), mode="area")[0, 0] > 0.5


def _inside(svr: SvrModel, code: Tensor, cells: int) -> Tensor:
    """Corners [1, P, 3] of a grid that lie in the shape of a code [C]."""
    grid = build_grid(svr.field(code[None]), cells, svr.spec.iso_logit, device=code.device)
    places = (grid.logits > 0).nonzero()
    return (places * grid.cell - HALF_SIDE)[None].to(code)


def _around(camera: Cameras) -> Cameras:
    """Cameras that look from a little beside one, nearer or farther."""
    x, y, z = camera.centers()[0].cpu()
    distance = (x * x + y * y + z * z).sqrt()
    turns, steps = torch.tensor(_TURNS_DEG), torch.tensor(_STEPS)
    azimuth, elevation, step = torch.cartesian_prod(turns, turns, steps).unbind(-1)
    azimuth = azimuth + torch.rad2deg(torch.atan2(x, z))
    elevation = elevation + torch.rad2deg(torch.asin(y / distance))
    steep = elevation.clamp(-_STEEPEST_DEG, _STEEPEST_DEG)
    return look_at(azimuth, steep, distance + step).to(camera.world_mat.device)


def _covered(points: Tensor, cameras: Cameras, size: int) -> Tensor:
    """Pixels [V, size, size] in which points [1, P, 3] lie."""
    seen, _ = cameras.project(points)
    place = ((seen + 1) / 2 * size).floor().long()
    within = ((place >= 0) & (place < size)).all(-1)
    view = torch.arange(len(cameras), device=points.device)[:, None].expand(within.shape)
    masks = torch.zeros(len(cameras), size, size, dtype=torch.bool, device=points.device)
    masks[view[within], place[..., 1][within], place[..., 0][within]] = True
    return masks
