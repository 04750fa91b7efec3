"""Training of the starter bundle, from nothing: corpora, code space and its decoder, small CLIP (images and
words together, then words alone, then shapes in other paints, then images alone), SVR model, mapper, export.

Every part resumes from its checkpoint, so the whole can be stopped and called again. Parts can be run on
their own, side by side, since they only meet in the working folder.
"""

import hashlib
import json
import logging
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from backend.bundles import Bundle, BundleRecord, save_bundle
from backend.clip_encoder import ClipEncoder, build_tiny_clip
from backend.config import (
    MapperSettings,
    MeshSettings,
    PipelineSettings,
    RenderSettings,
    Settings,
    Stage2Settings,
    bounded,
    one_of,
)
from backend.datasets.procedural.categories import CATEGORIES
from backend.datasets.procedural.corpus import CorpusSettings, build_corpus, open_corpus
from backend.datasets.procedural_set import ProceduralSet
from backend.errors import SettingError
from backend.flow_mapper import FlowMapper
from backend.mapper import RegressingMapper
from backend.output_file import write_file
from backend.shape_tower import ShapeTower
from backend.svr.parts import PartsSvr
from backend.training.align import (
    CAPTIONS,
    Encoded,
    FlowLoss,
    RegressionLoss,
    adapted_flow,
    encode_captions,
    encode_images,
    new_flow,
)
from backend.training.clip import ClipStudent, ContrastiveLoss, DescribedShapes, classes_of, retrieval
from backend.training.images import ImagesLoss
from backend.training.loop import LoopSettings, Step, load_weights, run_loop
from backend.training.part_codes import (
    AutoencoderLoss,
    DecoderLoss,
    PartAutoencoder,
    code_weights,
    codes_of,
)
from backend.training.part_images import ImageCodeLoss
from backend.training.reconstruct import point_iou
from backend.training.repaint_loss import RepaintLoss
from backend.training.words import CaptionedShapes, TextStudent, WordsLoss
from backend.word_tokenizer import WordTokenizer

logger = logging.getLogger(__name__)

CLIP_CONFIG = {
    "embed_dim": 256,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 24, "head_width": 24},
    "text_cfg": {"width": 128, "heads": 4, "layers": 2},
}
"""open_clip's arguments of the starter's CLIP: a slim ModifiedResNet and a two-layer text tower."""
MEAN, DEVIATION = (0.75, 0.75, 0.75), (0.3, 0.3, 0.3)
"""Image normalisation of the starter's CLIP: its images are mostly white."""
RECORD_FILE = "training.json"
"""What was trained, with which settings and for how long; becomes bundle.json's `training`."""
VOCABULARY_FILE = "vocabulary.json"
"""The words of the small CLIP in training."""
FLOW = {"hidden": 512, "blocks": 6, "neighbours": 48, "start": 0.55, "guidance": 2.0}
"""Width and residual blocks of the flow, how it uses its bank, and how far it is guided."""
AZIMUTHS = 32
"""Directions among which the image encoder tells where an image was taken from."""
WEIGHED = 8192
"""Shapes that say how much each dimension of a code matters."""
EXAMPLES = 800
"""Captions that go into the bundle, for the nearest phrasing of a prompt it does not understand."""
FAR_SHARE = 0.005
"""Share of held-out captions that count as far from the examples."""
TEST_SEED = 7_000_000
"""Seed of the held-out corpus; training seeds are smaller."""


