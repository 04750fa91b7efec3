"""Parts in the paints that a prompt names: which paintings are tried, and that a code carries them."""

import numpy as np
import pytest
import torch
from torch import Tensor

from backend.bundle_places import resolve_bundle
from backend.bundles import load_bundle
from backend.datasets.procedural.categories import make
from backend.datasets.procedural.part_tables import part_table
from backend.named_colors import COLORS, TINTS
from backend.paint_words import Paintwork, paintwork
from backend.svr import parts_layout as layout
from backend.svr.dvr import DvrModel
from backend.svr.parts_paints import clear_paints
from backend.svr.parts_repaint import (
    MOST_GROUPS,
    ONE_FORM,
    SHADE,
    alike_parts,
    known_coats,
    lacking_parts,
    meant_parts,
    paint_groups,
    repainted,
    shows,
    surface_shares,
)
from backend.svr.parts_table import table_of


def _table(*paints: tuple[str, str], cut: int = -1) -> Tensor:
    """A part for each (pattern, colour); an empty colour is the pattern's own."""
    table = torch.zeros(layout.SLOTS, layout.COLUMNS)
    for i, (pattern, color) in enumerate(paints):
        table[i, layout.EXISTS] = 1
        table[i, layout.KIND.start] = 1
        table[i, layout.CUT] = float(i == cut)
        table[i, layout.PATTERN.start + layout.PATTERNS.index(pattern)] = 1
        table[i, layout.COLOR_A] = torch.tensor(COLORS[color] if color else TINTS[pattern][0][0])
        table[i, layout.COLOR_B] = torch.tensor((0.5, 0.5, 0.5))
    return table


def _main(table: Tensor, part: int) -> str:
    """Name of the colour or material of a part."""
    pattern = layout.PATTERNS[int(table[part, layout.PATTERN].argmax())]
    if pattern in TINTS and pattern != "leather":
        return pattern
    away = torch.tensor(list(COLORS.values())) - table[part, layout.COLOR_A]
    return list(COLORS)[int(away.norm(dim=-1).argmin())]


def test_parts_of_one_paint_are_one_group_and_what_cuts_is_none() -> None:
    table = _table(("plain", "red"), ("plain", "blue"), ("plain", "red"), ("wood", ""), ("plain", "red"),
                   cut=4)  # fmt: skip
    assert paint_groups(table) == [[0, 2], [1], [3]]


def _of_parts(*paints: str) -> Paintwork:
    return Paintwork(tuple((paint,) for paint in paints))


def test_every_choice_of_parts_takes_the_named_paints_after_the_shape_as_it_is() -> None:
    table = _table(("plain", "red"), ("plain", "blue"), ("plain", "red"), ("wood", ""))
    tables = repainted(table, _of_parts("green", "metal"))
    assert len(tables) == 1 + 6, "ordered pairs of three groups"
    assert torch.equal(tables[0], table)
    found = {tuple(_main(own, part) for part in range(4)) for own in tables[1:]}
    assert ("green", "metal", "green", "wood") in found and ("red", "metal", "red", "green") in found
    assert len(found) == 6 and all({"green", "metal"} <= set(names) for names in found)
    shape = torch.ones(layout.COLUMNS, dtype=torch.bool)
    shape[layout.PATTERN.start :] = False
    assert (tables[..., shape] == table[..., shape]).all()


def test_a_paint_goes_where_it_is_said_to_go() -> None:
    """A red chair with green legs, all red at first: the legs turn green, and nothing else does, whatever is
    tried for the whole. Where no leg is known, or the shape has none, every choice is tried as before."""
    table = _table(("plain", "blue"), ("plain", "red"), ("plain", "red"))
    names = ["seat", "legs", "legs"] + [""] * (layout.SLOTS - 3)
    work = paintwork("a red chair with green legs")
    assert meant_parts(table, work, names) == [[], [1, 2]]
    found = {tuple(_main(own, part) for part in range(3)) for own in repainted(table, work, names)[1:]}
    assert found == {("red", "green", "green")}
    shares = torch.full((layout.SLOTS,), 1 / 3)
    right, wrong = _table(*(("plain", c) for c in ("red", "green", "green"))), table.clone()
    wrong[0, layout.COLOR_A] = torch.tensor(COLORS["green"])
    assert shows(right, work, shares, names) and not shows(wrong, work, shares, names)
    assert shows(wrong, work, shares), "names decide"
    assert lacking_parts(table, work, names, ("legs", "wheels")) == []
    green = paintwork("a chair with green wheels")
    assert lacking_parts(table, green, names, ("legs", "wheels")) == ["wheels"]
    assert lacking_parts(table, green, names, ("legs",)) == [], "no known name"
    assert len(repainted(table, work)) > 2
    lights = paintwork("a car with blue tail lights")
    assert meant_parts(table, lights, ["tail", "tail lights", "light"]) == [[1]]
    assert len(repainted(table, work, ["seat", "back", "back"])) == len(repainted(table, work))


