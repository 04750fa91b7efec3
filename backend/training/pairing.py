"""Stage 1 for any CLIP and any SVR model: the mapper between them, and the bundle of all three.

Images and codes come from a data set, or from procedural shapes made here, through the SVR model's encoder,
or, where a model reads no images (GET3D), from its own random shapes. If asked, the decoder is fine-tuned
with the background loss; nothing of that reaches the mapper, whose targets are the encoder's. Everything made
on the way lies in a working folder under names that tell its ingredients: a stopped run goes on, and the next
CLIP finds the shapes and codes ready.
"""

import hashlib
import json
import logging
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from backend.bundle_places import resolve_bundle
from backend.bundles import (
    BundleRecord,
    build_mapper,
    load_mapper,
    load_svr,
    read_record,
    save_bundle,
    verify_bundle,
)
from backend.config import PipelineSettings, Settings, bounded, one_of
from backend.datasets.base import Dataset
from backend.datasets.procedural.corpus import CorpusSettings, build_corpus, open_corpus
from backend.datasets.procedural_set import ProceduralSet
from backend.errors import SettingError
from backend.flow_mapper import FlowMapper
from backend.mapper import SLOPE, Mapper
from backend.svr.base import ExplicitSvrModel, SvrModel
from backend.training.align import (
    CAPTIONS,
    VIEWS,
    Encoded,
    FlowLoss,
    RegressionLoss,
    adapted_flow,
    captions_of,
    choose_noise_scale,
    code_parts,
    feature_parts,
    new_flow,
)
from backend.training.clip_choice import ChosenClip
from backend.training.generated_pairs import generated_parts
from backend.training.held_out import mapping_quality, split
from backend.training.loop import LoopSettings, Step, run_loop
from backend.training.processes import is_first, wait_for_all
from backend.training.starter import EXAMPLES
from backend.training.starter_recipe import StarterSettings
from backend.training.svr_loss import DecoderOnly, SvrLoss, SvrLossSettings
from backend.whitening import Whitening

logger = logging.getLogger(__name__)

SHARPEST = 128
"""Pixels per side of the images for CLIP, at most, where the SVR model does not ask for more: stage 2 shows
it no finer ones, and sphere tracing takes its time."""
POINTS = (1024, 1024)
"""Labelled points per procedural shape for the decoder's fine-tuning: in the cube, near the surface."""
_TOLD = ("shapes", "mapper", "steps", "seed", "background_loss")
SEED = 3_000_000
"""Added to the seed, so that shapes are not those that the starter was trained on."""


@dataclass(frozen=True)
class PairingSettings(Settings):
    """What the user chooses of an alignment."""

    shapes: int = bounded(1500, 40, 1_000_000)
    mapper: str = one_of("flow", "regressor")
    """flow: ours, generative. regressor: the paper's; for GET3D the one with two heads."""
    steps: int = bounded(4000, 1, 10_000_000)
    seed: int = bounded(0, 0, 1_000_000)
    background_loss: bool = False
    """Fine-tune the decoder with its own losses and L_bg, as the paper's stage 1 does."""
    decoder_steps: int = bounded(500, 1, 10_000_000)
    """Steps of that fine-tuning."""
    decoder_batch: int = bounded(8, 1, 65_536)
    """Shapes per step of it."""
    losses: SvrLossSettings = SvrLossSettings()
    """Of the fine-tuning."""


DECODER_RATE = 1e-4
"""Learning rate of the decoder's fine-tuning (the reference's)."""


