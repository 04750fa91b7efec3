"""The recipe of a result: everything needed to make it again, as written to result.json.

On one machine's CPU the same recipe gives the same mesh bit for bit.
"""

import json
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.config import PipelineSettings, Settings, StylizeSettings, bounded, one_of
from backend.errors import IssError, PromptError, SettingError

LONGEST_PROMPT = 2000
"""Characters."""
GREATEST_SEED = 2**63 - 1

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "draft": {
        "stage2": {"steps": 0, "evaluation_views": 4},
        "mapper": {"candidates": 4},
        "mesh": {"resolution": 64},
    },
    "normal": {},
    "fine": {"stage2": {"steps": 60}, "mapper": {"candidates": 24}, "mesh": {"resolution": 192}},
}
"""Quality presets as changes of a bundle's own settings."""


@dataclass(frozen=True)
class Style(Settings):
    """One stylization (stage 3) of a result, repeatable."""

    style: str = ""
    mode: str = one_of("texture", "shape-texture")
    strength: float = bounded(1.0, 0.05, 4.0)
    """texture: share of the new colours, 1 and above is all. shape-texture: divides the 3D prior's weight."""
    seed: int = bounded(0, 0, GREATEST_SEED)
    settings: StylizeSettings = field(default_factory=StylizeSettings)


@dataclass(frozen=True)
class Recipe(Settings):
    """One result's ingredients."""

    prompt: str = ""
    """Empty where only an image is given."""
    image: str = ""
    """Path of the image; empty without one."""
    image_sha256: str = ""
    """Of the image file, filled in when it is read."""
    seed: int = bounded(0, 0, GREATEST_SEED)
    diversity: float = bounded(1.0, 0.0, 10.0)
    """Strength of the differences between seeds; 1 is the bundle's own."""
    start_code: tuple[float, ...] = ()
    """Shape code [C] that stage 2 starts from; empty where the mapper proposes one."""
    bundle: str = "starter"
    bundle_sha256: str = ""
    """Of the bundle's record; filled in when it is loaded."""
    device: str = "auto"
    precision: str = one_of("float32", "bfloat16", "float16")
    threads: int = bounded(0, 0, 256)
    """CPU threads; 0 leaves the choice to torch, and the number used is filled in."""
    settings: PipelineSettings = field(default_factory=PipelineSettings)
    versions: dict[str, str] = field(default_factory=dict)
    """Of Python, torch and the others; filled in, and only compared."""
    styles: tuple[Style, ...] = ()
    """Stylizations in order, each on the result of the one before."""

    def __post_init__(self) -> None:
        super().__post_init__()
        styles = tuple(Style.from_dict(s) if isinstance(s, dict) else s for s in self.styles)
        object.__setattr__(self, "styles", styles)


def variations(recipe: Recipe, count: int) -> list[Recipe]:
    """The recipe with the seeds seed, seed + 1, ..., `count` of them."""
    if not 1 <= count <= 64:
        raise SettingError(f"variations is {count}.", remedy="Choose variations between 1 and 64.")
    return [recipe.replace(seed=recipe.seed + i) for i in range(count)]


def change_settings(settings: PipelineSettings, changes: dict[str, dict[str, Any]]) -> PipelineSettings:
    """Settings with fields changed, given per phase: {"stage2": {"steps": 5}}; None keeps a field.

    SettingError names an unknown phase or field, or a value out of range.
    """
    phases: dict[str, Any] = {}
    for phase, fields in changes.items():
        if phase not in settings.to_dict():
            raise SettingError(
                f"There is no phase {phase!r}.", remedy=f"Use: {', '.join(settings.to_dict())}."
            )
        current = getattr(settings, phase)
        given = {name: value for name, value in fields.items() if value is not None}
        phases[phase] = type(current).from_dict({**current.to_dict(), **given})
    return settings.replace(**phases)


def apply_preset(settings: PipelineSettings, preset: str) -> PipelineSettings:
    """A bundle's settings changed to a quality preset: draft, normal or fine."""
    if preset not in PRESETS:
        raise SettingError(f"There is no preset {preset!r}.", remedy=f"Choose one of {', '.join(PRESETS)}.")
    return change_settings(settings, PRESETS[preset])


def complete_styles(recipe: Recipe, values: dict[str, Any], settings: StylizeSettings) -> Recipe:
    """The recipe of `values`; styles that came without settings, as from a prompt list, have these."""
    given = [style if isinstance(style, dict) else {} for style in values.get("styles") or ()]
    styles = tuple(
        style if "settings" in own else style.replace(settings=settings)
        for style, own in zip(recipe.styles, given, strict=True)
    )
    return recipe.replace(styles=styles)


def read_recipe(path: Path) -> Recipe:
    """The recipe inside a result.json; SettingError where it has none that can be used."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(
            f"{path} cannot be read: {error.strerror}.", remedy="Give the result.json of an earlier result."
        ) from error
    except ValueError as error:
        raise SettingError(
            f"{path} is not JSON: {error}.", remedy="Give the result.json of an earlier result."
        ) from error
    recipe = values.get("recipe") if isinstance(values, dict) else None
    if not isinstance(recipe, dict):
        raise SettingError(f"{path} holds no recipe.", remedy="Give the result.json that `generate` wrote.")
    try:
        return Recipe.from_dict(recipe)
    except IssError as error:
        raise SettingError(f"{path}: {error.message}", remedy=error.remedy) from error


def check_prompt(prompt: str) -> str:
    """The prompt with its blanks tidied; PromptError where it is empty, too long or unreadable."""
    if len(prompt) > LONGEST_PROMPT:
        raise PromptError(
            f"The prompt has {len(prompt)} characters.",
            remedy=f"Use at most {LONGEST_PROMPT}; a short sentence works best.",
        )
    tidy = " ".join(prompt.split())
    if not tidy:
        raise PromptError("The prompt is empty.", remedy='Say what to make, for example "a red chair".')
    bad = sorted({c for c in tidy if unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn")})
    if bad:
        raise PromptError(
            f"The prompt holds unreadable characters ({', '.join(f'U+{ord(c):04X}' for c in bad[:5])}).",
            remedy="Type the prompt again as plain text.",
        )
    if not any(c.isalnum() for c in tidy):
        raise PromptError(
            f"The prompt {tidy[:40]!r} has no words.", remedy='Say what to make, for example "a red chair".'
        )
    return tidy
