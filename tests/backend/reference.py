"""What the reference did that the product does not: quirks in its stored tensors, for tests only."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.cameras import Cameras
from backend.config import RenderSettings
from backend.rendering.moving_surface import surface_points
from backend.rendering.surface import march_densely
from backend.svr.dvr import DvrField, DvrModel

MISS_DEPTH = 1.0


def tensor(archive: np.lib.npyio.NpzFile, key: str) -> Tensor:
    return torch.from_numpy(archive[key])


def weights(archive: np.lib.npyio.NpzFile, prefix: str) -> dict[str, Tensor]:
    """Tensors of a state dict below sd/<prefix>, as float32."""
    names = [k for k in archive.files if k.startswith(f"sd/{prefix}")]
    return {k[len("sd/") + len(prefix) :]: tensor(archive, k).float() for k in names}


def fitted_model(folder: Path) -> DvrModel:
    """The reference's fitted decoder in a frozen DVR model (its encoder is not used)."""
    model = DvrModel().eval()
    model.decoder.load_state_dict(weights(np.load(folder / "dvr_fitted.npz"), "decoder."))
    return model.requires_grad_(False)


class ClipStub:
    """The archives' linear stand-in for CLIP's image encoder."""

    def __init__(self, folder: Path) -> None:
        self._matrix = tensor(np.load(folder / "iss_stage2.npz"), "in/clip_stub_W").float()

    def __call__(self, images: Tensor) -> Tensor:
        return functional.avg_pool2d(images, 16).flatten(1) @ self._matrix.T


def unrolled_rays(cameras: Cameras, size: int) -> tuple[Tensor, Tensor]:
    """Rays [V, size * size, 3] in the reference's order: x slow, y fast."""
    origins, directions = cameras.rays(size, size)
    return origins.transpose(1, 2).flatten(1, 2), directions.transpose(1, 2).flatten(1, 2)


def whole_image(
    field: DvrField, cameras: Cameras, size: int, steps: int, stored_mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Mask [V, P], points and colours [V, P, 3] of all rays, misses decoded at camera depth 1.

    To save minutes, only rays near the stored mask [V, P], and every 37th elsewhere, are marched.
    """
    origins, directions = unrolled_rays(cameras, size)
    settings = RenderSettings(grid_resolution=0, march_steps=steps)
    wide = functional.max_pool2d(stored_mask.reshape(-1, 1, size, size).float(), 5, 1, 2).flatten(1) > 0
    wide[:, ::37] = True
    found = march_densely(field, origins[wide][None], directions[wide][None], settings)
    mask = torch.zeros_like(wide)
    mask[wide] = found.hit[0]
    hit, entered = found.hit, found.entered[found.hit][None]
    hits, _ = surface_points(
        field, origins[mask][None], directions[mask][None], found.depth[hit][None], entered
    )
    points = (origins + MISS_DEPTH * directions).index_put((mask,), hits[0])
    return mask, points, field.color(points.reshape(1, -1, 3)).reshape(points.shape)


def clip_image(flat: Tensor, size: int) -> Tensor:
    """The reference's input of CLIP [V, 3, 224, 224], [x, y], from flat colours [V, P, 3]."""
    image = flat.reshape(-1, size, size, flat.shape[-1]).permute(0, 3, 1, 2)
    return functional.interpolate((image - 0.45) / 0.27, size=224, mode="nearest")


def close(ours: Tensor | float, reference: np.ndarray | Tensor | float, tolerance: float = 1e-5) -> None:
    """Largest difference within `tolerance` of the reference's largest magnitude."""
    ours = torch.as_tensor(ours).detach().double()
    reference = torch.as_tensor(reference).double()
    ours = ours.reshape(reference.shape)
    gap = (ours - reference).abs().max()
    assert gap <= tolerance * reference.abs().max(), f"differs by {gap:.3g} of {reference.abs().max():.3g}"


def same_direction(ours: Tensor, reference: np.ndarray | Tensor, tolerance: float = 1e-3) -> None:
    """Length of the difference within `tolerance` of the reference's length."""
    reference = torch.as_tensor(reference).double().reshape(-1)
    gap = (ours.detach().double().reshape(-1) - reference).norm() / reference.norm()
    assert gap <= tolerance, f"gradient differs by {gap:.3g} of its length"
