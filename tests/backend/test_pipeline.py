"""The whole pipeline on the tiny bundle: determinism, best iterate, stopping, notices, refusals."""

import dataclasses
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from backend.bundles import Bundle, load_bundle
from backend.errors import BundleError, EmptyShapeError, ImageError, PromptError, SettingError
from backend.events import Event, Notice, Preview, Progress
from backend.image_input import read_image
from backend.paint_words import Paintwork
from backend.pipeline import Result, Seen, candidates, decode, generate, refine
from backend.prompt_notices import prompt_notices
from backend.recipe import Recipe, change_settings
from backend.silhouettes import FINE, ROUGH, Fineness
from backend.svr.base import SvrModel
from tests.backend.tiny_bundle import CODE_SIZE, RADIUS, TINY_SETTINGS, write_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("pipeline")))


def _recipe(**fields: object) -> Recipe:
    values = {"prompt": "a red chair", "settings": TINY_SETTINGS, "threads": 1, **fields}
    return Recipe().replace(**values)


def _drive(work: Generator[Event, None, Result]) -> tuple[list[Event], Result]:
    events = []
    while True:
        try:
            events.append(next(work))
        except StopIteration as finished:
            return events, finished.value


def test_a_prompt_becomes_the_octahedron_of_its_code(bundle: Bundle) -> None:
    events, result = _drive(generate(bundle, _recipe()))
    phases = [event.phase for event in events if isinstance(event, Progress)]
    assert list(dict.fromkeys(phases)) == ["propose", "guide", "mesh"]
    assert len(result.scores) == len(result.codes) == 1 + TINY_SETTINGS.stage2.steps
    assert len(result.candidates) == TINY_SETTINGS.mapper.candidates
    assert result.scores[result.best_step] == max(result.scores)
    assert np.array_equal(result.codes[result.best_step], result.code)
    assert result.mesh.is_watertight()
    # Vertices lie on |x| + |y| + |z| = 0.3 + 0.05 code[0]; half precision weights keep 3 digits.
    radius = np.abs(result.mesh.vertices).sum(axis=1)
    assert np.abs(radius - (0.3 + 0.05 * result.code[0])).max() < 2e-3
    assert set(result.seconds) == {"propose", "guide", "mesh"}
    assert result.peak_memory["process"] > 0


def test_the_same_recipe_gives_the_same_bits(bundle: Bundle) -> None:
    _, first = _drive(generate(bundle, _recipe(seed=4)))
    _, again = _drive(generate(bundle, first.recipe))
    assert np.array_equal(first.mesh.vertices, again.mesh.vertices)
    assert np.array_equal(first.mesh.colors, again.mesh.colors)
    assert np.array_equal(first.codes, again.codes) and first.scores == again.scores
    assert again.recipe == first.recipe
    assert first.recipe.bundle_sha256 == bundle.sha256 and first.recipe.device == "cpu"


def test_seeds_and_diversity_vary_the_result(bundle: Bundle) -> None:
    codes = [_drive(generate(bundle, _recipe(seed=seed)))[1].code for seed in (1, 2)]
    assert not np.array_equal(*codes)


def test_a_stopped_job_keeps_its_best_and_its_recipe_repeats_it(bundle: Bundle) -> None:
    for patience in (1, 4):
        asked = iter(range(100))
        _, result = _drive(generate(bundle, _recipe(), stop=lambda: next(asked) >= patience - 1))  # noqa: B023
        assert result.stopped and result.recipe.start_code
        _, again = _drive(generate(bundle, result.recipe))
        assert not again.stopped
        assert np.array_equal(result.mesh.vertices, again.mesh.vertices)


def test_not_a_number_is_told_and_the_start_is_kept(bundle: Bundle) -> None:
    broken = dataclasses.replace(bundle.whitening, scale=torch.tensor([float("nan"), 1.0]))
    events, result = _drive(generate(dataclasses.replace(bundle, whitening=broken), _recipe()))
    assert [notice.code for notice in result.notices] == ["not_finite"]
    assert result.notices[0] in events
    assert result.best_step == 0 and np.isfinite(result.code).all()


