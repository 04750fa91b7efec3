"""Proportions against closed forms: an octahedron that is wider or lower is a wider or lower diamond."""

import pytest
import torch
from torch import Tensor

from backend.cameras import FOCAL, look_at
from backend.proportions import proportions
from backend.silhouettes import Outline
from backend.svr.dvr import DvrModel
from tests.backend.tiny_bundle import CODE_SIZE, RADIUS, tiny_svr

DISTANCE, SIZE = 1.7, 0.4


@pytest.fixture
def octahedra(monkeypatch: pytest.MonkeyPatch) -> DvrModel:
    """The octahedron model, which takes every image for one from the front."""
    model = tiny_svr()
    monkeypatch.setattr(model, "camera_of", lambda image: look_at(0.0, 0.0, DISTANCE), raising=False)
    return model


def _code(radius: float) -> Tensor:
    code = torch.zeros(CODE_SIZE)
    code[0] = (radius - RADIUS) / 0.05
    return code


def _diamond(width: float, height: float) -> Tensor:
    axis = ((torch.arange(192) + 0.5) / 192 * 2 - 1) * DISTANCE / FOCAL
    image = torch.ones(1, 3, 192, 192)
    image[:, :, axis.abs()[None] / width + axis.abs()[:, None] / height < SIZE] = 0.3
    return image


@pytest.mark.parametrize(("width", "height"), [(1.0, 1.0), (1.15, 1.0), (1.1, 0.85), (0.9, 1.05)])
def test_a_shape_is_stretched_as_the_object_is(octahedra: DvrModel, width: float, height: float) -> None:
    outline = Outline.of(octahedra, _diamond(width, height))
    assert outline is not None
    found = proportions(outline, octahedra, _code(SIZE))
    assert float(found[0] / found[1]) == pytest.approx(width / height, rel=0.05)
    assert float(found[0]) == pytest.approx(width, rel=0.07)  # the distance explains the rest
    assert float(found[2]) == pytest.approx(1, abs=0.1), "of the depth the front tells nothing"


def test_an_empty_shape_stays_as_it_is(octahedra: DvrModel) -> None:
    outline = Outline.of(octahedra, _diamond(1.0, 1.0))
    assert outline is not None
    assert proportions(outline, octahedra, _code(-0.1)).tolist() == [1, 1, 1]


def test_models_without_parts_leave_codes_alone(octahedra: DvrModel) -> None:
    assert torch.equal(octahedra.stretched(_code(0.3), torch.tensor([1.1, 1.0, 0.9])), _code(0.3))
