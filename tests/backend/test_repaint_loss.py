"""Shapes beside themselves in other paints: what is exchanged, what it costs, and that a tower learns it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from backend.datasets.procedural.categories import make
from backend.datasets.procedural.part_tables import part_table
from backend.shape_tower import ShapeTower
from backend.svr import parts_layout as layout
from backend.svr.parts import PartsSvr
from backend.svr.parts_repaint import PAINT
from backend.training.loop import LoopSettings, run_loop
from backend.training.repaint_loss import RepaintLoss, painted_otherwise


def _pair(first: tuple[float, float, float], second: tuple[float, float, float], count: int) -> Tensor:
    """`count` times a table of three plain parts: two of the first colour, one of the second."""
    table = torch.zeros(layout.SLOTS, layout.COLUMNS)
    for row, color in zip(table, (first, first, second), strict=False):
        row[layout.EXISTS] = row[layout.KIND.start] = row[layout.PATTERN.start] = 1
        row[layout.COLOR_A] = row[layout.COLOR_B] = torch.tensor(color)
    return table.expand(count, -1, -1)


def _colors(tables: Tensor) -> set[tuple[tuple[float, ...], ...]]:
    return {tuple(tuple(round(v, 3) for v in part) for part in own[:3, layout.COLOR_A].tolist())
            for own in tables}  # fmt: skip


def test_paints_are_exchanged_or_put_on_both() -> None:
    red, blue = (0.8, 0.1, 0.1), (0.1, 0.2, 0.8)
    tables, generator = _pair(red, blue, 64), torch.Generator().manual_seed(0)
    as_it_was = (red, red, blue)
    assert _colors(painted_otherwise(tables, 1, generator)) == {as_it_was, (blue, blue, red)}
    assert _colors(painted_otherwise(tables, 2, generator)) == {as_it_was, (red,) * 3, (blue,) * 3}
    new = _colors(painted_otherwise(tables, 0, generator))
    assert len(new) > 10 and all(
        parts[0] == parts[1] and (parts[0] == red or parts[2] == blue) for parts in new
    )


@pytest.mark.parametrize("way", [0, 1, 2])
def test_the_shape_stays(way: int) -> None:
    tables = torch.from_numpy(np.stack([part_table(make("car", np.random.default_rng(i)).shape)
                                        for i in range(8)]))  # fmt: skip
    painted = painted_otherwise(tables, way, torch.Generator().manual_seed(1))
    assert torch.equal(painted[..., : PAINT.start], tables[..., : PAINT.start])
    assert not painted[tables[..., layout.EXISTS] == 0].any()
    assert not torch.equal(painted, tables)


def test_a_tower_that_sees_nothing_pays_the_logarithm_of_the_choices() -> None:
    tables = _pair((0.8, 0.1, 0.1), (0.1, 0.2, 0.8), 4).numpy().astype(np.float16)
    tower = ShapeTower(128, 8)
    torch.nn.init.zeros_(tower.net[-1].weight)
    texts = torch.nn.functional.normalize(
        torch.randn(4, 1, 8, generator=torch.Generator().manual_seed(2)), dim=-1
    )
    loss = RepaintLoss(tower, PartsSvr(), tables, torch.zeros(4, 128), texts, 10.0, 64)
    values = loss(0, torch.Generator().manual_seed(3))
    # The shape itself and two in another paint; of the four others some stay as they are and do not count.
    assert np.log(3) < float(values["repainted"].detach()) < np.log(7)


def test_a_tower_learns_which_part_a_text_means(tmp_path: Path) -> None:
    red, blue = (0.8, 0.1, 0.1), (0.1, 0.2, 0.8)
    tables = torch.cat([_pair(red, blue, 1), _pair(blue, red, 1)])
    torch.manual_seed(4)
    svr, tower = PartsSvr(), ShapeTower(128, 8)
    with torch.no_grad():
        codes = svr.encode_parts(tables)
    texts = torch.eye(8)[:2, None]
    loss = RepaintLoss(tower, svr, tables.numpy().astype(np.float16), codes, texts, 10.0, 16)
    for _ in run_loop("tower", tower, loss, LoopSettings(steps=60, batch=16, warmup=5), tmp_path):
        pass
    with torch.no_grad():
        cosines = tower(codes) @ texts[:, 0].T
    assert (cosines.diagonal() > cosines.flip(1).diagonal() + 0.3).all()
