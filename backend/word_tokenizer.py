"""A word-level tokenizer for the small CLIP of the starter bundle (our choice).

The starter knows a few thousand words. A prompt is lower-cased and cut into words; a word that is not in the
vocabulary is read as a known inflection of it, then as another word for the same part ("headlights" as
"lights"), then as a likely spelling, and else dropped. What was read differently is reported, so that the
user can be told.
"""

import json
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.errors import BundleError
from backend.part_words import is_part_word, synonyms

PADDING_ID = 0
SHORTEST_CORRECTED = 5
"""Words below this length are too easily turned into another word to be corrected."""

_WORDS = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")


@dataclass(frozen=True)
class TokenReport:
    """What a prompt lost on its way to token ids."""

    unknown: tuple[str, ...] = ()
    """Words that were dropped, as typed (lower case)."""
    corrections: tuple[tuple[str, str], ...] = ()
    """Pairs (typed, read) of words taken as another spelling."""
    known_share: float = 1.0
    """Share of the words that were understood, 0 to 1; 0 for a prompt without words."""
    non_latin: bool = False
    """Most letters belong to another script than Latin."""
    truncated: bool = False
    """The prompt has more words than the model reads; the rest was ignored."""


class WordTokenizer:
    """Text to ids: 0 padding, 1.. words, then start and end; the end is the greatest id.

    open_clip pools the text tower at the greatest id, hence the order.
    """

    def __init__(self, words: Sequence[str], *, context_length: int = 32) -> None:
        """`words` are lower case, most frequent first (ties between spellings go to the earlier one)."""
        if len(set(words)) != len(words):
            twice = [word for word, count in Counter(words).items() if count > 1]
            raise BundleError(
                f"The vocabulary lists words twice: {', '.join(twice[:5])}.",
                remedy="Install the bundle again.",
            )
        if context_length < 3:
            raise BundleError(
                f"The context length {context_length} leaves no room for words.",
                remedy="Use a context length of at least 3.",
            )
        self.words = tuple(words)
        self.context_length = context_length
        self._ids = {word: index + 1 for index, word in enumerate(self.words)}
        self._readings: dict[str, tuple[str, ...]] = {}
        self._stems: dict[str, str] = {}
        for word in self.words:
            for form in _base_forms(word):
                self._stems.setdefault(form, word)

    @classmethod
    def from_captions(
        cls, captions: Iterable[str], *, context_length: int = 32, minimum_count: int = 1
    ) -> "WordTokenizer":
        """Vocabulary of all words that occur at least `minimum_count` times, most frequent first."""
        counts = Counter(word for caption in captions for word in split_words(caption))
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls([word for word, n in ordered if n >= minimum_count], context_length=context_length)

    @classmethod
    def from_json(cls, text: str) -> "WordTokenizer":
        """The tokenizer that `to_json` wrote; BundleError where the text is something else."""
        try:
            values = json.loads(text)
            return cls(values["words"], context_length=values["context_length"])
        except (ValueError, KeyError, TypeError) as error:
            raise BundleError(
                f"The vocabulary cannot be read: {error}.", remedy="Install the bundle again."
            ) from error

    def to_json(self) -> str:
        return json.dumps({"context_length": self.context_length, "words": list(self.words)})

    @property
    def vocab_size(self) -> int:
        """Number of ids: padding, words, start, end."""
        return len(self.words) + 3

    @property
    def start_id(self) -> int:
        return self.vocab_size - 2

    @property
    def end_id(self) -> int:
        return self.vocab_size - 1

    def encode(self, text: str) -> tuple[list[int], TokenReport]:
        """Ids [context_length] of a text, and what was lost."""
        typed = split_words(text)
        ids: list[int] = []
        unknown: list[str] = []
        corrections: list[tuple[str, str]] = []
        for word in typed:
            read = self._readings.get(word)
            if read is None:
                read = self._readings[word] = self._read(word)
            if not read:
                unknown.append(word)
            elif read != (word,) and _is_respelling(word, read):
                corrections.append((word, " ".join(read)))
            ids.extend(self._ids[known] for known in read)
        room = self.context_length - 2
        report = TokenReport(
            unknown=tuple(dict.fromkeys(unknown)),
            corrections=tuple(dict.fromkeys(corrections)),
            known_share=1.0 - len(unknown) / len(typed) if typed else 0.0,
            non_latin=_mostly_non_latin(text),
            truncated=len(ids) > room,
        )
        ids = [self.start_id, *ids[:room], self.end_id]
        return ids + [PADDING_ID] * (self.context_length - len(ids)), report

    def report(self, text: str) -> TokenReport:
        """What `encode` would lose of a text."""
        return self.encode(text)[1]

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Ids [B, context_length], int64."""
        return torch.tensor([self.encode(text)[0] for text in texts], dtype=torch.long)

    def _read(self, word: str) -> tuple[str, ...]:
        """The known words that a typed word stands for; empty where it is unknown."""
        if "-" in word or "'" in word:
            joined = re.sub(r"[-']", "", word)
            for candidate in (word, joined):
                if candidate in self._ids:
                    return (candidate,)
            parts = [part for part in re.split(r"[-']", word) if part not in ("", "s")]
            read = [self._read_one(part) for part in parts]
            return tuple(known for known in read if known) or self._as_tuple(self._read_one(joined))
        return self._as_tuple(self._read_one(word))

    def _read_one(self, word: str) -> str | None:
        for other in (word, *synonyms(word)):
            known = self._known_form(other)
            if known is not None:
                return known
        if len(word) < SHORTEST_CORRECTED or is_part_word(word):
            return None
        near = [other for other in _one_edit(word) if other in self._ids]
        return min(near, key=self._ids.__getitem__, default=None)

    def _known_form(self, word: str) -> str | None:
        """The word itself or what it is an inflection of, or another inflection; None for unknown words."""
        for form in (word, *_base_forms(word)):
            if form in self._ids:
                return form
            if form in self._stems:
                return self._stems[form]
        return None

    @staticmethod
    def _as_tuple(word: str | None) -> tuple[str, ...]:
        return (word,) if word else ()


def split_words(text: str) -> list[str]:
    """Lower-case words of a text without accents and punctuation; hyphenated words stay whole."""
    decomposed = unicodedata.normalize("NFKD", text.replace("\u2019", "'"))
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    return _WORDS.findall(plain.lower())


def script_report(text: str) -> TokenReport:
    """The report for a tokenizer that drops nothing (open_clip's own): only the script is looked at."""
    return TokenReport(known_share=1.0 if split_words(text) else 0.0, non_latin=_mostly_non_latin(text))


def _is_respelling(word: str, read: tuple[str, ...]) -> bool:
    """Whether a word was read by spelling, not as itself, a part or an inflection of itself."""
    parts = {*re.split(r"[-']", word), re.sub(r"[-']", "", word)}
    forms = {form for part in parts for form in (part, *_base_forms(part))}
    return any(known not in forms and not forms & {*_base_forms(known)} for known in read)


def _base_forms(word: str) -> Iterator[str]:
    """Shorter words that `word` may be an inflection of, likelier ones first."""
    for ending, replacements in (
        ("ies", ("y", "ie")),
        ("ves", ("f", "fe")),
        ("es", ("", "e")),
        ("s", ("",)),
        ("ed", ("", "e")),
        ("y", ("", "e")),
        ("ish", ("", "e")),
    ):
        base = word.removesuffix(ending)
        if base == word or len(base) < 2 or (ending == "s" and word.endswith("ss")):
            continue
        for replacement in replacements:
            if len(base + replacement) >= 3:
                yield base + replacement
        doubled = len(base) >= 4 and base[-1] == base[-2] and ending in ("ed", "y", "ish")
        if doubled:
            yield base[:-1]


def _one_edit(word: str) -> set[str]:
    """All words one deletion, swap of neighbours, replacement or insertion away."""
    cuts = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    near = {left + right[1:] for left, right in cuts if right}
    near |= {left + right[1] + right[0] + right[2:] for left, right in cuts if len(right) > 1}
    near |= {left + c + right[1:] for left, right in cuts if right for c in string.ascii_lowercase}
    near |= {left + c + right for left, right in cuts for c in string.ascii_lowercase}
    return near


def _mostly_non_latin(text: str) -> bool:
    if text.isascii():
        return False
    letters = [c for c in unicodedata.normalize("NFKC", text) if c.isalpha()]
    foreign = sum("LATIN" not in unicodedata.name(c, "") for c in letters)
    return bool(letters) and foreign > len(letters) / 2
