"""Strict loading of weights: what does not fit is named, never skipped."""

from collections.abc import Mapping

from torch import Tensor, nn

from backend.errors import CheckpointError

_NAMED = 6
"""Keys of each kind that an error names; a wrong architecture has hundreds."""


def load_strictly(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a module; CheckpointError names missing, unknown and wrongly shaped keys."""
    own = module.state_dict()
    missing = sorted(own.keys() - weights.keys())
    extra = sorted(weights.keys() - own.keys())
    misshapen = [
        f"{k} {tuple(weights[k].shape)} instead of {tuple(own[k].shape)}"
        for k in sorted(own.keys() & weights.keys())
        if weights[k].shape != own[k].shape
    ]
    problems = [("missing", missing), ("unknown", extra), ("wrong shape", misshapen)]
    told = [f"{word}: {_named(keys)}" for word, keys in problems if keys]
    if told:
        raise CheckpointError(
            f"Weights do not fit {type(module).__name__}; {'; '.join(told)}.",
            remedy="Give weights of the same architecture, with the public parameter names.",
        )
    module.load_state_dict(weights)


def _named(keys: list[str]) -> str:
    more = len(keys) - _NAMED
    return ", ".join(keys[:_NAMED]) + (f" and {more} more" if more > 0 else "")
