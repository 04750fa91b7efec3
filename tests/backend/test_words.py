"""Training of words beside a fixed image tower: a closed form of its contrast, and what it learns."""

from pathlib import Path

import numpy as np
import pytest
import torch

from backend.clip_encoder import build_tiny_clip
from backend.shape_tower import ShapeTower
from backend.training.loop import LoopSettings, run_loop
from backend.training.words import CaptionedShapes, TextStudent, WordsLoss, text_contrast
from backend.word_tokenizer import WordTokenizer
from tests.backend.tiny_bundle import TINY_CLIP

COLORS = ("red", "blue", "green", "black")
PAIRS = [(a, b) for a in COLORS for b in COLORS if a != b]
CAPTIONS = [f"a {a} chair with {b} legs" for a, b in PAIRS]


def test_contrast_is_nothing_where_all_is_told_apart() -> None:
    features = torch.eye(3)
    assert float(text_contrast(features, torch.eye(3), torch.arange(3), 3, torch.tensor(50.0))) < 1e-6


def test_an_altered_text_that_looks_like_the_true_one_costs_ln_2() -> None:
    """Found among two equal texts: ln 2 one way, nothing the other."""
    texts = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    loss = text_contrast(torch.eye(2), texts, torch.arange(2), 2, torch.tensor(50.0))
    assert float(loss) == pytest.approx(np.log(2) / 2, abs=1e-6)


def test_features_that_share_a_text_share_its_loss() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    loss = text_contrast(features, torch.eye(2), torch.tensor([0, 0, 1]), 2, torch.tensor(50.0))
    # Back: the first text must give half to each of its two equal features (ln 2), the second all to its own.
    assert float(loss) == pytest.approx(np.log(2) / 2 / 2, abs=1e-6)


def test_words_are_told_apart_by_what_belongs_to_what(tmp_path: Path) -> None:
    """Codes are one-hot of seat and legs: a bag of words would not tell red on black from black on red."""
    words = WordTokenizer.from_captions(CAPTIONS, context_length=12)
    torch.manual_seed(0)
    student = TextStudent(build_tiny_clip(TINY_CLIP, words), ShapeTower(8, TINY_CLIP["embed_dim"], hidden=32))
    image_tower = {k: v.clone() for k, v in student.clip.model.visual.state_dict().items()}
    codes = torch.zeros(len(PAIRS), 8)
    for row, (a, b) in enumerate(PAIRS):
        codes[row, COLORS.index(a)] = codes[row, 4 + COLORS.index(b)] = 1
    records = [{"category": "chair", "captions": [caption]} for caption in CAPTIONS]
    images = torch.nn.functional.normalize(torch.randn(len(PAIRS), 2, TINY_CLIP["embed_dim"]), dim=-1)
    loss = WordsLoss(
        student, CaptionedShapes(records, codes, images), CaptionedShapes(records, codes), batch=16
    )
    settings = LoopSettings(steps=160, learning_rate=3e-3, warmup=5, checkpoint_every=160)
    list(run_loop("words", student, loss, settings, tmp_path))
    with torch.no_grad():
        found = student.clip.encode_text(CAPTIONS) @ student.shape_tower(codes).T
    assert found.argmax(1).tolist() == list(range(len(PAIRS)))
    now = student.clip.model.visual.state_dict()
    assert all(torch.equal(value, now[name]) for name, value in image_tower.items())
