"""Shape programs: every category connected, in the cube, repeatable; captions true; prompts fresh."""

import numpy as np
import pytest

from backend.datasets.procedural.captions import describe, plain_prompt
from backend.datasets.procedural.categories import CATEGORIES, make
from backend.datasets.procedural.materials import COLORS, PATTERNS, plain
from backend.datasets.procedural.prompts import claims, colorless_prompts, held_out_prompts
from backend.datasets.procedural.shape import FIT, Shape
from backend.datasets.procedural.views import label, occupancy_grid, render, sample_points, world_matrix
from backend.datasets.procedural.vocabulary import vocabulary_page
from backend.judges.structure import connected_share
from backend.paint_words import COLOR_WORDS, PATTERN_WORDS

PAPER_CATEGORIES = (
    "airplane", "bench", "cabinet", "car", "chair", "display", "lamp", "loudspeaker", "rifle", "sofa",
    "table", "telephone", "watercraft",
)  # fmt: skip


def _rng(*numbers: int) -> np.random.Generator:
    return np.random.default_rng([7, *numbers])


def _plain(text: str) -> str:
    """Without the difference of a and an."""
    return f" {text}".replace(" an ", " a ")


def test_the_paper_categories_and_more_are_there() -> None:
    assert set(PAPER_CATEGORIES) <= set(CATEGORIES) and len(CATEGORIES) >= 20
    for name, category in CATEGORIES.items():
        assert category.name == name and len(category.kinds) >= 4
        assert all(kind.nouns for kind in category.kinds.values())


@pytest.mark.parametrize("name", list(CATEGORIES))
def test_every_kind_is_one_connected_solid_inside_the_cube(name: str) -> None:
    for number, kind in enumerate(CATEGORIES[name].kinds):
        shape = make(name, _rng(number), kind=kind).shape
        grid = occupancy_grid(shape, 48)
        assert 0.003 < grid.mean() < 0.65, kind
        assert connected_share(grid) > 0.99, kind
        assert np.abs(shape.box).max() <= FIT / 2 + 0.005


@pytest.mark.parametrize("name", list(CATEGORIES))
def test_a_seed_repeats_its_shape_and_another_does_not(name: str) -> None:
    first, again, other = (make(name, _rng(seed)) for seed in (1, 1, 2))
    assert first.draw.facts == again.draw.facts and first.draw.kind == again.draw.kind
    for field in ("kinds", "frames", "params", "outlines", "materials"):
        assert np.array_equal(getattr(first.shape, field), getattr(again.shape, field))
    same = first.shape.params.shape == other.shape.params.shape
    assert not (same and np.array_equal(first.shape.params, other.shape.params))


@pytest.mark.parametrize("name", list(CATEGORIES))
def test_captions_say_only_what_is_true(name: str) -> None:
    for number in range(12):
        sample = make(name, _rng(number))
        draw, category = sample.draw, sample.category
        caption = describe(sample, _rng(number, 1), held_out=number % 2 == 0)
        text = f" {caption.text}".replace(" an ", " a ")
        for fact, value in caption.facts.items():
            assert draw.facts[fact] == value
            assert any(
                _plain(phrase.removeprefix("with ")) in text for phrase in category.phrases[fact, value]
            )
        main = next(iter(draw.paints.values()))
        if caption.color:
            words = [*COLOR_WORDS.get(main.color, ()), *PATTERN_WORDS.get(main.pattern, ())]
            assert caption.color == main.named and any(word in caption.text for word in words)
        for part, color in caption.part_colors.items():
            assert draw.paints[part].named == color != main.named and part in caption.text
            assert part in sample.shape.names
        nouns = category.kinds[draw.kind].nouns if caption.kind_named else category.nouns
        assert any(noun in caption.text for noun in nouns)
        assert " a a" not in f" {caption.text}" and "  " not in caption.text


def test_forced_kind_color_and_style_are_obeyed() -> None:
    sample = make("chair", _rng(3), kind="stool", color="red")
    assert sample.draw.kind == "stool" and next(iter(sample.draw.paints.values())).color == "red"
    assert next(iter(make("mug", _rng(4), style="zebra").draw.paints.values())).pattern == "zebra"


def test_primitives_have_their_closed_forms() -> None:
    shape = Shape()
    shape.box("box", plain("red", _rng(0), jitter=0.0), (1.0, 0.5, 0.25), (0, 0, 0), round=0.0)
    packed = shape.pack()  # scaled by FIT: half sides 0.45, 0.225, 0.1125
    points = np.array([[0, 0, 0], [0.45 + 0.04, 0, 0], [0, 0.225 + 0.1, 0], [0.3, 0.0, 0.1125]], np.float32)
    labelled = label(packed, points)
    assert np.allclose(labelled.distance, [-0.1125, 0.04, 0.1, 0.0], atol=1e-3)
    assert np.allclose(labelled.rgb[1], COLORS["red"], atol=0.02)
    ball = Shape()
    ball.ball("ball", plain("blue", _rng(0)), (1, 1, 1), (3, 3, 3))  # centred and scaled to radius 0.45
    volume = occupancy_grid(ball.pack(), 64).mean()
    assert abs(volume - 4 / 3 * np.pi * 0.45**3) < 0.005


def test_a_view_shows_the_surface_and_white_around_it() -> None:
    shape = make("mug", _rng(5), color="red").shape
    image = render(shape, world_matrix(30, 20, 1.7), 48)
    assert 0.05 < image.mask.mean() < 0.6
    assert (image.rgb[~image.mask] == 1.0).all() and (image.rgb >= 0).all() and (image.rgb <= 1).all()
    lengths = np.linalg.norm(image.normals[image.mask], axis=-1)
    assert np.allclose(lengths, 1, atol=1e-3)
    points = sample_points(shape, _rng(6), 100, 200)
    assert len(points.position) == 300 and np.median(np.abs(points.distance[100:])) < 0.04


def test_held_out_prompts_are_fresh_and_known() -> None:
    first, again, other = (held_out_prompts(48, seed=seed) for seed in (1, 1, 2))
    texts = [prompt.text for prompt, _ in first]
    assert texts == [prompt.text for prompt, _ in again] != [prompt.text for prompt, _ in other]
    assert {prompt.category for prompt, _ in first} == set(CATEGORIES)
    for prompt, sample in first:
        assert prompt.color in ("", *COLORS, *PATTERNS)
        assert prompt.facts.items() <= sample.draw.facts.items()
        assert prompt.kind in ("", sample.draw.kind) and prompt.shape_kind == sample.draw.kind


def test_claims_name_their_fact() -> None:
    words = CATEGORIES["table"].phrases
    for (prompt, sample), _ in zip(claims("top", "table"), range(6), strict=False):
        value = prompt.facts["top"]
        assert sample.draw.facts["top"] == value
        assert any(phrase in prompt.text for phrase in words["top", value])
    assert not any(p.color or p.facts for p in colorless_prompts(30))


def test_the_vocabulary_lists_every_category_and_phrase() -> None:
    page = vocabulary_page()
    for name, category in CATEGORIES.items():
        assert f"### {name}\n" in page
        assert all(phrase in page for phrases in category.phrases.values() for phrase in phrases)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("orange chair", "an orange chair"),
        ("u shaped base", "a u shaped base"),
        ("one seat sofa", "a one seat sofa"),
        ("unicorn", "a unicorn"),
        ("upright piano", "an upright piano"),
        ("red chair", "a red chair"),
    ],
)
def test_articles_follow_the_sound(words: str, said: str) -> None:
    assert plain_prompt(words) == said
