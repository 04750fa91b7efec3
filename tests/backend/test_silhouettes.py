"""Silhouettes against closed forms: an octahedron seen from the front is a diamond."""

import pytest
import torch
from torch import Tensor

from backend.cameras import FOCAL, look_at
from backend.silhouettes import FINE, ROUGH, Fineness, Outline, object_mask
from backend.svr.dvr import DvrModel
from tests.backend.tiny_bundle import CODE_SIZE, RADIUS, tiny_svr

DISTANCE = 1.7


@pytest.fixture
def octahedra(monkeypatch: pytest.MonkeyPatch) -> DvrModel:
    """The octahedron model, which takes every image for one from a little left of the front."""
    model = tiny_svr()
    monkeypatch.setattr(model, "camera_of", lambda image: look_at(-5.0, 5.0, DISTANCE), raising=False)
    return model


def _codes(*radii: float) -> Tensor:
    codes = torch.zeros(len(radii), CODE_SIZE)
    codes[:, 0] = (torch.tensor(radii) - RADIUS) / 0.05
    return codes


def _diamond(radius: float, *, size: int = 96, background: float = 1.0) -> Tensor:
    """An image [1, 3, S, S] of a red octahedron from the front."""
    axis = (torch.arange(size) + 0.5) / size * 2 - 1
    reach = axis.abs()[:, None] + axis.abs()[None]
    inside = reach < radius * FOCAL / DISTANCE
    image = torch.full((1, 3, size, size), background)
    image[0, 0][inside], image[0, 1:, inside] = 0.8, 0.1
    return image


@pytest.mark.parametrize(("how", "slack"), [(ROUGH, 0.12), (FINE, 0.08)])
def test_overlaps_are_ratios_of_areas(octahedra: DvrModel, how: Fineness, slack: float) -> None:
    outline = Outline.of(octahedra, _diamond(0.4))
    assert outline is not None
    found = outline.overlaps(octahedra, _codes(0.28, 0.4, 0.5), how)
    # (0.28 / 0.4 * 1.7 / 1.65)^2 from the nearest tried camera, (0.4 / 0.5 * 1.75 / 1.7)^2 from the farthest;
    # a rough pixel is a twelfth of the diamond's half width.
    assert torch.allclose(found, torch.tensor([0.52, 1.0, 0.68]), atol=slack)
    assert found.argmax() == 1


def test_fine_silhouettes_tell_what_rough_ones_cannot(octahedra: DvrModel) -> None:
    outline = Outline.of(octahedra, _diamond(0.4))
    assert outline is not None
    codes = _codes(0.4, 0.38, 0.42)
    rough, fine = (outline.overlaps(octahedra, codes, how) for how in (ROUGH, FINE))
    assert rough[0] == pytest.approx(float(rough[1])) and rough[2] < rough[0]
    assert fine.argmax() == 0 and fine[1] < fine[0]


def test_an_empty_shape_overlaps_nothing(octahedra: DvrModel) -> None:
    outline = Outline.of(octahedra, _diamond(0.3))
    assert outline is not None
    found = outline.overlaps(octahedra, _codes(-0.1, 0.3))
    assert found[0] == 0 and found[1] > 0.85


def test_what_a_wish_to_stop_leaves_out_overlaps_nothing(octahedra: DvrModel) -> None:
    outline, asked = Outline.of(octahedra, _diamond(0.3)), iter([False, True])
    assert outline is not None
    found = outline.overlaps(octahedra, _codes(0.3, 0.3, 0.3), stop=lambda: next(asked))
    assert found[0] > 0.85 and found[1:].tolist() == [0, 0]


def test_no_outline_without_a_camera_or_an_object(octahedra: DvrModel) -> None:
    assert Outline.of(tiny_svr(), _diamond(0.3)) is None
    assert Outline.of(octahedra, torch.ones(1, 3, 64, 64)) is None


@pytest.mark.parametrize("background", [1.0, 0.5, 0.0])
def test_the_object_stands_out_from_any_plain_background(background: float) -> None:
    mask = object_mask(_diamond(0.3, background=background))
    assert mask is not None and mask.shape == (ROUGH.size, ROUGH.size)
    half = 0.3 * FOCAL / DISTANCE * ROUGH.size / 2
    assert int(mask.sum()) == pytest.approx(2 * half**2, rel=0.12)
    assert torch.equal(mask, mask.flip(0)) and torch.equal(mask, mask.flip(1))


def test_a_little_noise_of_the_background_is_no_object() -> None:
    noise = 0.01 * torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    clean, noisy = object_mask(_diamond(0.3)), object_mask(_diamond(0.3, background=0.9) + noise)
    assert clean is not None and noisy is not None
    assert torch.equal(clean, noisy)


@pytest.mark.parametrize("kind", ["busy", "plain", "speck", "full"])
def test_images_without_a_clear_object_have_no_mask(kind: str) -> None:
    image = torch.ones(1, 3, 96, 96)
    if kind == "busy":
        image = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(2))
    elif kind == "speck":
        image[..., 40:44, 40:44] = 0
    elif kind == "full":
        image[..., 1:-1, 1:-1] = 0
    assert object_mask(image) is None
