"""Captions made false: what is exchanged, what stays, and what cannot be altered."""

import numpy as np
import pytest

from backend.datasets.procedural.captions import describe
from backend.datasets.procedural.corpus import CorpusSettings, sample_of
from backend.datasets.procedural.rivals import altered
from backend.paint_words import COLOR_WORDS, PATTERN_WORDS

LOOKS = {
    word: name for table in (COLOR_WORDS, PATTERN_WORDS) for name, words in table.items() for word in words
}


def _altered(caption: str, category: str, times: int = 200) -> set[str]:
    rng = np.random.default_rng(0)
    return {altered(caption, category, rng) for _ in range(times)}


def test_a_colour_gives_way_to_another_one() -> None:
    for text in _altered("a salmon pink vase", "vase"):
        word = text.split(maxsplit=1)[1].removesuffix(" vase")
        assert LOOKS[word] != "pink"


def test_either_of_two_colours_may_change_but_not_both() -> None:
    found = _altered("a red chair with black legs", "chair")
    assert {text.split(" chair")[0] == "a red" for text in found} == {True, False}
    for text in found:
        assert (text.split(" chair")[0] == "a red") != text.endswith(" black legs")


def test_an_attribute_gives_way_to_its_opposite() -> None:
    assert _altered("a chair without armrests", "chair") == _altered("a chair without arms", "chair")
    assert all("without" not in text for text in _altered("a chair without armrests", "chair"))


def test_articles_follow_the_new_word() -> None:
    found = _altered("an orange vase", "vase", 400)
    assert "a red vase" in found and "an emerald vase" in found
    assert not any(text.startswith("an red") for text in found)


@pytest.mark.parametrize("caption", ["a chair", "the sword", "qwertz"])
def test_a_caption_that_claims_nothing_stays(caption: str) -> None:
    assert _altered(caption, "chair", 5) == {caption}


def test_most_captions_can_be_altered_and_keep_their_noun() -> None:
    same, rng = 0, np.random.default_rng(0)
    for i in range(240):
        sample, draw = sample_of(CorpusSettings(seed=3), i)
        caption = describe(sample, draw).text
        same += altered(caption, sample.category.name, rng) == caption
    assert same < 0.12 * 240
