"""Model bundles: everything a prompt needs, in one verified folder.

A bundle is a folder with `bundle.json` (what is in it, how it was made, SHA-256 and size of every file) and
safetensors files: CLIP, SVR model, mapper, statistics of the shape codes. Weights are stored in half
precision, some of SVR models in eight bits, and used in single precision. Nothing is unpickled.
"""

import hashlib
import importlib
import inspect
import json
import logging
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backend.bundle_places import RECORD_NAME, resolve_bundle
from backend.byte_weights import SCALE, from_bytes, to_bytes
from backend.clip_encoder import ClipEncoder, build_open_clip, build_tiny_clip
from backend.config import PipelineSettings, Settings
from backend.device import memory_guard
from backend.errors import BundleError, CheckpointError, IssError, OutputError
from backend.svr.base import SvrModel, SvrSpec
from backend.weights import load_strictly
from backend.whitening import Whitening
from backend.word_tokenizer import WordTokenizer

logger = logging.getLogger(__name__)

SCHEMA = 1

SVR_MODELS: dict[str, tuple[str, str]] = {
    "parts": ("backend.svr.parts", "PartsSvr"),
    "triplane": ("backend.svr.triplane", "TriplaneSvr"),
    "dvr": ("backend.svr.dvr", "DvrModel"),
    "imnet": ("backend.svr.imnet", "ImnetModel"),
    "ss3d": ("backend.svr.ss3d", "Ss3dModel"),
    "get3d": ("backend.svr.get3d", "Get3dModel"),
}
"""SVR kind -> (module, class); the class is called with the record's architecture."""

MAPPERS: dict[str, tuple[str, str]] = {
    "regressor": ("backend.mapper", "RegressingMapper"),
    "flow": ("backend.flow_mapper", "FlowMapper"),
    "get3d": ("backend.get3d_mapper", "Get3dMapper"),
}
"""Mapper kind -> (module, class); the class is called with the record's architecture."""

_WORKING_BYTES = 600 * 2**20
"""torch itself, a batch of views and a mesh grid (measured: about 500 MB on a CPU)."""
_WEIGHTS = frozenset({"clip.safetensors", "svr.safetensors", "mapper.safetensors"})
_INSTALL_AGAIN = "Install the bundle again (for the starter: the shipped files, or `make starter`)."


@dataclass(frozen=True)
class BundleRecord(Settings):
    """The contents of bundle.json."""

    name: str = ""
    schema: int = SCHEMA
    description: str = ""
    licence: str = ""
    clip: dict[str, Any] = field(default_factory=dict)
    """kind tiny: config (open_clip's), image_mean, image_std. kind open_clip: architecture, pretrained."""
    svr: dict[str, Any] = field(default_factory=dict)
    """kind (see SVR_MODELS) and architecture."""
    mapper: dict[str, Any] = field(default_factory=dict)
    """kind (see MAPPERS) and architecture; empty before stage 1."""
    settings: PipelineSettings = field(default_factory=PipelineSettings)
    categories: tuple[str, ...] = ()
    far_similarity: float = 0.0
    """Cosine with the nearest example caption below which a prompt is called far; 0 never does."""
    training: dict[str, Any] = field(default_factory=dict)
    """Data, steps, hardware, time."""
    quality: dict[str, Any] = field(default_factory=dict)
    """Measured figures."""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Name -> sha256, bytes."""

    @property
    def sha256(self) -> str:
        """Of the models and their files; not of the settings, which a recipe carries, nor of notes and
        figures."""
        files = {name: known.get("sha256") for name, known in self.files.items()}
        models = json.dumps([self.clip, self.svr, self.mapper, files], sort_keys=True)
        return hashlib.sha256(models.encode()).hexdigest()


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle; its parts are on one device, in evaluation mode and frozen."""

    record: BundleRecord
    folder: Path
    clip: ClipEncoder
    svr: SvrModel
    mapper: nn.Module | None
    whitening: Whitening
    examples: tuple[str, ...]
    """Captions that show how the bundle likes to be asked."""

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def sha256(self) -> str:
        return self.record.sha256

    @property
    def settings(self) -> PipelineSettings:
        return self.record.settings

    @property
    def spec(self) -> SvrSpec:
        return self.svr.spec

    @property
    def device(self) -> torch.device:
        return self.whitening.mean.device


def read_record(folder: Path) -> BundleRecord:
    """The record of a bundle; BundleError where it is missing, unreadable or of another version."""
    path = folder / RECORD_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.", remedy=_INSTALL_AGAIN) from error
    except ValueError as error:
        raise BundleError(f"{path} is not JSON: {error}.", remedy=_INSTALL_AGAIN) from error
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise BundleError(
            f"{path} has schema {values.get('schema') if isinstance(values, dict) else None!r}, "
            f"this version reads {SCHEMA}.",
            remedy="Install a bundle and a backend of the same version.",
        )
    try:
        record = BundleRecord.from_dict(values)
    except IssError as error:
        raise BundleError(f"{path}: {error.message}", remedy=error.remedy) from error
    if not record.name or not record.svr or not record.clip:
        raise BundleError(f"{path} lacks name, svr or clip.", remedy=_INSTALL_AGAIN)
    for name, known in record.files.items():
        if Path(name).name != name or name == RECORD_NAME:
            raise BundleError(
                f"{path} names the file {name!r}, which is no plain name.", remedy=_INSTALL_AGAIN
            )
        if not isinstance(known, dict) or not isinstance(known.get("bytes"), int):
            raise BundleError(f"{path} lacks the size of {name}.", remedy=_INSTALL_AGAIN)
    return record


