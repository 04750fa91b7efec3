"""The benchmark: its dense path agrees with ours on a tiny shape, and its report tells what it measured."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.__main__ import main
from backend.bench import FLOORS, configure, describe, measure, run
from backend.bench_case import BenchCase
from backend.bench_dense import mesh_densely, sample_blocks
from backend.bench_measure import CountedModel, Counter, count_flops
from backend.bench_start import measure_serve
from backend.bench_surface import chamfer
from backend.bench_sweep import draw_sweep, measure_sweep
from backend.config import PipelineSettings, RenderSettings
from backend.errors import DatasetError, FaultError
from backend.whitening import Whitening
from tests.backend.tiny_bundle import CODE_SIZE, RADIUS, TINY_SETTINGS, tiny_encoder, tiny_svr


@pytest.fixture(scope="module")
def case() -> BenchCase:
    settings = PipelineSettings(
        render=RenderSettings(),
        stage2=TINY_SETTINGS.stage2.replace(steps=1, view_size=24),
        mesh=TINY_SETTINGS.mesh,
        stylize=TINY_SETTINGS.stylize.replace(pool=2, views=2, steps=1),
    )
    clip, svr = tiny_encoder().requires_grad_(False), tiny_svr().requires_grad_(False)
    feature = clip.encode_text(["a red chair"])[0]
    code = torch.tensor([0.2, 0.5, 0.0, 0.0])
    return BenchCase("tiny", clip, svr, Whitening.identity(CODE_SIZE), feature, code, settings)


@pytest.fixture(scope="module")
def report(case: BenchCase) -> dict:
    return measure(case, 1.0, resolutions=(24,), compared=16)


def test_our_path_equals_the_dense_path(report: dict) -> None:
    assert report["psnr_db"] > 40
    assert report["gradient_cosine"] > 0.99
    assert report["surface_gradient_cosine"] > 0.999
    assert report["mask_difference"] < 0.01
    assert report["chamfer_distance"] < 0.01


def test_the_report_holds_what_it_promises(case: BenchCase, report: dict) -> None:
    promised = set(FLOORS) - {"meshing256_ratio"} | {"meshing24_ratio", "stylize_ratio", "stage2_whole_ratio"}
    assert promised <= set(report) and all(report[key] > 0 for key in promised - {"peak_memory_mb"})
    assert set(json.loads(json.dumps(report, allow_nan=False))) == set(report)
    rays, steps = case.settings.stage2.views * 24**2, case.settings.render.march_steps
    assert report["stage2"]["dense_evaluations"] >= rays * steps
    assert report["meshing"]["24"]["dense_evaluations"] == 25**3
    assert "NOT run whole" not in describe(report)


def test_a_sampled_dense_path_says_so(case: BenchCase) -> None:
    sampled = measure(case, 0.5, resolutions=(24,), compared=16)
    assert sampled["stage2"]["dense_measured_share"] == 0.5
    assert "1 of 2 views" in describe(sampled) and "NOT run whole" in describe(sampled)
    seconds, share = sample_blocks(case.svr.field(case.code[None]), 40, 0.25, case.device)
    assert seconds > 0 and 0.1 < share < 0.4


def test_only_the_wanted_parts_are_measured(case: BenchCase) -> None:
    report = measure(case, 1.0, parts=["meshing"], resolutions=(24,), compared=16)
    assert "meshing" in report and not {"stage2", "whole", "stylize", "peak_memory_mb"} & set(report)
    assert "meshing at 24" in describe(report) and "stage 2" not in describe(report)


def test_evaluations_are_counted_through_detached_fields(case: BenchCase) -> None:
    counter = Counter()
    field = CountedModel(case.svr, counter).field(case.code[None])
    points = torch.zeros(1, 7, 3)
    field.occupancy(points)
    field.detach().color(points)
    field[0].evaluate("color", field.tensors("color"), points)
    assert counter.evaluations == 21


def test_operations_of_a_matrix_product_are_counted() -> None:
    left, right = torch.ones(3, 5), torch.ones(5, 7)
    assert count_flops(lambda: left @ right) == 2 * 3 * 5 * 7


def test_the_dense_mesh_lies_on_the_octahedron(case: BenchCase) -> None:
    vertices, colors = mesh_densely(case.svr.field(case.code[None]), 16, 0.0, case.device)
    radius = RADIUS + 0.05 * 0.2
    assert abs(abs(vertices).sum(axis=1) - radius).max() < 0.02
    assert colors.shape == vertices.shape
    assert chamfer(vertices, vertices) == 0
    assert chamfer(vertices, vertices + np.array([1e-3, 0, 0])) == pytest.approx(1e-3, rel=1e-3)


def test_cost_follows_the_hits_and_the_plot_shows_it(case: BenchCase, tmp_path: Path) -> None:
    rows = measure_sweep(case, distances=(1.5, 3.0))
    near, far, near_fine, _ = rows
    assert near_fine["rays"] == 4 * near["rays"] and near_fine["hits"] < 1.3 * near["hits"]
    assert far["hits"] < near["hits"] and far["evaluations"] < near["evaluations"]
    assert near_fine["evaluations"] < 1.5 * near["evaluations"]
    draw_sweep(rows, tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--dense-share", "0"], "dense-share"),
        (["--size", "paper", "--bundle", "x"], "bundle"),
        (["--parts", "stage2,lunch"], "lunch"),
    ],
)
def test_refusals(arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    assert named in capsys.readouterr().err


def test_a_missing_archive_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ISS_REFERENCE_DIR", str(tmp_path))
    parser = argparse.ArgumentParser()
    configure(parser)
    with pytest.raises(DatasetError, match="dvr_fitted"):
        run(parser.parse_args(["--device", "cpu"]))


_SERVER = """
import sys
from iss_blender import protocol
def send(frame):
    sys.stdout.buffer.write(protocol.encode_frame(frame))
    sys.stdout.buffer.flush()
send(protocol.event("", protocol.HELLO, {}))
send(protocol.event("", protocol.HEARTBEAT, {}))
reader = protocol.FrameReader()
while (job := reader.take()) is None:
    reader.feed(sys.stdin.buffer.raw.read(4096))
assert job.fields["params"]["recipe"]["bundle"] == "lamps"
"""


def test_a_server_is_measured_from_its_hello_to_its_first_job() -> None:
    working = _SERVER + 'send(protocol.event("start", protocol.PROGRESS, {"phase": "propose"}))'
    seconds = measure_serve("lamps", [sys.executable, "-c", working])
    assert 0 < seconds["hello_s"] <= seconds["warm_s"]
    failing = _SERVER + 'send(protocol.error("start", "bundle", "no such bundle"))'
    with pytest.raises(FaultError, match="no such bundle"):
        measure_serve("lamps", [sys.executable, "-c", failing])
    with pytest.raises(FaultError, match="ended"):
        measure_serve("lamps", [sys.executable, "-c", "pass"])
