"""The ordered list of the add-on's parts: registered in this order, taken back in reverse."""

import logging
from types import ModuleType

from . import (
    addon_timer,
    operators_backend,
    operators_generate,
    operators_models,
    operators_prompts,
    operators_results,
    operators_stylize,
    panel,
    panel_models,
    panel_results,
    panel_setup,
    panel_stylize,
    settings,
)
from . import session as sessions

log = logging.getLogger(__name__)

MODULES: tuple[ModuleType, ...] = (
    settings,
    operators_backend,
    operators_generate,
    operators_models,
    operators_prompts,
    operators_results,
    operators_stylize,
    panel,
    panel_results,
    panel_stylize,
    panel_models,
    panel_setup,
    addon_timer,
)
"""Parent panels before their children; the timer last, when all that it uses is there."""

_registered: list[ModuleType] = []


def register() -> None:
    """Register everything; an earlier registration that is still there is taken back first."""
    if _registered:
        unregister()
    sessions.begin(sessions.Session(settings.user_folder()))
    try:
        for module in MODULES:
            module.register()
            _registered.append(module)
        settings.apply_preferences()
    except BaseException:
        unregister()
        raise


def unregister() -> None:
    """Take everything back that register made, and end the backend."""
    while _registered:
        _registered.pop().unregister()
    sessions.end()
