"""Shapes of parts painted anew: a shape with its parts in the colours and materials that a prompt names.

A sampled code often has the right parts in other paints than were asked for. Here the parts that share a
paint take each of the named ones in turn, and whoever knows the prompt picks among the results (our choice).
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from backend.named_colors import COLORS, TINTS
from backend.svr import parts_layout as layout
from backend.svr.parts_table import USUAL_SCALE

ONE_PAINT = 0.15
"""Greatest distance in sRGB of colours that count as one paint."""
PAINT = slice(layout.PATTERN.start, layout.COLUMNS)
"""Columns of a part's material."""
MOST_GROUPS = 7
"""Paints of a shape that are exchanged, those on the most parts."""
MOST_PAINTS = 3
"""Named paints that are tried, the first of a prompt."""


def repainted(table: Tensor, paints: Sequence[str]) -> Tensor:
    """Tables [N, SLOTS, COLUMNS] of one shape [SLOTS, COLUMNS] that show all the named paints, on every
    choice of parts; the shape as it is comes first where it shows them already. N is 0 where there are no
    paints to put on, or fewer groups of parts than paints."""
    known = [name for name in paints if name in COLORS or name in TINTS][:MOST_PAINTS]
    groups = paint_groups(table)
    tables = [table] if known and all(any(_shows(table, g, name) for g in groups) for name in known) else []
    if known:
        chosen = sorted(groups, key=len, reverse=True)[:MOST_GROUPS]
        for order in itertools.permutations(chosen, len(known)):
            painted = table.clone()
            for name, group in zip(known, order, strict=True):
                _paint(painted, group, name)
            tables.append(painted)
    return torch.stack(tables) if tables else table.new_zeros(0, *table.shape)


def paint_groups(table: Tensor) -> list[list[int]]:
    """Parts of a table [SLOTS, COLUMNS] that share a pattern and nearly a colour; what cuts shows none."""
    pattern = table[:, layout.PATTERN].argmax(-1)
    color = table[:, layout.COLOR_A]
    solid = (table[:, layout.EXISTS] > 0) & (table[:, layout.CUT] == 0)
    left = solid.nonzero()[:, 0].tolist()
    groups = []
    while left:
        first = left[0]
        near = (color - color[first]).norm(dim=-1) < ONE_PAINT
        groups.append([i for i in left if pattern[i] == pattern[first] and near[i]])
        left = [i for i in left if i not in groups[-1]]
    return groups


def paint_columns(name: str) -> Tensor:
    """What the columns PAINT say of a plain named colour, or of a material in its first tint."""
    row = torch.zeros(layout.COLUMNS)
    if name in COLORS:
        pattern, main, second = "plain", COLORS[name], COLORS[name]
    else:
        pattern, main, second = name, TINTS[name][0][0], TINTS[name][1][0]
    row[layout.PATTERN.start + layout.PATTERNS.index(pattern)] = 1
    row[layout.COLOR_A], row[layout.COLOR_B] = torch.tensor(main), torch.tensor(second)
    row[layout.SCALE] = USUAL_SCALE
    return row[PAINT]


def _pattern_of(table: Tensor, group: list[int]) -> str:
    return layout.PATTERNS[int(table[group[0], layout.PATTERN].argmax())]


def _takes_colors(pattern: str) -> bool:
    return pattern not in TINTS or pattern == "leather"


def _shows(table: Tensor, group: list[int], paint: str) -> bool:
    pattern = _pattern_of(table, group)
    if paint not in COLORS:
        return pattern == paint
    away = table.new_tensor(list(COLORS.values())) - table[group[0], layout.COLOR_A]
    return _takes_colors(pattern) and list(COLORS)[int(away.norm(dim=-1).argmin())] == paint


def _paint(table: Tensor, group: list[int], paint: str) -> None:
    """Put a paint on parts of a table, in place: a colour leaves stripes as they are, a material is new."""
    pattern = _pattern_of(table, group)
    if paint in COLORS and pattern != "plain" and _takes_colors(pattern):
        table[group, layout.COLOR_A] = table.new_tensor(COLORS[paint])
    else:
        table[group, PAINT] = paint_columns(paint).to(table)
