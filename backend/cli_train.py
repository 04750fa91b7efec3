"""`python -m backend train`: the starter bundle in parts, or models on a data set; all can be stopped and
called again."""

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.errors import SettingError

if TYPE_CHECKING:
    from backend.training.data_settings import AlignTraining, ClipTraining, SvrTraining
    from backend.training.loop import Step

ON_DATA = ("svr", "align", "clip")
"""What is trained on a data set, by a configuration."""
PARTS = (
    "corpus", "codes", "decoder", "names", "clip", "words", "tower", "images", "svr", "flow", "regressor",
    "export",
)  # fmt: skip
"""The parts of the starter, in order; decoder, clip and svr need only corpus and codes, and may run side by
side."""
_LINE_SECONDS = 15.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `train`."""
    add = parser.add_argument
    add("what", choices=["starter", *ON_DATA], help="the starter, or a model on a data set")
    add("--work", type=Path, help="working folder: corpus, checkpoints, TensorBoard (runs/WHAT)")
    add("--out", type=Path, help="the bundle to write (starter: backend/bundled/starter)")
    add("--config", type=Path, help='JSON with other settings, by part: {"svr": {"steps": 20000}}')
    add("--replace", action="store_true", help="replace a bundle that is there")
    only = parser.add_argument_group("of the starter alone").add_argument
    only("--only", default=",".join(PARTS), metavar="A,B", help=f"parts to run: {', '.join(PARTS)}")
    only("--start", metavar="BUNDLE", help="go on from a bundle's weights, not random ones")
    only("--threads", type=int, default=os.cpu_count(), help="processor threads")
    only("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")


def run(arguments: argparse.Namespace) -> int:
    """Train what is asked for; every part resumes from its checkpoint."""
    arguments.work = arguments.work or Path("runs") / arguments.what
    return _train_on_data(arguments) if arguments.what in ON_DATA else _train_starter(arguments)


def _train_starter(arguments: argparse.Namespace) -> int:
    import torch

    from backend.bundle_places import SHIPPED_FOLDER
    from backend.bundles import load_bundle
    from backend.device import resolve_device
    from backend.model_store import check_free
    from backend.training import starter
    from backend.training.starter_recipe import read_settings

    chosen = arguments.only.split(",")
    unknown = sorted(set(chosen) - set(PARTS))
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SettingError("The starter is trained by one process.", remedy="Call it without torchrun.")
    if unknown:
        raise SettingError(f"Unknown parts: {', '.join(unknown)}.", remedy=f"Choose from {', '.join(PARTS)}.")
    logging.getLogger("backend.training").setLevel(logging.INFO)
    torch.set_num_threads(arguments.threads)
    settings = read_settings(arguments.config)
    folder, device = arguments.work, resolve_device(arguments.device)
    if arguments.out and "export" in chosen:
        check_free(arguments.out, replace=arguments.replace)
    if arguments.start:
        starter.begin_from(load_bundle(arguments.start), folder)
    for part in PARTS:
        if part not in chosen:
            continue
        started = time.perf_counter()
        if part == "export":
            starter.export_starter(settings, folder, arguments.out or SHIPPED_FOLDER / "starter")
        elif part == "corpus":
            shapes = settings.described.shapes
            show_progress(part, starter.train_corpora(settings, folder), shapes, lambda n: (n, ""))
        else:
            steps = getattr(starter, f"train_{part}")(settings, folder, device)
            show_progress(part, steps, getattr(settings, part).steps, step_line)
        if part != "export":
            where = starter.CPU if part == "corpus" else device
            starter.record_part(folder, part, settings, time.perf_counter() - started, where)
    return 0


def _train_on_data(arguments: argparse.Namespace) -> int:
    """`train svr`, `train align` or `train clip`, alone or as one of torchrun's processes."""
    import torch

    from backend.model_store import check_free
    from backend.training import on_data
    from backend.training.data_settings import read_config
    from backend.training.processes import end_processes, is_first, start_processes

    if arguments.config is None or arguments.out is None:
        raise SettingError(
            f"`train {arguments.what}` needs --config FILE and --out FOLDER.",
            remedy='Write at least {"data": {"folder": "DIR"}} into the file.',
        )
    settings = read_config(arguments.config, _defaults(arguments.what))
    check_free(arguments.out, replace=arguments.replace)
    logging.getLogger("backend.training").setLevel(logging.INFO)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    torch.set_num_threads(settings.threads or max(1, (os.cpu_count() or 1) // processes))
    start_processes()
    try:
        train = getattr(on_data, f"train_{arguments.what}")
        train(settings, arguments.work, arguments.out, show_part if is_first() else _run_quietly)
        if is_first():
            sys.stdout.write(f"Wrote {arguments.out}.\n")
    finally:
        end_processes()
    return 0


def _defaults(what: str) -> "SvrTraining | AlignTraining | ClipTraining":
    from backend.training.data_settings import AlignTraining, ClipTraining, SvrTraining

    if what == "align":
        return AlignTraining()
    return SvrTraining() if what == "svr" else ClipTraining()


def _run_quietly(part: str, progress: Iterator[Any], total: int) -> None:
    for _ in progress:
        pass


def show_part(part: str, progress: "Iterator[int | Step]", total: int) -> None:
    """Show an iterator of shapes done or of training steps."""
    show_progress(part, progress, total, lambda it: (it, "") if isinstance(it, int) else step_line(it))


def step_line(step: "Step") -> tuple[int, str]:
    """Steps done and the losses, for `show_progress`."""
    return step.step, " ".join(f"{name} {value:.4f}" for name, value in step.losses.items())


def show_progress(
    part: str, progress: Iterator[Any], total: int, line: Callable[[Any], tuple[int, str]]
) -> None:
    """A bar on a terminal, a line now and then in a pipe."""
    from tqdm import tqdm

    interval = 0.5 if sys.stderr.isatty() else _LINE_SECONDS
    with tqdm(total=total, desc=part, mininterval=interval, dynamic_ncols=True) as bar:
        for item in progress:
            done, text = line(item)
            bar.set_postfix_str(text, refresh=False)
            bar.update(done - bar.n)