def memory_needed(record: BundleRecord) -> int:
    """Bytes that a run with the bundle needs, roughly: weights in single precision, and working space."""
    return 2 * sum(int(known.get("bytes", 0)) for known in record.files.values()) + _WORKING_BYTES


def verify_bundle(folder: Path, record: BundleRecord) -> None:
    """BundleError for the first file that is missing, truncated, altered, or a weights file not recorded."""
    for name in sorted(_WEIGHTS - record.files.keys()):
        if (folder / name).exists():
            raise BundleError(
                f"The bundle {record.name} holds {name}, which its record does not list.",
                remedy=_INSTALL_AGAIN,
            )
    for name, known in record.files.items():
        path = folder / name
        if not path.is_file():
            raise BundleError(f"The bundle {record.name} lacks {name}.", remedy=_INSTALL_AGAIN)
        size = path.stat().st_size
        if size != known.get("bytes"):
            raise BundleError(
                f"{name} of the bundle {record.name} has {size} bytes, not {known.get('bytes')}.",
                remedy=_INSTALL_AGAIN,
            )
        if file_sha256(path) != known.get("sha256"):
            raise BundleError(
                f"{name} of the bundle {record.name} was altered: its SHA-256 is not the recorded one.",
                remedy=_INSTALL_AGAIN,
            )


@memory_guard("for loading the bundle")
def load_bundle(
    name_or_path: str | Path,
    *,
    device: torch.device | None = None,
    allow_download: bool = False,
    folders: Iterable[Path] | None = None,
) -> Bundle:
    """A verified bundle on `device` (default: CPU).

    `allow_download` lets open_clip fetch a CLIP that the bundle only names. Raises BundleError.
    """
    device = device or torch.device("cpu")
    folder = resolve_bundle(name_or_path, folders=folders)
    record = read_record(folder)
    verify_bundle(folder, record)
    clip = load_clip(folder, record, allow_download=allow_download)
    svr = load_svr(folder, record)
    mapper = load_mapper(folder, record) if record.mapper else None
    for part in (clip, svr, mapper):
        if part is not None:
            part.to(device).eval().requires_grad_(False)
    return Bundle(
        record=record,
        folder=folder,
        clip=clip,
        svr=svr,
        mapper=mapper,
        whitening=_load_whitening(folder, record, svr.spec.code_size).to(device),
        examples=_load_examples(folder, record),
    )


def save_bundle(
    folder: Path,
    record: BundleRecord,
    *,
    clip: ClipEncoder | None,
    svr: SvrModel,
    mapper: nn.Module | None = None,
    whitening: Whitening | None = None,
    examples: Sequence[str] = (),
) -> BundleRecord:
    """Write a bundle and return its record with the files' sizes and hashes filled in.

    clip: None where the record only names one of open_clip's. The folder appears whole or not at all; a
    bundle that was there is replaced. OutputError where it cannot be written.
    """
    weights: dict[str, dict[str, Tensor]] = {"svr.safetensors": svr.state_dict()}
    if mapper is not None:
        weights["mapper.safetensors"] = mapper.state_dict()
    if clip is not None and (record.clip["kind"] == "tiny" or record.clip.get("pretrained") is None):
        weights["clip.safetensors"] = clip.model.state_dict()
    texts = {"examples.json": json.dumps(list(examples), ensure_ascii=False, indent=0)} if examples else {}
    if clip is not None and isinstance(clip.tokenizer, WordTokenizer):
        texts["vocabulary.json"] = clip.tokenizer.to_json()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        for name, tensors in weights.items():
            _write_tensors(made / name, _stored(tensors, svr.byte_weights if name.startswith("svr") else ()))
        if whitening is not None:
            _write_tensors(made / "codes.safetensors", whitening.tensors())
        for name, text in texts.items():
            (made / name).write_text(text, encoding="utf-8")
        files = {
            path.name: {"sha256": file_sha256(path), "bytes": path.stat().st_size}
            for path in sorted(made.iterdir())
        }
        record = record.replace(files=files)
        text = json.dumps(record.to_dict(), indent=2, ensure_ascii=False)
        (made / RECORD_NAME).write_text(text + "\n", encoding="utf-8")
        made.chmod(0o755)
        replaced = made.with_name(f"{made.name}.old")
        if folder.exists():
            folder.rename(replaced)
        made.rename(folder)
        shutil.rmtree(replaced, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"The bundle {folder} cannot be written: {error}.", remedy="Choose a writable folder with space."
        ) from error
    return record


