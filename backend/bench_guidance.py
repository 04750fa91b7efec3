"""Stage 2 measured: one iteration and the whole, our path against the dense one, and how far they differ."""

import math
import time
from typing import Any

import torch
from torch import Tensor

from backend.bench_case import BenchCase
from backend.bench_dense import DenseGuidance, guide_densely
from backend.bench_measure import CountedModel, Counter, MemoryWatch, count_flops, matrix_peak, timed
from backend.cameras import Cameras, random_cameras
from backend.meshing import extract_mesh
from backend.ranking import Judge
from backend.rendering.implicit import render_views
from backend.rendering.occupancy_grid import OccupancyGrid, build_grid, refresh_grid
from backend.text_guidance import GRID_AGE, guidance_loss, guide

FASTER = "bfloat16"
"""Precision of CLIP in the best case; geometry stays in float32."""
SAME_SURFACE = 5e-4
"""Depths that differ by less, in units of the cube, are of the same point of the surface."""
MESHED = 128
"""Cells per axis of the mesh in the job whose memory is watched."""


class _Iterations:
    """Our iterations on fixed cameras, one after another, as `guide` runs them."""

    def __init__(self, case: BenchCase, svr: CountedModel, cameras: Cameras, precision: str) -> None:
        self._case, self._svr, self._cameras, self._precision = case, svr, cameras, precision
        self._code = case.code.clone().requires_grad_()
        self._optimizer = torch.optim.Adam([self._code], lr=case.settings.stage2.learning_rate)
        self._grid = first_grid(case)
        self.hits = 0

    def step(self) -> None:
        """Refresh the grid, render, encode, step."""
        case = self._case
        if self._grid is not None:
            self._grid = refresh_grid(
                self._svr.field(self._code.detach()[None]), self._grid, case.render.iso_logit
            )
        loss, views = guidance_loss(
            case.clip, self._svr, self._code, self._cameras, case.feature,
            case.settings.stage2.replace(augment=False), case.render,
            generator=torch.Generator().manual_seed(0), precision=self._precision, grid=self._grid,
        )  # fmt: skip
        self._optimizer.zero_grad(set_to_none=True)
        if loss.requires_grad:
            loss.backward()
            self._optimizer.step()
        self.hits = int(views.mask.sum())


def first_grid(case: BenchCase) -> OccupancyGrid | None:
    """The grid of a code one step away from the case's, as an iteration finds it; None without grids."""
    if not case.render.grid_resolution:
        return None
    signs = torch.randn(len(case.code), generator=torch.Generator().manual_seed(2)).sign().to(case.device)
    before = case.code + case.settings.stage2.learning_rate * case.whitening.scale.mean() * signs
    return build_grid(
        case.svr.field(before[None]), case.render.grid_resolution, case.render.iso_logit, device=case.device
    )


def measure_guidance(case: BenchCase, dense_share: float, repeats: int = 2) -> dict[str, Any]:
    """Seconds, evaluations, FLOP/s and differences of an iteration of stage 2.

    dense_share: of the views on which the dense path really runs, at least one; its seconds are scaled up
    and the share is told. Ours always runs on all views; differences are of the shared views.
    """
    stage2 = case.settings.stage2
    cameras = random_cameras(
        stage2.views, torch.Generator().manual_seed(1),
        distance=stage2.distance, elevation_deg=stage2.elevation_deg,
    ).to(case.device)  # fmt: skip
    ours = {p: _measure_ours(case, cameras, p, repeats) for p in ("float32", FASTER)}
    best = min(ours, key=lambda p: ours[p]["iteration_s"])
    chosen = cameras[: max(1, round(dense_share * len(cameras)))]
    share = len(chosen) / len(cameras)
    counter = Counter()
    begun = time.process_time()
    seconds, dense = timed(lambda: guide_densely(case, CountedModel(case.svr, counter), chosen), case.device)
    processor_s = (time.process_time() - begun) / share
    whole = seconds / share
    field, points = case.svr.field(case.code[None]).detach(), case.code.new_zeros(1, 8, 3)
    per_point = count_flops(lambda: field.occupancy(points)) / 8
    return {
        "stage2_ratio_fp32": whole / ours["float32"]["iteration_s"],
        "stage2_ratio_best": whole / ours[best]["iteration_s"],
        "best_precision": best,
        "evaluations_per_hit": ours["float32"]["evaluations_per_hit"],
        **_differences(case, chosen, dense),
        "stage2": {
            "ours": ours,
            "dense_iteration_s": whole,
            "dense_processor_s": processor_s,
            "ratio_of_processor_time": processor_s / ours["float32"]["processor_s"],
            "dense_measured_s": seconds,
            "dense_measured_share": share,
            "dense_measured": f"{len(chosen)} of {len(cameras)} views, every ray of them; scaled by views",
            "dense_evaluations": round(counter.evaluations / share),
            "dense_flops_per_s": per_point * counter.evaluations / seconds,
            "evaluations_ratio": counter.evaluations / share / ours["float32"]["evaluations"],
        },
        "peak_flops_per_s": {p: matrix_peak(case.device, p) for p in ("float32", FASTER)},
    }