@dataclass(frozen=True)
class StarterSettings(Settings):
    """The recipe of the shipped starter."""

    corpus: CorpusSettings = CorpusSettings(shapes=40_000, views=4, uniform_points=0, near_points=0)
    """Shapes with images, for CLIP and the image encoder."""
    described: CorpusSettings = CorpusSettings(
        shapes=160_000, views=0, uniform_points=0, near_points=0, captions=3
    )
    """Shapes with parts and captions alone, for codes and the mapper; the first are those of `corpus`."""
    test: CorpusSettings = CorpusSettings(
        seed=TEST_SEED, shapes=960, views=2, uniform_points=4096, near_points=256
    )
    codes: LoopSettings = LoopSettings(
        steps=10_000, batch=256, learning_rate=1.5e-3, weight_decay=0.01, average=0.999
    )
    decoder: LoopSettings = LoopSettings(
        steps=24_000, batch=256, learning_rate=7e-4, weight_decay=0.01, average=0.999, final_rate=0.01
    )
    """The decoder alone, once the codes are what they are."""
    clip: LoopSettings = LoopSettings(
        steps=9000, batch=128, learning_rate=1e-3, weight_decay=0.02, average=0.998, checkpoint_every=250
    )
    words: LoopSettings = LoopSettings(
        steps=3000, batch=512, learning_rate=1e-3, weight_decay=0.02, average=0.998
    )
    tower: LoopSettings = LoopSettings(
        steps=2500, batch=192, learning_rate=5e-4, weight_decay=0.02, average=0.998
    )
    images: LoopSettings = LoopSettings(
        steps=8000, batch=128, learning_rate=1e-3, weight_decay=0.02, average=0.998
    )
    """The image tower alone, once texts and shapes are what they are."""
    svr: LoopSettings = LoopSettings(
        steps=16_000, batch=64, learning_rate=2e-3, weight_decay=0.01, average=0.999, warmup=300
    )
    precision: str = one_of("bfloat16", "float32")
    """Of towers and flow in training; bfloat16 is half the time where the processor has it."""
    flow: LoopSettings = LoopSettings(
        steps=30_000, batch=256, learning_rate=1e-3, weight_decay=0.01, average=0.999, checkpoint_every=1000
    )
    regressor: LoopSettings = LoopSettings(steps=4000, batch=256, learning_rate=3e-4, checkpoint_every=1000)
    components: int = bounded(128, 2, 256)
    """Whitened directions of the shape codes that the flow works in."""
    bank: int = bounded(3072, 1, 100_000)
    """Image features in the flow's bank."""
    noise_scale: float = bounded(0.35, 0.0, 1.0)
    """Noise mixed into the regressor's features, which have unit length (0.23 is the paper's ratio)."""
    pipeline: PipelineSettings = PipelineSettings(
        render=RenderSettings(march_steps=48, secant_steps=4, grid_resolution=64, shading="lambert"),
        stage2=Stage2Settings(
            target="code", steps=12, views=6, view_size=64, learning_rate=0.001, background_weight=0.0,
            drift_weight=0.1, surface_weight=300.0, distance=(1.5, 1.9), elevation_deg=(0.0, 35.0),
            augment=True, evaluation_views=6,
        ),
        mapper=MapperSettings(
            noise_scale=0.6, candidates=4, proposals=48, repaints=16, silhouette_weight=8.0,
            agreement_weight=2.0, pieces_weight=0.12,
        ),
        mesh=MeshSettings(resolution=128, bridge_gap=0.13, speck_fraction=0.05),
    )  # fmt: skip


def train_corpora(settings: StarterSettings, folder: Path) -> Iterator[int]:
    """Make the corpora for training and testing; yields shapes done."""
    yield from build_corpus(folder / "corpus", settings.corpus)
    yield from build_corpus(folder / "described", settings.described)
    yield from build_corpus(folder / "test", settings.test)


def train_codes(settings: StarterSettings, folder: Path, start: Bundle | None = None) -> Iterator[Step]:
    """Train the code space: parts to codes and back; yields steps."""
    torch.manual_seed(settings.codes.seed)
    coder = PartAutoencoder(new_svr())
    if start is not None:
        coder = PartAutoencoder(start.svr).requires_grad_(True)
    loss = AutoencoderLoss(coder, open_corpus(folder / "described").parts, settings.codes.batch)
    yield from run_loop("codes", coder, loss, settings.codes, folder)


