"""Prompts in note form and what is read of them."""

import pytest

from backend.datasets.procedural.categories import CATEGORIES
from backend.datasets.procedural.part_names import PART_NAMES
from backend.datasets.procedural.prompts import held_out_prompts
from backend.part_words import singular
from backend.prompt_phrasing import OBJECTS, phrased


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("a chair, red legs", "a chair with red legs"),
        ("a chair, red legs, blue back", "a chair with red legs and blue back"),
        ("A red chair; four thin BLACK legs.", "A red chair with four thin BLACK legs"),
        ("a chair: light brown legs, no armrests", "a chair with light brown legs without armrests"),
        ("a chair, no armrests", "a chair without armrests"),
        ("a chair with no armrests", "a chair without armrests"),
        ("a chair with red legs and no armrests", "a chair with red legs without armrests"),
        ("a table (gold feet)", "a table with gold feet"),
        ("a chair with a high back, red legs", "a chair with a high back and red legs"),
        ("a chair without armrests, red legs", "a chair without armrests with red legs"),
        ("a chair, red legs, and a blue seat", "a chair with red legs and a blue seat"),
        ("a chair, its legs red & seat blue", "a chair with red legs and blue seat"),
        (
            "a chair with red legs, blue back, and no armrests",
            "a chair with red legs and blue back without armrests",
        ),
        ("a car - 4 black wheels", "a car with 4 black wheels"),
        ("a bookshelf, five shelves", "a bookshelf with five shelves"),
        ("a steel-legged, glass-topped table", "a table with steel legs and glass top"),
        ("a sofa, leather, oak legs", "a sofa, leather with oak legs"),
        ("a car, red tail lights", "a car with red tail lights"),
        ("a sword, blade black, handle red", "a sword with black blade and red handle"),
        ("chair red, legs light brown", "chair red with light brown legs"),
        ("a red-legged chair", "a chair with red legs"),
        ("a black-wheeled car with a blue roof", "a car with a blue roof and black wheels"),
        ("a blue-handled mug", "a mug with blue handle"),
        ("a red legged chair", "a chair with red legs"),
        ("a big marble topped, steel legged table", "a big table with marble top and steel legs"),
        ("a red-bodied guitar, gold pegs", "a guitar with red body and gold pegs"),
    ],
)
def test_parts_of_a_list_or_a_compound_are_said_with_with(typed: str, read: str) -> None:
    assert phrased(typed, PART_NAMES) == read


@pytest.mark.parametrize(
    "prompt",
    [
        "a red chair with black legs",
        "a chair, painted red",
        "a chair, red",
        "a modern, black screen",
        "a modern, red tv stand",
        "a red-painted chair",
        "a red high-backed chair",
        "a four-legged red stool",
        "a red winged armchair",
        "a red cushioned chair",
        "a white three legged stool",
        "red legs",
        ", red legs",
        "a red, white and blue rocket",
        "椅子, 赤い脚",
        "",
    ],
)
def test_all_else_stays_as_it_is(prompt: str) -> None:
    assert phrased(prompt, PART_NAMES) == prompt


def test_without_names_of_parts_nothing_changes() -> None:
    for prompt in ("a chair, red legs", "a chair with no armrests"):
        assert phrased(prompt, ()) == prompt


def test_captions_stay_as_they_are() -> None:
    prompts = [prompt.text for prompt, _ in held_out_prompts(200, seed=5)]
    assert [phrased(prompt, PART_NAMES) for prompt in prompts] == prompts


def test_objects_are_nouns_of_the_shape_programs() -> None:
    categories = CATEGORIES.values()
    nouns = {noun for category in categories for noun in category.nouns}
    nouns |= {noun for category in categories for kind in category.kinds.values() for noun in kind.nouns}
    assert {singular(noun) for noun in nouns} >= OBJECTS
