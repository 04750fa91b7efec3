"""Camera conventions of the whole project, stated once, and the cameras made from them.

Object space is the unit cube [-0.5, 0.5]^3 with y up; the object's front looks towards +z. Camera space has
x right, y down, z forward. Pixels lie in [-1, 1] on both axes, (-1, -1) is the top-left corner, x right, y
down, end points inclusive: column i of W sits at 2 i / (W - 1) - 1. A point p is seen at the pixel
(camera_mat @ world_mat @ p)[:2] / depth. Images are [row, column].

A ray is origin + d * direction with the direction *not* normalised but of camera-space depth 1, so the ray
parameter d is the camera-space depth (DVR's convention).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from backend.errors import SettingError

FOCAL = 2.1875
"""Focal length in half image widths: 2 * 35 mm / 32 mm, the ShapeNet renderings' lens (49.1 degrees)."""


@dataclass(frozen=True)
class Cameras:
    """V cameras, with one lens or one each."""

    world_mat: Tensor
    """[V, 4, 4] object space to camera space, [R | t] over [0 0 0 1]."""
    camera_mat: Tensor
    """[4, 4], or one per camera [V, 4, 4]: camera space to pixels times depth, diag(focal, focal, 1, 1)."""

    def __len__(self) -> int:
        return self.world_mat.shape[0]

    def __getitem__(self, index: int | slice | Tensor) -> "Cameras":
        """The chosen cameras, always as a batch."""
        chosen = self.world_mat[index]
        own = self.camera_mat.ndim == 3
        lens = self.camera_mat[index].reshape(-1, 4, 4) if own else self.camera_mat
        return Cameras(chosen.reshape(-1, 4, 4), lens)

    def to(self, device: torch.device | str) -> "Cameras":
        """The same cameras on another device."""
        return Cameras(self.world_mat.to(device), self.camera_mat.to(device))

    def moved(self, factor: float | Tensor) -> "Cameras":
        """Cameras `factor` times (a number, or one per view [V]) as far from the object's centre."""
        world = self.world_mat.clone()
        world[:, :3, 3] *= torch.as_tensor(factor, dtype=world.dtype, device=world.device).reshape(-1, 1)
        return Cameras(world, self.camera_mat)

    def centers(self) -> Tensor:
        """Positions of the cameras [V, 3] in object space."""
        to_object: Tensor = torch.linalg.inv(self.world_mat)
        return to_object[:, :3, 3]

    def rays(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Origins and directions [V, H, W, 3] through every pixel of an image."""
        pixels = pixel_grid(height, width).to(self.world_mat)
        origins, directions = self.rays_at(pixels.reshape(1, -1, 2).expand(len(self), -1, -1))
        shape = (len(self), height, width, 3)
        return origins.reshape(shape), directions.reshape(shape)

    def rays_at(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Origins and directions [V, P, 3] through pixel positions [V, P, 2] in [-1, 1]."""
        origins = self.centers()[:, None].expand(-1, pixels.shape[1], -1)
        return origins, self.unproject(pixels, torch.ones_like(pixels[..., :1])) - origins

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels [V, P, 2] and camera-space depths [V, P] of object points [V or 1, P, 3]."""
        to_pixels = self.camera_mat @ self.world_mat
        seen = points @ to_pixels[:, :3, :3].mT + to_pixels[:, None, :3, 3]
        return seen[..., :2] / seen[..., 2:], seen[..., 2]

    def unproject(self, pixels: Tensor, depths: Tensor) -> Tensor:
        """Object points [V, P, 3] at pixels [V, P, 2] and camera-space depths [V, P, 1]."""
        to_object: Tensor = torch.linalg.inv(self.world_mat) @ torch.linalg.inv(self.camera_mat)
        seen = torch.cat([pixels * depths, depths], dim=-1)
        return seen @ to_object[:, :3, :3].mT + to_object[:, None, :3, 3]


def camera_matrix(focal: float = FOCAL) -> Tensor:
    """The lens matrix [4, 4] for a focal length in half image widths."""
    return torch.diag(torch.tensor([focal, focal, 1.0, 1.0]))


def look_at(
    azimuth_deg: float | Sequence[float] | Tensor,
    elevation_deg: float | Sequence[float] | Tensor = 0.0,
    distance: float | Sequence[float] | Tensor = 1.8,
    *,
    focal: float = FOCAL,
) -> Cameras:
    """Cameras that look at the origin, upright.

    azimuth_deg: 0 looks at the front from +z, 90 stands at +x. elevation_deg: up towards +y, inside (-90,
    90).
    distance: from the origin, in units of the cube. Each is a number or one per view; numbers are shared.
    """
    given = (azimuth_deg, elevation_deg, distance)
    azimuth, elevation, reach = (torch.as_tensor(v, dtype=torch.float64).reshape(-1) for v in given)
    count = max(len(azimuth), len(elevation), len(reach))
    azimuth, elevation, reach = azimuth.expand(count), elevation.expand(count), reach.expand(count)
    if (elevation.abs() >= 90).any() or (reach <= 0).any():
        raise SettingError(
            f"No upright camera at elevation {elevation_deg} degrees and distance {distance}.",
            remedy="Choose elevations inside -90 to 90 degrees and distances above 0.",
        )
    azimuth, elevation = torch.deg2rad(azimuth), torch.deg2rad(elevation)
    # Unit vector from the origin to the camera; the camera looks the other way.
    back = torch.stack(
        [azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos()], dim=-1
    )
    right = torch.stack([azimuth.cos(), torch.zeros_like(azimuth), -azimuth.sin()], dim=-1)
    down = torch.linalg.cross(-back, right)
    world = torch.zeros(count, 4, 4, dtype=torch.float64)
    world[:, :3, :3] = torch.stack([right, down, -back], dim=1)
    # The origin lies straight ahead at the camera's distance.
    world[:, 2, 3] = reach
    world[:, 3, 3] = 1
    return Cameras(world.float(), camera_matrix(focal))


def random_cameras(
    count: int,
    generator: torch.Generator,
    *,
    distance: tuple[float, float] = (1.8, 1.8),
    elevation_deg: tuple[float, float] = (5.0, 35.0),
    focal: float = FOCAL,
) -> Cameras:
    """Cameras with azimuth uniform on the circle, elevation and distance uniform in their ranges."""
    draws = torch.rand(3, count, generator=generator, device=generator.device).cpu()
    return look_at(
        360 * draws[0],
        elevation_deg[0] + (elevation_deg[1] - elevation_deg[0]) * draws[1],
        distance[0] + (distance[1] - distance[0]) * draws[2],
        focal=focal,
    )


def pixel_grid(height: int, width: int) -> Tensor:
    """Pixel positions (x, y) [H, W, 2] in [-1, 1] of an image, end points inclusive."""
    rows = 2 * torch.arange(height) / (height - 1) - 1
    columns = 2 * torch.arange(width) / (width - 1) - 1
    return torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)], dim=-1)


def sample_pixels(images: Tensor, pixels: Tensor) -> Tensor:
    """Values [B, P, C] of images [B, C, H, W] nearest to pixel positions [B, P, 2] (stage 1 reads its
    targets so).

    Positions outside read 0. DVR reads with cell borders, not pixel centres, at -1 and 1.
    """
    read = functional.grid_sample(
        images, pixels[:, None], mode="nearest", padding_mode="zeros", align_corners=False
    )
    return read[:, :, 0].mT
