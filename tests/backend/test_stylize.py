"""Stage 3 on fields: geometry frozen or held, styles chain and repeat, patterns and views as said."""

import dataclasses
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import torch

from backend.bundles import Bundle, load_bundle
from backend.cameras import look_at
from backend.config import PipelineSettings, StylizeSettings
from backend.errors import BundleError, PromptError, SettingError
from backend.events import Notice, Preview, Progress
from backend.recipe import Recipe, Style
from backend.rendering.implicit import render_views
from backend.rendering.surface_views import field_views
from backend.solid_patterns import PATTERNS, place_points
from backend.style_chain import (
    Shape,
    StyledResult,
    decode_styled,
    generate_styled,
    result_files,
    stylize,
)
from backend.styled_field import StyledField
from backend.stylize import draw_backgrounds, read_wish
from backend.stylize_shape import shape_loss
from tests.backend.tiny_bundle import CODE_SIZE, TINY_SETTINGS, write_tiny_bundle

QUICK = StylizeSettings(
    steps=3, views=2, pool=3, palettes=2, palette_steps=1, fit_steps=5, fit_points=64, learning_rate=0.01
)
SHAPE = QUICK.replace(shape_learning_rate=0.001)
CODE = np.zeros(CODE_SIZE, np.float32)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("styles")))


def _drive(work: Generator[Any, None, Any]) -> tuple[list[Any], Any]:
    events = []
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            return events, end.value


def _shape(**changes: Any) -> Shape:
    recipe = Recipe(prompt="a red chair", settings=TINY_SETTINGS, threads=1, bundle="tiny")
    return dataclasses.replace(Shape(recipe, CODE), **changes)


def _style(mode: str = "texture", **changes: Any) -> Style:
    return Style(style="blue", mode=mode, settings=QUICK if mode == "texture" else SHAPE).replace(**changes)


def test_texture_leaves_the_geometry_bit_for_bit_and_changes_colours(bundle: Bundle) -> None:
    _, before = _drive(decode_styled(bundle, _shape()))
    events, result = _drive(stylize(bundle, _shape(), _style(), preview_every=1))
    assert np.array_equal(result.mesh.vertices, before.vertices)
    assert np.array_equal(result.mesh.faces, before.faces)
    assert np.abs(result.mesh.colors - before.colors).max() > 0.05
    assert len(result.scores) == 2 + QUICK.steps and result.best_step >= 1
    assert result.scores[result.best_step] == max(result.scores[1:])
    assert result.recipe.styles == (_style(),)
    previews = [event for event in events if isinstance(event, Preview)]
    assert [preview.step for preview in previews] == list(range(5))
    assert np.array_equal(previews[0].mesh.colors, before.colors)
    progress = [event for event in events if isinstance(event, Progress) and event.phase == "stylize"]
    assert progress[-1].step == progress[-1].total
    assert result.iterates.shape == (len(result.iterate_steps), *before.colors.shape)
    assert result.iterate_steps[0] == 0 and result.iterate_steps[-1] == result.best_step
    np.testing.assert_allclose(result.iterates[-1] / 255, result.mesh.colors, atol=0.5 / 255 + 1e-6)


def test_the_file_decodes_to_the_same_mesh_also_finer(bundle: Bundle) -> None:
    _, result = _drive(stylize(bundle, _shape(), _style()))
    shape = Shape(result.recipe, result.code, result.delta)
    _, again = _drive(decode_styled(bundle, shape))
    assert np.array_equal(again.colors, result.mesh.colors)
    finer = TINY_SETTINGS.replace(mesh=TINY_SETTINGS.mesh.replace(resolution=32))
    _, fine = _drive(
        decode_styled(bundle, dataclasses.replace(shape, recipe=result.recipe.replace(settings=finer)))
    )
    assert len(fine.faces) > 3 * len(again.faces)
    assert len(result_files(result)["decoder.safetensors"]) > 100


