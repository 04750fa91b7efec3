"""The set-up of the backend's environment: steps, stamps, retry, cancel, and what is refused."""

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iss_blender import environment, interpreters, pins, setup_errors, setup_plan
from iss_blender.environment import EnvironmentSetup, Event, SetupError
from iss_blender.interpreters import Interpreter
from iss_blender.setup_plan import Step

ROOT = Path(__file__).resolve().parents[2]
THIS = (sys.version_info.major, sys.version_info.minor)
TINY = pins.Pins(
    {
        "run": ("torch==1.0", "numpy==2.0"),
        "train": ("h5py==3.0",),
        "dev": ("pytest==9.0",),
        "ray": ("ray==2.0",),
        "blender": ("bpy==5.0",),
    },
    "pip==26.3",
    ("sympy==1.0",),
)


def step(name: str, code: str, *, digest: str = "1", weight: float = 1.0, download_mb: float = 0.0) -> Step:
    """A step that runs a few lines of Python."""
    return Step(name, name.title(), (sys.executable, "-I", "-c", code), digest, weight, download_mb)


def noting(path: Path, word: str) -> str:
    """Code that appends a word to a file: shows how often a step ran."""
    return f"open({str(path)!r}, 'a').write({word!r} + ' ')"


def run_all(setup: EnvironmentSetup) -> list[Event]:
    return list(environment.make(setup, pause_s=0.01))


def test_steps_run_in_order_and_events_add_up_to_the_whole(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    steps = [
        step("one", noting(notes, "one") + "; print('hello')", weight=1),
        step("two", noting(notes, "two"), weight=3),
    ]
    setup = EnvironmentSetup(tmp_path / "env", steps=steps)
    events = run_all(setup)
    assert notes.read_text() == "one two "
    assert setup.state == "done" and setup.error is None
    ends = [(e.step, e.index, e.total, e.fraction) for e in events if e.line == "done"]
    assert ends == [("One", 1, 2, 0.25), ("Two", 2, 2, 1.0)]
    assert "hello" in [e.line for e in events]
    fractions = [e.fraction for e in events]
    assert fractions == sorted(fractions)
    assert "hello" in setup.tail() and not (tmp_path / "env" / "tmp").exists()


def test_a_failed_step_is_explained_and_retried_without_the_finished_ones(tmp_path: Path) -> None:
    notes, flag = tmp_path / "notes", tmp_path / "flag"
    fails_once = (
        f"import os, sys\n{noting(notes, 'two')}\n"
        f"if not os.path.exists({str(flag)!r}): sys.exit('ERROR: it broke')"
    )
    steps = [
        step("one", noting(notes, "one")),
        step("two", fails_once),
        step("three", noting(notes, "three")),
    ]
    setup = EnvironmentSetup(tmp_path / "env", steps=steps)
    with pytest.raises(SetupError, match=r"Step 'Two' failed \(exit code 1\): ERROR: it broke") as caught:
        run_all(setup)
    assert caught.value.code == "step" and "finished steps are kept" in caught.value.remedy
    assert setup.state == "failed" and setup.error is caught.value
    flag.touch()
    run_all(setup)
    assert notes.read_text() == "one two two three "
    run_all(EnvironmentSetup(tmp_path / "env", steps=steps))
    assert notes.read_text() == "one two two three "


def test_a_changed_pin_redoes_only_its_step(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    for digest in ("1", "2"):
        steps = [step("one", noting(notes, "one")), step("two", noting(notes, "two"), digest=digest)]
        run_all(EnvironmentSetup(tmp_path / "env", steps=steps))
    assert notes.read_text() == "one two two "


def test_downloads_move_the_fraction_over_several_files(tmp_path: Path) -> None:
    lines = ["Progress 5000000 of 10000000", "Progress 10000000 of 10000000", "Progress 10000000 of 30000000"]
    code = f"print({chr(10).join(lines)!r}); print('Installing collected packages: x')"
    setup = EnvironmentSetup(tmp_path / "env", steps=[step("one", code, download_mb=40)])
    events = run_all(setup)
    downloaded = [e for e in events if e.line == "20 MB downloaded"]
    assert downloaded and downloaded[-1].fraction == pytest.approx(0.7 * 20 / 40)
    installing = next(e for e in events if e.line.startswith("Installing"))
    assert installing.fraction == pytest.approx(0.7)
    assert "Progress" not in setup.tail()


def test_cancel_ends_the_step_with_everything_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pids"
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pid_file)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}\\n')\n"
        "print('under way', flush=True); time.sleep(600)\n"
    )
    setup = EnvironmentSetup(tmp_path / "env", steps=[step("one", code)])
    under_way = environment.make(setup, pause_s=0.01)
    assert next(e.line for e in under_way if e.line == "under way")
    assert setup.poll() == [] and setup.state == "running"
    under_way.close()
    assert setup.state == "cancelled" and setup.error is None
    for pid in map(int, pid_file.read_text().split()):
        _wait_gone(pid)
    assert not (tmp_path / "env" / "setup.json").exists()


