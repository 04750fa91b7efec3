"""The field that is optimised from nothing: transmittance of known densities, backgrounds, a step towards a
text, and meshes."""

import math
from pathlib import Path
from typing import cast

import pytest
import torch

from backend.baselines.dream_fields import (
    DreamSettings,
    GridField,
    dream,
    dream_fields_maker,
    random_backgrounds,
    transmittance_target,
    volume_views,
)
from backend.bundles import load_bundle
from backend.cameras import look_at
from backend.clip_encoder import ClipEncoder
from backend.config import MeshSettings
from backend.meshing import extract_mesh
from tests.backend.tiny_bundle import write_tiny_bundle

TINY = DreamSettings(steps=4, views=1, view_size=16, grid=8, samples=16, mesh_resolution=24)


def _uniform(density: float, settings: DreamSettings) -> GridField:
    """A cube of one density per unit of length, and of one colour."""
    field = GridField(settings, torch.Generator().manual_seed(0))
    raw = math.log(math.expm1(density / settings.density))  # the inverse of softplus
    with torch.no_grad():
        for grid in (*field.raw, *field.paint):
            grid.zero_()
        field.ball.fill_(raw)
        field.paint[0].add_(torch.tensor([4.0, 0.0, -4.0]).reshape(1, 3, 1, 1, 1))
    return field.requires_grad_(False)


class _MeanColor:
    """Stands for a CLIP whose image feature is the direction of the mean colour."""

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(images.mean(dim=(2, 3)), dim=-1)


def test_light_fades_as_beer_and_lambert_say() -> None:
    settings = TINY.replace(samples=400)
    field = _uniform(2.0, settings)
    camera = look_at(0.0, 0.0, 1.8)
    colors, clear = volume_views(field, camera, 17, 400, torch.Generator().manual_seed(0))
    # The middle ray runs through one unit of the cube, the corner ray misses it.
    assert float(clear[0, 8, 8]) == pytest.approx(math.exp(-2.0), abs=0.01)
    assert float(clear[0, 0, 0]) == 1.0
    expected = (1 - math.exp(-2.0)) * torch.tensor([4.0, 0.0, -4.0]).sigmoid()
    assert torch.allclose(colors[0, 8, 8], expected, atol=0.01)


def test_the_surface_lies_where_a_voxel_swallows_half_the_light() -> None:
    half = math.log(2) * TINY.grid
    inside = torch.zeros(1, 1, 3)
    assert float(_uniform(1.01 * half, TINY).occupancy(inside)) > 0
    assert float(_uniform(0.99 * half, TINY).occupancy(inside)) < 0
    assert float(_uniform(2 * half, TINY).occupancy(torch.tensor([[[0.6, 0.0, 0.0]]]))) < 0
    work = extract_mesh(_uniform(2 * half, TINY), MeshSettings(resolution=24), 0.0, 0.5)
    try:
        while True:
            next(work)
    except StopIteration as finished:
        mesh = finished.value
    assert mesh.is_watertight() and mesh.volume() == pytest.approx(1.0, abs=0.05)


def test_backgrounds_are_pictures_that_differ() -> None:
    pictures = random_backgrounds(12, 16, torch.Generator().manual_seed(0))
    assert pictures.shape == (12, 16, 16, 3) and float(pictures.min()) >= 0 and float(pictures.max()) <= 1
    assert len({round(float(p.sum()), 3) for p in pictures}) == 12
    assert float(pictures.std(dim=(1, 2)).mean()) > 0.02


def test_the_target_of_transmittance_rises_and_stays() -> None:
    settings = DreamSettings(steps=100)
    values = [transmittance_target(step, settings) for step in (0, 25, 50, 99)]
    assert values == pytest.approx([0.4, 0.64, 0.88, 0.88])


def test_steps_go_towards_the_text_and_thin_the_field_out() -> None:
    clip, feature = cast(ClipEncoder, _MeanColor()), torch.tensor([1.0, 0.0, 0.0])
    settings = TINY.replace(steps=30, views=2, learning_rate=0.05)
    cosines = []
    work = dream(clip, feature, settings, torch.Generator().manual_seed(0))
    try:
        while True:
            cosines.append(next(work))
    except StopIteration as finished:
        field = finished.value
    assert len(cosines) == 30 and sum(cosines[-5:]) > sum(cosines[:5]) + 0.2
    red, green, blue = field.color(torch.zeros(1, 1, 3))[0, 0].tolist()
    assert red > 0.6 > 0.5 > max(green, blue) and not field.raw[0].requires_grad


def test_a_prompt_becomes_a_mesh_the_same_for_the_same_seed(tmp_path: Path) -> None:
    bundle = load_bundle(write_tiny_bundle(tmp_path))
    make = dream_fields_maker(bundle, TINY.replace(density=400.0))
    first, again = make("a red chair", 1), make("a red chair", 1)
    assert first.mesh.is_watertight() and first.seconds > 0
    assert first.score == again.score and (first.mesh.vertices == again.mesh.vertices).all()
