"""Blender's entry point: the extension system calls register and unregister; importing it does nothing."""


def register() -> None:
    """Register the add-on."""
    from .iss_blender import addon

    addon.register()


def unregister() -> None:
    """Take back everything that register made."""
    from .iss_blender import addon

    addon.unregister()