def test_a_chain_of_styles_repeats_from_its_recipe(bundle: Bundle) -> None:
    recipe = _shape().recipe.replace(
        settings=TINY_SETTINGS.replace(stage2=TINY_SETTINGS.stage2.replace(steps=1))
    )
    _, plain = _drive(generate_styled(bundle, recipe))
    assert not isinstance(plain, StyledResult) and not result_files(plain)
    shape = Shape(plain.recipe, plain.code)
    _, first = _drive(stylize(bundle, shape, _style()))
    _, second = _drive(
        stylize(bundle, Shape(first.recipe, first.code, first.delta), _style("shape-texture", seed=4))
    )
    assert [style.seed for style in second.recipe.styles] == [0, 4]
    restored = Recipe.from_dict(second.recipe.to_dict())
    assert restored == second.recipe
    _, again = _drive(generate_styled(bundle, restored))
    assert np.array_equal(again.mesh.vertices, second.mesh.vertices)
    assert np.array_equal(again.mesh.colors, second.mesh.colors)
    assert again.delta.to_bytes() == second.delta.to_bytes()
    assert set(again.seconds) == {"propose", "guide", "mesh", "stylize"}


def test_shape_mode_gives_one_closed_piece_near_the_original(bundle: Bundle) -> None:
    _, before = _drive(decode_styled(bundle, _shape()))
    events, result = _drive(stylize(bundle, _shape(), _style("shape-texture"), preview_every=1))
    assert result.mesh.is_watertight() and result.mesh.component_count() == 1
    assert 0.5 < result.mesh.volume() / before.volume() < 2
    assert result.best_step >= 1 and result.scores[result.best_step] == max(
        result.scores[1], result.scores[result.best_step]
    )
    assert any(isinstance(event, Preview) for event in events) and result.iterates is None


def test_the_prior_pulls_back_and_strength_divides_it(bundle: Bundle) -> None:
    original = bundle.svr.field(torch.zeros(1, CODE_SIZE))
    cameras = look_at([20.0, 130.0], 20.0, 1.8)
    surface = field_views(original, cameras, 16, TINY_SETTINGS.render)
    only_prior = SHAPE.replace(
        clip_weight=0.0, background_weight=0.0, white_weight=0.0, prior_weight=1.0, palettes=0
    )
    tensors = original.tensors("occupancy")
    bias = tensors["fc_out.bias"]
    losses = []
    for raised, strength in ((0.0, 1.0), (0.5, 1.0), (0.5, 2.0)):
        start = StyledField(original, {"occupancy": {**tensors, "fc_out.bias": bias + raised}})
        loss = shape_loss(
            bundle.clip, torch.ones(16), start, original, surface, only_prior, strength,
            TINY_SETTINGS.stage2, TINY_SETTINGS.render, torch.Generator().manual_seed(0), "float32", None,
        )  # fmt: skip
        losses.append(float(loss.detach()))
    # Every logit is raised by 0.5, so the mean difference is 0.5.
    assert losses == pytest.approx([0.0, 0.5, 0.25], abs=1e-4)


def test_strength_is_the_share_of_new_colours(bundle: Bundle) -> None:
    only_start = QUICK.replace(steps=0, fit_steps=60)
    _, before = _drive(decode_styled(bundle, _shape()))
    changes = []
    for strength in (0.05, 1.0):
        _, result = _drive(stylize(bundle, _shape(), _style(settings=only_start, strength=strength)))
        changes.append(np.abs(result.mesh.colors - before.colors).mean())
    assert changes[0] < 0.5 * changes[1]


def test_the_pure_method_starts_from_the_old_colours(bundle: Bundle) -> None:
    _, result = _drive(stylize(bundle, _shape(), _style(settings=QUICK.replace(palettes=0))))
    assert len(result.scores) == 1 + QUICK.steps and result.best_step >= 1


def test_a_stopped_style_keeps_its_best_and_repeats(bundle: Bundle) -> None:
    asked = iter(range(100))
    _, result = _drive(stylize(bundle, _shape(), _style(), stop=lambda: next(asked) >= 2))
    assert result.stopped and result.recipe.styles[0].settings.steps == 2
    _, again = _drive(stylize(bundle, _shape(), result.recipe.styles[0]))
    assert np.array_equal(again.mesh.colors, result.mesh.colors)


def test_not_a_number_is_told(bundle: Bundle) -> None:
    wild = QUICK.replace(clip_weight=1000.0, learning_rate=1.0, palettes=0)
    broken = dataclasses.replace(bundle, clip=_Nan(bundle.clip))
    events, result = _drive(stylize(broken, _shape(), _style(settings=wild)))
    assert [n.code for n in events if isinstance(n, Notice)] == ["not_finite"]
    assert np.isfinite(result.mesh.colors).all()


