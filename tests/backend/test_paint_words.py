"""Colours and materials that a text names."""

import pytest

from backend.paint_words import paints_named


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a red chair with black legs", ("red", "black")),
        ("A Grey sofa with OAK legs", ("gray", "wood")),
        ("a light brown lamp", ("beige",)),
        ("dark red, then red again", ("red",)),
        ("a blackboard and a tangle of redwood", ()),
        ("", ()),
    ],
)
def test_words_give_their_paints_in_order(text: str, named: tuple[str, ...]) -> None:
    assert paints_named(text) == named