def test_one_folder_takes_one_set_up_at_a_time(tmp_path: Path) -> None:
    steps = [step("one", "import time; time.sleep(600)")]
    first, second = (EnvironmentSetup(tmp_path / "env", steps=steps) for _ in range(2))
    first.start()
    try:
        with pytest.raises(SetupError, match="Another set-up") as caught:
            second.start()
        assert caught.value.code == "busy" and second.state == "idle"
    finally:
        first.cancel()
    second.start()
    second.cancel()


def test_a_program_that_is_not_there_fails_the_step(tmp_path: Path) -> None:
    setup = EnvironmentSetup(tmp_path, steps=[Step("one", "One", (str(tmp_path / "absent"),), "1")])
    with pytest.raises(SetupError, match="No such file"):
        run_all(setup)
    assert setup.state == "failed"


def test_half_installed_packages_are_forgotten_before_a_step(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    whole, cut = packages / "whole-1.0.dist-info", packages / "cut-1.0.dist-info"
    for record in (whole, cut):
        record.mkdir(parents=True)
        (record / "METADATA").touch()
    (whole / "INSTALLER").touch()
    run_all(EnvironmentSetup(tmp_path, steps=[step("one", "")]))
    assert whole.exists() and not cut.exists()


def test_steps_do_not_see_blenders_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/of/blender")
    monkeypatch.setenv("PYTHONPATH", "/of/blender")
    names = ("PYTHONHOME", "PYTHONPATH", "PIP_USER", "TMPDIR")
    code = f"import os; print([os.environ.get(name) for name in {names}])"
    events = run_all(EnvironmentSetup(tmp_path / "env", steps=[step("one", code)]))
    assert str([None, None, "0", str(tmp_path / "env" / "tmp")]) in [e.line for e in events]


def test_the_real_first_step_makes_an_environment_that_check_believes(tmp_path: Path) -> None:
    folder = tmp_path / "env"
    first = setup_plan.plan(folder, interpreters.find_python(sys.executable), ("run",), pins.load_pins())[0]
    run_all(EnvironmentSetup(folder, steps=[first]))
    python = environment.interpreter_of(folder)
    answer = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, text=True, check=True)
    assert str(folder) in answer.stdout
    status = environment.check(folder)
    assert not status.complete and status.python == python
    assert "Python environment" not in status.missing and "PyTorch" in status.missing


def pretend_environment(folder: Path, home: Path) -> None:
    python = environment.interpreter_of(folder)
    for path in (home, python.parent):
        path.mkdir(parents=True, exist_ok=True)
    python.touch()
    (folder / "pyvenv.cfg").write_text(f"home = {home}\nversion = 3.12.1\n")


def test_check_follows_groups_pins_and_the_python_underneath(tmp_path: Path) -> None:
    folder, home = tmp_path / "env", tmp_path / "python"
    assert "no working Python environment" in environment.check(folder).reason
    pretend_environment(folder, home)
    for one in setup_plan.plan(folder, Interpreter("", (3, 12)), ("run",), pins.load_pins()):
        environment._stamp(folder, one)
    assert environment.check(folder).complete
    with_dev = environment.check(folder, groups=("dev",))
    assert with_dev.missing == ("Developer tools", "Check of developer tools")
    home.rmdir()
    gone = environment.check(folder)
    assert not gone.complete and "no working Python environment" in gone.reason


