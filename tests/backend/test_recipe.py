"""Recipes: round trip, presets, variations, and prompts that are refused."""

import json
from pathlib import Path

import pytest

from backend.config import PipelineSettings
from backend.errors import PromptError, SettingError
from backend.recipe import (
    LONGEST_PROMPT,
    Recipe,
    apply_preset,
    change_settings,
    check_prompt,
    read_recipe,
    variations,
)


def test_recipe_survives_json(tmp_path: Path) -> None:
    recipe = Recipe(
        prompt="a chair é", seed=7, settings=change_settings(PipelineSettings(), {"stage2": {"steps": 3}})
    )
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"recipe": recipe.to_dict(), "scores": []}), encoding="utf-8")
    assert read_recipe(path) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "no recipe"),
        ('{"recipe": {"prompts": "a"}}', "Unknown Recipe keys: prompts"),
        ('{"recipe": {"seed": -1}}', "seed is -1"),
        ('{"recipe": {"seed": "1"}}', "not a int"),
        ('{"recipe": {"seed": 1.5}}', "not a int"),
        ('{"recipe": {"settings": {"mesh": {"resolution": 1}}}}', "resolution is 1"),
        ('{"recipe": {"settings": {"mesh": {"colour": 1}}}}', "Unknown MeshSettings keys: colour"),
        ('{"recipe": {"settings": "x"}}', "settings is 'x'"),
        ('{"recipe": {"settings": {"stage2": {"distance": [1.8]}}}}', "distance is"),
        ('{"recipe": {"versions": "x"}}', "versions is 'x'"),
        ('{"recipe": {"start_code": ["a"]}}', "start_code is"),
        ('{"recipe": {"styles": [1]}}', "styles is"),
    ],
)
def test_bad_recipes_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(SettingError, match=message):
        read_recipe(path)


def test_a_missing_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be read"):
        read_recipe(tmp_path / "none.json")


def test_variations_count_up_from_the_seed() -> None:
    assert [one.seed for one in variations(Recipe(seed=5), 3)] == [5, 6, 7]
    for count in (0, 65):
        with pytest.raises(SettingError, match=f"variations is {count}"):
            variations(Recipe(), count)


def test_settings_are_changed_per_phase() -> None:
    own = PipelineSettings()
    changed = change_settings(own, {"stage2": {"steps": 5, "views": None}, "mesh": {}})
    assert changed.stage2.steps == 5 and changed.stage2.views == own.stage2.views
    with pytest.raises(SettingError, match="no phase 'stage9'"):
        change_settings(own, {"stage9": {}})
    with pytest.raises(SettingError, match="Unknown Stage2Settings keys: step"):
        change_settings(own, {"stage2": {"step": 1}})
    with pytest.raises(SettingError, match="views is 0"):
        change_settings(own, {"stage2": {"views": 0}})


def test_presets_keep_what_they_do_not_name() -> None:
    own = change_settings(PipelineSettings(), {"stage2": {"learning_rate": 0.5}})
    assert apply_preset(own, "normal") == own
    draft = apply_preset(own, "draft")
    assert draft.stage2.steps == 0 and draft.stage2.learning_rate == 0.5
    assert draft.mesh.resolution < own.mesh.resolution < apply_preset(own, "fine").mesh.resolution
    with pytest.raises(SettingError, match="no preset 'best'"):
        apply_preset(own, "best")


def test_prompts_are_tidied() -> None:
    assert check_prompt("  a red\n\tchair ") == "a red chair"
    assert check_prompt("x" * LONGEST_PROMPT) == "x" * LONGEST_PROMPT
    assert check_prompt("красный стул") == "красный стул"


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "is empty"),
        (" \n ", "is empty"),
        ("x" * 10_000, "has 10000 characters"),
        ("a\x00chair", r"U\+0000"),
        ("a \x1b[31mred chair", r"U\+001B"),
        ("a \ud800 chair", r"U\+D800"),
        ("?!", "has no words"),
    ],
)
def test_bad_prompts_are_refused(prompt: str, message: str) -> None:
    with pytest.raises(PromptError, match=message) as caught:
        check_prompt(prompt)
    assert caught.value.remedy and caught.value.exit_code == 2
