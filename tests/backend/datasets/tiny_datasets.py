"""Writes small data sets of procedural shapes in exactly the layouts that the readers know.

The shapes are turned into each layout's own axes, so that a reader that forgets to turn them back is caught.
"""

import gzip
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from backend.datasets.procedural.categories import make
from backend.datasets.procedural.shape import PackedShape
from backend.datasets.procedural.views import FOCAL, label, occupancy_grid, render, world_matrix
from backend.datasets.turning import front_rotation

LENS = np.diag([FOCAL, FOCAL, 1.0, 1.0])
SYNSET = {"chair": "03001627", "table": "04379243"}


def shapes(count: int) -> list[tuple[str, PackedShape]]:
    """Chairs and tables in turns, always the same."""
    names = ["chair" if i % 2 == 0 else "table" for i in range(count)]
    return [(name, make(name, np.random.default_rng([31, i])).shape) for i, name in enumerate(names)]


def cameras(count: int) -> list[np.ndarray]:
    """Extrinsics around the object, the first one in front."""
    return [world_matrix(360 * i / count, 20.0, 1.7) for i in range(count)]


def exr_bytes(depth: np.ndarray, *, compression: int = 3, half: bool = False, name: str = "Z") -> bytes:
    """An OpenEXR file of one channel: 0 no compression, 1 RLE, 2 ZIPS, 3 ZIP."""
    height, width = depth.shape
    kind = np.dtype("<f2" if half else "<f4")
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    channel = name.encode() + b"\0" + struct.pack("<iIii", 1 if half else 2, 0, 1, 1) + b"\0"
    fields = [
        ("channels", "chlist", channel), ("compression", "compression", bytes([compression])),
        ("dataWindow", "box2i", window), ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", b"\0"), ("pixelAspectRatio", "float", struct.pack("<f", 1)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1)),
    ]  # fmt: skip
    head = b"v/1\x01" + struct.pack("<I", 2)
    for key, kind_name, value in fields:
        head += key.encode() + b"\0" + kind_name.encode() + b"\0" + struct.pack("<i", len(value)) + value
    head += b"\0"
    rows = 16 if compression == 3 else 1
    blocks = []
    for top in range(0, height, rows):
        plain = depth[top : top + rows].astype(kind).tobytes()
        packed = plain if compression == 0 else _pack(plain, compression)
        stored = packed if len(packed) < len(plain) else plain
        blocks.append(struct.pack("<ii", top, len(stored)) + stored)
    table, at = b"", len(head) + 8 * len(blocks)
    for block in blocks:
        table += struct.pack("<Q", at)
        at += len(block)
    return head + table + b"".join(blocks)


def _pack(plain: bytes, compression: int) -> bytes:
    values = np.frombuffer(plain, np.uint8)
    split = np.concatenate([values[0::2], values[1::2]]).astype(np.int64)
    steps = split.copy()
    steps[1:] = (split[1:] - split[:-1] + 128) & 255
    data = steps.astype(np.uint8).tobytes()
    if compression != 1:
        return zlib.compress(data)
    out = bytearray()
    place = 0
    while place < len(data):
        run = 1
        while place + run < len(data) and run < 128 and data[place + run] == data[place]:
            run += 1
        if run >= 3:
            out += bytes([run - 1, data[place]])
            place += run
        else:
            out += bytes([255, data[place]])
            place += 1
    return bytes(out)


def write_shapenet(
    root: Path, *, count: int = 4, views: int = 3, size: int = 32, choy: bool = True, depth: bool = True
) -> Path:
    """DVR's folders, fronts along +x, with lists and (optionally) Choy's pictures and depth maps."""
    turn = front_rotation("+x")
    listed: dict[str, list[str]] = {}
    for number, (category, shape) in enumerate(shapes(count)):
        synset, name = SYNSET[category], f"shape{number}"
        listed.setdefault(synset, []).append(name)
        folder = root / synset / name
        matrices = {}
        for part in ("image", "mask", *(["depth"] if depth else []), *(["img_choy2016"] if choy else [])):
            (folder / part).mkdir(parents=True)
        for v, world in enumerate(cameras(views)):
            image = render(shape, world, size, ambient=1.0)
            _save(image.rgb, folder / "image" / f"{v:04d}.png")
            Image.fromarray(image.mask).save(folder / "mask" / f"{v:04d}.png")
            if depth:
                (folder / "depth" / f"{v:04d}.exr").write_bytes(exr_bytes(image.depth))
            if choy:
                _save(image.rgb, folder / "img_choy2016" / f"{v:03d}.jpg")
            # A point on disk is turned first: camera @ turn sees what camera sees of the turned point.
            matrices |= {f"world_mat_{v}": world @ turn, f"camera_mat_{v}": LENS}
        np.savez(folder / "cameras.npz", **matrices)
    for synset, names in listed.items():
        (root / synset / "train.lst").write_text("\n".join(names) + "\n")
    return root


