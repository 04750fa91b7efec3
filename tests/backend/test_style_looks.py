"""Which looks a style's words mean: their own phrases, near words, and nothing for words nobody knows."""

import pytest
import torch
from torch import Tensor

from backend.solid_patterns import PATTERNS
from backend.style_looks import NAMED, all_looks, look_names, looks_meant, phrase_feature
from backend.word_tokenizer import TokenReport

AXES = {"wooden": 0, "marble": 1, "red": 2, "red striped": 3, "striped": 4}


class _Clip:
    """Knows a few words; "timberish" lies `angle` away from "wooden"."""

    def __init__(self, angle: float = 0.2) -> None:
        self._angle = torch.tensor(angle)

    def report(self, text: str) -> TokenReport:
        known = text in AXES or text == "timberish" or text.startswith("a ")
        return TokenReport() if known else TokenReport(unknown=tuple(text.split()), known_share=0.0)

    def encode_text(self, texts: list[str]) -> Tensor:
        rows = torch.zeros(len(texts), 6)
        for row, text in zip(rows, texts, strict=True):
            word = text.removeprefix("a ").removesuffix(" chair")
            if word == "timberish":
                row[0], row[5] = self._angle.cos(), self._angle.sin()
            else:
                row[AXES.get(word, 5)] = 1.0
        return rows


def test_looks_are_whole_and_named_once() -> None:
    looks = all_looks()
    phrases = [phrase for look in looks for phrase in look.phrases]
    assert len(set(phrases)) == len(phrases)
    assert all(look.pattern in PATTERNS and look.colors for look in looks)
    values = torch.tensor([pair for look in looks for pair in look.colors])
    assert values.min() >= 0 and values.max() <= 1
    for asked in ("wooden", "metallic", "marble", "golden", "rusty", "glass", "brick", "leafy", "zebra",
                  "checkered", "striped", "flaming", "icy", "polka dots", "red", "blue"):  # fmt: skip
        assert asked in phrases
    assert {"wooden", "striped"} <= set(look_names())


@pytest.mark.parametrize(
    ("style", "pattern"),
    [("Wooden", "grain"), (" tiger ", "waves"), ("blue polka dots", "dots"), ("red", "plain")],
)
def test_a_looks_own_phrase_means_it_whatever_clip_knows(style: str, pattern: str) -> None:
    (look,) = looks_meant(_Clip(), style, "chair")
    assert look.pattern == pattern


def test_near_words_mean_a_look_and_far_ones_none() -> None:
    (look,) = looks_meant(_Clip(0.2), "timberish", "chair")
    assert look.pattern == "grain" and float(torch.tensor(0.2).cos()) > NAMED
    assert looks_meant(_Clip(0.8), "timberish") == ()
    assert looks_meant(_Clip(), "tulip") == ()


def test_a_phrase_is_felt_alone_and_with_the_thing() -> None:
    clip = _Clip()
    alone, with_thing = phrase_feature(clip, "wooden"), phrase_feature(clip, "wooden", "chair")
    torch.testing.assert_close(alone, with_thing)
    assert float(alone.norm()) == pytest.approx(1.0)
