"""Each layout, written from procedural shapes, read back: pictures, cameras in our axes, points, and all that
can be wrong with a folder."""

import gzip
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from backend.__main__ import main
from backend.datasets.base import Dataset, DataSettings
from backend.datasets.exr import read_depth
from backend.datasets.layouts import check_dataset, open_dataset, recognise
from backend.datasets.procedural.corpus import CorpusSettings, build_corpus
from backend.datasets.procedural.views import FOCAL, label, render
from backend.errors import DatasetError
from tests.backend.datasets.tiny_datasets import (
    cameras,
    exr_bytes,
    shapes,
    write_co3d,
    write_imnet,
    write_shapenet,
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("data")
    corpus = CorpusSettings(
        seed=3, shapes=4, views=2, image_size=32, uniform_points=32, near_points=32, captions=2
    )
    list(build_corpus(root / "procedural", corpus, workers=1))
    return {
        "procedural": root / "procedural",
        "shapenet": write_shapenet(root / "shapenet"),
        "co3d": write_co3d(root / "co3d"),
        "imnet": write_imnet(root / "imnet"),
    }


def _open(folder: Path, **settings: object) -> Dataset:
    return open_dataset(DataSettings.from_dict({"folder": str(folder), **settings}))


@pytest.mark.parametrize("layout", ["procedural", "shapenet", "co3d", "imnet"])
def test_every_layout_is_recognised_and_sound(
    layout: str, folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert recognise(folders[layout]) == layout
    assert main(["dataset", "check", str(folders[layout])]) == 0
    told = capsys.readouterr().out
    assert "Layout: " in told and "Shapes: 4 in 'train'" in told and "Nothing is wrong." in told


def test_shapenet_comes_in_our_axes(folders: dict[str, Path]) -> None:
    """The pictures, masks and depths are what our own camera sees of the unturned shape."""
    data = _open(folders["shapenet"])
    assert [record.category for record in data.records] == ["chair", "chair", "table", "table"]
    assert data.has_views and not data.has_points and data.records[0].inputs == 3
    made = dict(zip([0, 2, 1, 3], shapes(4), strict=True))  # by category on disk, in turns as written
    for shape in range(4):
        for number, world in enumerate(cameras(3)):
            view = data.view(shape, number)
            assert np.allclose(view.world_mat, world, atol=1e-5)
            truth = render(made[shape][1], world, 32, ambient=1.0)
            assert np.array_equal(view.mask, truth.mask)
            assert np.abs(view.rgb / 255 - truth.rgb).max() < 0.003
            assert view.depth is not None
            assert np.allclose(view.depth[truth.mask], truth.depth[truth.mask], rtol=1e-6)
            assert np.isinf(view.depth[~truth.mask]).all()
            assert data.input(shape, number).rgb.shape == (32, 32, 3)
    plain = _open(folders["shapenet"], depth=False, categories=["table"])
    assert len(plain) == 2 and plain.view(0, 0).depth is None
    # Turning by another front shows the shape from another side.
    other = _open(folders["shapenet"], front="+z").view(0, 0).world_mat
    assert not np.allclose(other, cameras(3)[0], atol=0.1)


def test_shapenet_without_choy_shows_its_views_on_white(tmp_path: Path) -> None:
    data = _open(write_shapenet(tmp_path, count=1, views=2, choy=False, depth=False))
    picture = data.input(0, 1)
    assert picture.mask is not None
    assert (picture.rgb[picture.mask == 0] == 255).all()
    assert np.array_equal(picture.mask > 0, data.view(0, 1).mask)


def test_occupancy_networks_points_are_unpacked_and_turned(folders: dict[str, Path], tmp_path: Path) -> None:
    root = write_shapenet(tmp_path, count=1, views=1, depth=False)
    rng = np.random.default_rng(0)
    ours = rng.uniform(-0.5, 0.5, (13, 3))
    inside = rng.random(13) < 0.5
    # Front +x on disk: our (x, y, z) is written as (z, y, -x).
    disk = np.stack([ours[:, 2], ours[:, 1], -ours[:, 0]], axis=1).astype(np.float16)
    np.savez(root / "03001627/shape0/points.npz", points=disk, occupancies=np.packbits(inside))
    points = _open(root).points(0)
    assert np.abs(points.positions - ours).max() < 1e-3 and np.array_equal(points.inside, inside)


def test_imnet_points_and_pixels(folders: dict[str, Path]) -> None:
    data = _open(folders["imnet"])
    assert [record.name for record in data.records][:2] == ["03001627/shape0", "04379243/shape1"]
    assert data.has_points and not data.has_views
    for row, (_, shape) in enumerate(shapes(4)):
        points = data.points(row)
        assert len(points.positions) == 64 + 64 + 256
        assert np.array_equal(points.inside, label(shape, points.positions).distance < 0)
        picture = data.input(row, 0).rgb
        assert picture.shape == (128, 128, 3)
        grey = render(shape, cameras(2)[0], 128).rgb @ [0.299, 0.587, 0.114]
        assert np.abs(picture[..., 0] / 255 - grey).max() < 0.003


def test_procedural_corpus_behind_the_interface(folders: dict[str, Path]) -> None:
    data = _open(folders["procedural"])
    assert data.has_points and data.has_views and len(data.records[0].captions) == 2
    view, points = data.view(1, 0), data.points(1)
    assert view.mask.any() and (view.rgb[~view.mask] == 255).all()
    assert points.colors is not None
    assert np.isnan(points.colors[:32]).all() and not np.isnan(points.colors[32:]).all()
    origin = view.world_mat @ [0, 0, 0, 1]
    assert 1.4 < origin[2] < 2.0, "the camera looks at the origin"


@pytest.mark.parametrize("isotropic", [True, False])
def test_co3d_worlds_become_the_unit_cube(isotropic: bool, tmp_path: Path) -> None:
    data = _open(write_co3d(tmp_path, count=1, isotropic=isotropic))
    assert len(data) == 2 and data.records[0].views == 8
    for shape in range(2):
        views = [data.view(shape, number) for number in range(8)]
        eyes = np.stack([-v.world_mat[:3, :3].T @ v.world_mat[:3, 3] for v in views])
        truth = np.stack([-w[:3, :3].T @ w[:3, 3] for w in cameras(8)])
        # Sequences have no size of their own: distances agree up to one factor.
        factor = np.linalg.norm(eyes[0] - eyes[4]) / np.linalg.norm(truth[0] - truth[4])
        ours = eyes - eyes.mean(0)
        assert np.abs(ours - factor * (truth - truth.mean(0))).max() < 0.02 * factor, "up and front are found"
        for view in views:
            rows, columns = np.nonzero(view.mask)
            height, width = view.mask.shape
            origin = view.camera_mat @ view.world_mat @ [0, 0, 0, 1]
            x, y = origin[:2] / origin[2]
            assert -1 < x < 1 and abs(x - (columns.min() + columns.max()) / (width - 1) + 1) < 0.15
            assert abs(y - (rows.min() + rows.max()) / (height - 1) + 1) < 0.3
            # The wide picture's pixels are square, and rays through them hit the cube.
            assert view.camera_mat[0, 0] * (width - 1) == pytest.approx(
                view.camera_mat[1, 1] * (height - 1), rel=1e-4
            )
            assert view.camera_mat[0, 0] == pytest.approx(FOCAL * 39 / 55, rel=1e-4)
    picture = data.input(0, 0)
    assert picture.rgb.shape[0] == picture.rgb.shape[1] and (picture.rgb[0, 0] == 255).all()
    assert picture.mask is not None and picture.mask.max() == 1 and picture.mask[0].max() == 0


@pytest.mark.parametrize("compression", [0, 1, 2, 3])
@pytest.mark.parametrize("half", [True, False])
def test_depth_files(compression: int, half: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    depth = np.where(rng.random((37, 21)) < 0.4, np.inf, 1.5 + np.round(rng.random((37, 21)), 2))
    (tmp_path / "d.exr").write_bytes(exr_bytes(depth, compression=compression, half=half, name="R"))
    read = read_depth(tmp_path / "d.exr")
    assert np.array_equal(read, depth.astype(np.float16 if half else np.float32).astype(np.float32))


def test_broken_depth_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.exr"
    whole = exr_bytes(np.ones((20, 20)))
    for broken, message in (
        (b"PNG" + whole, "no OpenEXR"),
        (whole[:-30], "cut off or damaged"),
        (whole[:60], "cut off or damaged"),
        (exr_bytes(np.ones((20, 20)), compression=4 - 4).replace(b"compression\0compression\0\x01\0\0\0\0",
         b"compression\0compression\0\x01\0\0\0\x04"), "number 4"),
    ):  # fmt: skip
        path.write_bytes(broken)
        with pytest.raises(DatasetError, match=message) as refused:
            read_depth(path)
        assert refused.value.remedy


def _broken(layout: str, fault: str, root: Path) -> None:
    """Do `fault` to the data set in `root`."""
    chair = root / "03001627"
    if fault == "image":
        path = chair / "shape0/image/0001.png" if layout == "shapenet" else _frame(root)
        path.write_bytes(path.read_bytes()[:40])
    elif fault == "camera":
        values = dict(np.load(chair / "shape0/cameras.npz"))
        values["world_mat_1"] = 2 * values["world_mat_1"]
        np.savez(chair / "shape0/cameras.npz", **values)
    elif fault == "nan":
        values = dict(np.load(chair / "shape0/cameras.npz"))
        values["world_mat_0"][0, 0] = np.nan
        np.savez(chair / "shape0/cameras.npz", **values)
    elif fault == "few matrices":
        np.savez(chair / "shape0/cameras.npz", world_mat_0=np.eye(4))
    elif fault == "no cameras":
        (chair / "shape0/cameras.npz").unlink()
    elif fault == "npz":
        (chair / "shape0/cameras.npz").write_bytes(b"PK\x03\x04nothing")
    elif fault == "mask size":
        Image.new("L", (9, 9), 255).save(chair / "shape0/mask/0000.png")
    elif fault == "mask":
        Image.new("L", (32, 32), 0).save(chair / "shape0/mask/0000.png")
    elif fault == "masks":
        (chair / "shape0/mask/0000.png").unlink()
    elif fault == "folder":
        shutil.rmtree(chair / "shape0")
    elif fault == "empty list":
        (chair / "train.lst").write_text("\n")
    elif fault == "viewpoint":
        entries = json.loads(gzip.decompress((root / "chair/frame_annotations.jgz").read_bytes()))
        entries[0]["viewpoint"]["R"] = [[1, 0, 0], [0, 1, 0], [0, 0, 3]]
        with gzip.open(root / "chair/frame_annotations.jgz", "wt") as stream:
            json.dump(entries, stream)
    elif fault == "annotations":
        path = root / "chair/frame_annotations.jgz"
        path.write_bytes(path.read_bytes()[:50])
    elif fault == "frame":
        _frame(root).unlink()
    elif fault == "values":
        with h5py.File(root / "all_vox256_img_train.hdf5", "a") as file:
            del file["values_32"]
    elif fault == "hdf5":
        (root / "all_vox256_img_train.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n")
    elif fault == "names":
        (root / "all_vox256_img_train.txt").write_text("03001627/one\n")
    elif fault == "cut off":
        (root / "images.npy").write_bytes((root / "images.npy").read_bytes()[:900])
    elif fault == "records":
        (root / "records.json").unlink()
    else:
        raise AssertionError(fault)


def _frame(root: Path) -> Path:
    return next(iter(sorted((root / "chair").glob("*/images/*.jpg"))))


@pytest.mark.parametrize(
    ("layout", "fault", "message"),
    [
        ("shapenet", "image", "0001.png cannot be decoded"),
        ("shapenet", "camera", "view 1: the world matrix is no rotation"),
        ("shapenet", "nan", "view 0: the world matrix is not finite"),
        ("shapenet", "few matrices", "lacks camera_mat_0"),
        ("shapenet", "no cameras", "cameras.npz is missing"),
        ("shapenet", "npz", "cameras.npz cannot be read"),
        ("shapenet", "mask size", "has 32 x 32 pixels"),
        ("shapenet", "mask", "shows no object"),
        ("shapenet", "masks", "3 pictures in image/ and 2 in mask/"),
        ("shapenet", "folder", "shape0 is missing, although the list train.lst names it"),
        ("shapenet", "empty list", "train.lst is empty"),
        ("co3d", "image", "cannot be decoded"),
        ("co3d", "viewpoint", "frame 1: the world matrix is no rotation"),
        ("co3d", "annotations", "frame_annotations.jgz cannot be read"),
        ("co3d", "frame", "frame000001.jpg is missing"),
        ("imnet", "values", "values_32 have shape None, not (4, 64, 1)"),
        ("imnet", "hdf5", "cannot be opened"),
        ("imnet", "names", "lists 1 shapes"),
        ("procedural", "cut off", "cannot be opened"),
        ("procedural", "records", "cannot be opened"),
    ],
)
def test_check_names_what_is_wrong(
    layout: str, fault: str, message: str, folders: dict[str, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    root = tmp_path / layout
    shutil.copytree(folders[layout], root)
    _broken(layout, fault, root)
    before = sorted(root.rglob("*"))
    assert main(["dataset", "check", str(root)]) == 2
    told = capsys.readouterr().out
    problems = [line for line in told.splitlines() if line.startswith("PROBLEM")]
    assert any(message in line for line in problems), told
    assert all(line.rstrip(".").count(". ") for line in problems), "a sentence and a remedy"
    assert sorted(root.rglob("*")) == before, "nothing is changed"


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("", "has no layout that is known here"),
        ("nowhere", "does not exist"),
        ("shapenet/03001627", "is one category of ShapeNet"),
        ("co3d/chair", "is one category of CO3D"),
    ],
)
def test_folders_that_are_no_data_set(
    folder: str, message: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    place = folders["shapenet"].parent / folder if folder else tmp_path
    with pytest.raises(DatasetError, match=message) as refused:
        _open(place)
    assert refused.value.remedy


def test_missing_lists_are_noted_and_all_folders_count(
    folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dataset", "check", str(folders["shapenet"]), "--split", "val"]) == 0
    told = capsys.readouterr().out
    assert "note: " in told and "has no val.lst: every folder counts as val" in told
    assert len(_open(folders["shapenet"], split="val", limit=3)) == 3
    with pytest.raises(DatasetError, match="no category 'boat'"):
        _open(folders["shapenet"], categories=["boat"])


def test_captions_beside_a_data_set(tmp_path: Path) -> None:
    root = write_shapenet(tmp_path, count=2, views=1, depth=False)
    (root / "captions.json").write_text('{"03001627/shape0": ["a blue chair", "a chair"]}')
    assert [r.captions for r in _open(root).records] == [("a blue chair", "a chair"), ()]
    (root / "captions.json").write_text('{"03001627/shape0": "a blue chair"}')
    with pytest.raises(DatasetError, match=r"captions\.json cannot be used"):
        _open(root)
    _, reading = check_dataset(DataSettings(folder=str(root)))
    assert [p.serious for checked in reading for p in checked.problems] == [True]
