"""Registering, twice, and taking everything back."""

from types import SimpleNamespace
from typing import Any


def own_classes(bpy: Any) -> set[str]:
    return {name for name in dir(bpy.types) if name.startswith("ISS_")}


def test_enabling_registers_panels_settings_and_the_timer(addon: SimpleNamespace) -> None:
    bpy = addon.bpy
    assert {"ISS_PT_main", "ISS_PT_result", "ISS_PT_board", "ISS_PT_backend"} <= own_classes(bpy)
    assert bpy.context.scene.iss.quality == "normal"
    assert bpy.app.timers.is_registered(addon.addon_timer.tick)
    assert addon.session.current() is not None


def test_registering_twice_leaves_one_of_everything(addon: SimpleNamespace) -> None:
    bpy = addon.bpy
    before, first = own_classes(bpy), addon.session.current()
    handlers = len(bpy.app.handlers.load_post), len(bpy.app.handlers.save_post)
    addon.addon.register()
    assert own_classes(bpy) == before
    assert (len(bpy.app.handlers.load_post), len(bpy.app.handlers.save_post)) == handlers
    assert addon.session.current() is not first


def test_unregistering_takes_everything_back(addon: SimpleNamespace) -> None:
    bpy = addon.bpy
    with_it = len(bpy.app.handlers.load_post)
    addon.addon.unregister()
    assert own_classes(bpy) == set()
    assert not hasattr(bpy.types.Scene, "iss")
    assert not bpy.app.timers.is_registered(addon.addon_timer.tick)
    assert len(bpy.app.handlers.load_post) == with_it - 1
    assert addon.session.current() is None
    assert addon.addon_timer.tick() is None
    addon.addon.unregister()
    addon.addon.register()
    assert addon.bpy.context.scene.iss.prompt == ""


def test_a_failing_part_takes_the_others_back(addon: SimpleNamespace, monkeypatch: Any) -> None:
    addon.addon.unregister()

    def refuse() -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(addon.panel, "register", refuse)
    try:
        addon.addon.register()
    except RuntimeError as problem:
        assert str(problem) == "no room"
    else:
        raise AssertionError("the failure was swallowed")
    assert own_classes(addon.bpy) == set()
    monkeypatch.undo()
    addon.addon.register()
