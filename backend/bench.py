"""`python -m backend bench`: our path against a straightforward dense one, side by side in one run.

Identical weights, views and settings. The dense path takes very long at the paper's size, so by default it
runs on a share of its views and grid points and is scaled up; the report says how much was measured.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.errors import SettingError

if TYPE_CHECKING:
    from backend.bench_case import BenchCase

DENSE_SHARE = 0.1
PARTS = ("whole", "stage2", "texture", "meshing", "start")
"""What can be measured: a whole stage 2 and its memory, its iteration against the dense one, the others."""
FLOORS = {
    "stage2_ratio_fp32": (30.0, ">="),
    "stage2_ratio_best": (60.0, ">="),
    "psnr_db": (40.0, ">="),
    "gradient_cosine": (0.99, ">="),
    "meshing256_ratio": (15.0, ">="),
    "evaluations_per_hit": (5.0, "<="),
    "peak_memory_mb": (1500.0, "<="),
}
"""At the paper's size on two CPU cores."""
STARTER_MEMORY_MB = 600.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--size", choices=("paper", "starter"), help="paper: its decoder and ViT-B/32; starter: a bundle")
    add("--bundle", metavar="NAME", help="measure this bundle (starter)")
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps (auto)")
    add("--threads", type=int, metavar="N", help="CPU threads (as torch chooses)")
    add(
        "--dense-share", type=float, default=DENSE_SHARE, metavar="S",
        help=f"share of the dense path that is really run, the rest is scaled; 1.0 runs all ({DENSE_SHARE})",
    )  # fmt: skip
    add("--parts", metavar="A,B", default=",".join(PARTS), help="measure only these of %(default)s")
    add("--json", type=Path, metavar="FILE", help="write the whole report")
    add("--plot", type=Path, metavar="FILE", help="measure the sweep over hits too, and draw it as a PNG")


def run(arguments: argparse.Namespace) -> int:
    """Measure; returns 0, also where a floor is not reached: the report says so."""
    if not 0 < arguments.dense_share <= 1:
        raise SettingError(
            f"--dense-share is {arguments.dense_share}.", remedy="Choose it above 0 and at most 1."
        )
    parts = tuple(arguments.parts.split(","))
    if set(parts) - set(PARTS):
        raise SettingError(f"--parts is {arguments.parts!r}.", remedy=f"Name some of {','.join(PARTS)}.")
    if arguments.size == "paper" and arguments.bundle:
        raise SettingError("The paper's size is not a bundle's.", remedy="Leave out --size or --bundle.")
    from backend.bench_case import load_case
    from backend.device import resolve_device, set_threads

    device = resolve_device(arguments.device)
    set_threads(arguments.threads)
    size = arguments.size or ("starter" if arguments.bundle else "paper")
    bundle = arguments.bundle or "starter"
    case = load_case(size, bundle, device)
    cold = [size, bundle, str(device)]
    report = measure(case, arguments.dense_share, parts=parts, cold=cold, sweep=arguments.plot is not None)
    if arguments.plot is not None:
        from backend.bench_sweep import draw_sweep

        draw_sweep(report["sweep"], arguments.plot)
    if arguments.json is not None:
        from backend.output_file import write_file

        write_file(arguments.json, (json.dumps(report, indent=2) + "\n").encode())
    sys.stdout.write(describe(report))
    return 0


def measure(
    case: "BenchCase",
    dense_share: float,
    *,
    parts: Sequence[str] = PARTS,
    cold: list[str] | None = None,
    sweep: bool = False,
    resolutions: tuple[int, ...] = (128, 256),
    compared: int = 64,
) -> dict[str, Any]:
    """The report of some of PARTS. cold: size, bundle, device for fresh processes; None measures no start."""
    from backend.bench_guidance import measure_guidance, measure_whole
    from backend.bench_start import measure_cold_start, measure_serve
    from backend.bench_surface import measure_meshing, measure_stylize
    from backend.device import describe_device, versions

    report: dict[str, Any] = {
        "case": case.name,
        "device": describe_device(case.device),
        "versions": versions(),
        "dense_share": dense_share,
        "settings": {part: getattr(case.settings, part).to_dict() for part in ("render", "stage2")},
    }
    if "whole" in parts:
        report |= measure_whole(case)
    if "stage2" in parts:
        report |= measure_guidance(case, dense_share)
    if "whole" in parts and "stage2" in parts:
        dense = case.settings.stage2.steps * report["stage2"]["dense_iteration_s"]
        report["stage2_whole_ratio"] = dense / report["whole"]["ours_s"]
    if "texture" in parts:
        report |= measure_stylize(case, dense_share)
    if "meshing" in parts:
        report |= measure_meshing(case, dense_share, resolutions, compared)
    if "start" in parts and cold is not None:
        report["cold_start_s"] = measure_cold_start(cold)
        if cold[0] != "paper":
            report["serve"] = measure_serve(cold[1])
    if sweep:
        from backend.bench_sweep import measure_sweep

        report["sweep"] = measure_sweep(case)
    return report


