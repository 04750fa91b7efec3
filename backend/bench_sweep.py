"""How cost grows: with the pixels that hit the surface, not with the rays. Measured, and drawn as a PNG."""

import io
from pathlib import Path
from typing import Any

from backend.bench_case import BenchCase
from backend.bench_guidance import first_grid
from backend.bench_measure import CountedModel, Counter, timed
from backend.cameras import look_at
from backend.output_file import write_file
from backend.rendering.implicit import render_views

DISTANCES = (1.5, 1.8, 2.2, 2.8, 3.6, 5.0)
"""Of the cameras: the further, the fewer pixels hit, with the same number of rays."""


def measure_sweep(
    case: BenchCase, distances: tuple[float, ...] = DISTANCES, repeats: int = 1
) -> list[dict[str, Any]]:
    """Rays, hits, evaluations and seconds of rendering with gradients, at two view sizes."""
    rows = []
    stage2 = case.settings.stage2
    grid = first_grid(case)
    azimuths = [360.0 * view / stage2.views for view in range(stage2.views)]
    for size in (stage2.view_size, 2 * stage2.view_size):
        for distance in distances:
            # Twice the size from twice as far sees the object as large, among four times as many rays.
            reach = distance * size / stage2.view_size
            cameras = look_at(azimuths, 20.0, reach).to(case.device)
            counter = Counter()
            model = CountedModel(case.svr, counter)
            seen = []

            def render(cameras=cameras, model=model, size=size, seen=seen) -> None:
                code = case.code.clone().requires_grad_()
                views = render_views(model.field(code[None]), cameras, size, case.render, grid=grid)
                if views.rgb.requires_grad:
                    views.rgb.sum().backward()
                seen.append(int(views.mask.sum()))

            seconds, _ = timed(render, case.device, repeats)
            rows.append(
                {
                    "view_size": size,
                    "distance": reach,
                    "rays": len(cameras) * size**2,
                    "hits": seen[-1],
                    "evaluations": counter.evaluations // repeats,
                    "seconds": seconds,
                }
            )
    return rows


def draw_sweep(rows: list[dict[str, Any]], path: Path) -> None:
    """A PNG with evaluations and seconds over the pixels that hit; one line per view size."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, key, label in zip(
        figure.subplots(1, 2), ("evaluations", "seconds"), ("decoder evaluations", "seconds"), strict=True
    ):
        for size in sorted({row["view_size"] for row in rows}):
            line = sorted((row["hits"], row[key]) for row in rows if row["view_size"] == size)
            rays = next(row["rays"] for row in rows if row["view_size"] == size)
            axes.plot(*zip(*line, strict=True), marker="o", label=f"{rays:,} rays")
        axes.set_xlabel("pixels that hit the surface")
        axes.set_ylabel(label)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.legend()
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    write_file(path, stream.getvalue())
