"""The word-level tokenizer: ids, inflections, spellings and what it reports."""

import pytest

from backend.errors import BundleError
from backend.word_tokenizer import WordTokenizer, script_report, split_words

WORDS = ["a", "with", "chair", "red", "wheels", "wood", "leg", "high", "back", "box", "knife", "house"]


@pytest.fixture
def tokenizer() -> WordTokenizer:
    return WordTokenizer(WORDS, context_length=8)


def _words(tokenizer: WordTokenizer, text: str) -> list[str]:
    ids = tokenizer.encode(text)[0]
    return [WORDS[i - 1] for i in ids if 0 < i <= len(WORDS)]


def test_ids_are_start_words_end_and_padding(tokenizer: WordTokenizer) -> None:
    tokens = tokenizer(["A red CHAIR!", ""])
    assert tokens.tolist() == [[13, 1, 4, 3, 14, 0, 0, 0], [13, 14, 0, 0, 0, 0, 0, 0]]
    assert tokenizer.vocab_size == 15 and tokenizer.end_id == int(tokens.max())


def test_a_word_for_a_part_is_read_as_another_for_it(tokenizer: WordTokenizer) -> None:
    assert _words(tokenizer, "tires, backrest and feet") == ["wheels", "back", "leg"]
    assert tokenizer.report("red tires").corrections == (("tires", "wheels"),)


def test_a_word_for_a_part_is_no_misspelling_of_another_word() -> None:
    tokenizer = WordTokenizer(["a", "sport", "car"])
    assert tokenizer.report("a spout").unknown == ("spout",)
    assert tokenizer.report("a spord car").corrections == (("spord", "sport"),)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("chairs", ["chair"]),
        ("boxes", ["box"]),
        ("legged", ["leg"]),
        ("woody", ["wood"]),
        ("reddish", ["red"]),
        ("knives", ["knife"]),
        ("wheel", ["wheels"]),
        ("high-backed", ["high", "back"]),
        ("chair's", ["chair"]),
        ("châir", ["chair"]),
    ],
)
def test_inflections_are_read_without_a_correction(
    tokenizer: WordTokenizer, typed: str, read: list[str]
) -> None:
    assert _words(tokenizer, typed) == read
    assert tokenizer.report(typed).corrections == ()
    assert tokenizer.report(typed).unknown == ()


@pytest.mark.parametrize("typed", ["chiar", "chaiir", "chaur", "chairr", "cahir"])
def test_spellings_one_edit_away_are_read_and_reported(tokenizer: WordTokenizer, typed: str) -> None:
    assert _words(tokenizer, f"red {typed}") == ["red", "chair"]
    assert tokenizer.report(typed).corrections == ((typed, "chair"),)


def test_short_and_far_words_are_unknown(tokenizer: WordTokenizer) -> None:
    report = tokenizer.report("a rod dragon, dragon")
    assert report.unknown == ("rod", "dragon")
    assert report.known_share == pytest.approx(1 / 4)
    assert _words(tokenizer, "a rod dragon") == ["a"]


def test_other_scripts_are_named(tokenizer: WordTokenizer) -> None:
    assert tokenizer.report("красный стул").non_latin
    assert tokenizer.report("红色的椅子").known_share == 0.0
    assert not tokenizer.report("une chaise éclatée").non_latin
    assert script_report("красный стул").non_latin and not script_report("a chair").non_latin


def test_long_prompts_are_cut_at_the_end_and_reported(tokenizer: WordTokenizer) -> None:
    ids, report = tokenizer.encode("red " * 7 + "chair")
    assert len(ids) == 8 and ids[-1] == tokenizer.end_id and ids[1:7] == [4] * 6
    assert report.truncated and not tokenizer.report("red " * 6).truncated


def test_json_round_trip_and_refusals(tokenizer: WordTokenizer) -> None:
    again = WordTokenizer.from_json(tokenizer.to_json())
    assert again.words == tokenizer.words and again.context_length == 8
    with pytest.raises(BundleError, match="vocabulary"):
        WordTokenizer.from_json("{}")
    with pytest.raises(BundleError, match="twice: a"):
        WordTokenizer(["a", "a"])
    with pytest.raises(BundleError, match="context length 2"):
        WordTokenizer(["a"], context_length=2)


def test_vocabulary_from_captions_is_by_frequency() -> None:
    made = WordTokenizer.from_captions(["a red chair", "a red box", "a T-shirt"], minimum_count=1)
    assert made.words == ("a", "red", "box", "chair", "t-shirt")
    assert WordTokenizer.from_captions(["a red", "a box"], minimum_count=2).words == ("a",)
    assert split_words("It's 3 wide_open… doors") == ["it's", "3", "wide", "open", "doors"]