def train_decoder(settings: StarterSettings, folder: Path) -> Iterator[Step]:
    """Train the decoder on beside codes that stay as they are; yields steps."""
    coder = PartAutoencoder(new_svr())
    load_weights(folder / "codes.pt", coder)
    loss = DecoderLoss(coder, open_corpus(folder / "described").parts, settings.decoder.batch)
    yield from run_loop("decoder", coder, loss, settings.decoder, folder)


def train_clip(settings: StarterSettings, folder: Path, start: Bundle | None = None) -> Iterator[Step]:
    """Train the small CLIP, from random weights or those of a bundle; yields steps."""
    corpus, described = open_corpus(folder / "corpus"), open_corpus(folder / "described")
    torch.manual_seed(settings.clip.seed)
    student = _student(settings, folder, start).to(memory_format=torch.channels_last)
    if start is not None:
        student.clip.load_state_dict(start.clip.state_dict())
    more = DescribedShapes(_codes(folder, "described"), [record["captions"] for record in described.records])
    loss = ContrastiveLoss(
        student, corpus, _codes(folder, "corpus"), more, settings.clip.batch, settings.precision
    )
    yield from run_loop("clip", student, loss, settings.clip, folder)
    logger.info("held-out retrieval: %s", retrieval(student.clip, open_corpus(folder / "test")))


def train_words(settings: StarterSettings, folder: Path, start: Bundle | None = None) -> Iterator[Step]:
    """Train the text tower on, with that of shapes, beside the image tower of `train_clip` or of a bundle;
    yields steps."""
    torch.manual_seed(settings.words.seed)
    student = _text_student(settings, folder, start).to(memory_format=torch.channels_last)
    if start is not None:
        student.clip.load_state_dict(start.clip.state_dict())
        student.shape_tower.load_state_dict(start.mapper.tower.state_dict())
    else:
        taught = _student(settings, folder)
        load_weights(folder / "clip.pt", taught)
        student.clip.load_state_dict(taught.clip.state_dict())
        student.shape_tower.load_state_dict(taught.shape_tower.state_dict())
    corpus, described = open_corpus(folder / "corpus"), open_corpus(folder / "described")
    seen = CaptionedShapes(corpus.records, _codes(folder, "corpus"), _seen(settings, folder, student.clip))
    more = CaptionedShapes(described.records, _codes(folder, "described"))
    loss = WordsLoss(student, seen, more, settings.words.batch, settings.precision)
    yield from run_loop("words", student, loss, settings.words, folder)
    student.clip.forget_texts()
    logger.info("held-out retrieval: %s", retrieval(student.clip, open_corpus(folder / "test")))


def train_images(settings: StarterSettings, folder: Path) -> Iterator[Step]:
    """Train the image tower on beside the texts of `train_words` and the shapes of `train_tower`, which stay;
    yields steps."""
    student, step = _taught(settings, folder)
    corpus = open_corpus(folder / "corpus")
    load_weights(folder / "tower.pt", student.shape_tower)
    with torch.no_grad():
        shapes = student.shape_tower(_codes(folder, "corpus"))
    clip = student.clip.to(memory_format=torch.channels_last)
    loss = ImagesLoss(
        clip, corpus, _texts(folder, clip, step), shapes, settings.images.batch, settings.precision
    )
    yield from run_loop("images", clip.model.visual, loss, settings.images, folder)
    logger.info("held-out retrieval: %s", retrieval(clip, open_corpus(folder / "test")))


def train_tower(settings: StarterSettings, folder: Path) -> Iterator[Step]:
    """Train the shape tower on from that of the words, beside fixed texts; yields steps."""
    described = _described(settings, folder)
    student, _ = _taught(settings, folder)
    tower, svr = student.shape_tower, new_svr()
    _load_coder(folder, svr)
    tables = open_corpus(folder / "described").parts
    scale = float(student.clip.model.logit_scale.detach().exp())
    loss = RepaintLoss(
        tower, svr, tables, described.codes, described.texts, min(scale, 100.0), settings.tower.batch
    )
    yield from run_loop("tower", tower, loss, settings.tower, folder)


