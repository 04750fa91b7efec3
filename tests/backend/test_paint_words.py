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
    ("text", "coats", "whole"),
    [
        ("a grey table without red legs", (("gray",),), True),
        ("a table with no red legs", (), False),
        ("a sword, blade black, handle red", (("black",), ("red",)), False),
        ("a chair, painted red", (("red",),), True),
        ("a palm tree in a red pot", (("red",),), False),
        ("a mug without a handle in red", (("red",),), True),
        ("a mug without a handle, painted red", (("red",),), True),
        ("a mug without a red handle", (), False),
        ("a loudspeaker with metal surface", (("metal",),), True),
        ("a loudspeaker with a metal handle", (("metal",),), False),
        ("a chair in red", (("red",),), True),
    ],
)
def test_paints_that_are_denied_or_said_behind_a_part(text: str, coats: tuple, whole: bool) -> None:
    assert paintwork(text) == Paintwork(coats, whole)
