"""The judges: right on true shapes and closed forms, not fooled by wrong, empty, broken or muddy ones."""

import numpy as np
import pytest

from backend.datasets.procedural.categories import make
from backend.datasets.procedural.materials import COLORS
from backend.errors import DatasetError
from backend.judges.attributes import ATTRIBUTES, Attribute
from backend.judges.attributes import RESOLUTION as FINE
from backend.judges.category import References, build_references, resolve_category
from backend.judges.colors import color_right, color_shares, colors_of, looks_painted, resolve_color
from backend.judges.parts import PartJudge
from backend.judges.solid import Solid, Surface, mesh_solid, mesh_surface, overlap, shape_solid, shape_surface
from backend.judges.structure import (
    connected_share,
    has_both_wings,
    has_unbroken_pole,
    piece_count,
    stands,
)
from backend.mesh import TriMesh
from backend.true_shapes import shape_mesh

CATEGORIES = ("chair", "mug", "airplane")


def _rng(*numbers: int) -> np.random.Generator:
    return np.random.default_rng([11, *numbers])


def _box(low: tuple[float, ...], high: tuple[float, ...], color: tuple[float, ...] = (1, 0, 0)) -> TriMesh:
    """A closed box with outward faces."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
    faces = [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6],
             [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]  # fmt: skip
    vertices = corners * (np.array(high) - low) + low
    return TriMesh(vertices, np.array(faces), np.tile(np.float32(color), (8, 1))).outward()


def _joined(*meshes: TriMesh) -> TriMesh:
    starts = np.cumsum([0, *(len(m.vertices) for m in meshes)])
    return TriMesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.faces + start for m, start in zip(meshes, starts, strict=False)]),
        np.concatenate([m.colors for m in meshes]),
    )


def _table(missing: int = 0) -> TriMesh:
    """A plain table; the last `missing` legs are left out."""
    legs = [(x, z) for x in (0.0, 0.9) for z in (0.0, 0.9)][: 4 - missing]
    return _joined(
        _box((0, 0.48, 0), (1, 0.6, 1)), *(_box((x, 0, z), (x + 0.1, 0.5, z + 0.1)) for x, z in legs)
    )


@pytest.fixture(scope="module")
def references() -> References:
    return build_references(30, categories=CATEGORIES)


def test_a_box_fills_its_own_box() -> None:
    solid = mesh_solid(_box((0.2, 0.0, 0.0), (0.6, 0.2, 0.1)), resolution=32)
    assert np.allclose(solid.extent, (1, 0.5, 0.25), atol=1e-6)
    assert solid.grid.sum() == 32 * 16 * 8 and solid.cropped.all()
    assert solid.filled == pytest.approx(1, abs=1e-5)
    assert mesh_solid(_table(), resolution=48).cropped[:, 0].sum() == pytest.approx(4 * 5 * 5, abs=12)


def test_overlapping_and_hollow_closed_meshes_have_their_volume() -> None:
    outer, inner = _box((0, 0, 0), (1, 1, 1)), _box((0.25, 0.25, 0.25), (0.75, 0.75, 0.75))
    hollow = _joined(outer, TriMesh(inner.vertices, inner.faces[:, ::-1], inner.colors))
    assert mesh_solid(hollow, resolution=32).grid.mean() == pytest.approx(1 - 0.125, abs=1e-3)
    assert mesh_solid(_joined(outer, inner), resolution=32).grid.all()
    assert piece_count(hollow) == 1 and piece_count(_joined(outer, _box((2, 0, 0), (3, 1, 1)))) == 2


def test_a_mesh_and_its_shape_look_the_same_to_the_judges() -> None:
    sample = make("mug", _rng(1), color="red")
    mesh = shape_mesh(sample.shape)
    assert mesh.is_watertight() and piece_count(mesh) == 1
    ours, theirs = mesh_solid(mesh), shape_solid(sample.shape)
    assert np.allclose(ours.extent, theirs.extent, atol=0.02) and overlap(ours.grid, theirs.grid) > 0.9
    surfaces = mesh_surface(mesh), shape_surface(sample.shape)
    shares = [color_shares(surface.colors).get("red", 0.0) for surface in surfaces]
    assert abs(shares[0] - shares[1]) < 0.05 and shares[0] > 0.4
    assert all(np.abs(surface.points).max() < 0.52 for surface in surfaces)


def test_true_shapes_are_put_in_their_category_and_empty_ones_in_none(references: References) -> None:
    right = [
        references.category_of(shape_solid(make(name, _rng(2, i)).shape)) == name
        for name in CATEGORIES
        for i in range(8)
    ]
    assert np.mean(right) > 0.95
    speck = np.zeros((32, 32, 32), bool)
    speck[:2, :2, :2] = True
    empty = Solid(speck, np.ones(3, np.float32))
    assert references.category_of(empty) == "" and references.vote(empty) == {}
    ball = shape_solid(make("mug", _rng(3), kind="coffee mug").shape)
    assert references.similarity(ball, "mug") > references.similarity(ball, "airplane")


def test_words_are_resolved() -> None:
    assert [resolve_category(w) for w in ("couch", "Chairs", "boeing 747", "SUV")] == [
        "sofa", "chair", "airplane", "car",
    ]  # fmt: skip
    assert [resolve_color(w) for w in ("grey", "crimson", "oak", "Teal")] == [
        "gray",
        "red",
        "wood",
        "turquoise",
    ]
    with pytest.raises(DatasetError, match="no category 'dragon'"):
        resolve_category("dragon")
    with pytest.raises(DatasetError, match="no colour or material 'loud'"):
        resolve_color("loud")


def test_the_dominant_colour_is_judged() -> None:
    red, blue = (np.tile(np.float32(COLORS[name]), (50, 1)) for name in ("red", "blue"))
    mostly_red = np.concatenate([red, blue[:20]])
    assert color_right(mostly_red, "red") and not color_right(mostly_red, "blue")
    assert color_right(mostly_red, "blue", nearly=0.35)
    assert not color_right(np.empty((0, 3), np.float32), "red")
    assert list(color_shares(mostly_red)) == ["red", "blue"]
    assert colors_of("gold") == {"yellow"} and "brown" in colors_of("wood") and colors_of("red") == {"red"}
    true = [
        color_right(shape_surface(make("vase", _rng(4, i), color="green").shape).colors, "green")
        for i in range(6)
    ]
    assert all(true)


def test_mud_is_told_from_paint() -> None:
    clean = shape_surface(make("chair", _rng(5)).shape).colors
    assert looks_painted(clean)
    blotches = _rng(6).uniform(0, 1, (400, 3)).astype(np.float32)
    gradient = np.linspace((0.8, 0.1, 0.1), (0.1, 0.7, 0.9), 400).astype(np.float32)
    assert not looks_painted(blotches) and not looks_painted(gradient)
    assert not looks_painted(np.empty((0, 3), np.float32))


def test_part_colours_are_judged_where_the_part_is() -> None:
    judge = PartJudge(references=4)
    right, swapped = [], []
    for i in range(40):
        sample = make("table", _rng(7, i), kind="dining table", color="red")
        legs = sample.draw.paints["legs"]
        if legs.color not in ("blue", "green", "yellow", "black", "white"):
            continue
        solid, surface = shape_solid(sample.shape), shape_surface(sample.shape)
        claim = {"category": "table", "kind": "dining table", "part": "legs"}
        right.append(judge.right(solid, surface, **claim, color=legs.color))
        swapped.append(judge.right(solid, surface, **claim, color="red"))
    assert len(right) >= 3 and np.mean(right) > 0.7 and np.mean(swapped) < 0.3
    nothing = Surface(np.empty((0, 3), np.float32), np.empty((0, 3), np.float32))
    assert not judge.right(solid, nothing, **claim, color="red")
    assert judge.right(solid, surface, **{**claim, "part": "wings"}, color="red") is None


@pytest.mark.parametrize("attribute", ATTRIBUTES, ids=lambda a: a.name)
def test_attributes_are_seen_on_true_shapes(attribute: Attribute) -> None:
    answers = []
    for i in range(60):
        sample = make(
            attribute.category,
            _rng(8, i),
            kind=attribute.kinds[i % len(attribute.kinds)] if attribute.kinds else "",
        )
        draw = sample.draw
        if attribute.applies(draw.category.name, draw.kind, draw.facts):
            solid = shape_solid(sample.shape, resolution=FINE)
            answers.append(attribute.right(solid, {**draw.facts, "kind": draw.kind}[attribute.fact]))
        if len(answers) == 6:
            break
    assert len(answers) >= 1 and np.mean(answers) >= 0.8


def test_wrong_values_are_not_seen() -> None:
    known = {a.name: a for a in ATTRIBUTES}
    mug = shape_solid(make("mug", _rng(9), kind="beer mug").shape, resolution=FINE)
    assert known["mug handle"].right(mug, True) and not known["mug handle"].right(mug, False)
    table = mesh_solid(_table(), resolution=FINE)
    assert known["table leg count"].right(table, 4) and not known["table leg count"].right(table, 1)
    assert known["table top outline"].right(table, "square")
    assert not known["table top outline"].right(table, "round")
    assert not known["table layers"].right(table, True)
    raised = _joined(_box((0, 0.1, 0), (1, 1, 0.5)), _box((0.1, 0, 0.1), (0.2, 0.1, 0.2)))
    cabinet = mesh_solid(raised, resolution=FINE)
    assert known["cabinet legs"].right(cabinet, "long") and not known["cabinet legs"].right(cabinet, False)


def test_tables_stand_on_their_legs_only() -> None:
    assert stands(mesh_solid(_table(), resolution=FINE))
    assert not stands(mesh_solid(_table(missing=2), resolution=FINE))
    loose = _joined(_box((0, 0.48, 0), (1, 0.6, 1)), _box((0.4, 0, 0.4), (0.6, 0.4, 0.6)))
    assert not stands(mesh_solid(loose, resolution=FINE))
    assert connected_share(mesh_solid(loose, resolution=FINE).grid) < 0.95
    assert all(stands(shape_solid(make("chair", _rng(10, i)).shape, resolution=FINE)) for i in range(4))


def test_wings_and_poles_must_be_there() -> None:
    plane = shape_solid(make("airplane", _rng(12)).shape, resolution=FINE)
    assert has_both_wings(plane)
    lame = plane.grid.copy()
    lame[: lame.shape[0] // 2 - 4] = False
    assert not has_both_wings(Solid(lame, plane.extent))
    lamp = shape_solid(make("lamp", _rng(13), kind="floor lamp").shape, resolution=FINE)
    assert has_unbroken_pole(lamp)
    broken = lamp.grid.copy()
    broken[:, 20:24] = False
    assert not has_unbroken_pole(Solid(broken, lamp.extent))