def train_svr(settings: StarterSettings, folder: Path, start: Bundle | None = None) -> Iterator[Step]:
    """Train the SVR model's image encoder, from random weights or those of a bundle; yields steps."""
    corpus = open_corpus(folder / "corpus")
    torch.manual_seed(settings.svr.seed)
    model = new_svr().to(memory_format=torch.channels_last)
    if start is not None:
        model.encoder.load_state_dict(start.svr.encoder.state_dict())
        if start.svr.viewer is not None:
            model.viewer.load_state_dict(start.svr.viewer.state_dict())
    _load_coder(folder, model)
    loss = ImageCodeLoss(model, corpus, _codes(folder, "corpus"), settings.svr.batch, settings.precision)
    yield from run_loop("svr", model, loss, settings.svr, folder)
    logger.info("held-out IoU: %s", point_iou(model, open_corpus(folder / "test")))


def train_flow(settings: StarterSettings, folder: Path, start: Bundle | None = None) -> Iterator[Step]:
    """Train the generative mapper, from random weights or those of a bundle; yields steps."""
    encoded, described = _encoded(settings, folder), _described(settings, folder)
    mapper = _new_flow(settings, folder, encoded, described, start)
    svr = new_svr()
    _load_coder(folder, svr)
    weights = code_weights(svr, open_corpus(folder / "described").parts[:WEIGHED], mapper.whitening)
    loss = FlowLoss(mapper, encoded, settings.flow.batch, described, settings.precision, weights)
    yield from run_loop("flow", mapper, loss, settings.flow, folder)


def train_regressor(settings: StarterSettings, folder: Path) -> Iterator[Step]:
    """Train the paper's mapper; yields steps."""
    encoded = _encoded(settings, folder)
    torch.manual_seed(settings.regressor.seed)
    mapper = RegressingMapper([CLIP_CONFIG["embed_dim"]] * 9 + [new_svr().spec.code_size] * 4)
    loss = RegressionLoss(mapper, encoded, settings.regressor.batch, settings.noise_scale)
    yield from run_loop("regressor", mapper, loss, settings.regressor, folder)


def read_settings(path: Path | None) -> StarterSettings:
    """The shipped recipe with the values of a JSON file; SettingError where the file is wrong."""
    settings = StarterSettings()
    if path is None:
        return settings
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingError(f"{path} cannot be read: {error}.", remedy="Give a JSON file.") from error
    merged = {name: {**old, **values.pop(name, {})} if isinstance(old, dict) else values.pop(name, old)
              for name, old in settings.to_dict().items()}  # fmt: skip
    return StarterSettings.from_dict({**merged, **values})


def record_part(
    folder: Path, part: str, settings: StarterSettings, seconds: float, start: Bundle | None = None
) -> None:
    """Add a part's settings and seconds (all calls together) to the folder's training record, and once what
    the bundle that the parts go on from was trained with."""
    path = folder / RECORD_FILE
    record = json.loads(path.read_text()) if path.exists() else {}
    if start is not None:
        record.setdefault("before", start.record.training)
    before = record.get(part, {}).get("seconds", 0)
    chosen = getattr(settings, part)
    record[part] = {**chosen.to_dict(), "seconds": round(before + seconds)}
    record["hardware"] = f"{platform.machine()}, {os.cpu_count()} processor cores, no GPU"
    write_file(path, json.dumps(record, indent=2).encode())


