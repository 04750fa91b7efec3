"""The vocabulary of the shape programs as a page for people: every word that a prompt may use."""

from backend.datasets.procedural.categories import CATEGORIES
from backend.datasets.procedural.draw import Category
from backend.datasets.procedural.part_names import PART_NAMES
from backend.paint_words import COLOR_WORDS, PATTERN_WORDS
from backend.part_words import PART_WORDS

_HEAD = """# Vocabulary

What the starter model was taught to understand. Made by `python -m backend dataset procedural --vocabulary
docs/vocabulary.md`; do not edit by hand.

A prompt names an object and, where wanted, its kind, a colour or material, attributes, and colours of parts:
"a red chair with a high back", "a wooden double layers table", "an airplane with long white wings".
"""


def vocabulary_page() -> str:
    """The page as Markdown."""
    lines = [_HEAD, "## Colours", "", "| colour | words |", "| --- | --- |"]
    lines += [f"| {name} | {', '.join(words)} |" for name, words in COLOR_WORDS.items()]
    lines += ["", "## Materials and patterns", "", "| material | words |", "| --- | --- |"]
    lines += [f"| {name} | {', '.join(words)} |" for name, words in PATTERN_WORDS.items()]
    lines += ["", "## Parts", "", "With a colour or material of their own, as far as a shape has them:", ""]
    lines += [f"{', '.join(map(_part_words, PART_NAMES))}."]
    lines += ["", f"## Objects ({len(CATEGORIES)} categories)"]
    for category in CATEGORIES.values():
        lines += _section(category)
    return "\n".join(lines) + "\n"


def _part_words(part: str) -> str:
    others = PART_WORDS.get(part, ())
    return f"{part} ({', '.join(others)})" if others else part


def _section(category: Category) -> list[str]:
    lines = ["", f"### {category.name}", "", f"Also called: {', '.join(category.nouns)}.", ""]
    lines += ["| kind | words |", "| --- | --- |"]
    lines += [f"| {name} | {', '.join(kind.nouns)} |" for name, kind in category.kinds.items()]
    lines += ["", "| attribute | value | phrases |", "| --- | --- | --- |"]
    for (fact, value), phrases in category.phrases.items():
        shown = {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value
        lines.append(f"| {fact} | {shown} | {', '.join(phrases)} |")
    return lines