def test_previews_come_when_asked_for(bundle: Bundle) -> None:
    events, _ = _drive(generate(bundle, _recipe(), preview_every=2))
    previews = [event for event in events if isinstance(event, Preview)]
    assert [preview.step for preview in previews] == [0, 2]
    assert len(previews[0].mesh.faces) > 0


@pytest.mark.parametrize(
    ("prompt", "code", "part"),
    [
        ("a red dragon", "unknown_words", 'Unknown and ignored: "dragon". The nearest phrasing'),
        ("a red chiar", "respelled", '"chiar" as "chair"'),
        ("красный стул", "other_script", "It knows: chair, table."),
        ("red " * 40, "truncated", "longer than the model reads"),
    ],
)
def test_prompts_that_are_half_understood_are_told(bundle: Bundle, prompt: str, code: str, part: str) -> None:
    quick = change_settings(TINY_SETTINGS, {"stage2": {"steps": 0}})
    _, result = _drive(generate(bundle, _recipe(prompt=prompt, settings=quick)))
    assert [notice.code for notice in result.notices] == [code]
    assert part in result.notices[0].message


@pytest.mark.parametrize(
    ("prompt", "ignored"),
    [
        ("a chair with a red hull", None),
        ("a chair with red hulls", None),
        ("a chair with a red trigger guard", None),
        ("a red chair with a hull", '"hull"'),
        ("a dragon with a red hull", '"dragon"'),
    ],
)
def test_words_of_parts_that_are_painted_are_not_told_as_unknown(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, prompt: str, ignored: str | None
) -> None:
    monkeypatch.setattr(bundle.svr, "names", ("hull", "trigger guard"), raising=False)
    messages = [notice.message for notice in prompt_notices(bundle, prompt)]
    assert messages == [] if ignored is None else messages[0].startswith(f"Unknown and ignored: {ignored}.")


def test_far_prompts_are_told_where_the_bundle_has_a_limit(bundle: Bundle) -> None:
    strict = dataclasses.replace(bundle, record=bundle.record.replace(far_similarity=0.9999))
    events = generate(strict, _recipe(prompt="a high back"))
    first = next(events)
    events.close()
    assert isinstance(first, Notice) and first.code == "far"


