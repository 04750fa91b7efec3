"""Training of what parts are called: the names that the shape programs give them, told from what the decoder
makes of a shape's code."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from backend.datasets.procedural.corpus import Corpus
from backend.errors import DatasetError
from backend.svr import parts_layout as layout
from backend.svr.parts import PartsSvr
from backend.svr.parts_table import table_of

SHAPES = 32_768
"""Shapes of a corpus that it learns from, at most: they are kept decoded."""
_NOBODY = -100
"""Number of a row without a name, which cross entropy leaves out."""


class NamesLoss:
    """Cross entropy of the names of parts, of random ones among the first SHAPES of a corpus with the codes
    [N, C]; only the namer learns. Decoder and programs list parts in the same order."""

    def __init__(self, svr: PartsSvr, corpus: Corpus, codes: Tensor, batch: int) -> None:
        assert svr.namer is not None
        svr.requires_grad_(False)
        self._namer = svr.namer.requires_grad_(True)
        self._codes, self._batch = codes[:SHAPES].to(svr.device), batch
        # Once for all: decoding costs ten times what naming does.
        self._tables = torch.cat([table_of(svr.decoder(some)).half() for some in self._codes.split(1024)])
        self._names = row_names(corpus, svr.names)[:SHAPES].to(svr.device)

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(self._codes), (self._batch,), generator=generator)
        logits = self._namer(self._tables[rows].float(), self._codes[rows])
        return {"names": F.cross_entropy(logits.flatten(0, 1), self._names[rows].flatten())}


def row_names(corpus: Corpus, names: tuple[str, ...]) -> Tensor:
    """Numbers [N, SLOTS] of the names of all parts; those of no part, or of an unknown name, are not counted.
    DatasetError where an earlier version made the corpus, without names."""
    if "parts" not in corpus.records[0]:
        raise DatasetError(
            "The corpus does not name its parts: an earlier version made it.",
            remedy="Delete its folder and train again.",
        )
    number = {name: i for i, name in enumerate(names)}
    known = np.full((len(corpus), layout.SLOTS), _NOBODY)
    for row, record in zip(known, corpus.records, strict=True):
        row[: len(record["parts"])] = [number.get(name, _NOBODY) for name in record["parts"]]
    return torch.from_numpy(known)


@torch.no_grad()
def named_right(svr: PartsSvr, corpus: Corpus) -> float:
    """Share of a corpus's parts whose name is found."""
    known = row_names(corpus, svr.names)
    tables = torch.from_numpy(corpus.parts.astype(np.float32))
    codes = svr.encode_parts(tables.to(svr.device))
    assert svr.namer is not None
    found = svr.namer(table_of(svr.decoder(codes)), codes).argmax(-1).cpu()
    return float((found == known)[known != _NOBODY].float().mean())
