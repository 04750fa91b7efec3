"""Further training of the shape tower alone: it tells a shape from the same shape in other paints.

Contrast among random shapes asks little of paints: the category tells most of them apart. Here every shape
has itself painted otherwise beside it (our choice; hard negatives are an old idea of the field). Ranking
repainted proposals asks just that.
"""

import functools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from backend.named_colors import COLORS, TINTS
from backend.shape_tower import ShapeTower
from backend.svr import parts_layout as layout
from backend.svr.parts import PartsSvr
from backend.svr.parts_repaint import ONE_FORM, ONE_PAINT, PAINT, forms, paint_columns

OTHERWISE = 6
"""Other paintings per shape, a third each: another paint, two paints exchanged, one paint on both."""
PIECE_SHARE = 0.3
"""Share of paintings that keep to parts of one form."""
_SAME_TEXT = 0.999
"""Cosine from which two texts are one."""


class RepaintLoss:
    """Contrast of the shapes of codes [N, C] and tables [N, SLOTS, COLUMNS] with their texts [N, T, F], other
    paintings and other shapes of a batch; only the tower learns."""

    def __init__(
        self, tower: ShapeTower, svr: PartsSvr, tables: np.ndarray, codes: Tensor, texts: Tensor,
        scale: float, batch: int,
    ) -> None:  # fmt: skip
        """scale: CLIP's, multiplies cosines."""
        self._tower, self._svr, self._tables = tower, svr.requires_grad_(False), tables
        self._codes, self._texts = codes.to(svr.device), texts.to(svr.device)
        self._scale, self._batch = scale, batch

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(self._codes), (self._batch,), generator=generator).sort().values
        told = torch.randint(self._texts.shape[1], (self._batch,), generator=generator)
        texts = F.normalize(self._texts[rows, told].float(), dim=-1)  # they are kept in half precision
        tables = torch.from_numpy(self._tables[rows.numpy()].astype(np.float32)).to(texts.device)
        painted = torch.cat([painted_otherwise(tables, i % 3, generator) for i in range(OTHERWISE)])
        with torch.no_grad():
            others = self._svr.encode_parts(painted)
        own = self._tower(self._codes[rows])
        wrong = self._tower(others).unflatten(0, (OTHERWISE, -1))
        alike = (painted.unflatten(0, (OTHERWISE, -1)) == tables).all(-1).all(-1)
        logits = self._scale * torch.cat([(own * texts).sum(-1)[None], (wrong * texts).sum(-1)])
        logits[1:] = logits[1:].masked_fill(alike, -torch.inf)
        same = (texts @ texts.T > _SAME_TEXT).float()
        targets = same / same.sum(1, keepdim=True)
        cosines = self._scale * own @ texts.T
        return {
            "repainted": F.cross_entropy(logits.T, told.new_zeros(self._batch).to(logits.device)),
            "shape_text": (F.cross_entropy(cosines, targets) + F.cross_entropy(cosines.T, targets)) / 2,
        }


def painted_otherwise(tables: Tensor, way: int, generator: torch.Generator) -> Tensor:
    """Tables [B, SLOTS, COLUMNS] of the same shapes in other paints.

    way: 0 gives the paint of a random part, wherever it is, another; 1 exchanges those of two random parts; 2
    puts the first's on the second's. Where both have one paint, all stays as it is. Now and then it is only
    exchanged on parts of one form, as candidates are painted.
    """
    drawn = torch.rand((2, *tables.shape[:2]), generator=generator).to(tables.device)
    first, second = (drawn * tables[..., layout.EXISTS]).argmax(-1)
    each = torch.arange(len(tables), device=tables.device)
    paints = tables[..., PAINT]
    fine = torch.rand((len(tables), 1), generator=generator).to(tables.device) < PIECE_SHARE
    in_first, in_second = (
        _sharing(tables, part) & (_alike(tables, part) | ~fine) for part in (first, second)
    )
    if way == 0:
        known = _known_paints()
        new = known[torch.randint(len(known), (len(tables),), generator=generator)].to(tables.device)
        paints = torch.where(in_first[..., None], new[:, None], paints)
    else:
        apart = ~in_first.gather(1, second[:, None])
        on_first = (in_first & apart)[..., None] if way == 1 else torch.zeros_like(in_first)[..., None]
        on_second = (in_second & apart)[..., None]
        swapped = torch.where(on_first, paints[each, second][:, None], paints)
        paints = torch.where(on_second, paints[each, first][:, None], swapped)
    return torch.cat([tables[..., : PAINT.start], paints], -1)


def _alike(tables: Tensor, part: Tensor) -> Tensor:
    """Which parts [B, SLOTS] have the form of a part [B], see `alike_parts`."""
    form = forms(tables)
    own = form[torch.arange(len(tables), device=tables.device), part][:, None]
    return (form - own).abs().amax(-1) < ONE_FORM


@functools.cache
def _known_paints() -> Tensor:
    """The columns PAINT of all named colours and materials [N, P]."""
    return torch.stack([paint_columns(name) for name in (*COLORS, *TINTS)])


def _sharing(tables: Tensor, part: Tensor) -> Tensor:
    """Which parts [B, SLOTS] have the pattern and nearly the colour of a part [B]."""
    own = tables[torch.arange(len(tables), device=tables.device), part][:, None]
    pattern = (tables[..., layout.PATTERN] == own[..., layout.PATTERN]).all(-1)
    near = (tables[..., layout.COLOR_A] - own[..., layout.COLOR_A]).norm(dim=-1) < ONE_PAINT
    return pattern & near & (tables[..., layout.EXISTS] > 0)
