"""Turning a data set's own axes to ours, and the checks that a camera has to pass.

All layouts read here have y up. They differ in where fronts look:

    ShapeNetCore v1 (DVR, ONet, Choy's renderings)   +x   its README: "the front is the +X axis"
    ShapeNetCore v2 (IM-NET's hdf5 is turned to it)  -z
    CO3D                                             unknown; the first frame of a sequence is taken as front
    ours, as glTF                                    +z
"""

import numpy as np

from backend.errors import DatasetError

FRONTS: dict[str, tuple[float, float, float]] = {
    "+x": (1.0, 0.0, 0.0),
    "-x": (-1.0, 0.0, 0.0),
    "+z": (0.0, 0.0, 1.0),
    "-z": (0.0, 0.0, -1.0),
}
"""Axis on disk -> its direction."""
ROTATION_TOLERANCE = 1e-2
"""Largest entry of R^T R - 1 in a camera that still counts as rigid."""


def front_rotation(front: str) -> np.ndarray:
    """Rotation [4, 4] about y that turns a front along `front` to +z, float64."""
    x, _, z = FRONTS[front]
    rotation = np.eye(4)
    # (x, z) of the front goes to (0, 1): columns are the images of the x and z axes.
    rotation[0, 0], rotation[0, 2] = z, -x
    rotation[2, 0], rotation[2, 2] = x, z
    return rotation


def turn_points(points: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Points [P, 3] on disk in our axes, float32."""
    return (points.astype(np.float64) @ rotation[:3, :3].T).astype(np.float32)


def turn_camera(world_mat: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """An extrinsic [4, 4] for points in our axes, float32: a point is turned back first."""
    return (world_mat.astype(np.float64) @ np.linalg.inv(rotation)).astype(np.float32)


def check_camera(world_mat: np.ndarray, camera_mat: np.ndarray, where: str) -> None:
    """DatasetError where a camera cannot be one: wrong shape, not finite, not rigid, blind, or looking away
    from the object."""
    remedy = "Write the camera again: extrinsic [R | t] with y down and z forward, pixels in [-1, 1]."
    for name, matrix in (("world", world_mat), ("camera", camera_mat)):
        if matrix.shape != (4, 4):
            raise DatasetError(
                f"{where}: the {name} matrix has shape {matrix.shape}, not (4, 4).", remedy=remedy
            )
        if not np.isfinite(matrix).all():
            raise DatasetError(f"{where}: the {name} matrix is not finite.", remedy=remedy)
    turn = world_mat[:3, :3]
    if np.abs(turn.T @ turn - np.eye(3)).max() > ROTATION_TOLERANCE or np.linalg.det(turn) < 0:
        raise DatasetError(f"{where}: the world matrix is no rotation with a shift.", remedy=remedy)
    if abs(camera_mat[0, 0]) < 1e-6 or abs(camera_mat[1, 1]) < 1e-6:
        raise DatasetError(f"{where}: the camera matrix has focal length 0.", remedy=remedy)
    if world_mat[2, 3] <= 0:
        raise DatasetError(
            f"{where}: the object's centre lies {-world_mat[2, 3]:.2f} behind the camera.", remedy=remedy
        )
