"""Questions in chunks: the same answers whatever the chunk, halves where memory is short, faults told."""

import pytest
import torch
from torch import Tensor

from backend.rendering.chunks import SMALLEST_CHUNK, ask, chunk_size

POINTS = torch.rand(3, 4000, 3, generator=torch.Generator().manual_seed(0))


def test_answers_come_in_the_shape_of_the_points() -> None:
    sizes = []

    def total(points: Tensor) -> Tensor:
        sizes.append(points.shape[1])
        return points.sum(-1)

    assert torch.equal(ask(total, POINTS), POINTS.sum(-1))
    assert sizes == [chunk_size(POINTS.device), 12000 - chunk_size(POINTS.device)]
    assert torch.equal(ask(lambda points: points * 2, POINTS), POINTS * 2)
    assert ask(total, POINTS[:0]).shape == (0, 4000) and ask(lambda points: points, POINTS[:, :0]).shape[
        1:
    ] == (0, 3)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("can't allocate memory: 9 bytes"),
        MemoryError(),
    ],
)
def test_chunks_are_halved_until_they_fit(error: Exception) -> None:
    sizes = []

    def small(points: Tensor) -> Tensor:
        sizes.append(points.shape[1])
        if points.shape[1] > 3000:
            raise error
        return points.sum(-1)

    assert torch.equal(ask(small, POINTS), POINTS.sum(-1))
    assert sizes[:4] == [8192, 4096, 2048, 2048]

    def never(points: Tensor) -> Tensor:
        sizes.append(points.shape[1])
        raise error

    with pytest.raises(type(error)):
        ask(never, POINTS)
    assert sizes[-1] == SMALLEST_CHUNK


def test_other_faults_are_not_tried_again() -> None:
    def broken(points: Tensor) -> Tensor:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="do not fit"):
        ask(broken, POINTS)
