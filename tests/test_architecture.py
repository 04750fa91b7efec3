"""Keeps the house standing: who may import whom, what loads without torch or Blender, sizes, names.

All rules are checked over the whole tree, so that a new file is covered without an entry here.
"""

import ast
import functools
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("iss_blender", "backend")
LINE_LIMIT = 500
FORBIDDEN_NAMES = ("util", "utils", "utilities", "common", "helper", "helpers", "misc", "manager", "managers")
USES_BLENDER = (
    "addon",
    "settings",
    "panel",
    "operators",
    "mesh_import",
    "materials",
    "bake",
    "assets",
    "scene_studio",
    "result_files",
    "text_picture",
)
"""First words of the modules of iss_blender that may import bpy."""
BLENDER_MODULES = (
    "bpy",
    "bmesh",
    "mathutils",
    "gpu",
    "blf",
    "bpy_extras",
    "_bpy",
    "addon_utils",
    "rna_prop_ui",
)
HEAVY = ("torch", "torchvision", "open_clip", "skimage", "scipy", "numba", "matplotlib", "trimesh")
ONLY_NUMPY_BESIDE_BLENDER = "numpy"
LIGHT_BACKEND = ("config", "errors", "mesh", "server", "handlers", "__main__")
"""Modules of the backend that load without torch, so that hello and errors come at once."""

LEVELS = (
    ("__main__", "server", "cli"),
    ("handlers", "batch_ledger", "batch_ray", "batch_worker"),
    (
        "training",
        "evaluation",
        "evaluation_cache",
        "measures",
        "comparison",
        "ablations",
        "baselines",
        "judges",
        "starter_suite",
        "true_shapes",
        "reconstruction_quality",
        "datasets",
        "doctor",
    ),
    ("pipeline",),
    ("bundles", "text_guidance", "stylize"),
    ("clip_encoder", "mapper", "losses", "svr", "rendering", "meshing"),
    ("cameras", "mesh", "device"),
    ("config", "errors"),
)
"""The backend's levels, highest first: a module imports from its own level or a lower one.

Bundles stand above the models because a bundle builds its CLIP, its SVR model and its mapper. A module that
is not named takes no side.
"""


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def imports_of(path: Path, *, at_import: bool = False) -> frozenset[str]:
    """Dotted names that a file imports; with `at_import` only those that run when it is loaded."""
    tree = ast.parse(path.read_text("utf-8"))
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    found = set()
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package or None)
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
        pending += ast.iter_child_nodes(node)
    return frozenset(found)


def top_names(path: Path, *, at_import: bool = False) -> set[str]:
    return {name.partition(".")[0] for name in imports_of(path, at_import=at_import)}


def level_of(module: str) -> int | None:
    """Level of a dotted module name such as backend.svr.dvr; cli_generate stands with cli."""
    parts = module.split(".")
    if len(parts) < 2 or parts[0] != "backend":
        return None
    for number, names in enumerate(LEVELS):
        if parts[1] in names or (number == 0 and parts[1].partition("_")[0] in names):
            return number
    return None


BACKEND_FILES = python_files("backend")
ALL_FILES = python_files(*PACKAGES, "scripts", "tests")


