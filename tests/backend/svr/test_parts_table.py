"""A decoder's rows written as the shape programs write their tables."""

import numpy as np
import torch

from backend.datasets.procedural.categories import CATEGORIES, make
from backend.datasets.procedural.part_tables import part_table
from backend.svr import parts_layout as layout
from backend.svr.parts_table import USUAL_SCALE, table_of


def test_tables_of_the_programs_come_back_from_logits_and_noise_where_nothing_is_used() -> None:
    tables = torch.stack(
        [torch.from_numpy(part_table(make(name, np.random.default_rng(3)).shape)) for name in CATEGORIES]
    )
    rows = tables.clone()
    for columns in (layout.KIND, layout.PATTERN):
        rows[..., columns] = 8 * tables[..., columns] - 4
    for column in (layout.EXISTS, layout.CUT):
        rows[..., column] = 8 * tables[..., column] - 4
    there = tables[..., layout.EXISTS] > 0
    rows[~there] = rows[~there] - 0.3
    boxes = there & (tables[..., layout.KIND.start] > 0)
    rows[..., layout.OUTLINE][boxes] = 0.7
    found = table_of(rows)
    kept = torch.ones(layout.COLUMNS, dtype=torch.bool)
    # A round part may be turned anyhow about its axis, and a plain one has a pattern's size that none sees.
    kept[layout.AXIS_X] = False
    kept[layout.PARAMS] = False
    kept[layout.SCALE] = False
    kept[layout.COLOR_B] = False
    assert torch.equal(found[..., kept], tables[..., kept])
    plain = there & (tables[..., layout.PATTERN.start] > 0)
    assert torch.equal(found[plain][:, layout.COLOR_B], tables[plain][:, layout.COLOR_A])
    assert (found[plain][:, layout.SCALE] == USUAL_SCALE).all()
    patterned = there & ~plain
    assert torch.equal(found[patterned][:, layout.SCALE], tables[patterned][:, layout.SCALE])
    for kind, count in layout.PARAM_COUNTS.items():
        own = found[found[..., layout.KIND.start + layout.KINDS.index(kind)] > 0]
        assert (own[:, layout.PARAMS][:, count:] == 0).all()
