"""Makes a tiny bundle, so that tests run the whole product in seconds.

CLIP and mapper have random weights. The SVR model is a DVR whose decoder is set by hand: the shape is an
octahedron |x| + |y| + |z| < radius whose radius and redness follow the first two numbers of the code.
"""

from pathlib import Path
from typing import Any

import torch

from backend.bundles import BundleRecord, build_mapper, save_bundle
from backend.clip_encoder import ClipEncoder, build_tiny_clip
from backend.config import MapperSettings, MeshSettings, PipelineSettings, RenderSettings, Stage2Settings
from backend.svr.dvr import DvrModel
from backend.whitening import Whitening
from backend.word_tokenizer import WordTokenizer

WORDS = ("a", "red", "blue", "chair", "table", "with", "high", "back", "wheels")
CODE_SIZE = 4
RADIUS = 0.3
"""Of the octahedron of the zero code."""
SHARPNESS = 20.0
"""Logits per unit of length."""

TINY_CLIP: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"layers": [1, 1, 1, 1], "width": 8, "head_width": 8, "image_size": 32},
    "text_cfg": {"width": 16, "heads": 2, "layers": 1},
}

TINY_SETTINGS = PipelineSettings(
    render=RenderSettings(march_steps=16, secant_steps=3, grid_resolution=0),
    stage2=Stage2Settings(steps=3, views=2, view_size=16, learning_rate=0.01, evaluation_views=2),
    mapper=MapperSettings(candidates=2, noise_scale=0.5),
    mesh=MeshSettings(resolution=16),
)


def tiny_encoder(seed: int = 0) -> ClipEncoder:
    """A CLIP with random weights, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = build_tiny_clip(TINY_CLIP, WordTokenizer(WORDS, context_length=16))
    return encoder.eval()


def tiny_svr(seed: int = 0) -> DvrModel:
    """The octahedron model: logit = SHARPNESS * (RADIUS + 0.05 * code[0] - |x| - |y| - |z|)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DvrModel(code_size=CODE_SIZE, width=9, blocks=1, image_size=32)
    decoder = model.decoder
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.zero_()
        for axis in range(3):
            decoder.fc_p.weight[2 * axis, axis] = 1.0
            decoder.fc_p.weight[2 * axis + 1, axis] = -1.0
        decoder.fc_p.bias[6:] = 10.0  # channels 6, 7, 8 stay positive, so the code passes the ReLU
        decoder.fc_c[0].weight[6, 0] = 0.05
        decoder.fc_c[0].weight[7, 1] = 1.0
        decoder.fc_out.weight[0, :6] = -SHARPNESS
        decoder.fc_out.weight[0, 6] = SHARPNESS
        decoder.fc_out.weight[1, 7] = 1.0
        decoder.fc_out.bias[:2] = torch.tensor([SHARPNESS * (RADIUS - 10.0), -10.0])
    return model.eval()


def write_tiny_bundle(
    parent: Path, *, settings: PipelineSettings = TINY_SETTINGS, seed: int = 0, name: str = "tiny"
) -> Path:
    """Write the bundle `parent`/`name` and return its folder."""
    clip = tiny_encoder(seed)
    svr = tiny_svr(seed)
    mapper_values = {"kind": "regressor", "architecture": {"widths": [16, CODE_SIZE]}}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mapper = build_mapper(mapper_values)
        for parameter in mapper.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    record = BundleRecord(
        name=name,
        clip={"kind": "tiny", "config": TINY_CLIP},
        svr={"kind": "dvr", "architecture": svr.architecture()},
        mapper=mapper_values,
        settings=settings,
        categories=("chair", "table"),
        licence="none needed: random weights",
    )
    save_bundle(
        parent / name,
        record,
        clip=clip,
        svr=svr,
        mapper=mapper,
        whitening=Whitening(torch.zeros(CODE_SIZE), torch.eye(CODE_SIZE)[:2], torch.tensor([1.0, 0.5])),
        examples=("a red chair", "a blue table"),
    )
    return parent / name
