"""Captions of procedural shapes: synonyms, word orders, partial descriptions, negations, part colours."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backend.datasets.procedural.categories import Sample
from backend.datasets.procedural.materials import Material
from backend.paint_words import COLOR_WORDS, PATTERN_WORDS

_AFTER = ("with", "without", "on", "that", "and", "in", "lying", "supported", "for", "having")
_OPENINGS = (
    "a {}", "{}", "a {}", "the {}", "this is a {}", "a {} please", "a model of a {}",
    "3d model of a {}", "one {}",
)  # fmt: skip
_HELD_OUT_OPENINGS = ("a {}", "a picture of a {}", "i want a {}", "some {}", "a nice {}", "{} for my scene")
_COLOR_AFTER = ("in {}", "that is {}", "painted {}", "colored {}", "which is {}")


@dataclass(frozen=True)
class Caption:
    """A caption and what it claims."""

    text: str
    color: str = ""
    """Named colour or pattern of the main part, "" if none is claimed."""
    part_colors: dict[str, str] = field(default_factory=dict)
    """Part name -> named colour or pattern claimed for it."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Facts claimed, as the shape program named them."""
    kind_named: bool = False
    """True where the noun is the sub-type's, not the whole category's."""


def describe(sample: Sample, rng: np.random.Generator, *, held_out: bool = False) -> Caption:
    """A random true caption of a shape. `held_out` uses openings that training never sees."""
    draw, category = sample.draw, sample.category
    kind_named = rng.random() < 0.65
    nouns = category.kinds[draw.kind].nouns if kind_named else category.nouns
    noun = nouns[0] if rng.random() < 0.5 else str(rng.choice(nouns))
    before, after, facts = _fact_words(sample, rng)
    main = next(iter(draw.paints.values())) if draw.paints else draw.main()
    color = ""
    if rng.random() < 0.72:
        color = main.named
        word = _material_word(main, rng)
        if word.startswith(("made", "covered", "with", "on")):
            after.insert(0, word)
        elif rng.random() < 0.12:
            after.insert(0, str(rng.choice(_COLOR_AFTER)).format(word))
        else:
            before.insert(int(rng.integers(len(before) + 1)), word)
    part_colors = {}
    others = [
        (name, m)
        for name, m in draw.paints.items()
        # A program may draw a paint for a part (doors) that this very shape does not have.
        if m is not main and m.named != main.named and name in sample.shape.names
    ]
    if others and rng.random() < 0.4:
        name, material = others[int(rng.integers(len(others)))]
        word = _material_word(material, rng)
        if not word.startswith(("made", "covered", "with", "on")):
            after.append(f"with {'a ' if rng.random() < 0.5 and not name.endswith('s') else ''}{word} {name}")
            part_colors[name] = material.named
    phrase = " ".join([*before, noun, *_joined(after, rng)])
    openings = _HELD_OUT_OPENINGS if held_out else _OPENINGS
    text = openings[0].format(phrase) if rng.random() < 0.4 else str(rng.choice(openings)).format(phrase)
    return Caption(articled(text), color, part_colors, facts, kind_named)


def plain_prompt(category: str, color: str = "") -> str:
    """ "a COLOR CATEGORY", with the right article."""
    return articled(f"a {color} {category}".replace("  ", " "))


def _fact_words(sample: Sample, rng: np.random.Generator) -> tuple[list[str], list[str], dict[str, Any]]:
    phrases = sample.category.phrases
    known = [(k, v) for k, v in sample.draw.facts.items() if (k, v) in phrases]
    wanted = min(int(rng.choice([0, 1, 2, 3], p=[0.4, 0.35, 0.18, 0.07])), len(known))
    before: list[str] = []
    after: list[str] = []
    facts: dict[str, Any] = {}
    for i in rng.permutation(len(known))[:wanted]:
        fact, value = known[i]
        words = str(rng.choice(phrases[fact, value]))
        (after if words.split()[0] in _AFTER else before).append(words)
        facts[fact] = value
    return before, after, facts


def _material_word(material: Material, rng: np.random.Generator) -> str:
    words = PATTERN_WORDS.get(material.pattern, [])
    color = COLOR_WORDS.get(material.color, [])
    chosen = words[0] if words and rng.random() < 0.5 else (str(rng.choice(words)) if words else "")
    if not color:
        return chosen
    tint = color[0] if rng.random() < 0.55 else str(rng.choice(color))
    return f"{tint} {chosen}".strip() if not chosen or not chosen.startswith(("made", "with")) else tint


def _joined(after: list[str], rng: np.random.Generator) -> list[str]:
    order = [after[i] for i in rng.permutation(len(after))]
    two_withs = len(order) > 1 and all(words.startswith("with ") for words in order[-2:])
    if two_withs and rng.random() < 0.6:
        return [*order[:-1], "and", order[-1].removeprefix("with ")]
    return order


def stands_after(phrase: str) -> bool:
    """Whether a phrase stands after the noun."""
    return phrase.split()[0] in (*_AFTER, "made", "covered")


def articled(text: str) -> str:
    """The text with "an" for "a" before vowel sounds."""
    words = text.split()
    for i, word in enumerate(words[:-1]):
        if word == "a" and _starts_with_vowel_sound(words[i + 1]):
            words[i] = "an"
    return " ".join(words)


def _starts_with_vowel_sound(word: str) -> bool:
    """ "arched", but not "u shaped", "unicorn" or "one-legged", which start with the sound of y or w."""
    like_you = word == "u" or word.startswith(("u-", "uni", "use", "eu"))
    return word[0] in "aeiou" and not like_you and word.partition("-")[0] != "one"