def test_the_mapper_is_told_what_the_svr_model_sees_in_an_image(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, told = tmp_path / "red.png", []
    Image.new("RGB", (32, 32), (255, 0, 0)).save(path)
    propose = bundle.mapper.propose

    def remember(*args: Any, near: torch.Tensor | None = None, **kwargs: Any) -> torch.Tensor:
        told.append(near)
        return propose(*args, near=near, **kwargs)

    monkeypatch.setattr(bundle.mapper, "propose", remember)
    for recipe in (_recipe(), Recipe(image=str(path), settings=TINY_SETTINGS)):
        _drive(generate(bundle, recipe))
    assert told[0] is None
    with torch.no_grad():
        expected = bundle.svr.encode(read_image(path)[0])[0]
    assert torch.equal(told[1], expected)


def test_shapes_painted_as_the_prompt_names_come_before_others(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def repainted(model: SvrModel, code: Tensor, work: Paintwork) -> Tensor:
        asked.append(work)
        return torch.stack([code, code + 1]) if len(asked) == 2 else code.new_zeros(0, len(code))

    monkeypatch.setattr(type(bundle.svr), "repainted", repainted)
    feature = bundle.clip.encode_text(["a red chair"])[0].detach()
    plain = candidates(bundle, _recipe(prompt="a red chair"), feature)
    assert not asked
    settings = change_settings(TINY_SETTINGS, {"mapper": {"repaints": 2}})
    painted = candidates(bundle, _recipe(prompt="a red chair", settings=settings), feature)
    assert asked == [Paintwork((("red",),), whole=True)] * 2
    assert torch.equal(painted, torch.stack([plain[1], plain[0]]))


def test_a_shape_without_the_part_that_is_to_be_painted_comes_after_the_others(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = "a chair with red legs"
    settings = change_settings(TINY_SETTINGS, {"mapper": {"repaints": 2}})
    feature = bundle.clip.encode_text([prompt])[0].detach()
    monkeypatch.setattr(type(bundle.svr), "repainted", lambda model, code, work: code[None])
    best, next_best = candidates(bundle, _recipe(prompt=prompt, settings=settings), feature)[:2]
    lacking = lambda model, code, work: ["legs"] * torch.equal(code, best)  # noqa: E731
    monkeypatch.setattr(type(bundle.svr), "lacking_parts", lacking)
    found = candidates(bundle, _recipe(prompt=prompt, settings=settings), feature)
    assert torch.equal(found[0], next_best) and torch.equal(found[1], best)


def test_a_prompt_in_note_form_gives_what_its_phrase_gives(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(bundle.svr), "names", ("armrests", "legs"))
    _, typed = _drive(generate(bundle, _recipe(prompt="a chair, red legs, no armrests")))
    _, said = _drive(generate(bundle, _recipe(prompt="a chair with red legs without armrests")))
    assert np.array_equal(typed.codes, said.codes) and typed.notices == said.notices
    assert typed.recipe.prompt == "a chair, red legs, no armrests"


@pytest.mark.parametrize("repaints", [0, 2])
def test_a_part_that_is_not_there_to_be_painted_is_told(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, repaints: int
) -> None:
    settings = change_settings(TINY_SETTINGS, {"mapper": {"repaints": repaints}, "stage2": {"steps": 0}})
    monkeypatch.setattr(type(bundle.svr), "lacking_parts", lambda model, code, work: ["legs", "back"])
    _, result = _drive(generate(bundle, _recipe(prompt="a chair with red wheels", settings=settings)))
    told = [notice.message for notice in result.notices if notice.code == "no_such_part"]
    assert len(told) == (repaints > 0) and all("no legs and no back of its own" in text for text in told)


def test_of_the_paintings_of_a_shape_a_strange_one_is_not_chosen(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = change_settings(TINY_SETTINGS, {"mapper": {"repaints": 2, "strangeness_weight": 1.0}})
    recipe = _recipe(prompt="a red chair", settings=settings)
    feature = bundle.clip.encode_text([recipe.prompt])[0].detach()
    plain = candidates(bundle, _recipe(prompt="a red chair"), feature)
    strange = torch.tensor([0.0, 1, 0, 0])
    monkeypatch.setattr(
        type(bundle.svr), "repainted", lambda model, code, work: torch.stack([code + strange, code])
    )
    monkeypatch.setattr(type(bundle.svr), "strangeness", lambda model, codes: 9 * codes[:, 1])
    found = candidates(bundle, recipe, feature)
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, plain.tolist()))


def test_strange_codes_are_not_chosen(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {"proposals": 6, "agreement_weight": 1.0, "strangeness_weight": 1.0}
    settings = change_settings(TINY_SETTINGS, {"mapper": weights, "stage2": {"steps": 0}})
    recipe = _recipe(diversity=1.0, settings=settings)
    monkeypatch.setattr(type(bundle.svr), "strangeness", lambda model, codes: 9 * codes[:, 0])
    feature = bundle.clip.encode_text([recipe.prompt])[0].detach()
    found = candidates(bundle, recipe, feature)[:, 0]
    _, result = _drive(generate(bundle, recipe))
    assert result.code[0] == pytest.approx(float(found[0]), abs=1e-6)
    assert found[0] < found[1] and found[0] < candidates(bundle, _recipe(diversity=1.0), feature)[:, 0].min()
    seen = Seen(torch.ones(1, 3, 32, 32), torch.zeros(CODE_SIZE))
    unweighed = change_settings(settings, {"mapper": {"strangeness_weight": 0.0}})
    near, same = (
        candidates(bundle, recipe.replace(settings=own), feature, seen) for own in (settings, unweighed)
    )
    assert torch.equal(near, same), "with an image it does not count"


@pytest.mark.parametrize("prompt", ["", "a red chair"])
def test_silhouettes_choose_among_proposals_for_an_image(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, prompt: str
) -> None:
    """The best by silhouette, in the object's proportions, alone, or before others where a prompt asks for
    more; as before without an outline."""
    settings = change_settings(TINY_SETTINGS, {"mapper": {"silhouette_weight": 1.0, "proposals": 6}})
    recipe = _recipe(prompt=prompt, diversity=1.0, settings=settings)
    feature = bundle.clip.encode_text(["a red chair"])[0].detach()
    seen = Seen(torch.ones(1, 3, 32, 32), torch.zeros(CODE_SIZE))
    plain = candidates(bundle, recipe, feature, seen)
    assert len(plain) == TINY_SETTINGS.mapper.candidates
    told = []

    class Told:
        """Roughly the fifth fits best, finely the sixth of those that are left."""

        @classmethod
        def of(cls, model: SvrModel, image: Tensor) -> "Told":
            assert model is bundle.svr and torch.equal(image, seen.image)
            return cls()

        def overlaps(self, model: SvrModel, codes: Tensor, how: Fineness = ROUGH, stop: Any = None) -> Tensor:
            told.append((codes, how))
            return (torch.arange(len(codes)) == (4 if how == ROUGH else 5)).float()

    monkeypatch.setattr("backend.pipeline.Outline", Told)
    monkeypatch.setattr("backend.pipeline.proportions", lambda *asked: torch.tensor([1.0, 2.0, 3.0]))
    monkeypatch.setattr(type(bundle.svr), "stretched", lambda model, code, factors: code + factors.sum())
    chosen = candidates(bundle, recipe, feature, seen)
    (rough, first), (fine, second) = told
    assert (first, second) == (ROUGH, FINE)
    assert len(rough) == len(fine) == 12, "near the image, and anywhere"
    assert torch.equal(fine[0], rough[4]) and torch.equal(chosen[0], fine[5] + 6)
    assert torch.equal(candidates(bundle, recipe, feature, seen, lambda: True)[0], fine[5]), "in a hurry"
    told.clear()
    assert len(chosen) == (TINY_SETTINGS.mapper.candidates if prompt else 1)
    candidates(bundle, recipe, feature)
    candidates(bundle, _recipe(prompt=prompt), feature, seen)
    assert not told


def test_of_one_outline_the_shape_nearest_to_all_others_is_taken(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of octahedra in one another it is the middle one."""
    radii = torch.tensor([0.45, 0.3, 0.36])
    codes = torch.zeros(3, CODE_SIZE)
    codes[:, 0] = (radii - RADIUS) / 0.05

    class Same:
        """Takes all outlines for the same."""

        @classmethod
        def of(cls, model: SvrModel, image: Tensor) -> "Same":
            return cls()

        def overlaps(self, model: SvrModel, codes: Tensor, how: Fineness = ROUGH, stop: Any = None) -> Tensor:
            return torch.ones(len(codes))

    monkeypatch.setattr("backend.pipeline.Outline", Same)
    monkeypatch.setattr("backend.pipeline.proportions", lambda *asked: torch.ones(3))
    monkeypatch.setattr(type(bundle.mapper), "propose", lambda *_, **__: codes)
    monkeypatch.setattr(type(bundle.mapper), "agreement", lambda _, codes, features: torch.zeros(len(codes)))
    settings = change_settings(TINY_SETTINGS, {"mapper": {"silhouette_weight": 1.0}})
    seen = Seen(torch.ones(1, 3, 32, 32), torch.zeros(CODE_SIZE))
    feature = bundle.clip.encode_text(["a red chair"])[0].detach()
    (chosen,) = candidates(bundle, _recipe(prompt="", settings=settings), feature, seen)
    assert torch.equal(chosen, codes[2])


def test_an_image_without_a_clear_object_is_told_where_outlines_count(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    settings = change_settings(TINY_SETTINGS, {"mapper": {"silhouette_weight": 1.0}, "stage2": {"steps": 0}})
    image = Image.new("RGB", (64, 64), "white")
    for clear in (False, True):
        if clear:
            image.paste((255, 0, 0), (16, 16, 48, 48))
        image.save(path)
        for chosen, told in ((TINY_SETTINGS, False), (settings, not clear)):
            _, result = _drive(generate(bundle, Recipe(image=str(path), settings=chosen)))
            assert [notice.code for notice in result.notices] == ["no_outline"] * told


def test_an_image_works_alone_and_with_a_prompt(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    Image.new("RGBA", (20, 12), (255, 0, 0, 128)).save(path)
    _, alone = _drive(generate(bundle, Recipe(image=str(path), settings=TINY_SETTINGS)))
    _, both = _drive(generate(bundle, _recipe(image=str(path))))
    assert alone.recipe.image_sha256 == both.recipe.image_sha256 != ""
    assert not np.array_equal(alone.codes[0], both.codes[0])
    Image.new("RGB", (20, 12), (0, 0, 255)).save(path)
    with pytest.raises(ImageError, match="not the image of the recipe"):
        next(generate(bundle, alone.recipe))
    path.write_bytes(b"no picture")
    with pytest.raises(ImageError, match="cannot be decoded"):
        next(generate(bundle, _recipe(image=str(path))))
    with pytest.raises(ImageError, match="cannot be read"):
        next(generate(bundle, _recipe(image=str(tmp_path / "none.png"))))


def test_refusals(bundle: Bundle) -> None:
    with pytest.raises(PromptError, match="empty"):
        next(generate(bundle, Recipe()))
    with pytest.raises(BundleError, match="another version"):
        next(generate(bundle, _recipe(bundle_sha256="0")))
    with pytest.raises(BundleError, match="has no mapper"):
        bare = dataclasses.replace(bundle, mapper=None, record=bundle.record.replace(mapper={}))
        tuned = change_settings(TINY_SETTINGS, {"stage2": {"target": "mapper"}})
        next(generate(bare, _recipe(settings=tuned)))
    with pytest.raises(SettingError, match="float16"):
        next(generate(bundle, _recipe(precision="float16")))
    with pytest.raises(SettingError, match=r"takes \[4\] finite numbers"):
        next(decode(bundle, _recipe(), np.zeros(3, dtype=np.float32)))


def test_an_empty_shape_is_explained(bundle: Bundle) -> None:
    empty = change_settings(TINY_SETTINGS, {"render": {"iso_logit": 20.0}})
    with pytest.raises(EmptyShapeError, match="empty") as caught:
        _drive(generate(bundle, _recipe(settings=empty)))
    assert caught.value.remedy


def test_a_cancelled_job_leaves_torch_as_it_was(bundle: Bundle) -> None:
    work = generate(bundle, _recipe())
    next(work)
    work.close()
    assert not torch.are_deterministic_algorithms_enabled()


def test_refining_starts_from_the_given_code(bundle: Bundle) -> None:
    code = np.array([0.5, 1.0, 0.0, 0.0], dtype=np.float32)
    _, result = _drive(refine(bundle, _recipe(), code))
    assert np.array_equal(result.codes[0], code) and not result.candidates
    _, again = _drive(generate(bundle, result.recipe))
    assert np.array_equal(result.code, again.code)


def test_decoding_a_code_gives_its_mesh(bundle: Bundle) -> None:
    code = np.zeros(CODE_SIZE, dtype=np.float32)
    _, mesh = _drive(decode(bundle, _recipe(), code))
    assert np.abs(np.abs(mesh.vertices).sum(axis=1) - 0.3).max() < 2e-3


@pytest.mark.parametrize(
    "changes",
    [
        {"stage2": {"target": "mapper", "learning_rate": 0.001}},
        {"stage2": {"augment": True, "background_weight": 0.0}},
        {"render": {"grid_resolution": 16, "shading": "lambert"}, "mapper": {"pieces_weight": 0.1}},
    ],
)
def test_every_kind_of_tuning_runs_and_repeats(bundle: Bundle, changes: dict) -> None:
    recipe = _recipe(settings=change_settings(TINY_SETTINGS, changes))
    _, first = _drive(generate(bundle, recipe))
    _, again = _drive(generate(bundle, recipe))
    assert first.scores[first.best_step] >= first.scores[0]
    assert not np.array_equal(first.codes[0], first.codes[-1])
    assert np.array_equal(first.codes, again.codes)


def test_low_precision_is_only_about_clip(bundle: Bundle) -> None:
    quick = change_settings(TINY_SETTINGS, {"stage2": {"steps": 0}, "mapper": {"candidates": 1}})
    _, full = _drive(generate(bundle, _recipe(settings=quick)))
    _, low = _drive(generate(bundle, _recipe(settings=quick, precision="bfloat16")))
    assert np.array_equal(full.mesh.vertices, low.mesh.vertices)
    assert low.scores[0] == pytest.approx(full.scores[0], abs=0.02) and low.scores != full.scores
