"""Texture stylization and meshing measured, our path against the dense one."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backend.bench_case import BenchCase
from backend.bench_dense import mesh_densely, sample_blocks, style_densely
from backend.bench_guidance import exhaust
from backend.bench_measure import CountedModel, Counter, timed
from backend.meshing import extract_mesh
from backend.ranking import evaluation_cameras
from backend.rendering.surface_views import field_views
from backend.stylize import DecoderPaint, Wish, draw_backgrounds, paint_style, pool_cameras

COMPARED = 64
"""Cells per axis at which meshes are compared where the whole grid of the greatest was not measured."""


def measure_stylize(case: BenchCase, dense_share: float, steps: int = 3) -> dict[str, Any]:
    """Seconds of a texture iteration. Ours counts its judging, and apart the search for surface points, which
    is done once; the dense path finds the surface anew and judges nothing."""
    stage2, settings = case.settings.stage2, case.settings.stylize.replace(palettes=0, steps=steps)
    field = case.svr.field(case.code[None]).detach()
    cameras = pool_cameras(stage2, settings, torch.Generator().manual_seed(3)).to(case.device)
    judging = evaluation_cameras(stage2).to(case.device)
    finding, pool = timed(lambda: field_views(field, cameras, stage2.view_size, case.render), case.device)
    judged = field_views(field, judging, stage2.view_size, case.render)
    work = paint_style(
        case.clip, Wish(case.feature), DecoderPaint(field), pool=pool, judged=judged, settings=settings,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    next(work)
    ours = min(timed(lambda: next(work), case.device)[0] for _ in range(steps))

    paint = DecoderPaint(field)
    count = max(1, round(dense_share * settings.views))
    behind = draw_backgrounds(count, settings.flat_share, torch.Generator().manual_seed(0)).to(case.device)
    dense, _ = timed(lambda: style_densely(case, paint.field(), cameras[:count], behind), case.device)
    dense *= settings.views / count
    whole = finding + case.settings.stylize.steps * ours
    return {
        "stylize_ratio": dense / ours,
        "stylize_whole_ratio": case.settings.stylize.steps * dense / whole if whole else 0.0,
        "stylize": {
            "ours_iteration_s": ours,
            "ours_surface_once_s": finding,
            "dense_iteration_s": dense,
            "dense_measured_share": count / settings.views,
            "dense_measured": f"{count} of {settings.views} views, every ray of them; scaled by views",
        },
    }


def measure_meshing(
    case: BenchCase, dense_share: float, resolutions: tuple[int, ...] = (128, 256), compared: int = COMPARED
) -> dict[str, Any]:
    """Seconds and evaluations per resolution, and the Chamfer distance of both meshes at `compared` cells."""
    report: dict[str, Any] = {"meshing": {}}
    field = case.svr.field(case.code[None]).detach()
    iso = case.render.iso_logit
    for resolution in resolutions:
        settings = case.settings.mesh.replace(resolution=resolution)
        counter = Counter()
        counted = CountedModel(case.svr, counter).field(case.code[None])
        seconds, _ = timed(
            lambda field=counted, settings=settings: exhaust(
                extract_mesh(field, settings, iso, device=case.device)
            ),
            case.device,
        )
        if dense_share >= 1:
            dense, _ = timed(
                lambda cells=resolution: mesh_densely(field, cells, iso, case.device), case.device
            )
            share, measured = 1.0, "every grid point, marching cubes and colours"
        else:
            part, share = sample_blocks(field, resolution, dense_share, case.device)
            dense = part / share
            measured = f"{share:.1%} of the grid's points, scaled; no marching cubes, no colours"
        report[f"meshing{resolution}_ratio"] = dense / seconds
        report["meshing"][str(resolution)] = {
            "ours_s": seconds,
            "ours_evaluations": counter.evaluations,
            "dense_s": dense,
            "dense_evaluations": (resolution + 1) ** 3,
            "dense_measured_share": share,
            "dense_measured": measured,
        }
    mesh = exhaust(
        extract_mesh(field, case.settings.mesh.replace(resolution=compared), iso, device=case.device)
    )
    report["chamfer_distance"] = chamfer(mesh.vertices, mesh_densely(field, compared, iso, case.device)[0])
    report["chamfer_cells"] = compared
    return report


def chamfer(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Mean distance from every point [N, 3] to the nearest of the others [M, 3], both ways, averaged."""
    from scipy.spatial import cKDTree

    there = cKDTree(second).query(first)[0].mean()
    back = cKDTree(first).query(second)[0].mean()
    return float(there + back) / 2