class _Nan(torch.nn.Module):
    """A CLIP whose features of images that carry gradients are not numbers."""

    def __init__(self, clip: torch.nn.Module) -> None:
        super().__init__()
        self._clip = clip

    def encode_text(self, texts: list[str]) -> torch.Tensor:
        return self._clip.encode_text(texts)

    def report(self, text: str) -> Any:
        return self._clip.report(text)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        features = self._clip.encode_image(images)
        return features * float("nan") if images.requires_grad else features


def test_refusals(bundle: Bundle) -> None:
    with pytest.raises(PromptError, match="empty"):
        next(stylize(bundle, _shape(), _style(style="  ")))
    with pytest.raises(SettingError, match="finite numbers"):
        next(stylize(bundle, _shape(code=CODE[:2]), _style()))
    styled = _shape(recipe=_shape().recipe.replace(styles=(_style(),)))
    with pytest.raises(SettingError, match=r"decoder\.safetensors is missing"):
        next(stylize(bundle, styled, _style()))
    with pytest.raises(BundleError, match="another version"):
        next(stylize(bundle, _shape(recipe=_shape().recipe.replace(bundle_sha256="0")), _style()))
    with pytest.raises(SettingError, match="strength is 9"):
        _style(strength=9.0)
    with pytest.raises(SettingError, match="mode is 'all'"):
        _style(mode="all")


def test_older_bundles_have_the_default_settings() -> None:
    values = PipelineSettings().to_dict()
    del values["stylize"]
    assert PipelineSettings.from_dict(values).stylize == StylizeSettings()


def test_surface_views_agree_with_the_renderer(bundle: Bundle) -> None:
    field = bundle.svr.field(torch.zeros(1, CODE_SIZE))
    cameras = look_at([20.0, 130.0, 250.0], 20.0, 1.8)
    for shading in ("none", "lambert"):
        render = TINY_SETTINGS.render.replace(shading=shading)
        views = field_views(field, cameras, 24, render)
        with torch.no_grad():
            rgb = render_views(field, cameras, 24, render).rgb
        torch.testing.assert_close(views.images(views.old), rgb, rtol=0, atol=1e-5)
        chosen = views[torch.tensor([2, 0])]
        torch.testing.assert_close(chosen.images(chosen.old), rgb[[2, 0]], rtol=0, atol=1e-5)
    assert len(views.beyond)


def test_backgrounds_are_as_in_the_reference() -> None:
    colors = draw_backgrounds(4000, 0.8, torch.Generator().manual_seed(0))[:, 0, 0]
    black = colors.sum(-1) == 0
    assert float(black.float().mean()) == pytest.approx(0.2, abs=0.03)
    ones = (colors[~black] == 1).float().mean(0)
    assert ((colors[~black] == 1).sum(-1) >= 1).all() and ones.min() > 0.28
    others = colors[~black].sort(-1).values[:, :2]
    torch.testing.assert_close(others[:, 0], others[:, 1])


def test_patterns_are_shares_and_mostly_use_both_colours() -> None:
    points = torch.rand(4000, 3, generator=torch.Generator().manual_seed(1)) - 0.5
    for name, (pattern, period) in PATTERNS.items():
        share = pattern(place_points(points, period, torch.Generator().manual_seed(2)))
        assert share.shape == (4000,) and share.min() >= 0 and share.max() <= 1
        assert name == "plain" or share.std() > 0.1, name
    level = place_points(points, 0.2, torch.Generator().manual_seed(3))
    above = place_points(points + torch.tensor([0.0, 0.2, 0.0]), 0.2, torch.Generator().manual_seed(3))
    bands = PATTERNS["bands"][0]
    torch.testing.assert_close(bands(level), bands(above), rtol=0, atol=1e-3)


def test_the_style_is_named_with_the_thing(bundle: Bundle) -> None:
    clip = bundle.clip
    texts = clip.encode_text(["red", "a red table"])
    wanted = torch.nn.functional.normalize(texts.mean(0), dim=-1)
    given = read_wish(clip, "red", "A blue Table", ("chair", "table")).feature
    torch.testing.assert_close(given, wanted)
    torch.testing.assert_close(read_wish(clip, "red", "a thing", ()).feature, clip.encode_text(["red"])[0])
    guessed = read_wish(clip, "red", "", ("chair", "table"), torch.ones(2, 32, 32, 3)).feature
    options = [
        torch.nn.functional.normalize(clip.encode_text(["red", f"a red {c}"]).mean(0), dim=-1)
        for c in ("chair", "table")
    ]
    assert any(torch.allclose(guessed, option) for option in options)
