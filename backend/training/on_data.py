"""`train svr`, `train align` and `train clip`: models on a data set, and a bundle that `generate` takes.

Each resumes from the checkpoints in its working folder. The model in training is written as a bundle of its
own there, and `pairing.py` makes the finished bundle from it.
"""

import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from backend.bundle_places import resolve_bundle
from backend.bundles import BundleRecord, build_svr, load_bundle, save_bundle
from backend.clip_encoder import ClipEncoder, build_tiny_clip
from backend.config import Settings
from backend.datasets.base import Dataset
from backend.datasets.layouts import open_dataset
from backend.device import resolve_device
from backend.errors import SettingError
from backend.output_file import write_file
from backend.svr.base import SvrModel
from backend.training.align import captions_of
from backend.training.clip_choice import ChosenClip, choose_clip
from backend.training.clip_on_data import PictureTextLoss
from backend.training.data_settings import AlignTraining, ClipTraining, MappingSettings, SvrTraining
from backend.training.loop import run_loop
from backend.training.pairing import Pairing, PairingSettings, run_pairing
from backend.training.processes import is_first, process_count, wait_for_all
from backend.training.starter import VOCABULARY_FILE
from backend.training.starter_recipe import CLIP_CONFIG, DEVIATION, MEAN
from backend.training.svr_loss import SvrLoss
from backend.word_tokenizer import WordTokenizer

logger = logging.getLogger(__name__)

Show = Callable[[str, Iterator[Any], int], None]
"""Runs an iterator to its end and shows how far it is: name, iterator, total."""
_FREE_OF_LOOP = ("steps", "checkpoint_every")
"""What may change when a training goes on."""
_CONFIG = "config.json"
"""What a working folder was begun with."""


def train_svr(settings: SvrTraining, work: Path, out: Path, show: Show) -> None:
    """Train an SVR model, align it with a CLIP, and write the bundle `out`."""
    started = time.perf_counter()
    data = open_dataset(settings.data)
    model = _svr_model(settings)
    loss = SvrLoss(model, data, settings.loop.batch, settings.losses)
    if settings.loop.batch < 2:
        raise SettingError("loop.batch is 1.", remedy="Choose 2 or more: the encoder compares pictures.")
    clip = choose_clip(None, None, bundle=settings.clip)
    _claim(work, settings, ("mapping", "pipeline", "clip"))
    model.to(_device(settings.device))
    show("svr", run_loop("svr", model, loss, settings.loop, work), settings.loop.steps)
    record = BundleRecord(
        name=out.name,
        description=f"A {settings.kind} model trained on {data.title}.",
        licence="that of the data",
        clip=clip.record,
        svr={"kind": model.spec.kind, "architecture": model.architecture()},
        settings=settings.pipeline,
        categories=tuple(sorted({record.category for record in data.records})),
        training=_training_record(settings, data),
    )
    if is_first():
        save_bundle(work / "svr-bundle", record, clip=clip.encoder, svr=model.cpu())
    wait_for_all()
    _align(work / "svr-bundle", clip, settings.mapping, data, settings.device, work, out, show, started)


def train_align(settings: AlignTraining, work: Path, out: Path, show: Show) -> None:
    """Stage 1 on a data set: the mapper, and the decoder with its background loss."""
    started = time.perf_counter()
    data = open_dataset(settings.data)
    clip = choose_clip(
        settings.clip_architecture or None, settings.clip_pretrained or None, bundle=settings.clip or None,
        allow_download=settings.allow_download,
    )  # fmt: skip
    extra = {
        "background_loss": settings.background_loss,
        "decoder_steps": settings.decoder_steps,
        "decoder_batch": settings.decoder_batch,
        "losses": settings.losses,
    }
    _align(settings.svr, clip, settings.mapping, data, settings.device, work, out, show, started, **extra)


def train_clip(settings: ClipTraining, work: Path, out: Path, show: Show) -> None:
    """Train a small CLIP, align it with an SVR model, and write the bundle `out`."""
    started = time.perf_counter()
    data = open_dataset(settings.data)
    folder = resolve_bundle(settings.svr)
    source = load_bundle(folder)
    _claim(work, settings, ("mapping", "svr"))
    clip, values = _clip_model(settings, data, work)
    clip.to(_device(settings.device))
    loss = PictureTextLoss(clip, data, settings.loop.batch)
    show("clip", run_loop("clip", clip, loss, settings.loop, work), settings.loop.steps)
    clip.forget_texts()
    record = source.record.replace(
        name=out.name,
        clip=values,
        mapper={},
        files={},
        training={"clip": _training_record(settings, data), "svr": source.record.training},
    )
    if is_first():
        save_bundle(work / "clip-bundle", record, clip=clip.cpu(), svr=source.svr)
    wait_for_all()
    chosen = choose_clip(None, None, bundle=work / "clip-bundle")
    _align(folder, chosen, settings.mapping, data, settings.device, work, out, show, started)


