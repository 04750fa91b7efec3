"""The doctor: every failing line has a remedy, and the report hides the home folder."""

from pathlib import Path

import pytest

from backend import doctor
from backend.__main__ import main
from backend.doctor import Check, check_disk, check_memory, check_python, format_report, run_checks
from tests.backend.tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("doctor")).parent


@pytest.fixture
def installed(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.bundle_places.bundle_folders", lambda extra=(): [shelf])


def test_a_sound_installation_generates_and_passes(installed: None, tmp_path: Path) -> None:
    checks = list(run_checks("tiny", device="cpu"))
    assert [check.name for check in checks] == [
        "python", "packages", "device", "memory", "disk", "bundle tiny", "generation",
    ]  # fmt: skip
    assert checks[-1].passed and "faces; loading" in checks[-1].detail
    report = tmp_path / "report.txt"
    assert main(["doctor", "--device", "cpu", "--no-generate", "--out", str(report)]) == 0
    assert report.read_text().startswith("ok   python: 3.")


def test_every_failure_has_a_remedy(installed: None) -> None:
    failing = [
        check_python((3, 10)),
        check_python((3, 14)),
        check_memory(2**20),
        check_disk(2**20),
        *(check for check in run_checks("tiny", device="abacus") if not check.passed),
        *(check for check in run_checks("absent", device="cpu") if not check.passed),
    ]
    assert len(failing) == 6
    assert all(not check.passed and check.remedy for check in failing)
    assert check_python((3, 11)).passed and check_memory(2**33).passed and check_disk(2**33).passed


def test_damaged_bundles_and_absent_packages_are_found(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "bundle.json").write_text("{}")
    monkeypatch.setattr("backend.bundle_places.bundle_folders", lambda extra=(): [tmp_path])
    checks = list(run_checks(device="cpu"))
    assert checks[-1].name == "bundle b" and not checks[-1].passed
    monkeypatch.setitem(doctor._PACKAGES, "no_such_module", "no-such-package")
    checks = list(run_checks(device="cpu"))
    assert checks[-1].name == "no_such_module" and "not installed" in checks[-1].detail
    assert main(["doctor"]) == 1


def test_the_report_hides_the_home_folder() -> None:
    check = Check("bundle", False, "in /home/anna/.iss/bundles", "Look into /home/anna/.iss.")
    text = format_report([check], home=Path("/home/anna"))
    assert text == "FAIL bundle: in ~/.iss/bundles\n     -> Look into ~/.iss.\n"
    assert check.to_dict()["passed"] is False
