"""The paper's ablations: a bundle and its recipe with one part of the method taken out.

Everything else stays as it is, the ranking of candidates included, so that the difference is that part's.
"""

import dataclasses

import torch
from torch import nn

from backend.bundles import Bundle, build_mapper
from backend.errors import BundleError
from backend.recipe import Recipe, change_settings

FULL, WITHOUT_STAGE_1, WITHOUT_STAGE_2 = "ISS", "without stage 1", "without stage 2"
WITHOUT_BACKGROUND, WITH_BACKGROUND = "without the background loss", "with the background loss"
BACKGROUND_WEIGHT = 3.0
"""The paper's, for a bundle that does without."""


def ablations(bundle: Bundle, recipe: Recipe, *, seed: int = 0) -> dict[str, tuple[Bundle, Recipe]]:
    """Name -> bundle and recipe, the full method first. BundleError for a bundle without a mapper.

    The background loss is switched in stage 2: off where the bundle's own settings have it, on where they
    have not. Its part in stage 1 is in the decoder's weights: compare two bundles for that.
    """
    if bundle.mapper is None:
        raise BundleError(f"The bundle {bundle.name} has no mapper.", remedy="Run `align` on it first.")
    untrained = dataclasses.replace(bundle, mapper=untrained_mapper(bundle, seed=seed))
    has_background = recipe.settings.stage2.background_weight > 0
    weight = 0.0 if has_background else BACKGROUND_WEIGHT
    return {
        FULL: (bundle, recipe),
        WITHOUT_STAGE_1: (untrained, recipe),
        WITHOUT_STAGE_2: (bundle, _changed(recipe, steps=0)),
        WITHOUT_BACKGROUND if has_background else WITH_BACKGROUND: (
            bundle, _changed(recipe, background_weight=weight)
        ),
    }  # fmt: skip


def untrained_mapper(bundle: Bundle, *, seed: int) -> nn.Module:
    """The bundle's mapper with the weights that it started from.

    Statistics of the shape codes (buffers) are kept: they belong to the shape space, not to what was learnt
    about CLIP. A flow then answers every text with a random code of that space.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = build_mapper(bundle.record.mapper)
    assert bundle.mapper is not None
    kept = dict(bundle.mapper.named_buffers())
    fresh.load_state_dict({**fresh.state_dict(), **kept})
    return fresh.to(bundle.device).eval().requires_grad_(False)


def _changed(recipe: Recipe, **stage2: float) -> Recipe:
    return recipe.replace(settings=change_settings(recipe.settings, {"stage2": stage2}))
