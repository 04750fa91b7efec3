"""Which parts a paint is said of."""

import pytest

from backend.datasets.procedural.part_names import PART_NAMES
from backend.paint_words import paintwork
from backend.part_words import PART_WORDS, synonyms

PARTS = (
    "seat", "back", "legs", "feet", "wheels", "roof", "wings", "tail", "tail lights", "propeller", "cushions",
    "shelves", "blade", "top", "handle", "pot",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a red chair with black legs", [[], ["legs"]]),
        ("a chair with a black leg", [["legs"]]),
        ("a chair with black round front legs please", [["legs"]]),
        ("a car with wheels in black and a blue roof", [["wheels"], ["roof"]]),
        ("a car with wheels in black rubber", [["wheels"]]),
        ("a car with black tires", [["wheels"]]),
        ("a table whose legs are made of gold", [["legs"]]),
        ("a table, legs and top are red", [["top", "legs"]]),
        ("a white airplane with red wings and tail", [[], ["wings", "tail"]]),
        ("an airplane with red wings and a small tail", [["wings"]]),
        ("a car with black wheels, its seat and the roof", [["wheels", "seat", "roof"]]),
        ("an airplane, dark wooden propeller, red tail", [["propeller"], ["tail"]]),
        ("a car with blue tail lights", [["tail lights"]]),
        ("a sofa with white seat cushions", [["cushions"]]),
        ("a grey leather sofa with oak legs and red cushions", [[], ["legs"], ["cushions"]]),
        ("a sword, blade black, handle red", [["blade"], ["handle"]]),
        ("a palm tree in a red pot", [["pot"]]),
        ("a bookshelf with a red shelf", [["shelves"]]),
        ("a sofa with red buttons", [[]]),
        ("a mug without a handle in red", [[]]),
    ],
)
def test_a_paint_is_said_of_the_nouns_behind_it_or_before(text: str, said: list[list[str]]) -> None:
    assert [place.of(PARTS) for (place,) in paintwork(text).places] == said


def test_another_word_for_a_part_counts_where_nothing_has_that_name() -> None:
    (place,) = paintwork("a cabinet with black feet").places[0]
    assert place.of(["legs", "doors"]) == ["legs"] and place.of(["legs", "feet"]) == ["feet"]
    assert place.of(["legs", "doors"], other_words=False) == []


def test_a_paint_of_whole_and_part_is_said_twice() -> None:
    whole, part = paintwork("a red car with red wheels").places[0]
    assert whole.of(PARTS) == [] and part.of(PARTS) == ["wheels"]


def test_other_words_are_for_parts_that_there_are() -> None:
    assert set(PART_WORDS) <= set(PART_NAMES)


@pytest.mark.parametrize(
    ("word", "others"),
    [
        ("tires", ["tyres", "wheels", "castors", "casters"]),
        ("headlight", ["lights", "lamps"]),
        ("grip", ["handle", "hilt"]),
        ("house", []),
    ],
)
def test_words_for_the_same_part(word: str, others: list[str]) -> None:
    assert synonyms(word) == others