def write_imnet(root: Path, *, count: int = 4, views: int = 2) -> Path:
    """all_vox256_img_train.hdf5 with its list, fronts along -z, points on the grid of 256."""
    import h5py

    root.mkdir(parents=True, exist_ok=True)
    turn = front_rotation("-z")
    made = shapes(count)
    rng = np.random.default_rng(5)
    with h5py.File(root / "all_vox256_img_train.hdf5", "w") as file:
        pixels = file.create_dataset("pixels", (count, views, 137, 137), np.uint8)
        file.create_dataset("voxels", (count, 64, 64, 64, 1), np.uint8)
        for level, points in ((16, 64), (32, 64), (64, 256)):
            file.create_dataset(f"points_{level}", (count, points, 3), np.uint8)
            file.create_dataset(f"values_{level}", (count, points, 1), np.uint8)
        for row, (_, shape) in enumerate(made):
            for v, world in enumerate(cameras(views)):
                grey = (render(shape, world, 128).rgb @ [0.299, 0.587, 0.114] * 255).round()
                pixels[row, v] = np.pad(grey, ((4, 5), (4, 5)), constant_values=255)
            for level in (16, 32, 64):
                cells = rng.integers(0, 256, file[f"points_{level}"].shape[1:])
                ours = ((cells + 0.5) / 256 - 0.5) @ turn[:3, :3].T
                file[f"points_{level}"][row] = cells
                inside = label(shape, ours.astype(np.float32)).distance < 0
                file[f"values_{level}"][row, :, 0] = inside
            grid = occupancy_grid(shape, 64)[::-1, :, ::-1]  # turned by half a circle
            file["voxels"][row, ..., 0] = grid
    names = [f"{SYNSET[category]}/shape{row}" for row, (category, _) in enumerate(made)]
    (root / "all_vox256_img_train.txt").write_text("\n".join(names) + "\n")
    return root


def write_co3d(root: Path, *, count: int = 2, views: int = 8, size: int = 40, isotropic: bool = True) -> Path:
    """Sequences in worlds of their own, pictures wider than high with the object off the middle."""
    rng = np.random.default_rng(9)
    for category in ("chair", "table"):
        frames: list[dict[str, Any]] = []
        for number, (name, shape) in enumerate(shapes(2 * count)):
            if name != category:
                continue
            sequence = f"110_{number}_{number}"
            folder = root / category / sequence
            for part in ("images", "masks"):
                (folder / part).mkdir(parents=True)
            turn, shift, unit = _rotation(rng), rng.normal(size=3) * 3, rng.uniform(2, 9)
            for v, world in enumerate(cameras(views)):
                image = render(shape, world, size, ambient=1.0)
                left, right = 4, 12
                rgb = np.pad(image.rgb, ((0, 0), (left, right), (0, 0)), constant_values=0.4)
                rgb[:, left : left + size][~image.mask] = (0.2, 0.5, 0.3)  # a room behind the object
                mask = np.pad(image.mask, ((0, 0), (left, right)))
                place = f"{category}/{sequence}"
                _save(rgb, root / place / "images" / f"frame{v + 1:06d}.jpg")
                marked = Image.fromarray((mask * 255).astype(np.uint8))
                marked.save(root / place / "masks" / f"frame{v + 1:06d}.png")
                frames.append({
                    "sequence_name": sequence, "frame_number": v + 1, "frame_timestamp": v / 10,
                    "image": {"path": f"{place}/images/frame{v + 1:06d}.jpg", "size": list(mask.shape)},
                    "depth": None,
                    "mask": {"path": f"{place}/masks/frame{v + 1:06d}.png", "mass": float(mask.sum())},
                    "viewpoint": _viewpoint(world, turn, shift, unit, size, left, mask.shape, isotropic),
                })  # fmt: skip
        with gzip.open(root / category / "frame_annotations.jgz", "wt", encoding="utf-8") as stream:
            json.dump(frames, stream)
        (root / category / "set_lists").mkdir()
        every = [[f["sequence_name"], f["frame_number"], f["image"]["path"]] for f in frames]
        values = {"train": every, "val": [], "test": []}
        (root / category / "set_lists" / "set_lists_fewview_dev.json").write_text(json.dumps(values))
    return root


def _viewpoint(
    world: np.ndarray, turn: np.ndarray, shift: np.ndarray, unit: float, size: int, left: int,
    shape: tuple[int, int], isotropic: bool,
) -> dict[str, Any]:  # fmt: skip
    """PyTorch3D's numbers for a camera of ours, seen from the world X = unit * turn @ p + shift."""
    rotation = world[:3, :3] @ turn.T
    translation = unit * world[:3, 3] - rotation @ shift
    flip = np.diag([-1.0, -1.0, 1.0])
    height, width = shape
    # Pixel i of the square picture is i + left of the wide one, whose borders are at -1 and 1.
    focal = np.array([FOCAL * (size - 1) / width, FOCAL * (size - 1) / height])
    middle = np.array([(size + 2 * left - width) / width, (size - height) / height])
    stretch = np.array([width, height]) / min(width, height) if isotropic else np.ones(2)
    return {
        "R": (flip @ rotation).T.tolist(), "T": (flip @ translation).tolist(),
        "focal_length": (focal * stretch).tolist(), "principal_point": (-middle * stretch).tolist(),
        "intrinsics_format": "ndc_isotropic" if isotropic else "ndc_norm_image_bounds",
    }  # fmt: skip


def _rotation(rng: np.random.Generator) -> np.ndarray:
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return turn * np.linalg.det(turn)


def _save(rgb: np.ndarray, path: Path) -> None:
    Image.fromarray(np.round(rgb * 255).astype(np.uint8)).save(path, quality=95)