def _align(
    svr: str | Path, clip: ChosenClip, mapping: MappingSettings, data: Dataset, device: str, work: Path,
    out: Path, show: Show, started: float, **extra: Any,
) -> None:  # fmt: skip
    """The mapper, and the bundle."""
    chosen = PairingSettings(mapper=mapping.mapper, steps=mapping.steps, seed=mapping.seed, **extra)
    pairing = Pairing(svr, clip, chosen, work, data=data, device=_device(device))
    run_pairing(pairing, show)
    if is_first():
        pairing.write(out, seconds=time.perf_counter() - started)
    wait_for_all()


def _device(name: str) -> torch.device:
    """The device, under torchrun this process's own GPU."""
    device = resolve_device(name)
    if device.type == "cuda" and process_count() > 1:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def _svr_model(settings: SvrTraining) -> SvrModel:
    """The model to train: a bundle's, or one with random weights."""
    if settings.start:
        model = load_bundle(settings.start).svr.requires_grad_(True)
        if model.spec.kind != settings.kind:
            raise SettingError(
                f"The bundle {settings.start} holds a {model.spec.kind} model, kind is {settings.kind}.",
                remedy=f'Set "kind" to "{model.spec.kind}".',
            )
        return model
    torch.manual_seed(settings.loop.seed)
    return build_svr({"kind": settings.kind, "architecture": settings.architecture})


def _clip_model(settings: ClipTraining, data: Dataset, work: Path) -> tuple[ClipEncoder, dict[str, Any]]:
    """The CLIP to train, and bundle.json's `clip`. The vocabulary is decided once for a working folder."""
    torch.manual_seed(settings.loop.seed)
    if settings.start:
        bundle = load_bundle(settings.start)
        if bundle.record.clip.get("kind") != "tiny":
            raise SettingError(
                f"The CLIP of {settings.start} is one of open_clip's, which is not trained here.",
                remedy="Start from a bundle with a small CLIP of its own, or from random weights.",
            )
        return bundle.clip.requires_grad_(True), bundle.record.clip
    path = work / VOCABULARY_FILE
    if is_first() and not path.exists():
        texts = (caption for shape in range(len(data)) for caption in captions_of(data, shape))
        words = WordTokenizer.from_captions(texts, context_length=settings.context_length)
        write_file(path, words.to_json().encode())
    wait_for_all()
    words = WordTokenizer.from_json(path.read_text(encoding="utf-8"))
    config = settings.config or CLIP_CONFIG
    values = {"kind": "tiny", "config": config, "image_mean": MEAN, "image_std": DEVIATION}
    return build_tiny_clip(config, words, image_mean=MEAN, image_std=DEVIATION), values


def _claim(work: Path, settings: Settings, free: tuple[str, ...]) -> None:
    """Note what a working folder was begun with; SettingError where it was begun with something else.

    What is free to change between calls: how long a training takes, and the parts named in `free`.
    """
    values = {name: value for name, value in settings.to_dict().items() if name not in free}
    values |= {"device": None, "threads": None}
    values["loop"] = {name: v for name, v in values["loop"].items() if name not in _FREE_OF_LOOP}
    text = json.dumps(values, indent=2, sort_keys=True)
    path = work / _CONFIG
    if is_first():
        if path.exists() and path.read_text(encoding="utf-8") != text:
            before = json.loads(path.read_text(encoding="utf-8"))
            changed = sorted(name for name in values if before.get(name) != json.loads(text)[name])
            raise SettingError(
                f"{work} was begun with other settings: {', '.join(changed)}.",
                remedy="Choose another --work folder, or delete this one.",
            )
        write_file(path, text.encode())
    wait_for_all()


def _training_record(settings: SvrTraining | ClipTraining, data: Dataset) -> dict[str, Any]:
    return {
        "data": data.layout,
        "shapes": len(data),
        "loop": settings.loop.to_dict(),
        "hardware": f"{platform.machine()}, {os.cpu_count()} processor cores",
    }
