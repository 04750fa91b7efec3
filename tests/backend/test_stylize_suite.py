"""The floors of stylization on a tiny bundle and on verdicts made up: what counts, and what does not."""

from pathlib import Path

import numpy as np
import pytest

from backend import stylize_suite as suite
from backend.bundles import load_bundle
from backend.config import StylizeSettings
from backend.errors import DatasetError
from backend.judges.category import build_references
from backend.judges.solid import Surface
from backend.judges.textures import (
    TEXTURES,
    load_judge,
    texture_statistics,
    textured_surfaces,
    train_judge,
)
from backend.recipe import Recipe
from backend.stylize_suite import StyledVerdict
from tests.backend.tiny_bundle import TINY_SETTINGS, write_tiny_bundle

QUICK = StylizeSettings(steps=1, views=1, pool=2, palettes=1, palette_steps=1, fit_steps=3, fit_points=64)


def _verdict(**changes: object) -> StyledVerdict:
    values = {
        "prompt": "a chair", "style": "wooden", "mode": "texture", "wanted": "wood", "seen": "wood",
        "look_right": True, "score_before": 0.2, "score": 0.5, "seconds": 9.0, "geometry_same": True,
    }  # fmt: skip
    return StyledVerdict(**{**values, **changes})


def test_figures_count_what_they_say() -> None:
    shape = {"mode": "shape-texture", "geometry_same": None}
    verdicts = [
        _verdict(),
        _verdict(style="icy", look_right=False, score=0.1, seconds=30.0),
        _verdict(**shape, category_right=True, sound=True),
        _verdict(**shape, category_right=None, sound=False),
    ]
    figures = {figure.name: figure for figure in suite.style_figures(verdicts)}
    right = figures["texture: right look"]
    assert right.value == 0.5 and right.details == {"wooden": 1.0, "icy": 0.0} and not right.reached
    assert figures["texture: geometry bit for bit the same"].reached
    assert figures["texture: CLIP score rises"].value == 0.5
    assert figures["texture: seconds, median"].value == 19.5
    assert figures["shape and texture: category still right"].count == 1
    assert figures["shape and texture: closed, in no more pieces than before"].value == 0.5
    assert all(figure.value is None for figure in suite.style_figures([])) and len(suite.STYLES) == 20


def test_a_bundle_is_measured(tmp_path: Path) -> None:
    settings = TINY_SETTINGS.replace(stylize=QUICK)
    bundle = load_bundle(write_tiny_bundle(tmp_path, settings=settings))
    sizes = suite.StylizeSizes(styles=2, shapes=1, shape_styles=1, references=30)
    references = build_references(30, categories=("chair",))
    bases = suite.make_bases(bundle, Recipe(settings=settings, threads=1), references, sizes)
    sheet = suite.StyledSheet()
    found = list(suite.measure_looks(bundle, bases, lambda *_: ("wood", True), references, sizes, sheet))
    assert [v.mode for v in found] == ["texture", "texture", "shape-texture"]
    assert all(v.geometry_same for v in found[:2]) and found[2].sound
    assert [(name, len(row)) for name, row in sheet.rows()] == [("wooden", 1), ("metallic", 1)]


def test_the_trained_judge_names_fresh_textures() -> None:
    judge, right = load_judge(), 0
    for texture in TEXTURES:
        surfaces = textured_surfaces(texture, 2, seed=77)
        right += sum(judge.texture_of(surface) == texture for surface in surfaces)
        assert sum(judge.shares(surfaces[0]).values()) == pytest.approx(1.0)
    assert right >= 0.85 * 2 * len(TEXTURES)
    nothing = Surface(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))
    assert judge.texture_of(nothing) == ""


def test_a_plain_look_needs_the_colour_too() -> None:
    from backend.datasets.procedural.categories import make
    from backend.datasets.procedural.materials import plain
    from backend.judges.textures import painted
    from backend.true_shapes import shape_mesh

    rng = np.random.default_rng(0)
    mesh = shape_mesh(painted(make("chair", rng).shape, plain("red", rng)), resolution=40)
    decide = suite.look_judge(load_judge())
    assert decide(mesh, "red", "plain") == ("plain", True)
    assert decide(mesh, "blue", "plain") == ("plain", False)
    assert decide(mesh, "wooden", "wood") == ("plain", False)


def test_training_repeats_and_files_are_checked(tmp_path: Path) -> None:
    first, second = train_judge(1, seed=3), train_judge(1, seed=3)
    first.save(tmp_path / "judge.npz")
    read = load_judge(tmp_path / "judge.npz")
    values = texture_statistics(textured_surfaces("dots", 1)[0])
    assert np.isfinite(values).all() and len(values) == len(read.center)
    for other in (second, read):
        for name, tensor in first.network.state_dict().items():
            assert np.array_equal(tensor.numpy(), other.network.state_dict()[name].numpy())
    (tmp_path / "bad.npz").write_bytes(b"PK")
    for name in ("bad.npz", "none.npz"):
        with pytest.raises(DatasetError, match="cannot be read"):
            load_judge(tmp_path / name)
