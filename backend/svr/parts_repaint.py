"""Shapes of parts painted anew: a shape with its parts in the colours and materials that a prompt names.

A sampled code often has the right parts in other paints than were asked for. Here the parts that share a
paint take each of the named ones in turn, and whoever knows the prompt picks among the results (our choice).
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from backend.named_colors import COLORS, TINTS
from backend.paint_words import Paintwork
from backend.part_words import Place
from backend.svr import parts_layout as layout
from backend.svr.parts_field import Parts
from backend.svr.parts_table import USUAL_SCALE

ONE_PAINT = 0.15
"""Greatest distance in sRGB of colours that count as one paint."""
PAINT = slice(layout.PATTERN.start, layout.COLUMNS)
"""Columns of a part's material."""
MOST_GROUPS = 7
"""Paints of a shape that are exchanged, those on the most parts."""
MOST_PIECES, MOST_FINE_COATS = 8, 2
"""Further choices of parts that share a form, and the number of coats up to which they are tried."""
ONE_FORM = 0.02
"""Greatest difference of sizes that count as one form."""
MOST_COATS = 3
"""Named paints that are tried, the first of a prompt."""
MAIN_SHARE = 0.5
"""Least part that the paint of the whole has of the surface that no other named paint claims."""
SHADE = 0.8
"""Second colour of coloured leather and fabric over the first, as the shape programs have it."""
_ONE_COLORED = ("leather", "fabric")
"""Patterns in shades of one colour."""
_ABOUT = 0.3
"""Distance in sRGB up to which a material comes in about a named colour: white marble, but not red wood."""
_CELLS = 32
"""Cells per axis in which surface is counted."""


def repainted(table: Tensor, work: Paintwork, names: Sequence[str] = ()) -> Tensor:
    """Tables [N, SLOTS, COLUMNS] of one shape [SLOTS, COLUMNS] with each coat of paint on other parts, on
    every choice of them: parts of one paint, or of one paint and form. Where the first coat is said of the
    whole, it is also tried on all that no other takes; one that is said of parts which the shape has goes
    there alone. The shape as it is comes first. N is 0 where there are no coats to put on, or no choice of
    parts has room for all.

    names: what the rows of the table are called, if anybody knows."""
    coats, meant = known_coats(work), meant_parts(table, work, names)
    tables = [table]
    for choice in _choices(table, meant, whole=work.whole):
        tables.append(table.clone())
        for coat, parts in zip(coats, choice, strict=True):
            _paint(tables[-1], parts, coat)
    return torch.stack(tables) if tables[1:] else table.new_zeros(0, *table.shape)


def _choices(table: Tensor, meant: list[list[int]], *, whole: bool) -> list[tuple[list[int], ...]]:
    """Parts for each of some coats, no part twice; those that are meant where there are any, and with the
    first, where it is said of the whole."""
    if not meant:
        return []
    every = paint_groups(table)
    groups = sorted(every, key=len, reverse=True)[:MOST_GROUPS]
    pieces = [piece for group in groups for piece in alike_parts(table, group) if piece != group]
    several = groups + (pieces[:MOST_PIECES] if len(meant) <= MOST_FINE_COATS else [])
    first = [*groups, sorted(itertools.chain.from_iterable(every))]
    found = {}
    tried = [[parts] if parts else several for parts in meant]
    if whole:  # "a red car with red wheels": what is meant besides the whole
        tried[0] = [sorted({*parts, *meant[0]}) for parts in first]
    for own, *others in itertools.product(*tried):
        taken = [part for parts in others for part in parts]
        own = [part for part in own if part not in taken]
        if own and len(set(taken)) == len(taken):
            choice = (own, *others)
            found[str(choice)] = choice
    return list(found.values())


def shows(table: Tensor, work: Paintwork, shares: Tensor, names: Sequence[str] = ()) -> bool:
    """Whether a shape [SLOTS, COLUMNS] shows every coat, on most of the parts that are meant; and the first,
    where it is said of the whole, on most of the surface that no other coat claims. `shares` [SLOTS] are
    those of `surface_shares`, `names` as for `repainted`."""
    groups = paint_groups(table)
    wearers = [[i for group in groups if _wears(table, group, coat) for i in group]
               for coat in known_coats(work)]  # fmt: skip
    for on, parts in zip(wearers, meant_parts(table, work, names), strict=True):
        if not on or 2 * len(set(on).intersection(parts)) < len(parts):
            return False
    claimed = {i for parts in wearers[1:] for i in parts}.difference(wearers[0])
    left = 1 - float(shares[sorted(claimed)].sum())
    return not work.whole or float(shares[wearers[0]].sum()) >= MAIN_SHARE * left


def surface_shares(rows: Tensor) -> Tensor:
    """Share of each part [SLOTS] in the surface of a shape, of rows [SLOTS, COLUMNS] with logits where the
    layout has shares; counted in the cells of a lattice that the surface runs through."""
    parts, there = Parts.read(rows), (rows[:, layout.EXISTS] > 0).nonzero()[:, 0]
    along = (torch.arange(_CELLS, device=rows.device) + 0.5) / _CELLS - 0.5
    points = torch.cartesian_prod(along, along, along)
    each = parts.distances(points, reach=1 / _CELLS)
    near = parts.union(each).abs() < 0.5 / _CELLS
    solid = each.masked_fill(torch.tensor(parts.cuts, device=rows.device)[:, None], torch.inf)
    shares = rows.new_zeros(len(rows))
    if not near.any() or len(there) < len(each):
        return shares
    counts = solid[:, near].argmin(0).bincount(minlength=len(each))
    shares[there] = counts.to(shares) / counts.sum()
    return shares