def test_the_plan_installs_wheels_only_and_never_into_the_given_python(tmp_path: Path) -> None:
    steps = setup_plan.plan(tmp_path, Interpreter("blenders-python", (3, 11)), pins.GROUPS, TINY)
    assert [s.name for s in steps if not s.name.startswith("verify")] == [
        "interpreter", "installer", "torch", "run", "train", "dev", "ray", "blender",
    ]  # fmt: skip
    assert [s.name for s in steps if "blenders-python" in s.command] == ["interpreter"]
    installing = [s for s in steps if "install" in s.command]
    assert all("--only-binary=:all:" in s.command for s in installing) and len(installing) == 7
    assert ["--no-deps" in s.command for s in installing] == [False] * 6 + [True]
    assert steps[2].command[-1] == "torch==1.0" and steps[3].command[-1] == "numpy==2.0"
    assert setup_plan.constraints_text(TINY).splitlines() == [
        "torch==1.0", "numpy==2.0", "h5py==3.0", "pytest==9.0", "ray==2.0", "sympy==1.0",
    ]  # fmt: skip


def test_an_environment_whose_python_is_gone_is_renewed(tmp_path: Path) -> None:
    folder, home = tmp_path / "env", tmp_path / "python"
    pretend_environment(folder, home)

    def first_step(version: tuple[int, int]) -> str:
        return setup_plan.plan(folder, Interpreter("python", version), ("run",), TINY)[0].command[-1]

    assert first_step((3, 12)) == "keep"
    assert first_step((3, 13)) == "renew"
    home.rmdir()
    assert first_step((3, 12)) == "renew"


def fake_python(path: Path, answer: str) -> str:
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(sys.platform == "win32", reason="the fake Pythons are shell scripts")
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ('["p", [3, 10], true, true]', "is Python 3.10, not 3.11 to 3.13"),
        ('["p", [3, 14], true, true]', "is Python 3.14, not 3.11 to 3.13"),
        ('["p", [2, 7], true, true]', "is Python 2.7, not 3.11 to 3.13"),
        ('["p", [3, 12], false, true]', "lacks venv or ensurepip"),
        ('["p", [3, 12], true, false]', "is a 32-bit Python"),
        ("not a Python", "does not run"),
    ],
)
def test_an_unsuitable_python_is_named_with_the_reason(tmp_path: Path, answer: str, why: str) -> None:
    program = fake_python(tmp_path / "python", answer)
    with pytest.raises(SetupError) as caught:
        interpreters.find_python(program)
    assert caught.value.code == "python"
    assert f"{program}: {why}" in caught.value.message
    assert "3.11, 3.12 or 3.13" in caught.value.remedy


@pytest.mark.skipif(sys.platform == "win32", reason="the fake Pythons are shell scripts")
def test_the_first_suitable_python_is_taken(tmp_path: Path) -> None:
    old = fake_python(tmp_path / "old", '["old", [3, 9], true, true]')
    good = fake_python(tmp_path / "good", '["/the/good/one", [3, 13], true, true]')
    candidates = [(str(tmp_path / "absent"),), (old,), (good,), (sys.executable,)]
    assert interpreters.find_python(candidates=candidates) == Interpreter("/the/good/one", (3, 13))
    with pytest.raises(SetupError, match="absent: not found"):
        interpreters.find_python(candidates=candidates[:2])


def test_this_python_is_found() -> None:
    assert interpreters.find_python(sys.executable).version == THIS


def test_disk_space_is_stated_needed_and_free(tmp_path: Path) -> None:
    steps = setup_plan.plan(tmp_path, Interpreter("p", (3, 11)), ("run",), TINY)
    need_gb = sum(setup_plan._DISK_MB.get(s.name, 0) for s in steps) / 1000
    with pytest.raises(SetupError, match=rf"needs {need_gb:.1f} GB; 0.5 GB are free") as caught:
        setup_plan.check_disk(tmp_path, steps, free_mb=500)
    assert caught.value.code == "disk"
    setup_plan.check_disk(tmp_path, [s for s in steps if s.name.startswith("verify")], free_mb=0)
    setup_plan.check_disk(tmp_path / "not" / "yet" / "made", steps[-1:])


def test_windows_path_length_is_checked_only_where_it_matters() -> None:
    longest = setup_plan.WINDOWS_PATH_LIMIT - setup_plan.LONGEST_INSIDE
    fits, too_long = Path("x" * longest), Path("x" * (longest + 3))
    setup_plan.check_path_length(fits, platform="win32", long_paths=False)
    with pytest.raises(SetupError, match="3 characters too long"):
        setup_plan.check_path_length(too_long, platform="win32", long_paths=False)
    setup_plan.check_path_length(too_long, platform="win32", long_paths=True)
    setup_plan.check_path_length(too_long, platform="linux")