def _measure_ours(case: BenchCase, cameras: Cameras, precision: str, repeats: int) -> dict[str, Any]:
    counter = Counter()
    run = _Iterations(case, CountedModel(case.svr, counter), cameras, precision)
    run.step()  # the first call pays for what later ones find ready
    flops = count_flops(run.step)
    counter.evaluations = 0
    begun = time.process_time()
    seconds, _ = timed(run.step, case.device, repeats)
    processor_s = (time.process_time() - begun) / repeats
    evaluations, hits = counter.evaluations / repeats, run.hits
    if case.render.grid_resolution:
        # Every GRID_AGE-th iteration builds its grid anew: its share belongs to each.
        field = CountedModel(case.svr, counter).field(case.code[None])
        counter.evaluations = 0
        building, _ = timed(
            lambda: build_grid(field, case.render.grid_resolution, case.render.iso_logit, device=case.device),
            case.device,
        )
        seconds += building / GRID_AGE
        processor_s += building / GRID_AGE
        evaluations += counter.evaluations / GRID_AGE
    return {
        "iteration_s": seconds,
        "processor_s": processor_s,
        "evaluations": round(evaluations),
        "hits": hits,
        "evaluations_per_hit": evaluations / max(1, hits),
        "flops_per_s": flops / seconds,
    }


def measure_whole(case: BenchCase) -> dict[str, Any]:
    """Seconds of the whole stage 2 with its judging, and the memory of it and of a mesh, over the models."""
    settings = case.settings
    judge = Judge(
        case.clip, case.svr, case.feature, stage2=settings.stage2, render=case.render, mapper=settings.mapper
    )

    def whole() -> Tensor:
        steps = guide(
            clip=case.clip, svr=case.svr, mapper=None, whitening=case.whitening, feature=case.feature,
            start=case.code, judge=judge, settings=settings.stage2.replace(target="code"),
            render=case.render, generator=torch.Generator().manual_seed(0), confirm=judge.confirm,
        )  # fmt: skip
        return exhaust(steps)

    with MemoryWatch(case.device) as watch:
        seconds, code = timed(whole, case.device)
        field = case.svr.field(code[None])
        mesh_settings = settings.mesh.replace(resolution=min(MESHED, settings.mesh.resolution))
        exhaust(extract_mesh(field, mesh_settings, case.render.iso_logit, device=case.device))
    stage2 = settings.stage2
    told = f"{stage2.steps} iterations, each judged on {stage2.evaluation_views} views"
    return {"whole": {"ours_s": seconds, "ours": told}, "peak_memory_mb": watch.megabytes}


def exhaust(work: Any) -> Any:
    """Run a generator to its end; what it returns."""
    while True:
        try:
            next(work)
        except StopIteration as finished:
            return finished.value


def _differences(case: BenchCase, cameras: Cameras, dense: DenseGuidance) -> dict[str, float]:
    """PSNR of our images and cosine of our gradient to the shape code, both against the dense path's."""
    code = case.code.clone().requires_grad_()
    grid = first_grid(case)
    if grid is not None:
        grid = refresh_grid(case.svr.field(case.code[None]), grid, case.render.iso_logit)
    loss, views = guidance_loss(
        case.clip, case.svr, code, cameras, case.feature, case.settings.stage2.replace(augment=False),
        case.render, generator=torch.Generator().manual_seed(0), grid=grid,
    )  # fmt: skip
    gradient = torch.zeros_like(code)
    if loss.requires_grad:
        loss.backward()
        gradient = code.grad
    error = float((views.rgb.detach() - dense.rgb).square().mean())
    return {
        "psnr_db": -10 * math.log10(max(error, 1e-12)),
        "gradient_cosine": float(torch.cosine_similarity(gradient, dense.gradient, dim=0)),
        "surface_gradient_cosine": _surface_cosine(case, cameras, dense, grid),
        "mask_difference": float((views.mask != dense.mask).float().mean()),
    }


def _surface_cosine(
    case: BenchCase, cameras: Cameras, dense: DenseGuidance, grid: OccupancyGrid | None
) -> float:
    """Cosine of both gradients to the code for the dense path's image gradient, where both see one surface.

    A pixel in which only one of them finds a sliver of surface changes what CLIP wants of all others, on a
    thin shape by more than anything else. This tells the gradients of the surface apart from that. 0 where
    no pixel is shared.
    """
    code = case.code.clone().requires_grad_()
    stage2 = case.settings.stage2
    views = render_views(case.svr.field(code[None]), cameras, stage2.view_size, case.render, grid=grid)
    near = (views.depth.detach() - dense.depth).abs() < SAME_SURFACE
    asked = dense.image_gradient * (views.mask & dense.mask & near)[..., None]
    if not views.rgb.requires_grad or not asked.any():
        return 0.0
    (ours,) = torch.autograd.grad(views.rgb, code, asked)
    theirs = torch.zeros_like(ours)
    for seen, part in zip(dense.views, asked.split(1), strict=True):
        if seen.rgb.requires_grad:
            theirs += torch.autograd.grad(seen.rgb, dense.code, part)[0]
    return float(torch.cosine_similarity(ours, theirs, dim=0))