def test_a_paint_of_whole_and_part_goes_on_both() -> None:
    table = _table(("plain", "blue"), ("plain", "white"), ("plain", "black"))
    names = ["body", "roof", "wheels"]
    work = paintwork("a red car with red wheels")
    assert meant_parts(table, work, names) == [[2]]
    found = [tuple(_main(own, part) for part in range(3)) for own in repainted(table, work, names)[1:]]
    assert len(found) > 1 and all(own[2] == "red" for own in found)


def test_a_part_is_taken_by_its_own_name_first_and_by_one_coat() -> None:
    """Where the only feet are legs, the coat of the legs has them, and that of the feet is free."""
    table = _table(("plain", "blue"), ("plain", "white"), ("plain", "white"))
    work = paintwork("a brown chair with golden feet and black legs")
    assert meant_parts(table, work, ["seat", "legs", "legs"]) == [[], [], [1, 2]]
    assert meant_parts(table, work, ["seat", "legs", "feet"]) == [[], [2], [1]]
    assert len(repainted(table, work, ["seat", "legs", "back"])) > 1
    assert lacking_parts(table, work, ["seat", "legs", "legs"], ("legs", "feet")) == ["feet"]
    assert lacking_parts(table, work, ["seat", "legs", "feet"], ("legs", "feet")) == []


def test_the_starter_paints_the_wheels_of_its_cars_and_knows_what_they_lack() -> None:
    """Of cars that the shape programs make, as codes: all paintings have white wheels, the tyres and rims
    beside nothing else; no car has armrests."""
    svr = load_bundle("starter").svr
    tables = np.stack([part_table(make("car", np.random.default_rng(seed)).shape) for seed in range(6)])
    painted = 0
    for code in svr.encode_parts(torch.from_numpy(tables)):
        assert svr.lacking_parts(code, paintwork("a car with white armrests")) == ["armrests"]
        assert svr.lacking_parts(code, paintwork("a car with white wheels")) == []
        for own in svr.repainted(code, paintwork("a car with white wheels")):
            table = table_of(clear_paints(svr.decoder(own[None])))[0]
            called = [svr.names[number] for number in svr.namer.named(table, own)]
            wheels = [i for i, name in enumerate(called) if name == "wheels" and table[i, layout.EXISTS]]
            assert wheels and sum(_main(table, i) == "white" for i in wheels) >= len(wheels) / 2
            painted += 1
    assert painted >= 3


def test_parts_of_one_paint_and_form_may_take_a_paint_of_their_own() -> None:
    """A red top on two red legs: a coat for a part may go on all, on the top or on the legs."""
    table = _table(("plain", "red"), ("plain", "red"), ("plain", "red"))
    table[0, layout.PARAMS] = torch.tensor([0.3, 0.3, 0.05, 0.0])
    table[1:3, layout.PARAMS] = torch.tensor([0.05, 0.4, 0.05, 0.0])
    table[2, layout.PARAMS.start] += ONE_FORM / 2
    assert alike_parts(table, [0, 1, 2]) == [[0], [1, 2]]
    found = {tuple(_main(own, part) for part in range(3)) for own in repainted(table, _of_parts("blue"))[1:]}
    assert found == {("blue", "blue", "blue"), ("blue", "red", "red"), ("red", "blue", "blue")}
    both = Paintwork((("green",), ("blue",)), whole=True)
    found = {tuple(_main(own, part) for part in range(3)) for own in repainted(table, both)[1:]}
    assert found == {("blue", "green", "green"), ("green", "blue", "blue")}


def test_the_paint_of_the_whole_is_tried_on_all_that_is_left_too() -> None:
    table = _table(("plain", "red"), ("plain", "blue"), ("wood", ""))
    tables = repainted(table, Paintwork((("green",), ("metal",)), whole=True))
    found = [tuple(_main(own, part) for part in range(3)) for own in tables[1:]]
    assert len(found) == len(set(found)) == 6 + 3
    assert {("green", "metal", "green"), ("green", "metal", "wood")} <= set(found)


def test_a_colour_leaves_stripes_and_replaces_a_material() -> None:
    table = _table(("stripes", "red"), ("brick", ""), ("fabric", "red"))
    _, striped, plain, fabric = repainted(table, _of_parts("blue"))
    assert layout.PATTERNS[int(striped[0, layout.PATTERN].argmax())] == "stripes"
    assert torch.equal(striped[0, layout.COLOR_B], table[0, layout.COLOR_B])
    assert layout.PATTERNS[int(plain[1, layout.PATTERN].argmax())] == "plain"
    assert torch.allclose(plain[1, layout.COLOR_B], torch.tensor(COLORS["blue"]))
    assert torch.allclose(fabric[2, layout.COLOR_B], SHADE * torch.tensor(COLORS["blue"]))