def test_folders_of_others_are_refused(tmp_path: Path) -> None:
    this = Interpreter("p", THIS)
    setup_plan.check_folder(tmp_path / "new", this)
    setup_plan.check_folder(tmp_path, this)
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(SetupError, match="holds other files"):
        setup_plan.check_folder(tmp_path, this)
    with pytest.raises(SetupError, match="is a file"):
        setup_plan.check_folder(tmp_path / "thesis.txt", this)
    (tmp_path / "pyvenv.cfg").write_text("home = /x\nversion = 3.9.1\n")
    with pytest.raises(SetupError, match="another Python version"):
        setup_plan.check_folder(tmp_path, this)
    (tmp_path / setup_plan.LOG_NAME).touch()
    setup_plan.check_folder(tmp_path, this)


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="needs a folder that root cannot write"
)
def test_a_folder_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(SetupError, match="cannot be written") as caught:
        EnvironmentSetup(Path("/proc/environment"), steps=[step("one", "")]).start()
    assert caught.value.code == "folder"


def test_every_pin_of_the_project_is_exact_and_counts_what_the_backend_imports() -> None:
    real = pins.load_pins()
    names = {requirement.partition("==")[0] for requirement in real.groups["run"]}
    assert {"torch", "open_clip_torch", "numpy", "scikit-image", "safetensors"} <= names
    assert not names & {"pytest", "ruff", "mypy", "bpy", "tensorboard"}
    assert real.of(("dev", "run")) == real.groups["run"] + real.groups["dev"]


@pytest.mark.parametrize("requirement", ["numpy", "numpy>=2", "numpy==2.*", "numpy @ file:///numpy.whl"])
def test_loose_pins_are_refused(tmp_path: Path, requirement: str) -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8").replace("tqdm==4.70.1", requirement)
    (tmp_path / "pyproject.toml").write_text(text, "utf-8")
    with pytest.raises(SetupError, match="is not an exact pin"):
        pins.load_pins(tmp_path / "pyproject.toml")


def test_missing_pins_and_unknown_groups_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="does not hold the pins"):
        pins.load_pins(tmp_path / "absent.toml")
    with pytest.raises(SetupError, match="Unknown groups: gpu"):
        EnvironmentSetup(tmp_path, groups=("gpu",))


def test_verify_names_wrong_and_missing_packages() -> None:
    right = f"pytest=={pytest.__version__}"
    assert pins.verify([right, "isstextabsent==1.0; platform_machine == 'none'"]) == []
    assert pins.verify(["pytest==0.1", "isstextabsent==1.0"]) == [
        f"pytest is {pytest.__version__}; 0.1 is wanted.",
        "isstextabsent is not installed; 1.0 is wanted.",
    ]


@pytest.mark.parametrize(
    ("log", "remedy"),
    [
        ("OSError: [Errno 28] No space left on device", "disk space"),
        ("Temporary failure in name resolution\nERROR: Could not find a version", "internet connection"),
        ("ERROR: No matching distribution found for torch==2.12.1", "64-bit Python"),
        ("PermissionError: [Errno 13] Permission denied: 'x'", "may write to"),
        ("SSLError('[SSL: CERTIFICATE_VERIFY_FAILED]')\nERROR: No matching distribution found", "PIP_CERT"),
        ("something odd", "Read the log"),
    ],
)
def test_a_steps_log_becomes_a_remedy(log: str, remedy: str) -> None:
    assert remedy in setup_errors.explain("PyTorch", 1, log).remedy


def test_the_command_line_answers_with_its_exit_code(tmp_path: Path) -> None:
    def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
        line = [sys.executable, "-m", "iss_blender.environment", *arguments]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)

    missing = command("check", "--folder", str(tmp_path))
    assert missing.returncode == 2 and "no working Python environment" in missing.stdout
    wrong = command("make", "--folder", str(tmp_path), "--python", str(tmp_path / "absent"))
    assert wrong.returncode == 2 and "absent: not found" in wrong.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["environment", "interpreters", "pins", "setup_plan", "setup_errors"])
def test_an_old_python_can_still_load_the_module_and_be_told_so(name: str) -> None:
    text = (ROOT / "iss_blender" / f"{name}.py").read_text("utf-8")
    ast.parse(text, feature_version=(3, 8))
    assert "from __future__ import annotations" in text


def _wait_gone(pid: int) -> None:
    """A killed grandchild belongs to nobody here; the system takes it away when it gets to it."""
    end = time.monotonic() + 10
    while _runs(pid):
        assert time.monotonic() < end, f"process {pid} was left behind"
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return not state.stdout.strip().startswith("Z") and bool(state.stdout.strip())