def export_starter(settings: StarterSettings, folder: Path, target: Path) -> BundleRecord:
    """Write the bundle `target` from the checkpoints and the training record in the working folder."""
    (clip, _), (svr, _) = trained_clip(settings, folder), trained_svr(folder)
    mapper = _new_flow(settings, folder, _encoded(settings, folder), _described(settings, folder))
    seen = {k: v.clone() for k, v in mapper.state_dict().items() if k.startswith(("bank", "tower"))}
    load_weights(folder / "flow.pt", mapper)
    # Images and shapes as CLIP and the shape tower see them now, which may have learnt on since.
    mapper.load_state_dict({**mapper.state_dict(), **seen})
    test = open_corpus(folder / "test")
    iou = point_iou(svr, test)
    quality = {
        "single_view_iou": {k: round(v, 3) for k, v in iou.items()},
        "single_view_iou_mean": round(sum(iou.values()) / len(iou), 3),
        "clip_retrieval": {k: round(v, 3) for k, v in retrieval(clip, test).items()},
    }
    examples = sorted({r["captions"][0] for r in open_corpus(folder / "corpus").records[:EXAMPLES]})
    held_out = [r["captions"][0] for r in test.records]
    record = BundleRecord(
        name="starter",
        description="Small offline models, trained on procedural shapes of everyday things.",
        licence="CC0-1.0",
        clip={"kind": "tiny", "config": _clip_config(settings), "image_mean": MEAN, "image_std": DEVIATION},
        svr={"kind": "parts", "architecture": svr.architecture()},
        mapper={"kind": "flow", "architecture": mapper.architecture()},
        settings=settings.pipeline,
        categories=tuple(CATEGORIES),
        training=json.loads((folder / RECORD_FILE).read_text()),
        quality=quality,
        far_similarity=far_limit(clip, examples, held_out),
    )
    parts = {"clip": clip, "svr": svr, "mapper": mapper, "whitening": mapper.whitening}
    return save_bundle(target, record, **parts, examples=examples)


def far_limit(clip: ClipEncoder, examples: list[str], captions: list[str]) -> float:
    """The cosine to the nearest example that all but FAR_SHARE of some captions reach: what lies below is far
    from what a CLIP knows."""
    with torch.no_grad():
        cosines = clip.encode_text(captions) @ clip.encode_text(examples).T
    return round(float(cosines.max(dim=1).values.quantile(FAR_SHARE)), 4)


def _encoded(settings: StarterSettings, folder: Path) -> Encoded:
    """The corpus with images, seen by CLIP; its codes are the parts', which the image encoder aims at."""
    student, step = _taught(settings, folder)
    texts = _texts(folder, student.clip, step)
    return Encoded(_seen(settings, folder, student.clip), texts, _codes(folder, "corpus"))


def _texts(folder: Path, clip: ClipEncoder, step: int) -> Tensor:
    """Features [N, CAPTIONS, F] of the captions of the corpus with images; `step` is that of the words."""
    captions = [record["captions"][:CAPTIONS] for record in open_corpus(folder / "corpus").records]
    return encode_captions(clip, captions, folder / f"corpus-texts-{step}.safetensors")


def _described(settings: StarterSettings, folder: Path) -> Encoded:
    """The corpus without images; captions stand for them."""
    student, step = _taught(settings, folder)
    captions = [record["captions"] for record in open_corpus(folder / "described").records]
    texts = encode_captions(student.clip, captions, folder / f"described-texts-{step}.safetensors")
    return Encoded(texts, texts, _codes(folder, "described"))


def _seen(settings: StarterSettings, folder: Path, clip: ClipEncoder) -> Tensor:
    """Features of the corpus's images [N, V, F]; computed once for an image tower."""
    data = ProceduralSet.of(open_corpus(folder / "corpus"))
    cache = folder / f"images-{_image_tower(clip)}.safetensors"
    return encode_images(clip, data, cache, settings.precision)


def _image_tower(clip: ClipEncoder) -> str:
    """A short name of the image tower's weights."""
    weights = clip.model.visual.state_dict().values()
    return hashlib.sha256(b"".join(w.numpy().tobytes() for w in weights)).hexdigest()[:12]


