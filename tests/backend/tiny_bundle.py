"""Makes a tiny bundle with random weights, so that tests run the whole product in seconds."""

from typing import Any

import torch

from backend.clip_encoder import ClipEncoder, build_tiny_clip
from backend.word_tokenizer import WordTokenizer

WORDS = ("a", "red", "blue", "chair", "table", "with", "high", "back", "wheels")

TINY_CLIP: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"layers": [1, 1, 1, 1], "width": 8, "head_width": 8, "image_size": 32},
    "text_cfg": {"width": 16, "heads": 2, "layers": 1},
}


def tiny_encoder(seed: int = 0) -> ClipEncoder:
    """A CLIP with random weights, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = build_tiny_clip(TINY_CLIP, WordTokenizer(WORDS, context_length=16))
    return encoder.eval()
