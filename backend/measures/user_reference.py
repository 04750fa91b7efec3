"""References of the user's own: a folder of pictures for the FID, a folder of meshes for the FPD."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backend.errors import DatasetError, MeshError
from backend.measures.points import sample_surface
from backend.mesh import TriMesh

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MESHES = (".ply", ".glb", ".gltf", ".obj", ".stl", ".off")


def read_pictures(folder: Path, side: int) -> NDArray[np.uint8]:
    """All pictures below a folder [N, 1, side, side, 3], on white; DatasetError names a broken one."""
    from PIL import Image, UnidentifiedImageError

    pictures = []
    for path in _files(folder, PICTURES, "pictures"):
        try:
            with Image.open(path) as opened:
                picture = opened.convert("RGBA")
        except (UnidentifiedImageError, OSError, ValueError) as error:
            raise DatasetError(f"{path} is no picture: {error}.", remedy="Remove or repair it.") from error
        white = Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture)
        square = white.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        pictures.append(np.asarray(square, dtype=np.uint8)[None])
    return np.stack(pictures)


def read_point_sets(folder: Path, count: int, seed: int) -> NDArray[np.float32]:
    """Point sets [N, count, 3] of all meshes below a folder, y up as in their files."""
    import trimesh

    rng = np.random.default_rng(seed)
    sets = []
    for path in _files(folder, MESHES, "meshes"):
        try:
            mesh = trimesh.load(path, force="mesh", process=False)
            plain = TriMesh(mesh.vertices, mesh.faces, np.zeros((len(mesh.vertices), 3), np.float32))
            sets.append(sample_surface(plain, count, rng))
        except (MeshError, ValueError, KeyError, IndexError, OSError, NotImplementedError) as error:
            raise DatasetError(
                f"{path} is no usable mesh: {error}.", remedy="Remove or repair it."
            ) from error
    return np.stack(sets)


def _files(folder: Path, suffixes: tuple[str, ...], what: str) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    if len(found) < 2:
        raise DatasetError(
            f"{folder} holds {len(found)} {what}; a distribution needs at least 2.",
            remedy=f"Give a folder with {', '.join(suffixes)} files.",
        )
    return found
