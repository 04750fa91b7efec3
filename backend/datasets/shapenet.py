"""ShapeNet in the folder layout of DVR, with Choy's renderings for the encoders.

    ROOT/SYNSET/{train,val,test}.lst        one shape per line; without the list, every folder counts
    ROOT/SYNSET/SHAPE/img_choy2016/*.jpg    pictures for the encoders; without the folder, image/ serves
    ROOT/SYNSET/SHAPE/image/*.{png,jpg}     pictures with cameras
    ROOT/SYNSET/SHAPE/mask/*.png            the object is where the first channel is not 0
    ROOT/SYNSET/SHAPE/depth/*.exr           camera-space depth (optional)
    ROOT/SYNSET/SHAPE/cameras.npz           world_mat_I, camera_mat_I, optionally scale_mat_I
    ROOT/SYNSET/SHAPE/points.npz            points, occupancies as packed bits (optional, Occupancy Networks')

Files pair up by their sorted order, as in DVR. Its models are those of ShapeNetCore v1, whose front is +x;
cameras and points are turned to ours here.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from zipfile import BadZipFile

import numpy as np

from backend.datasets.base import Dataset, DataSettings, LabelledPoints, Picture, Problem, Record, View
from backend.datasets.exr import read_depth
from backend.datasets.image_file import check_same_size, on_white, read_lines, read_mask, read_rgb
from backend.datasets.turning import check_camera, front_rotation, turn_camera, turn_points
from backend.errors import DatasetError

FRONT = "+x"
"""Of ShapeNetCore v1."""
SYNSETS = {
    "02691156": "airplane", "02828884": "bench", "02933112": "cabinet", "02958343": "car",
    "03001627": "chair", "03211117": "display", "03636649": "lamp", "03691459": "loudspeaker",
    "04090263": "rifle", "04256520": "sofa", "04379243": "table", "04401088": "telephone",
    "04530566": "watercraft",
}  # fmt: skip
"""WordNet's numbers of the 13 categories that DVR was trained on, with our names."""
_CHOY = "img_choy2016"
_PICTURES = (".jpg", ".jpeg", ".png")