def identify(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", BACKEND_FILES, ids=identify)
def test_backend_imports_point_downward(path: Path) -> None:
    own = level_of(module_name(path))
    if own is None:
        return
    upward = {name for name in imports_of(path) if (level := level_of(name)) is not None and level < own}
    assert not upward, f"{identify(path)} imports from above: {sorted(upward)}"


def test_the_pipeline_reaches_no_training_code_even_indirectly() -> None:
    by_name = {module_name(path): path for path in BACKEND_FILES}
    pending, seen = [name for name in ("backend.pipeline",) if name in by_name], set()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        pending += [other for other in imports_of(by_name[name]) if other in by_name]
    wrong = {
        name for name in seen if re.match(r"backend\.(training|evaluation|datasets|server|handlers)\b", name)
    }
    assert not wrong


def test_no_svr_model_knows_clip_or_another_model() -> None:
    models = {path.stem for path in python_files("backend/svr") if path.stem not in ("__init__", "base")}
    for path in python_files("backend/svr"):
        names = imports_of(path)
        assert not any(name.startswith(("backend.clip_encoder", "open_clip")) for name in names), identify(
            path
        )
        if path.stem in models:
            others = {name.split(".")[2] for name in names if name.startswith("backend.svr.")} & models
            # The files of one model share its name as their first word.
            known = {o for o in others if o.partition("_")[0] != path.stem.partition("_")[0]}
            assert not known, f"{identify(path)} knows {known}"


@pytest.mark.parametrize("path", BACKEND_FILES, ids=identify)
def test_the_backend_never_imports_blender(path: Path) -> None:
    assert not top_names(path) & set(BLENDER_MODULES)
    inside = {name for name in imports_of(path) if name.startswith("iss_blender.")}
    allowed = (
        "iss_blender.protocol",
        "iss_blender.environment",
        "iss_blender.pins",
        "iss_blender.interpreters",
        # A list of prompts, its plan and its report are one format, whichever side works through it.
        "iss_blender.prompt_list",
        "iss_blender.batch",
    )
    assert all(name.startswith(allowed) for name in inside), f"{identify(path)} imports {sorted(inside)}"


@pytest.mark.parametrize(
    "path", [p for p in BACKEND_FILES if p.stem not in ("server", "handlers")], ids=identify
)
def test_only_server_and_handlers_speak_the_protocol(path: Path) -> None:
    first = module_name(path).split(".")[1:2]
    # bench_start measures how soon the server says hello, as the add-on hears it.
    if first and first[0].startswith(("server", "handlers", "__main__", "bench_start")):
        return
    assert not any(name.startswith("iss_blender.protocol") for name in imports_of(path)), identify(path)


@pytest.mark.parametrize("path", python_files("iss_blender"), ids=identify)
def test_the_add_on_needs_only_the_standard_library_numpy_and_blender(path: Path) -> None:
    allowed = set(sys.stdlib_module_names) | {"iss_blender", ONLY_NUMPY_BESIDE_BLENDER, "backend"}
    if path.stem.startswith(USES_BLENDER):
        allowed |= set(BLENDER_MODULES)
    foreign = {name for name in top_names(path) if name not in allowed and name not in ("msvcrt", "winreg")}
    assert not foreign, f"{identify(path)} imports {sorted(foreign)}"
    assert "backend" not in top_names(path), f"{identify(path)}: the backend is another process"


@pytest.mark.parametrize("path", python_files("iss_blender"), ids=identify)
def test_the_add_on_has_no_threads_pickle_or_sockets(path: Path) -> None:
    refused = {
        "threading",
        "multiprocessing",
        "concurrent",
        "asyncio",
        "pickle",
        "marshal",
        "socket",
        "_thread",
    }
    assert not top_names(path) & refused


def loads_without(module: str, blocked: tuple[str, ...]) -> str:
    """Import a module in a fresh interpreter where some packages cannot be found; its standard error."""
    program = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {blocked!r}:\n"
        "            raise ModuleNotFoundError(f'{name} is blocked by the architecture test', name=name)\n"
        "sys.meta_path.insert(0, Block())\n"
        f"import importlib; importlib.import_module({module!r})\n"
        f"present = sorted(set({blocked!r}) & set(sys.modules)); assert not present, present\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stderr


LIGHT = [
    module_name(path)
    for path in python_files("iss_blender")
    if not path.stem.startswith(USES_BLENDER) and path.name != "__init__.py"
] + [f"backend.{name}" for name in LIGHT_BACKEND if (ROOT / "backend" / f"{name}.py").exists()]


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_load_without_torch_and_blender(module: str) -> None:
    assert loads_without(module, (*HEAVY, *BLENDER_MODULES)) == ""


def test_the_blocked_import_is_noticed() -> None:
    assert "blocked by the architecture test" in loads_without("numpy", ("numpy",))


@pytest.mark.parametrize("path", BACKEND_FILES, ids=identify)
def test_light_backend_files_import_nothing_heavy_at_load(path: Path) -> None:
    if path.parent.name == "backend" and path.stem in LIGHT_BACKEND:
        assert not top_names(path, at_import=True) & set(HEAVY)


@pytest.mark.parametrize("path", ALL_FILES, ids=identify)
def test_files_stay_short_and_say_what_they_are_for(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= LINE_LIMIT, (
        f"{identify(path)} is longer than {LINE_LIMIT} lines: split by concept"
    )
    if text.strip() and path.name != "__init__.py":
        assert ast.get_docstring(ast.parse(text)), f"{identify(path)} does not say what it is for"


@pytest.mark.parametrize("path", ALL_FILES, ids=identify)
def test_modules_are_named_after_concepts(path: Path) -> None:
    words = [
        word for part in path.relative_to(ROOT).with_suffix("").parts for word in part.lower().split("_")
    ]
    assert not set(words) & set(FORBIDDEN_NAMES), f"{identify(path)}: name the concept"


def shipped_texts() -> list[Path]:
    """Files of the repository that people wrote: no binary, nothing that git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    names = listed.stdout.splitlines() if listed.returncode == 0 else [identify(p) for p in ALL_FILES]
    kinds = {".py", ".toml", ".md", ".txt", ".cfg", ".json", ".csv", ".yml", ".yaml", ".sh", ""}
    return [ROOT / name for name in names if Path(name).suffix in kinds and (ROOT / name).is_file()]


def test_no_package_registry_is_named() -> None:
    hosts = "|".join(["pypi" + r"\.org", "python" + r"hosted", "pytorch" + r"\.org", "hugging" + r"face\.co"])
    named = [
        identify(path) for path in shipped_texts() if re.search(hosts, path.read_text("utf-8", "replace"))
    ]
    assert not named, "Package addresses belong to the user's own pip settings."


def test_no_path_of_one_machine_is_written_down() -> None:
    # A drive or home folder followed by a name; the system's own places (/tmp, /usr, /proc) may be meant.
    # Tests may invent somebody's home folder.
    places = {"tests": "work|root|mnt|data|scratch", "elsewhere": "work|root|mnt|data|scratch|home|Users"}
    patterns = {kind: re.compile(rf"(?<![\w.~/}}\])])/(?:{names})/\w") for kind, names in places.items()}
    found = {}
    for path in shipped_texts():
        if path.name in ("LICENSE", Path(__file__).name):
            continue
        lines = path.read_text("utf-8", "replace").splitlines()
        machine = patterns["tests" if path.is_relative_to(ROOT / "tests") else "elsewhere"]
        hits = [number for number, line in enumerate(lines, 1) if machine.search(line)]
        if hits:
            found[identify(path)] = hits
    assert not found


def test_nothing_executes_text_or_unpickles() -> None:
    """No exec, eval or pickle loads outside the tests; torch.load only with weights_only=True."""
    for path in python_files(*PACKAGES, "scripts"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            place = f"{identify(path)}:{node.lineno}"
            assert called not in ("exec", "eval", "pickle.load", "pickle.loads", "os.system"), place
            if called == "torch.load":
                assert any(
                    k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords
                ), place
