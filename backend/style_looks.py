"""Named looks: whole textures that words stand for, such as wood, and which of them a style's words mean.

CLIP's image side tells a good texture from a bad one only roughly; its text side knows that "oak" and
"wooden" are one. So a style whose words are near a look's words starts from that look (our choice, in the
spirit of the image bank that the mapper starts from); any other is searched for among all patterns.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from backend.clip_encoder import ClipEncoder
from backend.named_colors import COLORS, Rgb, partner

NAMED = 0.9
"""Cosine of two texts from which on they mean one thing."""
_TIE = 0.03
"""Looks this close to the nearest one compete on their views."""
_MOST = 4
"""Looks that compete at most."""


@dataclass(frozen=True)
class Look:
    """A pattern (see solid_patterns.py) in two colours, and phrases for it."""

    phrases: tuple[str, ...]
    pattern: str
    colors: tuple[tuple[Rgb, Rgb], ...]
    """Pairs that it comes in."""


_PAIRS = tuple((rgb, partner(name)) for name, rgb in COLORS.items())
_BOLD = tuple((COLORS[name], partner(name)) for name in ("red", "blue", "green", "black"))
_MATERIALS = (
    Look(("wooden", "wood", "oak", "timber", "made of wood", "mahogany", "walnut"), "grain",
         (((0.66, 0.42, 0.22), (0.40, 0.22, 0.10)), ((0.74, 0.54, 0.33), (0.46, 0.27, 0.13)))),
    Look(("metallic", "metal", "steel", "iron", "chrome", "aluminium", "made of metal"), "sheen",
         (((0.50, 0.52, 0.56), (0.86, 0.88, 0.91)),)),
    Look(("silver",), "sheen", (((0.62, 0.64, 0.68), (0.93, 0.94, 0.96)),)),
    Look(("golden", "gold", "gilded", "made of gold"), "sheen", (((0.80, 0.57, 0.10), (1.0, 0.90, 0.46)),)),
    Look(("copper", "bronze"), "sheen", (((0.62, 0.33, 0.18), (0.93, 0.66, 0.47)),)),
    Look(("marble", "made of marble", "marbled"), "veins", (((0.93, 0.92, 0.91), (0.45, 0.46, 0.50)),)),
    Look(("stone", "granite"), "speckle", (((0.66, 0.65, 0.63), (0.40, 0.40, 0.41)),)),
    Look(("concrete", "cement", "made of concrete"), "speckle", (((0.64, 0.64, 0.62), (0.48, 0.48, 0.47)),)),
    Look(("glass", "made of glass", "transparent", "crystal"), "glints",
         (((0.66, 0.85, 0.90), (0.97, 1.0, 1.0)),)),
    Look(("brick", "made of bricks", "brick patterned", "bricks"), "courses",
         (((0.66, 0.25, 0.17), (0.84, 0.80, 0.74)),)),
    Look(("rusty", "rusted", "corroded", "rust"), "patches", (((0.62, 0.31, 0.12), (0.30, 0.19, 0.15)),)),
    Look(("leafy", "covered in leaves", "leaf covered", "leaves", "ivy"), "leaves",
         (((0.16, 0.42, 0.11), (0.48, 0.72, 0.24)),)),
    Look(("mossy", "grassy", "moss"), "speckle", (((0.22, 0.42, 0.12), (0.45, 0.60, 0.20)),)),
    Look(("zebra", "zebra striped", "zebra patterned"), "waves", (((0.95, 0.95, 0.94), (0.05, 0.05, 0.05)),)),
    Look(("tiger", "tiger striped"), "waves", (((0.93, 0.52, 0.11), (0.07, 0.05, 0.04)),)),
    Look(("leopard", "giraffe"), "patches", (((0.90, 0.70, 0.38), (0.33, 0.18, 0.08)),)),
    Look(("flaming", "burning", "on fire", "fiery", "flames", "lava"), "tongues",
         (((0.85, 0.12, 0.03), (1.0, 0.85, 0.16)),)),
    Look(("icy", "frozen", "made of ice", "ice", "snowy"), "facets",
         (((0.86, 0.96, 1.0), (0.42, 0.70, 0.93)),)),
    Look(("leather", "made of leather"), "speckle", (((0.45, 0.24, 0.12), (0.27, 0.14, 0.07)),)),
    Look(("fabric", "cloth", "woven", "textile", "upholstered"), "weave",
         (((0.72, 0.62, 0.47), (0.55, 0.46, 0.34)),)),
)  # fmt: skip
_PATTERNED = {
    "bands": ("striped", "with stripes", "stripy", "stripes"),
    "checks": ("checkered", "checkerboard", "chequered", "checked"),
    "dots": ("polka dot", "with polka dots", "dotted", "spotted", "polka dotted", "dots", "polka dots"),
}


def all_looks() -> tuple[Look, ...]:
    """Materials, plain colours, and patterns alone and in every named colour."""
    plain = [Look((name,), "plain", ((rgb, rgb),)) for name, rgb in COLORS.items()]
    patterned = [Look(phrases, pattern, _BOLD) for pattern, phrases in _PATTERNED.items()]
    colored = [
        Look((f"{name} {phrases[0]}", f"{name} {phrases[-1]}"), pattern, (pair,))
        for pattern, phrases in _PATTERNED.items()
        for name, pair in zip(COLORS, _PAIRS, strict=True)
    ]
    return (*_MATERIALS, *plain, *patterned, *colored)


def look_names() -> list[str]:
    """What to call the looks: materials and patterns; any named colour is one too."""
    return [look.phrases[0] for look in _MATERIALS] + [phrases[0] for phrases in _PATTERNED.values()]


def phrase_feature(clip: ClipEncoder, phrase: str, thing: str = "") -> Tensor:
    """Unit feature [F] of a style's words: alone and, where the thing is known, before its name."""
    return torch.nn.functional.normalize(clip.encode_text(_texts(phrase, thing)).mean(dim=0), dim=-1)


def looks_meant(clip: ClipEncoder, style: str, thing: str = "") -> tuple[Look, ...]:
    """The looks that a style's words mean, the nearest first; none where no look is near enough.

    A look's own phrase always means it. Otherwise CLIP compares; words that it does not know mean nothing,
    neither the style's nor a look's.
    """
    looks, words = all_looks(), " ".join(style.lower().split())
    literal = [look for look in looks if words in look.phrases]
    if literal:
        return tuple(literal[:1])
    if clip.report(style).unknown:
        return ()
    known = [(look, phrase) for look in looks for phrase in look.phrases if _reads(clip, phrase)]
    if not known:
        return ()
    clip.encode_text([text for _, phrase in known for text in _texts(phrase, thing)])  # in one go, kept
    cosines = torch.stack([phrase_feature(clip, phrase, thing) for _, phrase in known])
    near = (cosines @ phrase_feature(clip, style, thing)).tolist()
    best: dict[Look, float] = {}
    for (look, _), cosine in zip(known, near, strict=True):
        best[look] = max(cosine, best.get(look, -1.0))
    order = sorted(best, key=lambda look: -best[look])
    least = max(NAMED, best[order[0]] - _TIE)
    return tuple(look for look in order[:_MOST] if best[look] >= least)


def _texts(phrase: str, thing: str) -> list[str]:
    return [phrase, f"a {phrase} {thing}"] if thing else [phrase]


def _reads(clip: ClipEncoder, phrase: str) -> bool:
    report = clip.report(phrase)
    return not report.unknown and not report.corrections
