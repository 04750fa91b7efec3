"""`python -m backend train`: train the starter bundle, in parts that can be stopped and called again."""

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from backend.errors import SettingError

if TYPE_CHECKING:
    from backend.training.loop import Step

PARTS = ("corpus", "clip", "svr", "flow", "regressor", "export")
"""The parts of the starter, in order; clip and svr need only the corpus, and may run side by side."""
_LINE_SECONDS = 15.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `train`."""
    add = parser.add_argument
    add("what", choices=["starter"], help="what to train")
    add(
        "--work",
        type=Path,
        default=Path("runs/starter"),
        help="working folder: corpus, checkpoints, TensorBoard",
    )
    add("--out", type=Path, help="the bundle to write (backend/bundled/starter)")
    add("--only", default=",".join(PARTS), metavar="A,B", help=f"parts to run: {', '.join(PARTS)}")
    add("--config", type=Path, help='JSON with other settings, by part: {"svr": {"steps": 20000}}')
    add("--start", metavar="BUNDLE", help="go on from a bundle's CLIP and SVR weights instead of random ones")
    add("--threads", type=int, default=os.cpu_count(), help="processor threads")


def run(arguments: argparse.Namespace) -> int:
    """Train the asked parts; each resumes from its checkpoint."""
    import torch

    from backend.bundle_places import SHIPPED_FOLDER
    from backend.bundles import load_bundle
    from backend.training import starter

    chosen = arguments.only.split(",")
    unknown = sorted(set(chosen) - set(PARTS))
    if unknown:
        raise SettingError(f"Unknown parts: {', '.join(unknown)}.", remedy=f"Choose from {', '.join(PARTS)}.")
    logging.getLogger("backend.training").setLevel(logging.INFO)
    torch.set_num_threads(arguments.threads)
    settings = starter.read_settings(arguments.config)
    folder = arguments.work
    start = load_bundle(arguments.start) if arguments.start else None
    for part in PARTS:
        if part not in chosen:
            continue
        started = time.perf_counter()
        if part == "export":
            starter.export_starter(settings, folder, arguments.out or SHIPPED_FOLDER / "starter")
        elif part == "corpus":
            shapes = settings.corpus.shapes
            show_progress(part, starter.train_corpora(settings, folder), shapes, lambda n: (n, ""))
        else:
            weights = {"start": start} if part in ("clip", "svr") else {}
            steps = getattr(starter, f"train_{part}")(settings, folder, **weights)
            show_progress(part, steps, getattr(settings, part).steps, step_line)
        if part != "export":
            starter.record_part(folder, part, settings, time.perf_counter() - started)
    return 0


def step_line(step: "Step") -> tuple[int, str]:
    """Steps done and the losses, for `show_progress`."""
    return step.step, " ".join(f"{name} {value:.4f}" for name, value in step.losses.items())


def show_progress(part: str, progress: Iterator, total: int, line: Callable) -> None:
    """A bar on a terminal, a line now and then in a pipe."""
    from tqdm import tqdm

    interval = 0.5 if sys.stderr.isatty() else _LINE_SECONDS
    with tqdm(total=total, desc=part, mininterval=interval, dynamic_ncols=True) as bar:
        for item in progress:
            done, text = line(item)
            bar.set_postfix_str(text, refresh=False)
            bar.update(done - bar.n)
