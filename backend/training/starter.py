"""Training of the starter bundle, from nothing or on from a bundle: corpora, code space and its decoder,
names of parts, small CLIP (images and words together, then words alone, then shapes in other paints, then
images alone), SVR model, mapper, export.

Every part resumes from its checkpoint, so the whole can be stopped and called again. Parts can be run on
their own, side by side, since they only meet in the working folder.
"""

import hashlib
import json
import logging
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from backend.bundles import Bundle, BundleRecord, save_bundle
from backend.clip_encoder import ClipEncoder, build_tiny_clip
from backend.datasets.procedural.categories import CATEGORIES
from backend.datasets.procedural.corpus import build_corpus, open_corpus
from backend.datasets.procedural.part_names import PART_NAMES
from backend.datasets.procedural_set import ProceduralSet
from backend.device import describe_device
from backend.errors import SettingError
from backend.flow_mapper import FlowMapper
from backend.mapper import RegressingMapper
from backend.output_file import write_file
from backend.shape_tower import ShapeTower
from backend.svr.parts import PartsSvr
from backend.svr.parts_namer import PartNamer
from backend.training.align import (
    CAPTIONS,
    FLOW_NETWORK,
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
from backend.training.loop import Step, load_weights, run_loop, save_weights
from backend.training.names import NamesLoss, named_right
from backend.training.part_codes import (
    AutoencoderLoss,
    DecoderLoss,
    PartAutoencoder,
    code_weights,
    codes_of,
)
from backend.training.part_images import ImageCodeLoss, ImageSource
from backend.training.reconstruct import point_iou
from backend.training.repaint_loss import RepaintLoss
from backend.training.starter_recipe import AZIMUTHS, CLIP_CONFIG, DEVIATION, FLOW, MEAN, StarterSettings
from backend.training.words import CaptionedShapes, TextStudent, WordsLoss
from backend.word_tokenizer import WordTokenizer

logger = logging.getLogger(__name__)

BEGINNING = "beginning"
"""Folder of the weights of the bundle that a training goes on from."""
RECORD_FILE = "training.json"
"""What was trained, with which settings and for how long; becomes bundle.json's `training`."""
VOCABULARY_FILE = "vocabulary.json"
"""The words of the small CLIP in training."""
WEIGHED = 8192
"""Shapes that say how much each dimension of a code matters."""
EXAMPLES = 800
"""Captions that go into the bundle, for the nearest phrasing of a prompt it does not understand."""
FAR_SHARE = 0.005
"""Share of held-out captions that count as far from the examples."""
CPU = torch.device("cpu")


def train_corpora(settings: StarterSettings, folder: Path) -> Iterator[int]:
    """Make the corpora for training and testing; yields shapes done."""
    yield from build_corpus(folder / "corpus", settings.corpus)
    yield from build_corpus(folder / "hard", settings.hard)
    yield from build_corpus(folder / "described", settings.described)
    yield from build_corpus(folder / "test", settings.test)


def train_codes(settings: StarterSettings, folder: Path, device: torch.device = CPU) -> Iterator[Step]:
    """Train the code space: parts to codes and back; yields steps."""
    torch.manual_seed(settings.codes.seed)
    coder = PartAutoencoder(new_svr().to(device))
    _begin(folder, "codes", coder)
    loss = AutoencoderLoss(coder, open_corpus(folder / "described").parts, settings.codes.batch)
    yield from run_loop("codes", coder, loss, settings.codes, folder)


def train_decoder(settings: StarterSettings, folder: Path, device: torch.device = CPU) -> Iterator[Step]:
    """Train the decoder on beside codes that stay as they are; yields steps."""
    coder = PartAutoencoder(new_svr().to(device))
    load_weights(_trained(folder, "codes"), coder)
    loss = DecoderLoss(coder, open_corpus(folder / "described").parts, settings.decoder.batch)
    yield from run_loop("decoder", coder, loss, settings.decoder, folder)


def train_names(settings: StarterSettings, folder: Path, device: torch.device = CPU) -> Iterator[Step]:
    """Train what tells the names of parts; yields steps."""
    described = open_corpus(folder / "described")
    torch.manual_seed(settings.names.seed)
    svr = new_svr().to(device)
    _begin(folder, "names", _namer(svr))
    _load_coder(folder, svr)
    loss = NamesLoss(svr, described, _codes(folder, "described"), settings.names.batch)
    yield from run_loop("names", _namer(svr), loss, settings.names, folder)
    logger.info("held-out names: %.3f", named_right(svr, open_corpus(folder / "test")))


def train_clip(settings: StarterSettings, folder: Path, device: torch.device = CPU) -> Iterator[Step]:
    """Train the small CLIP; yields steps."""
    corpus, described = open_corpus(folder / "corpus"), open_corpus(folder / "described")
    torch.manual_seed(settings.clip.seed)
    student = _student(settings, folder).to(device, memory_format=torch.channels_last)
    begun = _text_student(settings, folder)
    if _begin(folder, "words", begun):
        _hand_on(begun, student)
    more = DescribedShapes(_codes(folder, "described"), [record["captions"] for record in described.records])
    loss = ContrastiveLoss(
        student, corpus, _codes(folder, "corpus"), more, settings.clip.batch, settings.precision
    )
    yield from run_loop("clip", student, loss, settings.clip, folder)
    logger.info("held-out retrieval: %s", retrieval(student.clip, open_corpus(folder / "test")))


def train_words(settings: StarterSettings, folder: Path, device: torch.device = CPU) -> Iterator[Step]:
    """Train the text tower on, with that of shapes, beside the image tower; yields steps."""
    torch.manual_seed(settings.words.seed)
    student = _text_student(settings, folder).to(device, memory_format=torch.channels_last)
    if (folder / "clip.pt").exists() or not _begin(folder, "words", student):
        taught = _student(settings, folder)
        load_weights(_trained(folder, "clip"), taught)
        _hand_on(taught, student)
    corpus, described = open_corpus(folder / "corpus"), open_corpus(folder / "described")
    seen = CaptionedShapes(corpus.records, _codes(folder, "corpus"), _seen(settings, folder, student.clip))
    more = CaptionedShapes(described.records, _codes(folder, "described"))
    loss = WordsLoss(student, seen, more, settings.words.batch, settings.precision)
    yield from run_loop("words", student, loss, settings.words, folder)
    student.clip.forget_texts()
    logger.info("held-out retrieval: %s", retrieval(student.clip, open_corpus(folder / "test")))


def train_images(settings: StarterSettings, folder: Path, device: torch.device = CPU) -> Iterator[Step]:
    """Train the image tower on beside the texts of `train_words` and the shapes of `train_tower`, which stay;
    yields steps."""
    student, step = _taught(settings, folder, device)
    corpus = open_corpus(folder / "corpus")
    load_weights(_trained(folder, "tower"), student.shape_tower)
    with torch.no_grad():
        shapes = student.shape_tower(_codes(folder, "corpus").to(device))
    clip = student.clip.to(memory_format=torch.channels_last)
    loss = ImagesLoss(
        clip, corpus, _texts(folder, clip, step), shapes, settings.images.batch, settings.precision
    )
    yield from run_loop("images", clip.model.visual, loss, settings.images, folder)
    logger.info("held-out retrieval: %s", retrieval(clip, open_corpus(folder / "test")))


def train_tower(settings: StarterSettings, folder: Path, device: torch.device = CPU) -> Iterator[Step]:
    """Train the shape tower on from that of the words, beside fixed texts; yields steps."""
    described = _described(settings, folder, device)
    student, _ = _taught(settings, folder, device)
    tower, svr = student.shape_tower, new_svr().to(device)
    _load_coder(folder, svr)
    tables = open_corpus(folder / "described").parts
    scale = float(student.clip.model.logit_scale.detach().exp())
    loss = RepaintLoss(
        tower, svr, tables, described.codes, described.texts, min(scale, 100.0), settings.tower.batch
    )
    yield from run_loop("tower", tower, loss, settings.tower, folder)


def train_svr(settings: StarterSettings, folder: Path, device: torch.device = CPU) -> Iterator[Step]:
    """Train the SVR model's image encoder; yields steps."""
    torch.manual_seed(settings.svr.seed)
    model = new_svr().to(device, memory_format=torch.channels_last)
    _begin(folder, "svr", model)
    _load_coder(folder, model)
    sources = [ImageSource(open_corpus(folder / name), _codes(folder, name)) for name in ("corpus", "hard")]
    loss = ImageCodeLoss(model, sources, settings.svr.batch, settings.precision)
    yield from run_loop("svr", model, loss, settings.svr, folder)
    logger.info("held-out IoU: %s", point_iou(model, open_corpus(folder / "test")))


def train_flow(settings: StarterSettings, folder: Path, device: torch.device = CPU) -> Iterator[Step]:
    """Train the generative mapper; yields steps."""
    encoded, described = _encoded(settings, folder, device), _described(settings, folder, device)
    mapper, svr = _new_flow(settings, folder, encoded, described).to(device), new_svr()
    _load_coder(folder, svr)
    tables = open_corpus(folder / "described").parts[:WEIGHED]
    weights = code_weights(svr, tables, mapper.whitening.to(CPU))
    loss = FlowLoss(mapper, encoded, settings.flow.batch, described, settings.precision, weights)
    yield from run_loop("flow", mapper, loss, settings.flow, folder)


def train_regressor(settings: StarterSettings, folder: Path, device: torch.device = CPU) -> Iterator[Step]:
    """Train the paper's mapper; yields steps."""
    encoded = _encoded(settings, folder, device)
    torch.manual_seed(settings.regressor.seed)
    sizes = [CLIP_CONFIG["embed_dim"]] * 9 + [new_svr().spec.code_size] * 4
    mapper = RegressingMapper(sizes).to(device)
    loss = RegressionLoss(mapper, encoded, settings.regressor.batch, settings.noise_scale)
    yield from run_loop("regressor", mapper, loss, settings.regressor, folder)


def begin_from(start: Bundle, folder: Path) -> None:
    """Lay a bundle's weights, words and training record into a working folder, whose parts then go on from
    them; a folder that has begun from it stays as it is. Parts of other folders start from random weights."""
    beginning, record = folder / BEGINNING, _read_record(folder)
    if beginning.exists():
        if record.get("began_from", start.sha256) != start.sha256:
            raise SettingError(
                f"{folder} began from another bundle than {start.name}, or from another version of it.",
                remedy="Choose another --work, or leave out --start to go on.",
            )
        return
    svr, mapper = start.svr, start.mapper
    ours = isinstance(svr, PartsSvr) and isinstance(mapper, FlowMapper)
    if not ours or svr.namer is None or not isinstance(start.clip.tokenizer, WordTokenizer):
        raise SettingError(
            f"{start.name} is no bundle that `train starter` goes on from.", remedy="Begin from `starter`."
        )
    if any(folder.glob("*.pt")):
        raise SettingError(
            f"{folder} has parts that did not begin from a bundle.",
            remedy="Choose another --work, or leave out --start.",
        )
    unfinished = folder / f"{BEGINNING}.tmp"
    unfinished.mkdir(parents=True, exist_ok=True)
    models = {
        "codes": PartAutoencoder(svr),
        "svr": svr,
        "names": svr.namer,
        "words": TextStudent(start.clip, mapper.tower),
        "tower": mapper.tower,
        "flow": mapper,
    }
    for part, model in models.items():
        save_weights(unfinished / f"{part}.pt", model)
    write_file(folder / VOCABULARY_FILE, start.clip.tokenizer.to_json().encode())
    record = {**record, "before": start.record.training, "began_from": start.sha256}
    write_file(folder / RECORD_FILE, json.dumps(record, indent=2).encode())
    unfinished.rename(beginning)


def record_part(
    folder: Path, part: str, settings: StarterSettings, seconds: float, device: torch.device = CPU
) -> None:
    """Add a part's settings, seconds (all calls together) and device to the folder's training record. What
    is told of `corpus` holds for all corpora, which are made together."""
    record = _read_record(folder)
    before = record.get(part, {}).get("seconds", 0)
    record[part] = {**getattr(settings, part).to_dict(), "seconds": round(before + seconds)}
    if part == "corpus":
        record |= {name: getattr(settings, name).to_dict() for name in ("hard", "described")}
    if device != CPU:
        record[part]["device"] = describe_device(device)
    record["hardware"] = f"{platform.machine()}, {os.cpu_count()} processor cores"
    write_file(folder / RECORD_FILE, json.dumps(record, indent=2).encode())


def _read_record(folder: Path) -> dict:
    path = folder / RECORD_FILE
    return json.loads(path.read_text()) if path.exists() else {}


def export_starter(settings: StarterSettings, folder: Path, target: Path) -> BundleRecord:
    """Write the bundle `target` from the checkpoints and the training record in the working folder."""
    (clip, _), (svr, _) = trained_clip(settings, folder), trained_svr(folder)
    mapper = _new_flow(settings, folder, _encoded(settings, folder), _described(settings, folder))
    # Images and shapes as CLIP and the shape tower see them now, which may have learnt on since.
    load_weights(_trained(folder, "flow"), mapper, without=("bank", "tower"))
    test = open_corpus(folder / "test")
    iou = point_iou(svr, test)
    quality = {
        "single_view_iou": {k: round(v, 3) for k, v in iou.items()},
        "single_view_iou_mean": round(sum(iou.values()) / len(iou), 3),
        "parts_named_right": round(named_right(svr, test), 3),
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
        training=_read_record(folder),
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


def _encoded(settings: StarterSettings, folder: Path, device: torch.device = CPU) -> Encoded:
    """The corpus with images, seen by CLIP; its codes are the parts', which the image encoder aims at."""
    student, step = _taught(settings, folder, device)
    texts = _texts(folder, student.clip, step)
    return Encoded(_seen(settings, folder, student.clip), texts, _codes(folder, "corpus"))


def _texts(folder: Path, clip: ClipEncoder, step: int) -> Tensor:
    """Features [N, CAPTIONS, F] of the captions of the corpus with images; `step` is that of the words."""
    captions = [record["captions"][:CAPTIONS] for record in open_corpus(folder / "corpus").records]
    return encode_captions(clip, captions, folder / f"corpus-texts-{step}.safetensors")


def _described(settings: StarterSettings, folder: Path, device: torch.device = CPU) -> Encoded:
    """The corpus without images; captions stand for them."""
    student, step = _taught(settings, folder, device)
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
    return hashlib.sha256(b"".join(w.cpu().numpy().tobytes() for w in weights)).hexdigest()[:12]


def _new_flow(settings: StarterSettings, folder: Path, encoded: Encoded, described: Encoded) -> FlowMapper:
    """An untrained flow, or that of the beginning, with the trained shape tower, which is not trained
    further."""
    seed, bank = settings.flow.seed, settings.bank
    if (folder / BEGINNING).exists():
        source = FlowMapper(
            feature_size=CLIP_CONFIG["embed_dim"], code_size=new_svr().spec.code_size,
            components=settings.components, bank_size=bank, **{**FLOW_NETWORK, **FLOW},
        )  # fmt: skip
        load_weights(folder / BEGINNING / "flow.pt", source, without="bank")
        mapper = adapted_flow(source, encoded, seed=seed, bank=bank)
    else:
        mapper = new_flow(
            encoded, seed=seed, components=settings.components, bank=bank, described=described, **FLOW
        )
    load_weights(_trained(folder, "tower"), mapper.tower)
    mapper.tower.requires_grad_(False)
    return mapper


def _clip_config(settings: StarterSettings) -> dict:
    """That of the starter's CLIP, which sees no image larger than it is."""
    vision = CLIP_CONFIG["vision_cfg"]
    size = min(vision["image_size"], settings.corpus.image_size)
    return {**CLIP_CONFIG, "vision_cfg": {**vision, "image_size": size}}


def new_clip(settings: StarterSettings, folder: Path) -> ClipEncoder:
    """The small CLIP with random weights. Its vocabulary is decided once for a working folder: that of the
    bundle that it began from, else that of the corpus's captions."""
    path = folder / VOCABULARY_FILE
    if not path.exists():
        captions = (c for r in open_corpus(folder / "corpus").records for c in r["captions"])
        words = WordTokenizer.from_captions(captions, context_length=32)
        write_file(path, words.to_json().encode())
    words = WordTokenizer.from_json(path.read_text(encoding="utf-8"))
    return build_tiny_clip(_clip_config(settings), words, image_mean=MEAN, image_std=DEVIATION)


def trained_clip(settings: StarterSettings, folder: Path) -> tuple[ClipEncoder, int]:
    """The small CLIP as last saved, and the steps of its words."""
    student, step = _taught(settings, folder)
    return student.clip, step


def new_svr() -> PartsSvr:
    """The starter's SVR model with random weights."""
    return PartsSvr(azimuths=AZIMUTHS, names=PART_NAMES)


def _namer(svr: PartsSvr) -> PartNamer:
    assert svr.namer is not None
    return svr.namer


def trained_svr(folder: Path) -> tuple[PartsSvr, int]:
    """The SVR model as last saved, and its step."""
    model = new_svr()
    step = load_weights(_trained(folder, "svr"), model)
    load_weights(_trained(folder, "names"), _namer(model))
    _load_coder(folder, model)
    return model, step


def _load_coder(folder: Path, svr: PartsSvr) -> int:
    """Reader and decoder as last trained into an SVR model; returns the steps of what was trained last."""
    alone = folder / "decoder.pt"
    return load_weights(alone if alone.exists() else _trained(folder, "codes"), PartAutoencoder(svr))


def _codes(folder: Path, name: str) -> Tensor:
    """Codes [N, C] of the shapes of a corpus; computed once for a trained code space."""
    svr = new_svr()
    step = _load_coder(folder, svr)
    return codes_of(svr, open_corpus(folder / name).parts, folder / f"{name}-codes-{step}.safetensors")


def _student(settings: StarterSettings, folder: Path) -> ClipStudent:
    classes = classes_of(open_corpus(folder / "corpus"))
    clip = new_clip(settings, folder)
    return ClipStudent(clip, classes, CLIP_CONFIG["embed_dim"], new_svr().spec.code_size)


def _hand_on(taught: ClipStudent | TextStudent, student: ClipStudent | TextStudent) -> None:
    """CLIP and shape tower of one training for the next."""
    student.clip.load_state_dict(taught.clip.state_dict())
    student.shape_tower.load_state_dict(taught.shape_tower.state_dict())


def _text_student(settings: StarterSettings, folder: Path) -> TextStudent:
    tower = ShapeTower(new_svr().spec.code_size, CLIP_CONFIG["embed_dim"])
    return TextStudent(new_clip(settings, folder), tower)


def _taught(settings: StarterSettings, folder: Path, device: torch.device = CPU) -> tuple[TextStudent, int]:
    """CLIP and shape tower as last saved, and the steps of their words."""
    student = _text_student(settings, folder)
    step = load_weights(_trained(folder, "words"), student)
    if (folder / "images.pt").exists():
        load_weights(folder / "images.pt", student.clip.model.visual)
    return student.to(device), step


def _begin(folder: Path, part: str, model: nn.Module) -> bool:
    """Give a model the weights of the bundle that a folder began from; false where it began from nothing."""
    path = folder / BEGINNING / f"{part}.pt"
    if path.exists():
        load_weights(path, model)
    return path.exists()


def _trained(folder: Path, part: str) -> Path:
    """The checkpoint of a part: the folder's own, else that of the bundle it began from."""
    own = folder / f"{part}.pt"
    path = own if own.exists() else folder / BEGINNING / own.name
    if not path.exists():
        raise SettingError(
            f"{folder} has no trained {part!r} yet.",
            remedy=f"Run `train starter --only {part}` before, or begin from a bundle with --start.",
        )
    return path
