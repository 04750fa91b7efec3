"""What the pipeline tells while it works: typed, frozen, free of torch."""

from dataclasses import dataclass

from backend.mesh import TriMesh

PHASES = ("propose", "guide", "mesh", "stylize")
"""In order: codes for the prompt (stage 1's mapper), text guidance (stage 2), surface extraction, styles
(stage 3, where asked for; a changed shape is meshed again)."""


@dataclass(frozen=True)
class Progress:
    """`step` of `total` of a phase is done."""

    phase: str
    step: int
    total: int
    score: float | None = None
    """CLIP score on the evaluation views, -1 to 1, where the phase has one."""


@dataclass(frozen=True)
class Preview:
    """The shape so far, coarse."""

    mesh: TriMesh
    step: int
    """Stage 2 iteration it belongs to."""


@dataclass(frozen=True)
class Notice:
    """Something the user should know; the job goes on."""

    code: str
    """unknown_words, respelled, other_script, truncated, no_outline, no_such_part, not_finite, stopped,
    other_versions."""
    message: str


Event = Progress | Preview | Notice
