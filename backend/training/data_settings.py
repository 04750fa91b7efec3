"""Configurations of `train svr`, `train align` and `train clip`, read from JSON.

Values that a file leaves out keep their defaults, at every depth; keys that do not exist are named.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from backend.config import (
    MeshSettings,
    PipelineSettings,
    RenderSettings,
    Settings,
    Stage2Settings,
    bounded,
    one_of,
)
from backend.datasets.base import DataSettings
from backend.errors import SettingError
from backend.training.loop import LoopSettings
from backend.training.svr_loss import SvrLossSettings

TRAINABLE = ("dvr", "triplane", "imnet", "ss3d")
"""Kinds of SVR models that have a field to train."""
Chosen = TypeVar("Chosen", bound=Settings)


@dataclass(frozen=True)
class MappingSettings(Settings):
    """The mapper between CLIP and the SVR model, which every bundle needs (stage 1)."""

    mapper: str = one_of("regressor", "flow")
    """regressor: the paper's. flow: ours, generative."""
    steps: int = bounded(4000, 1, 10_000_000)
    seed: int = bounded(0, 0, 1_000_000)


@dataclass(frozen=True)
class SvrTraining(Settings):
    """`train svr`: an SVR model on a data set, then the mapper from a CLIP to it."""

    data: DataSettings = DataSettings()
    kind: str = one_of(*TRAINABLE)
    """Kind of SVR model."""
    architecture: dict[str, Any] = field(default_factory=dict)
    """Arguments of its class, see `backend/svr`; the published sizes where empty."""
    start: str = ""
    """A bundle whose SVR model is trained on, instead of one with random weights."""
    losses: SvrLossSettings = SvrLossSettings(background=0.0)
    loop: LoopSettings = LoopSettings(steps=100_000, batch=16, learning_rate=1e-4, final_rate=1.0, warmup=0)
    clip: str = "starter"
    """The bundle whose CLIP the new model is aligned with."""
    mapping: MappingSettings = MappingSettings()
    pipeline: PipelineSettings = PipelineSettings(
        render=RenderSettings(march_steps=64, grid_resolution=48),
        stage2=Stage2Settings(views=6, view_size=64, learning_rate=0.01, drift_weight=0.1),
        mesh=MeshSettings(resolution=128),
    )
    """The bundle's defaults for `generate`."""
    device: str = "auto"
    threads: int = bounded(0, 0, 1024)
    """Processor threads of each process; 0 takes all cores, shared between processes."""


@dataclass(frozen=True)
class AlignTraining(Settings):
    """`train align`: the mapper from any CLIP to any SVR model, on a data set (stage 1)."""

    data: DataSettings = DataSettings()
    svr: str = "starter"
    """The bundle whose SVR model is taken."""
    clip: str = ""
    """A bundle whose CLIP is taken; or else open_clip's, by the next two."""
    clip_architecture: str = ""
    clip_pretrained: str = ""
    allow_download: bool = False
    """Let open_clip fetch the weights."""
    mapping: MappingSettings = MappingSettings()
    background_loss: bool = True
    """Fine-tune the decoder at the same time, with its own losses and L_bg."""
    decoder_steps: int = bounded(2000, 1, 10_000_000)
    decoder_batch: int = bounded(16, 1, 65_536)
    losses: SvrLossSettings = SvrLossSettings()
    device: str = "auto"
    threads: int = bounded(0, 0, 1024)
    """Processor threads of each process; 0 takes all cores, shared between processes."""


@dataclass(frozen=True)
class ClipTraining(Settings):
    """`train clip`: a small CLIP on a data set's pictures and captions, then the mapper to an SVR model."""

    data: DataSettings = DataSettings()
    config: dict[str, Any] = field(default_factory=dict)
    """open_clip's embed_dim, vision_cfg and text_cfg; the starter's where empty."""
    context_length: int = bounded(32, 4, 256)
    """Words that the text tower reads."""
    start: str = ""
    """A bundle whose CLIP is trained on, with its own words."""
    loop: LoopSettings = LoopSettings(
        steps=20_000, batch=128, learning_rate=1e-3, weight_decay=0.02, average=0.99
    )
    svr: str = "starter"
    """The bundle whose SVR model the new CLIP is aligned with."""
    mapping: MappingSettings = MappingSettings(mapper="flow")
    device: str = "auto"
    threads: int = bounded(0, 0, 1024)
    """Processor threads of each process; 0 takes all cores, shared between processes."""


def read_config(path: Path, default: Chosen) -> Chosen:
    """The settings of a JSON file over `default`; SettingError where the file or a key is wrong."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingError(f"{path} cannot be read: {error}.", remedy="Give a JSON file.") from error
    if not isinstance(values, dict):
        raise SettingError(f"{path} holds no table.", remedy='Write {"data": {"folder": ...}} into it.')
    try:
        return type(default).from_dict(_merged(default.to_dict(), values))
    except SettingError as error:
        raise SettingError(f"{path}: {error.message}", remedy=error.remedy) from error


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """`new` over `old`, table by table; an empty table in `old` takes anything."""
    merged = {**old, **new}
    for name, before in old.items():
        given = new.get(name)
        if isinstance(before, dict) and before and isinstance(given, dict):
            merged[name] = _merged(before, given)
    return merged