@pytest.mark.parametrize(
    ("coat", "known"),
    [
        (("red", "leather"), [("red", "leather")]),
        (("white", "marble"), [("marble",)]),
        (("red", "wood"), [("red",)]),
        (("red", "stripes"), [("red",)]),
        (("stripes",), []),
    ],
)
def test_what_cannot_be_painted_is_left_out_and_a_colour_beats_a_material_of_another(
    coat: tuple[str, ...], known: list
) -> None:
    assert known_coats(Paintwork((coat,))) == known


def test_coloured_leather_is_one_paint() -> None:
    work = Paintwork((("red", "leather"),), whole=True)
    tables = repainted(_table(("plain", "blue")), work)
    whole = torch.tensor([1.0] + [0.0] * (layout.SLOTS - 1))
    assert [shows(table, work, whole) for table in tables] == [False, True]


@pytest.mark.parametrize("paints", [[], ["stripes"], ["red", "blue"]])
def test_without_paints_or_parts_enough_nothing_is_tried(paints: list[str]) -> None:
    tables = repainted(_table(("plain", "green")), _of_parts(*paints))
    assert tables.shape == (0, layout.SLOTS, layout.COLUMNS)


def test_the_paint_of_the_whole_must_cover_most_of_what_no_other_claims() -> None:
    table = _table(("plain", "red"), ("plain", "blue"), ("plain", "green"))
    red, both = Paintwork((("red",),), whole=True), Paintwork((("red",), ("blue",)), whole=True)
    for shares, red_shown, both_shown in [((0.6, 0.3, 0.1), True, True), ((0.3, 0.6, 0.1), False, True),
                                          ((0.1, 0.6, 0.3), False, False)]:  # fmt: skip
        padded = torch.tensor([*shares] + [0.0] * (layout.SLOTS - 3))
        assert shows(table, red, padded) == red_shown and shows(table, both, padded) == both_shown
        assert shows(table, _of_parts("red"), padded) and not shows(table, _of_parts("pink"), padded)


def test_surface_is_shared_out_by_area() -> None:
    """A cube of side 0.3 and a ball of radius 0.15 apart from it, and what is cut away has none."""
    table = _table(("plain", "red"), ("plain", "blue"), ("plain", "green"), cut=2)
    table[:, layout.KIND] = 0
    for part, (kind, x, size) in enumerate([("box", -0.25, 0.15), ("ellipsoid", 0.25, 0.15),
                                            ("ellipsoid", 0.0, 0.05)]):  # fmt: skip
        table[part, layout.KIND.start + layout.KINDS.index(kind)] = 1
        table[part, layout.CENTER] = torch.tensor([x, 0.0, 0.0])
        table[part, layout.AXIS_Y] = torch.tensor([0.0, 1.0, 0.0])
        table[part, layout.AXIS_X] = torch.tensor([1.0, 0.0, 0.0])
        table[part, layout.PARAMS] = torch.tensor([size, size, size, 0.0])
    shares = surface_shares(table)
    cube, ball = 6 * 0.3**2, 4 * torch.pi * 0.15**2
    assert shares[0] == pytest.approx(cube / (cube + ball), abs=0.06)
    assert shares[1] == pytest.approx(ball / (cube + ball), abs=0.06)
    assert shares[2:].sum() == 0


def test_models_without_parts_try_nothing() -> None:
    model = DvrModel(code_size=4, width=9, blocks=1, image_size=32)
    assert model.repainted(torch.zeros(4), _of_parts("red")).shape == (0, 4)


@torch.no_grad()
def test_codes_of_the_starter_carry_the_paints_and_keep_the_shape() -> None:
    bundle = load_bundle(resolve_bundle("starter"))
    feature = bundle.clip.encode_text(["a red chair with blue legs"]).expand(4, -1)
    paints, carried, tried = {"purple", "metal"}, 0, 0
    for code in bundle.mapper.propose(feature, torch.Generator().manual_seed(0), 0.5):
        before = table_of(clear_paints(bundle.svr.decoder(code[None])))[0]
        codes = bundle.svr.repainted(code, _of_parts(*sorted(paints)))
        for own in codes:
            after = table_of(clear_paints(bundle.svr.decoder(own[None])))[0]
            there = (before[:, layout.EXISTS] > 0) & (after[:, layout.EXISTS] > 0)
            assert (before[there] - after[there])[:, layout.CENTER].abs().mean() < 0.04
            assert paints <= {_main(after, group[0]) for group in paint_groups(after)}
        groups = min(len(paint_groups(before)), MOST_GROUPS)
        carried, tried = carried + len(codes), tried + groups * (groups - 1)
    assert tried > 4 and carried >= 0.7 * tried
