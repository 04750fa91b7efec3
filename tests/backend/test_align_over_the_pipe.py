"""Use Full CLIP through a real `serve` process: progress, a cancel that is heard while other processes make
shapes and leaves none of them, and going on to the end."""

import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from iss_blender import jobs
from iss_blender.client import BackendClient, Limits
from iss_blender.model_list import ALIGN, align_request
from tests.backend.test_cli_serve import ROOT, pump
from tests.backend.tiny_bundle import write_tiny_bundle


@pytest.fixture
def client(tmp_path: Path) -> Iterator[BackendClient]:
    """Its home is a folder of the test's own, with the bundle `tiny` in the user's store."""
    write_tiny_bundle(tmp_path / ".iss" / "bundles")
    command = [sys.executable, "-m", "backend", "serve"]
    variables = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "OMP_WAIT_POLICY": "PASSIVE"}
    made = BackendClient(
        command,
        log_path=tmp_path / "backend.log",
        journal=None,
        cwd=ROOT,
        env=variables,
        limits=Limits(cancel_s=60.0),  # a busy machine is slow; that the cancel is heard is what counts
    )
    yield made
    made.close()


def test_cancel_leaves_no_process_and_the_next_call_goes_on(client: BackendClient, tmp_path: Path) -> None:
    request = align_request(
        "tiny", "paired", clip={"bundle": "tiny"}, online=False, device="cpu", shapes=128, steps=20
    )
    first = client.submit(ALIGN, request.params, kept=False)
    pump(client, first, lambda e: isinstance(e, jobs.JobProgress) and e.fields["phase"] == "shapes")
    assert client.pid is not None
    backend = psutil.Process(client.pid)
    client.cancel(first.id)
    seen = pump(client, first, lambda event: isinstance(event, jobs.JobCancelled))
    assert not seen[-1].killed and backend.is_running()
    workers = [child for child in backend.children(recursive=True) if "spawn_main" in child.cmdline()[-1]]
    assert not [child for child in workers if child.status() != psutil.STATUS_ZOMBIE]
    assert not (tmp_path / ".iss" / "bundles" / "paired").exists()

    second = client.submit(ALIGN, request.params, kept=False)
    seen = pump(client, second, lambda event: isinstance(event, jobs.JobFinished))
    phases = [event.fields["phase"] for event in seen if isinstance(event, jobs.JobProgress)]
    assert list(dict.fromkeys(phases)) == ["load", "shapes", "encode", "align", "write"]
    fields = seen[-1].fields
    assert fields["choose"] == "paired" and "paired is ready" in fields["told"]
    assert {card["name"] for card in fields["bundles"]} == {"tiny", "paired", "starter"}