def load_clip(folder: Path, record: BundleRecord, *, allow_download: bool = False) -> ClipEncoder:
    """The CLIP of a bundle whose files were verified; BundleError where it cannot be had."""
    values = record.clip
    if values.get("kind") == "tiny":
        vocabulary = _read_text(folder, "vocabulary.json", record)
        normalisation = {key: values[key] for key in ("image_mean", "image_std") if key in values}
        clip = build_tiny_clip(values.get("config", {}), WordTokenizer.from_json(vocabulary), **normalisation)
    elif values.get("kind") == "open_clip":
        pretrained = values.get("pretrained")
        clip = build_open_clip(
            values.get("architecture", ""), pretrained, folder=folder, allow_download=allow_download
        )
        if pretrained is not None:
            return clip
    else:
        raise BundleError(
            f"There is no CLIP of kind {values.get('kind')!r}.", remedy="Known: tiny, open_clip."
        )
    _load_weights(clip.model, folder, "clip.safetensors")
    return clip


def load_svr(folder: Path, record: BundleRecord) -> SvrModel:
    """The SVR model of a bundle whose files were verified; BundleError where the weights do not fit."""
    svr = build_svr(record.svr)
    _load_weights(svr, folder, "svr.safetensors")
    return svr


def load_mapper(folder: Path, record: BundleRecord) -> nn.Module:
    """The mapper of a bundle whose files were verified; BundleError where the weights do not fit."""
    mapper = build_mapper(record.mapper)
    _load_weights(mapper, folder, "mapper.safetensors")
    return mapper


def build_svr(values: dict[str, Any]) -> SvrModel:
    """An SVR model with random weights from a record's `svr`."""
    return _build(values, SVR_MODELS, "SVR model")


def build_mapper(values: dict[str, Any]) -> nn.Module:
    """A mapper with random weights from a record's `mapper`."""
    return _build(values, MAPPERS, "mapper")


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _build(values: dict[str, Any], table: dict[str, tuple[str, str]], what: str) -> Any:
    kind = values.get("kind")
    if kind not in table:
        raise BundleError(f"There is no {what} of kind {kind!r}.", remedy=f"Known: {', '.join(table)}.")
    module, name = table[kind]
    builder, architecture = getattr(importlib.import_module(module), name), values.get("architecture", {})
    strange = architecture.keys() - inspect.signature(builder).parameters.keys()
    try:
        return builder(**architecture)
    except TypeError as error:
        why = f"it has no {', '.join(sorted(strange))}; another version made it" if strange else error
        raise BundleError(
            f"The {what} {kind} does not take the recorded architecture: {why}.", remedy=_INSTALL_AGAIN
        ) from error


def _load_whitening(folder: Path, record: BundleRecord, code_size: int) -> Whitening:
    if "codes.safetensors" not in record.files:
        return Whitening.identity(code_size)
    try:
        return Whitening.from_tensors(_read_tensors(folder / "codes.safetensors"))
    except KeyError as error:
        raise BundleError(f"codes.safetensors lacks {error}.", remedy=_INSTALL_AGAIN) from error


def _load_examples(folder: Path, record: BundleRecord) -> tuple[str, ...]:
    if "examples.json" not in record.files:
        return ()
    return tuple(json.loads(_read_text(folder, "examples.json", record)))


def _read_text(folder: Path, name: str, record: BundleRecord) -> str:
    if name not in record.files:
        raise BundleError(f"The bundle {record.name} does not list {name}.", remedy=_INSTALL_AGAIN)
    return (folder / name).read_text(encoding="utf-8")


def _load_weights(module: nn.Module, folder: Path, name: str) -> None:
    try:
        load_strictly(module, _read_tensors(folder / name))
    except CheckpointError as error:
        raise BundleError(f"{name}: {error.message}", remedy=_INSTALL_AGAIN) from error


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, floating point ones in single precision."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path} cannot be read: {error}.", remedy=_INSTALL_AGAIN) from error
    return {key: t.float() if t.is_floating_point() else t for key, t in from_bytes(tensors).items()}


def _stored(tensors: Mapping[str, Tensor], byte_weights: tuple[str, ...]) -> dict[str, Tensor]:
    """Tensors as they are kept on disk: weights whose names begin with one of `byte_weights` in eight bits,
    other numbers in half precision where that loses no range."""
    stored = {}
    for name, tensor in tensors.items():
        if name.startswith(byte_weights) and tensor.dim() > 1:
            stored[name], stored[name + SCALE] = to_bytes(tensor)
        else:
            stored[name] = _halved(tensor)
    return stored


def _halved(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    fits = tensor.numel() == 0 or float(tensor.abs().max()) < torch.finfo(torch.float16).max
    return tensor.half() if fits else tensor.float()


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    save_file({key: t.detach().cpu().contiguous().clone() for key, t in tensors.items()}, path)
