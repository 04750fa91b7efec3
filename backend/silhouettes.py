"""Which of some shapes an image shows, by their silhouettes.

An encoder gives the gist of an image and a mapper proposes shapes near to it, but neither can say which
proposal has the outline of the object that is seen. Here each is laid over the object, as the camera that the
SVR model guesses sees it, and cameras a little beside (our choice).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.cameras import Cameras, look_at
from backend.svr.base import SvrModel

SIZE = 48
"""Pixels per side of the compared silhouettes: one is about a cell."""
_CELLS = 32
"""Cells per axis of the grid of a shape."""
_TURNS_DEG, _STEPS = (-5.0, 0.0, 5.0), (-0.05, 0.0, 0.05)
"""Azimuths, elevations and distances that are tried around the guessed ones."""
_STEEPEST_DEG = 80.0
_BORDER_SPREAD = 0.1
"""Greatest deviation of the border of a plain background."""
_LEAST_CONTRAST = 0.02
"""Deviation from the background's colour from which on a pixel is the object's."""
_SHARES = (0.004, 0.9)
"""Least and greatest share of the picture that an object may cover."""


@torch.no_grad()
def silhouette_overlaps(svr: SvrModel, codes: Tensor, image: Tensor) -> Tensor | None:
    """Best IoU [N] over the tried cameras of the silhouettes of codes [N, C] with that of the object in an
    image [1, 3, S, S] in [0, 1]; None where no object stands out from a plain background, or the model cannot
    tell where the image was taken from."""
    camera, true = svr.camera_of(image), object_mask(image)
    if camera is None or true is None:
        return None
    cameras = _around(camera)
    axis = ((torch.arange(_CELLS, device=codes.device) + 0.5) / _CELLS * 2 - 1) * svr.spec.bound
    cells = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(1, -1, 3)
    best = []
    for code in codes:
        inside = svr.field(code[None]).occupancy(cells)[0] > svr.spec.iso_logit
        masks = _covered(cells[:, inside], cameras)
        shared, either = (masks & true).flatten(1).sum(-1), (masks | true).flatten(1).sum(-1)
        best.append((shared / either).amax())
    return torch.stack(best)


def object_mask(image: Tensor) -> Tensor | None:
    """Where the object of an image [1, 3, S, S] is, [SIZE, SIZE]; None where the background is not plain or
    nothing of a fit size stands out from it."""
    pixels = image[0]
    border = torch.cat([pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], dim=1)
    background = border.median(dim=1, keepdim=True).values
    spread = float((border - background).abs().amax(0).quantile(0.9))
    differs = (pixels - background[..., None]).abs().amax(0) > max(_LEAST_CONTRAST, 2 * spread)
    mask = F.interpolate(differs[None, None].float(), (SIZE, SIZE), mode="area")[0, 0] > 0.5
    fits = _SHARES[0] < float(mask.float().mean()) < _SHARES[1]
    return mask if fits and spread <= _BORDER_SPREAD else None


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


def _covered(points: Tensor, cameras: Cameras) -> Tensor:
    """Pixels [V, SIZE, SIZE] in which points [1, P, 3] lie."""
    seen, _ = cameras.project(points)
    place = ((seen + 1) / 2 * SIZE).floor().long()
    within = ((place >= 0) & (place < SIZE)).all(-1)
    view = torch.arange(len(cameras), device=points.device)[:, None].expand(within.shape)
    masks = torch.zeros(len(cameras), SIZE, SIZE, dtype=torch.bool, device=points.device)
    masks[view[within], place[..., 1][within], place[..., 0][within]] = True
    return masks
