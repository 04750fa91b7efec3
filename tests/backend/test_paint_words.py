"""Colours and materials that a text names."""

import pytest

from backend.datasets.procedural.part_names import PART_NAMES
from backend.paint_words import PART_WORDS, Paintwork, paintwork


@pytest.mark.parametrize(
    ("text", "coats", "whole"),
    [
        ("a red chair with black legs", (("red",), ("black",)), True),
        ("A Grey sofa with OAK legs", (("gray",), ("wood",)), True),
        ("a chair with red legs", (("red",),), False),
        ("a table on metal legs, painted blue", (("metal",), ("blue",)), False),
        ("a red leather sofa", (("red", "leather"),), True),
        ("a white and red rocket", (("white",), ("red",)), True),
        ("a ball with stripes", (("stripes",),), True),
        ("a light brown lamp", (("beige",),), True),
        ("a dark wooden chair", (("wood",),), True),
        ("a dark chair", (("black",),), True),
        ("dark red, then red again", (("red",),), True),
        ("a blackboard and a tangle of redwood", (), False),
        ("", (), False),
    ],
)
def test_words_give_their_coats_in_order(text: str, coats: tuple, whole: bool) -> None:
    assert paintwork(text) == Paintwork(coats, whole)


PARTS = ("seat", "back", "legs", "feet", "wheels", "roof", "tail", "tail lights", "propeller", "cushions")


@pytest.mark.parametrize(
    ("text", "part", "coat"),
    [
        ("a red chair with black legs", "legs", 1),
        ("a red chair with a black leg", "legs", 1),
        ("a car with wheels in black and a blue roof", "wheels", 0),
        ("a car with wheels in black and a blue roof", "roof", 1),
        ("a car with black tires", "wheels", 0),
        ("a chair whose legs are made of gold", "legs", 0),
        ("an airplane, dark wooden propeller, red tail", "propeller", 0),
        ("a car with blue tail lights", "tail lights", 0),
        ("a grey leather sofa with oak legs and red cushions", "cushions", 2),
        ("a sofa with red buttons", None, 0),
    ],
)
def test_a_paint_is_said_of_a_part_before_or_behind_it(text: str, part: str | None, coat: int) -> None:
    (place,) = paintwork(text).places[coat]
    assert place.of(PARTS) == part


def test_another_word_for_a_part_counts_where_nothing_has_that_name() -> None:
    (place,) = paintwork("a cabinet with black feet").places[0]
    assert place.of(["legs", "doors"]) == "legs" and place.of(["legs", "feet"]) == "feet"


def test_a_paint_of_the_whole_is_said_of_no_part() -> None:
    (place,) = paintwork("a red chair with legs").places[0]
    assert place.of(PARTS) is None
    assert paintwork("a chair").places == ()


def test_other_words_are_for_parts_that_there_are() -> None:
    assert set(PART_WORDS) <= set(PART_NAMES)
