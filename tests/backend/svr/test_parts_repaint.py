"""Parts in the paints that a prompt names: which paintings are tried, and that a code carries them."""

import pytest
import torch
from torch import Tensor

from backend.bundle_places import resolve_bundle
from backend.bundles import load_bundle
from backend.named_colors import COLORS, TINTS
from backend.svr import parts_layout as layout
from backend.svr.dvr import DvrModel
from backend.svr.parts_paints import clear_paints
from backend.svr.parts_repaint import MOST_GROUPS, paint_groups, repainted
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


def test_every_choice_of_parts_takes_the_named_paints() -> None:
    table = _table(("plain", "red"), ("plain", "blue"), ("plain", "red"), ("wood", ""))
    tables = repainted(table, ["green", "metal"])
    assert len(tables) == 6  # ordered pairs of three groups
    found = {tuple(_main(own, part) for part in range(4)) for own in tables}
    assert ("green", "metal", "green", "wood") in found and ("red", "metal", "red", "green") in found
    assert len(found) == 6 and all({"green", "metal"} <= set(names) for names in found)
    shape = torch.ones(layout.COLUMNS, dtype=torch.bool)
    shape[layout.PATTERN.start :] = False
    assert (tables[..., shape] == table[..., shape]).all()


def test_a_shape_that_shows_the_paints_is_tried_as_it_is_first() -> None:
    table = _table(("plain", "red"), ("wood", ""))
    assert torch.equal(repainted(table, ["wood", "red"])[0], table)
    assert not any(torch.equal(own, table) for own in repainted(table, ["blue"]))


def test_a_colour_leaves_stripes_and_replaces_a_material() -> None:
    table = _table(("stripes", "red"), ("brick", ""))
    striped, plain = repainted(table, ["blue"])
    assert layout.PATTERNS[int(striped[0, layout.PATTERN].argmax())] == "stripes"
    assert torch.equal(striped[0, layout.COLOR_B], table[0, layout.COLOR_B])
    assert layout.PATTERNS[int(plain[1, layout.PATTERN].argmax())] == "plain"
    assert torch.allclose(plain[1, layout.COLOR_B], torch.tensor(COLORS["blue"]))


@pytest.mark.parametrize("paints", [[], ["stripes"], ["red", "blue"]])
def test_without_paints_or_parts_enough_nothing_is_tried(paints: list[str]) -> None:
    assert repainted(_table(("plain", "green")), paints).shape == (0, layout.SLOTS, layout.COLUMNS)


def test_models_without_parts_try_nothing() -> None:
    model = DvrModel(code_size=4, width=9, blocks=1, image_size=32)
    assert model.repainted(torch.zeros(4), ["red"]).shape == (0, 4)


@torch.no_grad()
def test_codes_of_the_starter_carry_the_paints_and_keep_the_shape() -> None:
    bundle = load_bundle(resolve_bundle("starter"))
    feature = bundle.clip.encode_text(["a red chair with blue legs"]).expand(4, -1)
    paints, shown = {"purple", "metal"}, []
    for code in bundle.mapper.propose(feature, torch.Generator().manual_seed(0), 0.5):
        before = table_of(clear_paints(bundle.svr.decoder(code[None])))[0]
        groups = min(len(paint_groups(before)), MOST_GROUPS)
        codes = bundle.svr.repainted(code, sorted(paints))
        assert len(codes) == groups * (groups - 1)
        for own in codes:
            after = table_of(clear_paints(bundle.svr.decoder(own[None])))[0]
            there = (before[:, layout.EXISTS] > 0) & (after[:, layout.EXISTS] > 0)
            assert (before[there] - after[there])[:, layout.CENTER].abs().mean() < 0.04
            shown.append(paints <= {_main(after, group[0]) for group in paint_groups(after)})
    assert len(shown) > 4 and sum(shown) >= 0.7 * len(shown)
