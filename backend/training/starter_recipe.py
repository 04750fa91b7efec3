"""The recipe of the shipped starter: sizes of its models, settings of every part of its training."""

import json
from dataclasses import dataclass
from pathlib import Path

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
from backend.datasets.procedural.corpus import CorpusSettings
from backend.errors import SettingError
from backend.training.loop import LoopSettings

CLIP_CONFIG = {
    "embed_dim": 256,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 24, "head_width": 24},
    "text_cfg": {"width": 128, "heads": 4, "layers": 2},
}
"""open_clip's arguments of the starter's CLIP: a slim ModifiedResNet and a two-layer text tower."""
MEAN, DEVIATION = (0.75, 0.75, 0.75), (0.3, 0.3, 0.3)
"""Image normalisation of the starter's CLIP: its images are mostly white."""
FLOW = {"hidden": 512, "blocks": 6, "neighbours": 48, "start": 0.55, "guidance": 2.0}
"""Width and residual blocks of the flow, how it uses its bank, and how far it is guided."""
AZIMUTHS = 32
"""Directions among which the image encoder tells where an image was taken from."""
TEST_SEED = 7_000_000
"""Seed of the held-out corpus; training seeds are smaller."""


@dataclass(frozen=True)
class StarterSettings(Settings):
    """The recipe of the shipped starter."""

    corpus: CorpusSettings = CorpusSettings(
        shapes=40_000, views=4, image_size=96, uniform_points=0, near_points=0
    )
    """Shapes with images, for CLIP and the image encoder."""
    hard: CorpusSettings = CorpusSettings(
        seed=2, shapes=24_000, views=4, image_size=96, uniform_points=0, near_points=0, captions=1,
        categories=("bookshelf", "chair", "bookshelf", "table", "bookshelf"),
    )  # fmt: skip
    """More shapes with images for the image encoder, of categories that it rebuilds worst."""
    described: CorpusSettings = CorpusSettings(
        shapes=160_000, views=0, uniform_points=0, near_points=0, captions=3
    )
    """Shapes with parts and captions alone, for codes and the mapper; the first are those of `corpus`."""
    test: CorpusSettings = CorpusSettings(
        seed=TEST_SEED, shapes=960, views=2, image_size=96, uniform_points=4096, near_points=256
    )
    codes: LoopSettings = LoopSettings(
        steps=10_000, batch=256, learning_rate=1.5e-3, weight_decay=0.01, average=0.999
    )
    decoder: LoopSettings = LoopSettings(
        steps=24_000, batch=256, learning_rate=7e-4, weight_decay=0.01, average=0.999, final_rate=0.01
    )
    """The decoder alone, once the codes are what they are."""
    names: LoopSettings = LoopSettings(
        steps=4000, batch=256, learning_rate=2e-3, weight_decay=0.01, average=0.998, checkpoint_every=1000
    )
    """What parts are called, once the decoder is what it is."""
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
        steps=16_000, batch=128, learning_rate=2e-3, weight_decay=0.02, average=0.999, warmup=400
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
            agreement_weight=2.0, strangeness_weight=0.5, pieces_weight=0.12,
        ),
        mesh=MeshSettings(resolution=128, bridge_gap=0.13, speck_fraction=0.05),
    )  # fmt: skip


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
