"""From a CO3D sequence's arbitrary world to our unit cube, by its cameras and masks alone.

CO3D's worlds come from structure from motion: their place, turn and size mean nothing. The object's centre
is the point nearest to all rays through the middles of the masks; up is the mean of the cameras' ups; the
front is where the first frame stands; the size is the largest that a mask shows at the centre's depth. All
four are our choice, since nothing better is in the data.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from backend.datasets.turning import check_camera
from backend.errors import DatasetError

FILL = 0.9
"""Largest extent of the object in the unit cube."""


@dataclass(frozen=True)
class FramedCamera:
    """A camera in the convention of `cameras.py`, float32 [4, 4] each."""

    world_mat: np.ndarray
    camera_mat: np.ndarray


def our_camera(viewpoint: dict[str, Any], size: tuple[int, int], where: str) -> FramedCamera:
    """The camera of an annotation, still in the sequence's world; size: height and width in pixels.

    DatasetError where the annotation is incomplete or no camera.
    """
    height, width = size
    remedy = "Copy the annotations again."
    try:
        rotation = np.array(viewpoint["R"], np.float64).reshape(3, 3)
        shift = np.array(viewpoint["T"], np.float64).reshape(3)
        focal = np.array(viewpoint["focal_length"], np.float64).reshape(2)
        principal = np.array(viewpoint["principal_point"], np.float64).reshape(2)
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{where}: the viewpoint is incomplete ({error!r}).", remedy=remedy) from error
    kind = viewpoint.get("intrinsics_format", "ndc_norm_image_bounds")
    if kind == "ndc_isotropic":
        # The shorter side spans [-1, 1]; ours lets each side do so.
        stretch = min(height, width) / np.array([width, height], np.float64)
    elif kind == "ndc_norm_image_bounds":
        stretch = np.ones(2)
    else:
        raise DatasetError(f"{where}: intrinsics in the unknown format {kind!r}.", remedy=remedy)
    # Theirs has the borders at -1 and 1, ours the centres of the outermost pixels.
    inward = np.array([width / (width - 1), height / (height - 1)])
    flip = np.diag([-1.0, -1.0, 1.0])  # x left, y up -> x right, y down
    world = np.eye(4)
    world[:3, :3], world[:3, 3] = flip @ rotation.T, flip @ shift
    camera = np.eye(4)
    camera[0, 0], camera[1, 1] = focal * stretch * inward
    camera[:2, 2] = -principal * stretch * inward
    # The object may still be anywhere, so only the shape of the matrices is checked here.
    _check_lens(world, camera, where)
    return FramedCamera(world, camera)


def frame_sequence(cameras: list[FramedCamera], masks: list[np.ndarray], name: str) -> list[FramedCamera]:
    """Cameras whose world is our cube, for cameras in a sequence's world and boolean masks [H, W].

    DatasetError where they do not agree about where the object is.
    """
    centers = np.stack([-c.world_mat[:3, :3].T @ c.world_mat[:3, 3] for c in cameras])
    middles = [_middle(mask) for mask in masks]
    towards = np.stack([_ray(camera, middle) for camera, middle in zip(cameras, middles, strict=True)])
    middle = _nearest_point(centers, towards, name)
    up = _unit(-np.stack([c.world_mat[1, :3] for c in cameras]).mean(0))
    front = centers[0] - middle
    front = front - front @ up * up
    if np.linalg.norm(front) < 1e-9:
        raise DatasetError(
            f"{name}: the first frame looks straight down.", remedy="Take that frame out of the annotations."
        )
    front = _unit(front)
    axes = np.stack([np.cross(up, front), up, front])  # rows: our x, y, z in the sequence's world
    sizes = [_extent(camera, mask, middle) for camera, mask in zip(cameras, masks, strict=True)]
    unit = max(sizes) / FILL
    # Our point p lies at axes^T p * unit + middle; dividing by the unit leaves the picture as it is.
    placed = np.eye(4)
    placed[:3, :3], placed[:3, 3] = axes.T, middle / unit
    framed = []
    for number, camera in enumerate(cameras):
        world = camera.world_mat.copy()
        world[:3, 3] /= unit
        world = world @ placed
        check_camera(world, camera.camera_mat, f"{name}, frame {number} of the list")
        framed.append(FramedCamera(world.astype(np.float32), camera.camera_mat.astype(np.float32)))
    return framed


def _check_lens(world: np.ndarray, camera: np.ndarray, where: str) -> None:
    ahead = world.copy()
    ahead[2, 3] = 1.0
    check_camera(ahead, camera, where)
    if not np.isfinite(world).all():
        raise DatasetError(f"{where}: the world matrix is not finite.", remedy="Copy the annotations again.")


def _middle(mask: np.ndarray) -> np.ndarray:
    """Middle (x, y) of a mask's box in [-1, 1]."""
    return np.array([_span(mask.any(axis)).mean() for axis in (0, 1)])


def _span(seen: np.ndarray) -> np.ndarray:
    """First and last place of what is seen along one axis, in [-1, 1]."""
    places = np.flatnonzero(seen)
    return 2 * places[[0, -1]] / (len(seen) - 1) - 1


def _ray(camera: FramedCamera, pixel: np.ndarray) -> np.ndarray:
    """Unit direction of the ray through a pixel (x, y) in [-1, 1]."""
    x, y = (pixel - camera.camera_mat[:2, 2]) / np.diag(camera.camera_mat)[:2]
    return _unit(camera.world_mat[:3, :3].T @ np.array([x, y, 1.0]))


def _nearest_point(centers: np.ndarray, towards: np.ndarray, name: str) -> np.ndarray:
    """The point with the least squared distance to all rays."""
    across = np.eye(3) - towards[:, :, None] * towards[:, None, :]  # [V, 3, 3]
    total = across.sum(0)
    if np.linalg.cond(total) > 1e6:
        raise DatasetError(
            f"{name}: all frames look the same way, so the object's distance is unknown.",
            remedy="Leave this sequence out.",
        )
    return np.linalg.solve(total, (across @ centers[:, :, None]).sum(0)[:, 0])


def _extent(camera: FramedCamera, mask: np.ndarray, middle: np.ndarray) -> float:
    """Width or height of the object, whichever is more, in units of the sequence's world."""
    depth = camera.world_mat[2, :3] @ middle + camera.world_mat[2, 3]
    spans = [np.ptp(_span(mask.any(axis))) for axis in (0, 1)]
    return float(max(span * depth / camera.camera_mat[i, i] for i, span in enumerate(spans)))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