def describe(report: dict[str, Any]) -> str:
    """The report as lines for a reader, each figure beside its floor."""
    lines = [f"{report['case']} on {report['device']}"]
    if report["dense_share"] < 1:
        lines.append(
            "The dense path was NOT run whole: its seconds are scaled from the shares told below "
            "(--dense-share 1.0 runs all)."
        )
    lines += _floor_lines(report)
    if "stage2" in report:
        lines += _stage2_lines(report)
    if "whole" in report:
        whole = report["whole"]
        lines.append(f"whole stage 2: {whole['ours_s']:.3g} s ({whole['ours']})")
    if "stage2_whole_ratio" in report:
        lines.append(f"ratio to as many dense iterations, not judged: {report['stage2_whole_ratio']:.3g}")
    if "stylize" in report:
        stylize = report["stylize"]
        lines.append(
            f"texture iteration: {stylize['ours_iteration_s']:.3g} s against "
            f"{stylize['dense_iteration_s']:.3g} s ({stylize['dense_measured']}), "
            f"ratio {report['stylize_ratio']:.3g}"
        )
    for cells, row in report.get("meshing", {}).items():
        lines.append(
            f"meshing at {cells}: {row['ours_s']:.3g} s against {row['dense_s']:.3g} s "
            f"({row['dense_measured']}), {row['ours_evaluations']} against {row['dense_evaluations']} "
            "evaluations"
        )
    if "chamfer_cells" in report:
        lines.append(f"Chamfer distance at {report['chamfer_cells']} cells: {report['chamfer_distance']:.3g}")
    if "cold_start_s" in report:
        lines.append(f"cold start to the first judged shape: {report['cold_start_s']:.3g} s")
    if "serve" in report:
        serve = report["serve"]
        lines.append(f"serve: hello after {serve['hello_s']:.3g} s, warm after {serve['warm_s']:.3g} s")
    return "\n".join(lines) + "\n"


def _floor_lines(report: dict[str, Any]) -> list[str]:
    """Each measured figure beside its floor; all floors but memory's are set for the paper's size."""
    lines = []
    for name, (floor, sign) in FLOORS.items():
        if name not in report:
            continue
        limit = floor
        if report["case"] != "paper":
            if name != "peak_memory_mb":
                lines.append(f"{'':8}{name}: {report[name]:.4g}")
                continue
            limit = STARTER_MEMORY_MB
        reached = report[name] >= limit if sign == ">=" else report[name] <= limit
        lines.append(f"{'reached' if reached else 'MISSED':8}{name}: {report[name]:.4g} ({sign} {limit:g})")
    return lines


def _stage2_lines(report: dict[str, Any]) -> list[str]:
    stage2 = report["stage2"]
    lines = [
        f"stage 2 iteration, ours, CLIP in {precision}: {ours['iteration_s']:.3g} s, "
        f"{ours['evaluations']} evaluations, {ours['hits']} hits, {ours['flops_per_s'] / 1e9:.3g} GFLOP/s"
        for precision, ours in stage2["ours"].items()
    ]
    lines += [
        f"stage 2 iteration, dense: {stage2['dense_iteration_s']:.3g} s ({stage2['dense_measured']}), "
        f"{stage2['dense_evaluations']} evaluations, {stage2['dense_flops_per_s'] / 1e9:.3g} GFLOP/s",
        f"machine's matrix product in float32: {report['peak_flops_per_s']['float32'] / 1e9:.3g} GFLOP/s",
        f"gradient cosine where both paths see one surface: {report['surface_gradient_cosine']:.4g} "
        f"(pixels in which only one sees any: {report['mask_difference']:.2%})",
    ]
    if report["device"].startswith("cpu"):
        ratio = stage2["ratio_of_processor_time"]
        lines.append(f"ratio of processor time, which other programs disturb less: {ratio:.3g}")
    return lines