class Pairing:
    """One alignment: run all `parts`, `train` and, if asked, `fine_tune` to their ends, then `write`."""

    def __init__(
        self, svr: str | Path, clip: ChosenClip, settings: PairingSettings, work: Path,
        *, data: Dataset | None = None, device: torch.device | None = None,
    ) -> None:  # fmt: skip
        """svr: name or folder of the bundle whose SVR model is taken. data: procedural shapes are made where
        it is None. device: encodes (default: CPU); the mapper is trained on the CPU, which is quick.
        BundleError where the bundle is missing or damaged, SettingError where it does not suit."""
        folder = resolve_bundle(svr)
        self._source = read_record(folder)
        verify_bundle(folder, self._source)
        device = device or torch.device("cpu")
        self._svr: SvrModel = load_svr(folder, self._source).to(device).eval().requires_grad_(False)
        known = self._source.mapper.get("kind") == "flow"
        self._known_flow: FlowMapper | None = load_mapper(folder, self._source) if known else None
        self._clip = clip
        clip.encoder.to(device).eval().requires_grad_(False)
        self.settings = settings
        self._work = work
        spec = self._svr.spec
        if data is not None and not spec.has_encoder:
            raise SettingError(
                f"A {spec.kind} model reads no images, so that no data set helps it.",
                remedy="Use `align` without a data set: it takes the model's own random shapes.",
            )
        if settings.background_loss and (spec.explicit or not spec.has_color):
            raise SettingError(
                f"A {spec.kind} model has no colour field that a background loss could whiten.",
                remedy="Leave the background loss out.",
            )
        self._given = data
        self._order = None if data is None else np.random.default_rng(settings.seed).permutation(len(data))
        self._small, self._sharp = image_sizes(spec.image_size, clip.encoder.image_size)
        shapes = [settings.shapes, settings.seed] if data is None else [data.identity, settings.seed]
        model = self._source.files["svr.safetensors"]["sha256"]
        seen = [clip.identity, spec.has_encoder or model, self._sharp, *shapes]
        self._features = work / f"features-{_digest(seen)}.safetensors"
        self._codes = work / f"codes-{_digest([model, self._small, *shapes])}.safetensors"
        flow = self._source.files["mapper.safetensors"]["sha256"] if known else ""
        self._run = work / f"{settings.mapper}-{_digest([seen, model, flow])}"
        self._tuning = work / f"decoder-{_digest([model, *shapes, settings.losses.to_dict()])}"
        self._mapper: Mapper | None = None
        self._whitening: Whitening | None = None
        self._noise_scale = 0.0

    def parts(self, *, workers: int | None = None) -> list[tuple[str, Iterator[int]]]:
        """What comes before training, to be run in order: names, and iterators that yield shapes done.

        Shapes are made by `workers` processes (default: all cores); nothing is made where the SVR model
        shows its own.
        """
        if not self._svr.spec.has_encoder:
            return [("shapes", self._generate())]
        encodings = [("CLIP", self._encode_features()), ("SVR model", self._encode_codes())]
        if self._given is not None:
            return encodings
        return [
            *((f"shapes at {size} px", build_corpus(
                self._corpus(size), self._corpus_settings(size), workers=workers
            )) for size in sorted({self._small, self._sharp})),
            *encodings,
        ]  # fmt: skip

    @property
    def shapes(self) -> int:
        """How many shapes it learns from."""
        return self.settings.shapes if self._given is None else len(self._given)

    def train(self) -> Iterator[Step]:
        """Train the mapper; yields steps."""
        encoded, _ = split(self._encoded())
        chosen = self.settings
        self._noise_scale = choose_noise_scale(encoded.images)
        logger.info("noise scale for this CLIP: %.3f", self._noise_scale)
        if self._known_flow is None:
            flow = new_flow(encoded, seed=chosen.seed)
        else:
            flow = adapted_flow(self._known_flow, encoded, seed=chosen.seed)
        self._whitening = flow.whitening
        recipe = loop_settings(chosen, shapes=len(encoded.codes))
        if chosen.mapper == "flow":
            self._mapper, loss = flow, FlowLoss(flow, encoded, recipe.batch)
        else:
            features, codes = encoded.images.shape[-1], encoded.codes.shape[-1]
            self._mapper = new_regressor(self._svr.spec.kind, features, codes, seed=chosen.seed)
            loss = RegressionLoss(self._mapper, encoded, recipe.batch, self._noise_scale)
        yield from run_loop("mapper", self._mapper, loss, recipe, self._run)

    def fine_tune(self) -> Iterator[Step]:
        """Fine-tune the decoder with its own losses and the background loss; yields steps."""
        chosen = self.settings
        recipe = LoopSettings(
            steps=chosen.decoder_steps, batch=chosen.decoder_batch, learning_rate=DECODER_RATE,
            warmup=min(50, chosen.decoder_steps // 10), seed=chosen.seed,
        )  # fmt: skip
        data = self._data(self._small)
        loss = SvrLoss(self._svr, data, recipe.batch, chosen.losses, tuned="decoder")
        yield from run_loop("decoder", DecoderOnly(self._svr), loss, recipe, self._tuning)
        self._svr.requires_grad_(False)

    def quality(self) -> dict[str, float]:
        """Of the trained mapper on the held-out tenth, see `mapping_quality`."""
        assert self._mapper is not None and self._whitening is not None
        _, held = split(self._encoded())
        return mapping_quality(self._mapper, held, self._whitening, captioned=self._svr.spec.has_encoder)

    def write(self, out: Path, *, seconds: float = 0.0) -> BundleRecord:
        """Write the bundle and return its record. `seconds` goes into the training record."""
        assert self._mapper is not None and self._whitening is not None
        source, chosen, given = self._source, self.settings, self._given
        told = {name: value for name, value in chosen.to_dict().items() if name in _TOLD}
        if chosen.background_loss:
            told |= {name: chosen.to_dict()[name] for name in ("decoder_steps", "decoder_batch", "losses")}
        if given is not None:
            told |= {"shapes": self.shapes, "source": _told_data(given)}
        two_heads = chosen.mapper == "regressor" and source.svr["kind"] == "get3d"
        record = source.replace(
            name=out.name,
            description=f"The SVR model of {source.name} aligned with {self._clip.title}.",
            licence=f"SVR model: {source.licence or 'not stated'}. CLIP: its publisher's.",
            clip=self._clip.record,
            mapper={"kind": "get3d" if two_heads else chosen.mapper,
                    "architecture": self._mapper.architecture()},
            settings=pipeline_settings(source, chosen.mapper, self._noise_scale),
            far_similarity=0.0,  # cosines of one CLIP mean nothing to another
            training={
                "svr": {"bundle": source.name, **source.training},
                "align": {
                    **told,
                    "data": self._data_name(),
                    "noise_scale": round(self._noise_scale, 4),
                    "seconds": round(seconds),
                    "hardware": f"{platform.machine()}, {os.cpu_count()} processor cores",
                },
            },
            quality={"alignment": self.quality()},
        )  # fmt: skip
        return save_bundle(
            out, record, clip=self._clip.encoder, svr=self._svr, mapper=self._mapper,
            whitening=self._whitening, examples=self._examples(),
        )  # fmt: skip

    def _generate(self) -> Iterator[int]:
        assert isinstance(self._svr, ExplicitSvrModel)
        settings, stage2 = self.settings, self._source.settings.stage2
        yield from generated_parts(
            self._clip.encoder, self._svr, settings.shapes, settings.seed, stage2, self._features
        )

    def _encode_features(self) -> Iterator[int]:
        yield from feature_parts(self._clip.encoder, self._data(self._sharp), self._features, self._order)

    def _encode_codes(self) -> Iterator[int]:
        yield from code_parts(self._svr, self._data(self._small), self._codes, self._order)

    def _data(self, size: int) -> Dataset:
        """The given data set, or the shapes made here at `size` pixels."""
        return self._given or ProceduralSet.of(open_corpus(self._corpus(size)))

    def _data_name(self) -> str:
        if not self._svr.spec.has_encoder:
            return "the model's own random shapes"
        return self._given.layout if self._given is not None else "procedural"

    def _encoded(self) -> Encoded:
        tensors = load_file(self._features)
        if "codes" not in tensors:
            tensors |= load_file(self._codes)
        return Encoded(**tensors)

    def _corpus(self, size: int) -> Path:
        points = "-points" if self.settings.background_loss else ""
        return self._work / f"corpus-{self.settings.shapes}-{self.settings.seed}-{size}px{points}"

    def _corpus_settings(self, size: int) -> CorpusSettings:
        """Two sizes differ in nothing else, so that they show the same shapes from the same sides. Only the
        decoder's losses need labelled points."""
        uniform, near = POINTS if self.settings.background_loss else (0, 1)
        return CorpusSettings(
            seed=SEED + self.settings.seed, shapes=self.settings.shapes, views=VIEWS, image_size=size,
            uniform_points=uniform, near_points=near, captions=CAPTIONS,
        )  # fmt: skip

    def _examples(self) -> list[str]:
        if not self._svr.spec.has_encoder:
            return []
        data = self._data(self._sharp)
        return sorted({captions_of(data, shape)[0] for shape in range(min(EXAMPLES, len(data)))})


def image_sizes(svr: int, clip: int) -> tuple[int, int]:
    """Pixels per side of the images for the SVR model, and of those for CLIP, in multiples of 8."""
    small = max(16, -(-svr // 8) * 8)
    return small, max(small, min(clip, SHARPEST) // 8 * 8)


def loop_settings(chosen: PairingSettings, *, shapes: int) -> LoopSettings:
    """The starter's recipe for the mapper, fitted to few shapes (batch) and few steps (warm-up, average)."""
    recipe: LoopSettings = getattr(StarterSettings(), chosen.mapper)
    return recipe.replace(
        steps=chosen.steps,
        seed=chosen.seed,
        batch=min(recipe.batch, shapes),
        warmup=min(recipe.warmup, chosen.steps // 10),
        average=min(recipe.average, max(0.0, 1 - 10 / chosen.steps)),
    )


def new_regressor(svr_kind: str, feature_size: int, code_size: int, *, seed: int) -> Mapper:
    """The paper's mapper in the widths of a CLIP and a shape code; GET3D's has two heads.

    The paper starts from N(0, 0.02), with which twelve layers pass next to nothing, the less the narrower
    they are; He's start keeps the signal and saves thousands of steps (our choice).
    """
    torch.manual_seed(seed)
    if svr_kind == "get3d":
        values = {"feature_size": feature_size, "style": code_size // 2}
        return build_mapper({"kind": "get3d", "architecture": values})
    widths = [feature_size] * 9 + [code_size] * 4
    mapper: Mapper = build_mapper({"kind": "regressor", "architecture": {"widths": widths}})
    for layer in mapper.modules():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
    return mapper


def pipeline_settings(source: BundleRecord, mapper: str, noise_scale: float) -> PipelineSettings:
    """The source bundle's settings with those that hang on the mapper's kind made to fit. Paints are not
    tried: only the starter's shape tower was taught to choose among them."""
    both = (source.settings, StarterSettings().pipeline)
    settings, ours = (own.replace(mapper=own.mapper.replace(repaints=0)) for own in both)
    if mapper == "regressor":  # the mean of many shapes is strange, and has no surface worth holding
        return settings.replace(
            mapper=settings.mapper.replace(noise_scale=noise_scale, strangeness_weight=0.0),
            stage2=settings.stage2.replace(surface_weight=0.0),
        )
    if source.mapper.get("kind") == "flow":
        return settings
    stage2 = settings.stage2
    if stage2.target == "mapper":
        stage2 = stage2.replace(
            target=ours.stage2.target,
            learning_rate=ours.stage2.learning_rate,
            drift_weight=ours.stage2.drift_weight,
            surface_weight=ours.stage2.surface_weight,
        )
    return settings.replace(mapper=ours.mapper, stage2=stage2)


def run_pairing(pairing: Pairing, show: Callable[[str, Iterator, int], None]) -> None:
    """All of a pairing but the writing. `show(name, work, total)` runs an iterator of shapes done or of Steps
    to its end; what is made once, the first process makes."""
    for name, work in pairing.parts(workers=torch.get_num_threads()):
        if is_first():
            show(name, work, pairing.shapes)
        wait_for_all()
    show("mapper", pairing.train(), pairing.settings.steps)
    if pairing.settings.background_loss:
        show("decoder", pairing.fine_tune(), pairing.settings.decoder_steps)


def _told_data(data: Dataset) -> dict:
    """What the training record says of a data set; not where it lies on this machine."""
    values = data.settings.to_dict()
    return {name: values[name] for name in ("split", "categories", "front", "limit")}


def _digest(values: list) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]
