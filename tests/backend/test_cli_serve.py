"""The whole pipe: the add-on's client, a real `python -m backend serve`, the pipeline on a tiny bundle."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iss_blender import jobs
from iss_blender.client import BackendClient
from iss_blender.journal import Journal
from tests.backend.tiny_bundle import CODE_SIZE, write_tiny_bundle

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_bundle(tmp_path_factory.mktemp("bundles")))


@pytest.fixture
def client(tmp_path: Path) -> Iterator[BackendClient]:
    journal = Journal(tmp_path / "jobs")
    command = [sys.executable, "-m", "backend", "serve"]
    client = BackendClient(command, log_path=tmp_path / "backend.log", journal=journal, cwd=ROOT)
    yield client
    client.close()
    journal.close()


def pump(client: BackendClient, job: jobs.Job, until: Any) -> list[Any]:
    """Poll until an event for which `until` is true; all events so far."""
    seen: list[Any] = []
    end = time.monotonic() + PATIENCE_S
    while not any(until(event) for event in seen):
        assert time.monotonic() < end, f"{job.state}, log:\n{client.log_tail()}"
        assert job.state != jobs.FAILED, f"{job.failure}, log:\n{client.log_tail(60)}"
        seen += client.poll()
        time.sleep(0.01)
    return seen


def test_generate_cancel_and_carry_on(client: BackendClient, bundle: str) -> None:
    recipe = {"prompt": "a red chair", "bundle": bundle, "device": "cpu", "threads": 1}
    job = client.submit("generate", {"recipe": recipe, "preview_every": 1}, title="a red chair")
    seen = pump(client, job, lambda event: isinstance(event, jobs.JobFinished))
    assert any(isinstance(e, jobs.JobPreview) and e.name == "preview" for e in seen)
    assert any(isinstance(e, jobs.BackendNews) and e.name == "device" for e in seen)
    assert client.journal is not None
    fields, arrays = client.journal.load_result(job.id)
    assert fields["recipe"]["prompt"] == "a red chair" and arrays["code"].shape == (CODE_SIZE,)
    assert arrays["faces"].max() == len(arrays["vertices"]) - 1 and np.isfinite(arrays["colors"]).all()

    changes = {"stage2": {"steps": 1000}}
    endless = client.submit("generate", {"recipe": recipe, "changes": changes})
    pump(client, endless, lambda e: isinstance(e, jobs.JobProgress) and e.fields["phase"] == "guide")
    pid = client.pid
    client.cancel(endless.id)
    seen = pump(client, endless, lambda event: isinstance(event, jobs.JobCancelled))
    # Acknowledged between two steps, so the warm backend lives on.
    assert not seen[-1].killed and client.pid == pid
    again = client.submit("remesh", {"recipe": recipe}, {"code": arrays["code"]})
    seen = pump(client, again, lambda event: isinstance(event, jobs.JobFinished))
    np.testing.assert_array_equal(seen[-1].arrays["vertices"], arrays["vertices"])
