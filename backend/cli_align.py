"""`python -m backend align`: stage 1 for any CLIP and any SVR model, into a bundle of its own."""

import argparse
import logging
import os
import sys
import time
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `align`."""
    add = parser.add_argument
    add("--clip", metavar="ARCH", help="open_clip architecture, for example ViT-B-32")
    add("--pretrained", metavar="TAG|FILE", help="its pretrained tag, for example openai, or a weights file")
    add("--clip-bundle", metavar="BUNDLE", help="take the CLIP of this bundle instead")
    add("--svr", default="starter", metavar="BUNDLE", help="the bundle whose SVR model to take (starter)")
    add("--data", choices=["procedural"], default="procedural", help="where images come from")
    add("--out", type=Path, required=True, metavar="FOLDER", help="the bundle to write")
    add("--mapper", default="flow", choices=["flow", "regressor"], help="ours (flow), or the paper's")
    add("--shapes", type=int, default=1500, help="shapes to make and encode (1500)")
    add("--steps", type=int, default=4000, help="training steps of the mapper (4000)")
    add(
        "--background-loss",
        action="store_true",
        help="fine-tune the decoder so that the colour beside the shape is white (the paper's stage 1)",
    )
    add("--decoder-steps", type=int, default=500, help="steps of that fine-tuning (500)")
    add("--seed", type=int, default=0)
    add(
        "--work",
        type=Path,
        default=Path("runs/align"),
        help="working folder: shapes, cached features, checkpoints",
    )
    add("--threads", type=int, default=os.cpu_count(), help="processor threads")
    add("--device", default="auto", metavar="NAME", help="where to encode: auto, cpu, cuda, cuda:N or mps")
    add("--allow-download", action="store_true", help="let open_clip fetch the CLIP's weights")
    add("--replace", action="store_true", help="replace a bundle that is there")


def run(arguments: argparse.Namespace) -> int:
    """Align and write; every part goes on from where an earlier call was stopped."""
    import torch

    from backend.cli_train import show_part
    from backend.device import resolve_device
    from backend.model_store import check_free
    from backend.training.clip_choice import choose_clip
    from backend.training.pairing import Pairing, PairingSettings, run_pairing

    logging.getLogger("backend.training").setLevel(logging.INFO)
    started = time.perf_counter()
    chosen = PairingSettings.from_dict(
        {
            name: getattr(arguments, name)
            for name in ("shapes", "mapper", "steps", "seed", "background_loss", "decoder_steps")
        }
    )
    check_free(arguments.out, replace=arguments.replace)
    torch.set_num_threads(arguments.threads)
    device = resolve_device(arguments.device)
    clip = choose_clip(
        arguments.clip,
        arguments.pretrained,
        bundle=arguments.clip_bundle,
        allow_download=arguments.allow_download,
    )
    pairing = Pairing(arguments.svr, clip, chosen, arguments.work, device=device)
    run_pairing(pairing, show_part)
    record = pairing.write(arguments.out, seconds=time.perf_counter() - started)
    figures = ", ".join(f"{name} {value}" for name, value in record.quality["alignment"].items())
    sys.stdout.write(f"Held out: {figures}.\nWrote {arguments.out}.\n")
    return 0
