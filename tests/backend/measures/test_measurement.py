"""All measures together, on true shapes of two categories, on wrong ones, and from the cache."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend.datasets.procedural.categories import make
from backend.errors import CheckpointError, DatasetError
from backend.evaluation import PromptRow
from backend.judges.category import References, build_references
from backend.measures.feature_nets import NetSettings
from backend.measures.inception import load_inception, pool_as_fid
from backend.measures.measurement import Measurement
from backend.measures.ruler import MeasureSettings, Ruler, make_ruler
from backend.measures.samples import SampleSettings, draw_samples
from backend.measures.user_reference import read_pictures, read_point_sets
from backend.mesh import TriMesh
from backend.mesh_export import save_mesh
from backend.rendering.turntable import save_png
from backend.true_shapes import shape_mesh
from tests.backend.tiny_bundle import tiny_encoder

PAIR = ("mug", "sword")
TINY = MeasureSettings(
    samples=SampleSettings(shapes=8, views=2, view_size=32, points=128),
    nets=NetSettings(steps=40, batch=12, points=64),
    threshold=0.05,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def voxels() -> References:
    return build_references(6, seed=1, categories=PAIR)


@pytest.fixture(scope="module")
def ruler(voxels: References, cache: Path) -> Ruler:
    return make_ruler(voxels, TINY, categories=PAIR, cache=cache, workers=1)


@functools.cache
def _mesh(category: str, seed: int) -> TriMesh:
    return shape_mesh(make(category, np.random.default_rng([77, seed])).shape, resolution=24)


def _figures(ruler: Ruler, shown: dict[str, str], count: int = 5) -> dict[str, Any]:
    """Figures of `count` shapes each, where `shown` says what is made when a category is asked for."""
    measurement = Measurement(ruler, tiny_encoder())
    for asked, made in shown.items():
        for seed in range(count):
            measurement.add(PromptRow(f"a {asked}", asked), _mesh(made, seed))
    return measurement.figures()


def test_true_shapes_measure_better_than_wrong_ones(ruler: Ruler) -> None:
    assert min(ruler.record["features_accuracy"].values()) > 0.8
    right = _figures(ruler, {"mug": "mug", "sword": "sword"})
    # As good a distribution, but every single answer wrong.
    swapped = _figures(ruler, {"mug": "sword", "sword": "mug"})
    assert swapped["fid"] == pytest.approx(right["fid"], rel=1e-3)
    assert swapped["fpd"] == pytest.approx(right["fpd"], rel=1e-3)
    for category in PAIR:
        good, bad = right["categories"][category], swapped["categories"][category]
        assert good["chamfer"] < bad["chamfer"] and good["iou"] > bad["iou"]
        assert good["f_score"] > bad["f_score"] and good["shapes"] == 5
    # One category alone misses half of the distribution.
    one = _figures(ruler, {"mug": "mug", "sword": "mug"})
    assert one["fid"] > 2 * right["fid"] and one["fpd"] > 2 * right["fpd"]
    assert -1 <= right["clip"] <= 1 and right["clip"] == pytest.approx(
        np.mean([own["clip"] for own in right["categories"].values()]), abs=1e-3
    )
    assert right["chance"] == {"r_precision": 0.5} and right["true"]["shapes"] == 4
    assert not right["enough_for_frechet"]  # 10 point sets for 32 features


def test_empty_results_count_and_do_not_stop_the_figures(ruler: Ruler) -> None:
    measurement = Measurement(ruler, tiny_encoder())
    measurement.add(PromptRow("a mug", "mug"), None)
    measurement.add(PromptRow("a sword", "sword"), None)
    figures = measurement.figures()
    assert figures["empty"] == 2 and figures["r_precision"] == 0.0
    assert figures["fid"] is figures["fpd"] is figures["chamfer"] is figures["iou"] is None
    measurement.add(PromptRow("whatever"), _mesh("mug", 0))
    assert measurement.figures()["categories"].keys() == set(PAIR)


def test_the_cache_gives_the_same_and_is_made_again_where_damaged(
    ruler: Ruler, cache: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(cache.iterdir())
    assert {file.name.partition("-")[0] for file in files} == {"shapes", "features"} and len(files) == 3
    with monkeypatch.context() as no_drawing:
        no_drawing.setattr("backend.measures.samples._draw_category", None)
        again = draw_samples(TINY.samples, categories=PAIR, cache=cache, workers=1)
    assert len(again) == 16 and np.array_equal(again.points[1], ruler.true.points[0])
    damaged = cache / "shapes-damaged.npz"
    monkeypatch.setattr("backend.evaluation_cache._digest", lambda settings: "damaged")
    damaged.write_bytes(b"PK not a zip")
    small = SampleSettings(shapes=2, views=1, view_size=32, points=64)
    first = draw_samples(small, categories=("mug",), cache=cache, workers=1)
    assert "damaged" in caplog.text
    second = draw_samples(small, categories=("mug",), cache=cache, workers=1)
    assert np.array_equal(first.images, second.images) and first.colors.tolist() == second.colors.tolist()


def test_references_of_the_users_own(ruler: Ruler, voxels: References, cache: Path, tmp_path: Path) -> None:
    for number in range(3):
        picture = np.full((20, 30, 3), 40 * number, np.uint8)
        save_png(picture, tmp_path / f"{number}.png")
        save_mesh(_mesh("mug", number), tmp_path / f"{number}.ply")
    pictures, sets = read_pictures(tmp_path, 32), read_point_sets(tmp_path, 128, 0)
    assert pictures.shape == (3, 1, 32, 32, 3) and sets.shape == (3, 128, 3)
    assert pictures[1].min() == pictures[1].max() == 40
    own = make_ruler(
        voxels, TINY, categories=PAIR, cache=cache, workers=1, pictures=pictures, point_sets=sets
    )
    figures, others = (_figures(each, {"mug": "mug"}, 2) for each in (own, ruler))
    assert figures["fid"] != others["fid"] and figures["fpd"] != others["fpd"]
    assert figures["chamfer"] == others["chamfer"]
    assert figures["record"]["reference_pictures"] == 3
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"broken\.png is no picture"):
        read_pictures(tmp_path, 32)
    (tmp_path / "broken.ply").write_bytes(b"no mesh")
    with pytest.raises(DatasetError, match=r"broken\.ply is no usable mesh"):
        read_point_sets(tmp_path, 128, 0)
    with pytest.raises(DatasetError, match="holds 0 pictures"):
        read_pictures(tmp_path / "none", 32)


@pytest.mark.parametrize("classes", [1000, 1008])
def test_inception_weights_of_both_layouts(classes: int, tmp_path: Path) -> None:
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    net = inception_v3(weights=None, num_classes=classes, aux_logits=False, init_weights=False)
    path = tmp_path / "weights.pth"
    torch.save(net.state_dict(), path)
    features = load_inception(path)(np.zeros((1, 1, 40, 40, 3), np.uint8))
    assert features.shape == (1, 1, 2048) and np.isfinite(features).all()


def test_pooling_as_fid_programs_do_it() -> None:
    from torchvision.models.inception import InceptionA, InceptionE

    torch.manual_seed(0)
    x = torch.rand(1, 192, 5, 5)
    names = ("5b", "5c", "5d", "6b", "6c", "6d", "6e", "7b")
    blocks = {f"Mixed_{name}": InceptionA(192, 32) for name in names}
    last = InceptionE(192)
    net = torch.nn.Module()
    for name, block in {**blocks, "Mixed_7c": last}.items():
        setattr(net, name, block.eval())
    with torch.no_grad():
        before = blocks["Mixed_5b"](x)
        mean_before, max_before = blocks["Mixed_5b"].branch_pool, last.branch_pool
        inside = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        wanted_mean = mean_before(inside)
        wanted_max = max_before(torch.nn.functional.max_pool2d(x, 3, 1, 1))
        pool_as_fid(net)
        after, greatest = blocks["Mixed_5b"](x), last(x)
    assert torch.equal(before[:, :-32], after[:, :-32])
    assert torch.allclose(after[:, -32:], wanted_mean, atol=1e-5)
    assert not torch.allclose(before[:, -32:], wanted_mean, atol=1e-3)
    assert torch.allclose(greatest[:, -192:], wanted_max, atol=1e-6)


def test_other_weights_are_no_inception(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(10, 512)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="holds no Inception"):
        load_inception(tmp_path / "other.pth")
    torch.save({"fc.weight": torch.zeros(10, 2048), "fc.bias": torch.zeros(10)}, tmp_path / "part.pth")
    with pytest.raises(CheckpointError, match="does not fit"):
        load_inception(tmp_path / "part.pth")
