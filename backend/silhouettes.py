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


ROUGH, FINE = Fineness(48, 32), Fineness(96, 96)
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
    place: Tensor
    """[3]: azimuth and elevation in degrees, and distance, from which it was probably taken."""
    cameras: Cameras
    """That one, and others a little beside."""

    @classmethod
    def of(cls, svr: SvrModel, image: Tensor) -> "Outline | None":
        """None where no object stands out from a plain background, or the model cannot tell where the image
        was taken from."""
        camera = svr.camera_of(image)
        if camera is None or object_mask(image) is None:
            return None
        place = _place(camera)
        return cls(image, place, _around(place).to(image.device))

    @torch.no_grad()
    def overlaps(
        self, svr: SvrModel, codes: Tensor, how: Fineness = ROUGH, stop: Callable[[], bool] = lambda: False
    ) -> Tensor:
        """Best IoU [N] over the cameras of the silhouettes of codes [N, C] with the object's. Codes that are
        not reached before a wish to stop overlap nothing."""
        true = self.mask(how.size)
        best = codes.new_zeros(len(codes))
        for index, code in enumerate(codes):
            if stop():
                break
            best[index] = overlaps_with(true, skin(svr, code, how.cells), self.cameras).amax()
        return best

    def mask(self, size: int) -> Tensor:
        """Pixels [size, size] of the object."""
        return _reduced(_differs(self.image), size)


def overlaps_with(mask: Tensor, points: Tensor, cameras: Cameras) -> Tensor:
    """IoU [V] of a mask [S, S] with the pixels in which cameras see points [1, P, 3]."""
    masks = _covered(points, cameras, len(mask))
    shared, either = (masks & mask).flatten(1).sum(-1), (masks | mask).flatten(1).sum(-1)
    return shared / either.clamp_min(1)


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


def skin(svr: SvrModel, code: Tensor, cells: int) -> Tensor:
    """Corners [1, P, 3] of a grid that lie in the shape of a code [C] and beside one that does not: what is
    deeper inside is seen through them from everywhere."""
    grid = build_grid(svr.field(code[None]), cells, svr.spec.iso_logit, device=code.device)
    inside = grid.logits > 0
    near_outside = F.max_pool3d((~inside)[None, None].float(), 3, 1, 1)[0, 0] > 0
    places = (inside & near_outside).nonzero()
    return (places * grid.cell - HALF_SIDE)[None].to(code)


def _place(camera: Cameras) -> Tensor:
    x, y, z = camera.centers()[0].cpu()
    distance = (x * x + y * y + z * z).sqrt()
    return torch.stack([torch.rad2deg(torch.atan2(x, z)), torch.rad2deg(torch.asin(y / distance)), distance])


def cameras_at(places: Tensor) -> Cameras:
    """Cameras that look at the origin from places [V, 3], see `Outline.place`; none from right above."""
    azimuth, elevation, distance = places.unbind(-1)
    return look_at(azimuth, elevation.clamp(-_STEEPEST_DEG, _STEEPEST_DEG), distance)


def _around(place: Tensor) -> Cameras:
    """Cameras that look from a little beside a place [3], nearer or farther."""
    turns, steps = torch.tensor(_TURNS_DEG), torch.tensor(_STEPS)
    return cameras_at(place + torch.cartesian_prod(turns, turns, steps))


def _covered(points: Tensor, cameras: Cameras, size: int) -> Tensor:
    """Pixels [V, size, size] in which points [1, P, 3] lie."""
    seen, _ = cameras.project(points)
    place = ((seen + 1) / 2 * size).floor().long()
    within = ((place >= 0) & (place < size)).all(-1)
    view = torch.arange(len(cameras), device=points.device)[:, None].expand(within.shape)
    masks = torch.zeros(len(cameras), size, size, dtype=torch.bool, device=points.device)
    masks[view[within], place[..., 1][within], place[..., 0][within]] = True
    return masks
