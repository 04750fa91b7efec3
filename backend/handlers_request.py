"""What a handler takes and gives: a request, updates on the way, a reply; and the table of all handlers.

A handler is a generator: what it yields are events, its return value is the result. Closing it between two
yields cancels the job. Free of torch.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field

from iss_blender import protocol
from iss_blender.protocol import Array, Fields


@dataclass(frozen=True)
class Request:
    """What the add-on asks for."""

    id: str
    name: str
    params: Fields
    arrays: dict[str, Array] = field(default_factory=dict)
    stop: Callable[[], bool] = lambda: False
    """Whether the artist wants the best until now; asked between iterations."""


@dataclass(frozen=True)
class Update:
    """An event on the way: progress, preview, notice, check."""

    name: str
    fields: Fields
    arrays: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """The result of a request."""

    fields: Fields
    arrays: dict[str, Array] = field(default_factory=dict)


Steps = Generator[Update, None, Reply]
Handler = Callable[[Request], Steps]


def _nothing() -> Fields:
    return {}


@dataclass(frozen=True)
class HandlerTable:
    """What a server serves. `hello` must be quick; `warm_up` loads what is slow and may return news."""

    handlers: Mapping[str, Handler]
    hello: Callable[[], Fields] = _nothing
    warm_up: Callable[[], Fields] = _nothing
    free_memory: Callable[[], Fields] = _nothing


def progress_update(phase: str, step: int, total: int, score: float | None = None) -> Update:
    """How far a phase has come; `total` 0 where nobody knows."""
    return Update(protocol.PROGRESS, {"phase": phase, "step": step, "total": total, "score": score})
