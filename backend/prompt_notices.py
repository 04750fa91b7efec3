"""What to tell a user about a prompt that the bundle understands only in part."""

from collections.abc import Iterable

from backend.bundles import Bundle
from backend.events import Notice
from backend.paint_words import paintwork
from backend.part_words import singular, words_of
from backend.word_tokenizer import TokenReport


def prompt_notices(bundle: Bundle, prompt: str) -> list[Notice]:
    """Notices on words that are unknown, respelled, cut off or in another script, with a suggestion."""
    report = bundle.clip.report(prompt)
    notices = []
    if report.corrections:
        read = ", ".join(f'"{typed}" as "{word}"' for typed, word in report.corrections)
        notices.append(Notice("respelled", f"Read {read}."))
    if report.truncated:
        notices.append(Notice("truncated", "The prompt is longer than the model reads; its end was ignored."))
    if report.non_latin:
        notices.append(
            Notice(
                "other_script",
                "The bundle reads English words in Latin letters; this prompt is in another script and the "
                f"result is a guess. {_suggestion(bundle, prompt, report)}".strip(),
            )
        )
    elif unknown := _without_painted_parts(bundle, prompt, report.unknown):
        words = ", ".join(f'"{word}"' for word in unknown)
        notices.append(
            Notice(
                "unknown_words",
                f"Unknown and ignored: {words}. {_suggestion(bundle, prompt, report)}".strip(),
            )
        )
    elif (nearest := _far_example(bundle, prompt)) is not None:
        notices.append(
            Notice(
                "far",
                f'The prompt is far from what the bundle knows; the nearest phrasing is "{nearest}".',
            )
        )
    return notices


def _without_painted_parts(bundle: Bundle, prompt: str, unknown: Iterable[str]) -> list[str]:
    """Unknown words less those of parts that the prompt paints: of "a red hull" the hull is red anyhow."""
    names = bundle.svr.names
    painted = {part for places in paintwork(prompt).places for place in places for part in place.of(names)}
    known = {
        word for words, part in words_of(names, other_words=True).items() if part in painted
        for word in words.split()
    }  # fmt: skip
    return [word for word in unknown if singular(word) not in known]


def _suggestion(bundle: Bundle, prompt: str, report: TokenReport) -> str:
    """The nearest phrasing, or what the bundle knows where nothing of the prompt was understood."""
    if report.known_share > 0:
        nearest = bundle.clip.nearest_text(prompt, bundle.examples)
        if nearest is not None:
            return f'The nearest phrasing it knows is "{nearest[0]}".'
    if bundle.record.categories:
        return f"It knows: {', '.join(bundle.record.categories)}."
    return ""


def _far_example(bundle: Bundle, prompt: str) -> str | None:
    """The nearest example caption where it is farther than the bundle's limit."""
    if not bundle.record.far_similarity:
        return None
    nearest = bundle.clip.nearest_text(prompt, bundle.examples)
    return nearest[0] if nearest and nearest[1] < bundle.record.far_similarity else None
