"""Fresh prompts with known answers: captions of shapes that no corpus holds, and plain ones.

What a prompt claims (category, colours, facts) is known, so that a judge can check it without reading.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backend.datasets.procedural.captions import describe, plain_prompt
from backend.datasets.procedural.categories import CATEGORIES, Sample, make
from backend.datasets.procedural.materials import COLORS

PLAIN_SHARE = 0.25
"""Of the prompts: "a COLOUR CATEGORY" and no more."""
_PROMPT_STREAM = 0x50524F4D
"""Sets these shapes apart from every corpus and from the judges' references."""
_KEEP_TRYING = 4000
"""Shapes drawn at most for one wanted claim."""


@dataclass(frozen=True)
class Prompt:
    """A prompt and what it claims; empty where it claims nothing."""

    text: str
    category: str = ""
    color: str = ""
    """Named colour or material of the main part."""
    part_colors: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    kind: str = ""
    """Sub-type, where the prompt names it."""
    shape_kind: str = ""
    """Sub-type of the shape that was described, named or not."""


def held_out_prompts(count: int, *, seed: int = 0) -> list[tuple[Prompt, Sample]]:
    """`count` prompts with the fresh shapes that they describe, the categories in turn: a quarter plain, the
    others captions with openings that training never sees."""
    names = list(CATEGORIES)
    return [held_out_prompt(names[i % len(names)], seed=seed, index=i) for i in range(count)]


def held_out_prompt(category: str, *, seed: int, index: int) -> tuple[Prompt, Sample]:
    """Prompt `index` of a category, and the fresh shape that it describes."""
    rng = np.random.default_rng([_PROMPT_STREAM, seed, index])
    if rng.random() < PLAIN_SHARE:
        color = str(rng.choice(list(COLORS)))
        sample = make(category, rng, color=color)
        text = plain_prompt(CATEGORIES[category].nouns[0], color)
        return Prompt(text, category, color, shape_kind=sample.draw.kind), sample
    sample = make(category, rng)
    return _described(sample, rng), sample


def colorless_prompts(count: int, *, seed: int = 0) -> list[Prompt]:
    """`count` plain prompts without a colour, each category once and then kinds: "a chair", "a desk"."""
    rng = np.random.default_rng([_PROMPT_STREAM, seed, 1, 2**20])
    names, prompts = list(CATEGORIES), []
    for i in range(count):
        category = CATEGORIES[names[i % len(names)]]
        kind = str(rng.choice(list(category.kinds))) if i >= len(names) else ""
        noun = category.kinds[kind].nouns[0] if kind else category.nouns[0]
        prompts.append(Prompt(plain_prompt(noun), category.name, kind=kind, shape_kind=kind))
    return prompts


def claims(fact: str, category: str, *, seed: int = 0) -> Iterator[tuple[Prompt, Sample]]:
    """Prompts that name one fact of a category (or its kind, for "kind"), with the shapes they describe.

    "a chair without armrests", "a round table": the fact's own words and the noun, nothing else.
    """
    entry = CATEGORIES[category]
    rng = np.random.default_rng([_PROMPT_STREAM, seed, 2, list(CATEGORIES).index(category)])
    for _ in range(_KEEP_TRYING):
        sample = make(category, rng)
        kind = sample.draw.kind
        if fact == "kind":
            noun = entry.kinds[kind].nouns[0]
            yield Prompt(plain_prompt(noun), category, kind=kind, shape_kind=kind), sample
        elif (fact, sample.draw.facts.get(fact)) in entry.phrases:
            value = sample.draw.facts[fact]
            words = str(rng.choice(entry.phrases[fact, value]))
            noun = entry.kinds[kind].nouns[0]
            before = words.split()[0] not in ("with", "without", "on", "that", "in", "lying", "for", "having")
            text = plain_prompt(f"{words} {noun}" if before else f"{noun} {words}")
            yield Prompt(text, category, facts={fact: value}, kind=kind, shape_kind=kind), sample


def _described(sample: Sample, rng: np.random.Generator) -> Prompt:
    caption = describe(sample, rng, held_out=True)
    kind = sample.draw.kind
    return Prompt(
        caption.text,
        sample.category.name,
        caption.color,
        dict(caption.part_colors),
        dict(caption.facts),
        kind if caption.kind_named else "",
        kind,
    )