def meant_parts(table: Tensor, work: Paintwork, names: Sequence[str]) -> list[list[int]]:
    """Parts of a table [SLOTS, COLUMNS] that each of `known_coats` is said of, no part twice; none for one
    that is said of the whole alone, or of nothing that the shape has."""
    own = [(i, name) for i, name in _solid(table, names) if name]
    left = list(dict.fromkeys(name for _, name in own))
    known = _known(work)
    meant: list[list[str]] = [[] for _ in known]
    for other_words in (False, True):  # feet may be legs, but not where there are feet, or legs of their own
        for parts, (_, places) in zip(meant, known, strict=True):
            if not parts:
                parts += [part for place in places for part in place.of(left, other_words=other_words)]
                left = [part for part in left if part not in parts]
    return [[i for i, name in own if name in parts] for parts in meant]


def lacking_parts(table: Tensor, work: Paintwork, names: Sequence[str], known: Sequence[str]) -> list[str]:
    """What a coat is said of, of all `known` names, that no solid row of a table is called, or that another
    coat has: the only feet of a chair may be its legs."""
    there = list(dict.fromkeys(name for _, name in _solid(table, names)))
    lacking = []
    for parts, (_, places) in zip(meant_parts(table, work, names), _known(work), strict=True):
        for place in places:
            said = place.of(known)
            if said and not (parts and place.of(there)):
                lacking.append(said[0])
    return list(dict.fromkeys(lacking))


def _solid(table: Tensor, names: Sequence[str]) -> list[tuple[int, str]]:
    """Rows of a table that are there and cut nothing, and what they are called."""
    solid = ((table[:, layout.EXISTS] > 0) & (table[:, layout.CUT] == 0)).tolist()
    return [(i, name) for i, name in enumerate(names) if solid[i]]


def known_coats(work: Paintwork) -> list[tuple[str, ...]]:
    """The first coats of paint that can be put on, each without names that cannot. Of a colour beside a
    material that has its own, the material counts where it comes in about that colour, else the colour."""
    return [paints for paints, _ in _known(work)]


def _known(work: Paintwork) -> list[tuple[tuple[str, ...], tuple[Place, ...]]]:
    """`known_coats`, and where each is said of a part: not where it is first said of the whole."""
    known = []
    for number, coat in enumerate(work.coats):
        names = [name for name in coat if name in COLORS or name in TINTS]
        colors = [name for name in names if name in COLORS]
        own = [name for name in names if not _takes_colors(name)]
        if colors and own:
            names = own if _away(colors[0], own[0]) < _ABOUT else colors
        if names:
            places = work.places[number] if work.places else ()
            known.append((tuple(names), places[1:] if work.whole and number == 0 else places))
    return known[:MOST_COATS]


def _away(color: str, material: str) -> float:
    """Distance in sRGB of a named colour from the nearest tint of a material."""
    return min(math.dist(COLORS[color], tint) for tint in TINTS[material][0])


def paint_groups(table: Tensor) -> list[list[int]]:
    """Parts of a table [SLOTS, COLUMNS] that share a pattern and nearly a colour; what cuts shows none."""
    # Lists, which are quicker than tensors of so few numbers.
    pattern = table[:, layout.PATTERN].argmax(-1).tolist()
    color = table[:, layout.COLOR_A].tolist()
    solid = (table[:, layout.EXISTS] > 0) & (table[:, layout.CUT] == 0)
    left = solid.nonzero()[:, 0].tolist()
    groups = []
    while left:
        first = left[0]
        groups.append([i for i in left if pattern[i] == pattern[first]
                       and math.dist(color[i], color[first]) < ONE_PAINT])  # fmt: skip
        left = [i for i in left if i not in groups[-1]]
    return groups


def alike_parts(table: Tensor, parts: list[int]) -> list[list[int]]:
    """Some parts of a table [SLOTS, COLUMNS], by form: what has the kind and nearly the sizes, mirrored or
    turned, is one piece (four legs)."""
    form = forms(table)
    left, pieces = list(parts), []
    while left:
        near = (form - form[left[0]]).abs().amax(-1) < ONE_FORM
        pieces.append([i for i in left if near[i]])
        left = [i for i in left if not near[i]]
    return pieces


def forms(tables: Tensor) -> Tensor:
    """What the rows of tables [..., SLOTS, COLUMNS] say of form alone, neither place nor paint."""
    return torch.cat([tables[..., layout.KIND], tables[..., layout.PARAMS], tables[..., layout.OUTLINE]], -1)


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
    """Of a pattern or a named colour: whether a colour may be put on it as it is."""
    return pattern not in TINTS or pattern == "leather"


def _wears(table: Tensor, group: list[int], coat: tuple[str, ...]) -> bool:
    return all(_shows(table, group, name) for name in coat)


def _shows(table: Tensor, group: list[int], paint: str) -> bool:
    pattern = _pattern_of(table, group)
    if paint not in COLORS:
        return pattern == paint
    color = table[group[0], layout.COLOR_A].tolist()
    return _takes_colors(pattern) and min(COLORS, key=lambda name: math.dist(COLORS[name], color)) == paint


def _paint(table: Tensor, group: list[int], coat: tuple[str, ...]) -> None:
    """Put a coat on parts of a table, in place: a material is new, a colour leaves stripes as they are."""
    for paint in sorted(coat, key=lambda name: name in COLORS):
        pattern = _pattern_of(table, group)
        if paint in COLORS and pattern != "plain" and _takes_colors(pattern):
            table[group, layout.COLOR_A] = table.new_tensor(COLORS[paint])
            if pattern in _ONE_COLORED:
                table[group, layout.COLOR_B] = SHADE * table.new_tensor(COLORS[paint])
        else:
            table[group, PAINT] = paint_columns(paint).to(table)
