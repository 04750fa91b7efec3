"""What the user installs: manifest, entry point and zip, without Blender and in the real program."""

import importlib.util
import shutil
import subprocess
import sys
import tomllib
import types
import zipfile
from pathlib import Path

import pytest

from scripts import build_extension, make_blender

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = tomllib.loads((ROOT / "blender_manifest.toml").read_text("utf-8"))
NOT_CHECKED = (
    "NOT CHECKED: the extension in the real Blender program; make it as root with "
    "`python3 scripts/make_blender.py make` (needs Debian, the network and the right to mount)"
)

KEPT = [
    "LICENSE",
    "README.md",
    "__init__.py",
    "backend/__init__.py",
    "backend/bundles/starter/bundle.json",
    "backend/tests/kept.py",
    "blender_manifest.toml",
    "iss_blender/__init__.py",
    "iss_blender/addon.py",
    "pyproject.toml",
]
LEFT_OUT = [
    ".ci/run",
    ".git/HEAD",
    ".gitignore",
    ".venv/bin/python",
    "Makefile",
    "backend/__pycache__/config.cpython-311.pyc",
    "backend/stray.pyc",
    "docs/picture.png",
    "runs/starter/checkpoint.pt",
    "scripts/check.py",
    "tests/test_package.py",
]


@pytest.fixture
def small_tree(tmp_path: Path) -> Path:
    """A checkout in small: this project's manifest, an add-on that does nothing, and files to leave out."""
    root = tmp_path / "tree"
    for name in (*KEPT, *LEFT_OUT):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    for name in ("blender_manifest.toml", "__init__.py"):
        shutil.copy(ROOT / name, root / name)
    (root / "iss_blender" / "__init__.py").write_text("")
    (root / "iss_blender" / "addon.py").write_text("def register(): pass\ndef unregister(): pass\n")
    return root


def test_the_manifest_keeps_blenders_rules() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert MANIFEST["version"] == project["version"]
    assert MANIFEST["license"] == [f"SPDX:{project['license']}"] == ["SPDX:GPL-3.0-or-later"]
    assert MANIFEST["blender_version_min"] == "4.2.0"
    assert MANIFEST["id"].isidentifier() and "blender" not in (MANIFEST["name"] + MANIFEST["id"]).lower()
    assert set(MANIFEST["permissions"]) == {"files", "network", "clipboard"}
    for sentence in (MANIFEST["tagline"], *MANIFEST["permissions"].values()):
        assert 0 < len(sentence) <= 64 and sentence[-1].isalnum()


def test_the_zip_holds_what_is_not_excluded(small_tree: Path, tmp_path: Path) -> None:
    path = build_extension.build(tmp_path / "out", root=small_tree)
    assert path.name == f"{MANIFEST['id']}-{MANIFEST['version']}.zip"
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == KEPT
        assert archive.read("backend/bundles/starter/bundle.json") == b"backend/bundles/starter/bundle.json"
    again = build_extension.build(tmp_path / "again", root=small_tree)
    assert again.read_bytes() == path.read_bytes()


def test_the_real_tree_ships_the_pins_beside_the_code() -> None:
    names = list(build_extension.shipped_files(ROOT, MANIFEST["build"]["paths_exclude_pattern"]))
    assert {"__init__.py", "blender_manifest.toml", "pyproject.toml", "LICENSE", "backend/config.py"} <= set(
        names
    )
    tops = {name.partition("/")[0] for name in names if "/" in name}
    assert tops == {"iss_blender", "backend"}


def test_the_entry_point_imports_the_add_on_only_when_called() -> None:
    calls: list[str] = []
    add_on = types.ModuleType("entry.iss_blender.addon")
    add_on.register = lambda: calls.append("register")  # type: ignore[attr-defined]
    add_on.unregister = lambda: calls.append("unregister")  # type: ignore[attr-defined]
    package = types.ModuleType("entry.iss_blender")
    package.addon = add_on  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location(
        "entry", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec is not None and spec.loader is not None
    entry = importlib.util.module_from_spec(spec)
    fakes = {"entry": entry, "entry.iss_blender": package, "entry.iss_blender.addon": add_on}
    sys.modules.update(fakes)
    try:
        spec.loader.exec_module(entry)
        assert calls == []
        entry.register()
        entry.unregister()
        assert calls == ["register", "unregister"]
    finally:
        for name in fakes:
            del sys.modules[name]


def test_the_interpreter_is_shown_inside_at_its_own_place() -> None:
    assert make_blender.python_binds(Path("/opt/python/3.12/bin/python3.12")) == [Path("/opt/python/3.12")]
    assert make_blender.python_binds(Path("/usr/local/bin/python3.11")) == [Path("/usr/local")]
    assert make_blender.python_binds(Path("/usr/bin/python3.99")) == [
        Path("/usr/bin/python3.99"),
        Path("/usr/lib/python3.99"),
    ]


def blender(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run Blender in the made system; its settings and `folder` are the test's own."""
    full = make_blender.chroot_command(
        ["blender", *command],
        binds=[folder],
        variables=[f"BLENDER_USER_RESOURCES={folder / 'user'}"],
        directory=folder,
    )
    return subprocess.run(full, capture_output=True, text=True, check=False)


REGISTERS = f"""
import bpy, addon_utils
name = "bl_ext.user_default.{MANIFEST["id"]}"
assert name in bpy.context.preferences.addons, list(bpy.context.preferences.addons.keys())
for turn in range(2):
    addon_utils.disable(name)
    assert not addon_utils.check(name)[1]
    assert addon_utils.enable(name) is not None
    assert addon_utils.check(name)[1]
print("REGISTERED TWICE")
"""


@pytest.mark.blender
@pytest.mark.skipif(not make_blender.READY.exists(), reason=NOT_CHECKED)
def test_the_real_program_takes_the_extension(small_tree: Path, tmp_path: Path) -> None:
    """Validate, build (the same files as ours), install the zip of the real tree, register twice."""
    checked = blender(tmp_path, "--command", "extension", "validate", str(small_tree))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    out = tmp_path / "theirs"
    out.mkdir()
    order = ["extension", "build", "--source-dir", str(small_tree), "--output-dir", str(out)]
    built = blender(tmp_path, "--command", *order)
    assert built.returncode == 0, built.stdout + built.stderr
    with zipfile.ZipFile(next(out.iterdir())) as archive:
        assert sorted(archive.namelist()) == KEPT

    ours = build_extension.build(tmp_path / "ours")
    installed = blender(
        tmp_path, "--command", "extension", "install-file", "-r", "user_default", "-e", str(ours)
    )
    assert installed.returncode == 0, installed.stdout + installed.stderr
    seen = blender(tmp_path, "-b", "--python-exit-code", "9", "--python-expr", REGISTERS)
    assert seen.returncode == 0 and "REGISTERED TWICE" in seen.stdout, seen.stdout + seen.stderr
    assert "Traceback" not in seen.stderr + installed.stderr