@dataclass
class ShapeNet(Dataset):
    """A ShapeNet folder."""

    layout: ClassVar[str] = "shapenet"
    title: ClassVar[str] = "ShapeNet in DVR's folders"

    folders: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        root = Path(self.settings.folder)
        front = FRONT if self.settings.front == "layout" else self.settings.front
        self._rotation = front_rotation(front)
        for category in _categories(root, self.settings):
            for name in self._listed(category):
                self._add(category, category / name)

    def _listed(self, category: Path) -> list[str]:
        """Names of a category's shapes in the chosen list."""
        path = category / f"{self.settings.split}.lst"
        if not path.exists():
            self.faults.append(
                Problem(
                    f"{category} has no {path.name}: every folder counts as {self.settings.split}.",
                    f"Put the list {path.name} there, one shape per line.",
                    serious=False,
                )
            )
            return sorted(child.name for child in category.iterdir() if child.is_dir())
        names = read_lines(path)
        if not names:
            self.faults.append(Problem(f"The list {path} is empty.", "Write one shape per line."))
        return names

    def _add(self, category: Path, folder: Path) -> None:
        if not folder.is_dir():
            self.faults.append(
                Problem(
                    f"{folder} is missing, although the list {self.settings.split}.lst names it.",
                    "Copy the folder, or take the line out of the list.",
                )
            )
            return
        views, inputs = len(_files(folder / "image")), len(_files(folder / _CHOY))
        if not inputs and not views:
            self.faults.append(
                Problem(f"{folder} has no pictures in image/ or {_CHOY}/.", "Copy the folder again.")
            )
            return
        masks = len(_files(folder / "mask"))
        if views and masks != views:
            self.faults.append(
                Problem(f"{folder} has {views} pictures in image/ and {masks} in mask/.",
                        "Pair every picture with a mask.")
            )  # fmt: skip
            return
        if views and not (folder / "cameras.npz").is_file():
            self.faults.append(
                Problem(f"{folder / 'cameras.npz'} is missing.", "Copy it; pictures need cameras.")
            )
            return
        self.folders.append(folder)
        self.records.append(
            Record(
                name=f"{category.name}/{folder.name}",
                category=SYNSETS.get(category.name, category.name),
                inputs=inputs or views,
                views=views,
            )
        )

    @property
    def has_points(self) -> bool:
        return bool(self.folders) and all((f / "points.npz").is_file() for f in self.folders)

    def input(self, shape: int, number: int) -> Picture:
        own = _files(self.folders[shape] / _CHOY)
        if own:
            return Picture(read_rgb(own[number]), None)
        rgb, mask = self._picture(shape, number)
        return Picture(on_white(rgb, mask), mask)

    def view(self, shape: int, number: int) -> View:
        folder = self.folders[shape]
        rgb, mask = self._picture(shape, number)
        where = f"{folder / 'cameras.npz'}, view {number}"
        matrices = _read_arrays(folder / "cameras.npz")
        names = (f"world_mat_{number}", f"camera_mat_{number}")
        missing = [name for name in names if name not in matrices]
        if missing:
            raise DatasetError(
                f"{folder / 'cameras.npz'} lacks {' and '.join(missing)}.",
                remedy="Write one pair of matrices per picture, numbered from 0.",
            )
        world, camera = (matrices[name].astype(np.float64) for name in names)
        scale = matrices.get(f"scale_mat_{number}")
        check_camera(world, camera, where)
        if scale is not None and not np.allclose(scale, np.eye(4), atol=1e-4):
            raise DatasetError(
                f"{where}: the scale matrix is not the identity.",
                remedy="Bring shapes into the unit cube around the origin, as DVR's ShapeNet is.",
            )
        return View(
            on_white(rgb, mask),
            mask > 0,
            turn_camera(world, self._rotation),
            camera.astype(np.float32),
            self._depth(folder, number, mask),
        )

    def points(self, shape: int) -> LabelledPoints:
        path = self.folders[shape] / "points.npz"
        arrays = _read_arrays(path)
        if "points" not in arrays or "occupancies" not in arrays:
            raise DatasetError(
                f"{path} lacks points or occupancies.", remedy="Copy it from the Occupancy Networks data."
            )
        positions, inside = arrays["points"], arrays["occupancies"]
        if inside.dtype == np.uint8 and inside.size * 8 >= len(positions) > inside.size:
            inside = np.unpackbits(inside)[: len(positions)]
        if positions.ndim != 2 or positions.shape[1] != 3 or inside.shape != positions.shape[:1]:
            raise DatasetError(
                f"{path}: points have shape {positions.shape}, occupancies {inside.shape}.",
                remedy="Give points (P, 3) and occupancies (P) or their packed bits.",
            )
        return LabelledPoints(turn_points(positions, self._rotation), inside.astype(bool))

    def _picture(self, shape: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """rgb and mask [H, W] of 0 and 1."""
        folder = self.folders[shape]
        picture, marked = (_files(folder / part)[number] for part in ("image", "mask"))
        rgb, mask = read_rgb(picture), read_mask(marked)
        check_same_size(rgb, mask, (picture, marked))
        if not mask.any():
            raise DatasetError(
                f"The mask {marked} shows no object.",
                remedy="Render it again, or take the shape out of the list.",
            )
        return rgb, (mask > 0).astype(np.float32)

    def _depth(self, folder: Path, number: int, mask: np.ndarray) -> np.ndarray | None:
        files = _files(folder / "depth", (".exr",))
        if not files or not self.settings.depth:
            return None
        if number >= len(files):
            raise DatasetError(
                f"{folder / 'depth'} has {len(files)} maps, but there is a view {number}.",
                remedy='Copy them all, or train without depth ("depth": false).',
            )
        depth = read_depth(files[number])
        check_same_size(depth, mask, (files[number], folder / "mask"))
        # Renderers write a huge number or 0 where there is nothing.
        return np.where((mask > 0) & (depth > 0) & (depth < 1e6), depth, np.inf).astype(np.float32)


def _categories(root: Path, settings: DataSettings) -> list[Path]:
    """The chosen category folders; DatasetError where one is missing."""
    found = {child.name: child for child in sorted(root.iterdir()) if child.is_dir()}
    if not settings.categories:
        return list(found.values())
    numbers = {name: number for number, name in SYNSETS.items()}
    chosen = []
    for name in settings.categories:
        folder = found.get(name) or found.get(numbers.get(name, ""))
        if folder is None:
            raise DatasetError(
                f"{root} has no category {name!r}.", remedy=f"Choose from: {', '.join(found) or 'none'}."
            )
        chosen.append(folder)
    return chosen


def _files(folder: Path, endings: tuple[str, ...] = _PICTURES) -> list[Path]:
    """A folder's files with those endings, sorted; none where the folder is missing."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        # numpy leaves a file open that it cannot read, unless it was opened for it.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, TypeError, BadZipFile, EOFError, KeyError) as error:
        raise DatasetError(f"{path} cannot be read: {error}.", remedy="Copy the file again.") from error
