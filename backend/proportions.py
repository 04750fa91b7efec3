"""How long, high and deep the object of an image is, beside a shape that looks like it.

What an encoder reads and a mapper proposes is right in its parts before it is right in its proportions, and a
board that stands a little beside the true one overlaps with nothing of it. Silhouettes tell proportions well
where the camera is known well: both are sought at once, near what was guessed (our choice).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from backend.silhouettes import FINE, Outline, cameras_at, overlaps_with, skin
from backend.svr.base import SvrModel

_SPREAD = np.array([0.1, 0.1, 0.1, 3.0, 3.0, 0.04])
"""Usual errors: of the logs of the three sizes, of azimuth and elevation in degrees, and of the distance."""
_DOUBT = 0.001
"""Overlap that a step of one usual error away from the guess must be worth."""
_FIRST_STEP = 0.8
_EVALUATIONS = 200


@torch.no_grad()
def proportions(outline: Outline, svr: SvrModel, code: Tensor) -> Tensor:
    """Factors [3], about 1, by which the shape of a code [C] must be longer along x, y and z so that its
    silhouette covers the object best."""
    points, mask = skin(svr, code, FINE.cells), outline.mask(FINE.size)

    def misfit(steps: NDArray[np.float64]) -> float:
        change = torch.tensor(steps * _SPREAD, dtype=torch.float32)
        camera = cameras_at((outline.place + change[3:])[None]).to(points.device)
        overlap = overlaps_with(mask, points * change[:3].exp().to(points), camera)
        return float(np.square(steps).sum()) * _DOUBT - float(overlap[0])

    start = np.zeros(len(_SPREAD))
    corners = np.vstack([start, _FIRST_STEP * np.eye(len(start))])
    options = {"maxfev": _EVALUATIONS, "initial_simplex": corners}
    found = minimize(misfit, start, method="Nelder-Mead", options=options)  # overlaps have no gradients
    return torch.from_numpy(np.exp(found.x[:3] * _SPREAD[:3])).to(code)
