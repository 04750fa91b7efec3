"""Colours and materials that a text names."""

import pytest

from backend.paint_words import Paintwork, paintwork


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


@pytest.mark.parametrize(
    ("text", "part", "coat"),
    [
        ("a red chair with black legs", "legs", 1),
        ("a red chair with a black leg", "legs", 1),
        ("a car with wheels in black and a blue roof", "wheels", 0),
        ("a car with wheels in black and a blue roof", "roof", 1),
        ("a chair whose legs are made of gold", "legs", 0),
        ("an airplane, dark wooden propeller, red tail", "propeller", 0),
        ("a car with blue tail lights", "tail lights", 0),
        ("a grey leather sofa with oak legs and red cushions", "cushions", 2),
    ],
)
def test_a_paint_is_said_of_a_part_before_or_behind_it(text: str, part: str, coat: int) -> None:
    said = paintwork(text).places[coat]
    assert any(place.names(part) for place in said)
    assert not any(place.names(other) for place in said for other in ("seat", "back", "light"))


def test_a_paint_of_the_whole_is_said_of_no_part() -> None:
    (place,) = paintwork("a red chair with legs").places[0]
    assert not place.names("legs") and not place.names("chair with legs")
    assert paintwork("a chair").places == ()