def _new_flow(
    settings: StarterSettings, folder: Path, encoded: Encoded, described: Encoded,
    start: Bundle | None = None,
) -> FlowMapper:  # fmt: skip
    """An untrained flow, or a bundle's, with the trained shape tower, which is not trained further."""
    seed, bank = settings.flow.seed, settings.bank
    if start is None:
        mapper = new_flow(
            encoded, seed=seed, components=settings.components, bank=bank, described=described, **FLOW
        )
    else:
        mapper = adapted_flow(start.mapper, encoded, seed=seed, bank=bank, guidance=FLOW["guidance"])
    load_weights(folder / "tower.pt", mapper.tower)
    mapper.tower.requires_grad_(False)
    return mapper


def _clip_config(settings: StarterSettings) -> dict:
    return {
        **CLIP_CONFIG,
        "vision_cfg": {**CLIP_CONFIG["vision_cfg"], "image_size": settings.corpus.image_size},
    }


def new_clip(settings: StarterSettings, folder: Path, start: Bundle | None = None) -> ClipEncoder:
    """The small CLIP with random weights. Its vocabulary is decided once for a working folder: that of the
    bundle to go on from, else that of the corpus's captions."""
    path = folder / VOCABULARY_FILE
    if not path.exists():
        captions = (c for r in open_corpus(folder / "corpus").records for c in r["captions"])
        words = start.clip.tokenizer if start else WordTokenizer.from_captions(captions, context_length=32)
        write_file(path, words.to_json().encode())
    words = WordTokenizer.from_json(path.read_text(encoding="utf-8"))
    return build_tiny_clip(_clip_config(settings), words, image_mean=MEAN, image_std=DEVIATION)


def trained_clip(settings: StarterSettings, folder: Path) -> tuple[ClipEncoder, int]:
    """The small CLIP as last saved, and the steps of its words."""
    student, step = _taught(settings, folder)
    return student.clip, step


def new_svr() -> PartsSvr:
    """The starter's SVR model with random weights."""
    return PartsSvr(azimuths=AZIMUTHS)


def trained_svr(folder: Path) -> tuple[PartsSvr, int]:
    """The SVR model as last saved, and its step."""
    model = new_svr()
    step = load_weights(folder / "svr.pt", model)
    _load_coder(folder, model)
    return model, step


def _load_coder(folder: Path, svr: PartsSvr) -> int:
    """Reader and decoder as last trained into an SVR model; returns the steps of what was trained last."""
    alone = folder / "decoder.pt"
    return load_weights(alone if alone.exists() else folder / "codes.pt", PartAutoencoder(svr))


def _codes(folder: Path, name: str) -> Tensor:
    """Codes [N, C] of the shapes of a corpus; computed once for a trained code space."""
    svr = new_svr()
    step = _load_coder(folder, svr)
    return codes_of(svr, open_corpus(folder / name).parts, folder / f"{name}-codes-{step}.safetensors")


def _student(settings: StarterSettings, folder: Path, start: Bundle | None = None) -> ClipStudent:
    classes = classes_of(open_corpus(folder / "corpus"))
    clip = new_clip(settings, folder, start)
    return ClipStudent(clip, classes, CLIP_CONFIG["embed_dim"], new_svr().spec.code_size)


def _text_student(settings: StarterSettings, folder: Path, start: Bundle | None = None) -> TextStudent:
    tower = ShapeTower(new_svr().spec.code_size, CLIP_CONFIG["embed_dim"])
    return TextStudent(new_clip(settings, folder, start), tower)


def _taught(settings: StarterSettings, folder: Path) -> tuple[TextStudent, int]:
    """CLIP and shape tower as last saved, and the steps of their words."""
    student = _text_student(settings, folder)
    step = load_weights(folder / "words.pt", student)
    if (folder / "images.pt").exists():
        load_weights(folder / "images.pt", student.clip.model.visual)
    return student, step
