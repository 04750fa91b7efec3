"""Training of the image tower beside texts and shapes that stay."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from backend.clip_encoder import build_tiny_clip
from backend.datasets.procedural.categories import CATEGORIES
from backend.datasets.procedural.corpus import Corpus, CorpusSettings, build_corpus, open_corpus
from backend.datasets.procedural.materials import COLORS
from backend.training.images import ImagesLoss
from backend.training.loop import LoopSettings, run_loop
from backend.word_tokenizer import WordTokenizer
from tests.backend.tiny_bundle import TINY_CLIP


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("images") / "corpus"
    size = TINY_CLIP["vision_cfg"]["image_size"]
    list(
        build_corpus(
            folder, CorpusSettings(shapes=4, views=2, image_size=size, uniform_points=1, near_points=1)
        )
    )
    return open_corpus(folder)


def _loss(corpus: Corpus) -> tuple[ImagesLoss, torch.nn.Module]:
    torch.manual_seed(0)
    captions = [record["captions"][:2] for record in corpus.records]
    plain = [f"a {color} {name}" for name in CATEGORIES for color in COLORS]
    words = WordTokenizer.from_captions([c for own in captions for c in own] + plain, context_length=24)
    clip = build_tiny_clip(TINY_CLIP, words)
    with torch.no_grad():
        texts = torch.stack([clip.encode_text(own) for own in captions])
    shapes = F.normalize(torch.randn(4, TINY_CLIP["embed_dim"]), dim=-1)
    return ImagesLoss(clip, corpus, texts, shapes, 4), clip.model


def test_a_choice_counts_the_category_over_all_colours_and_the_colour_of_plain_parts(corpus: Corpus) -> None:
    """Two images whose logits say for sure: the first a red one of its kind, the second nothing."""
    loss, _ = _loss(corpus)
    first, second = list(CATEGORIES)[:2]
    records = [
        {"category": first, "paints": {"body": ["red", "plain"]}},
        {"category": second, "paints": {"body": ["", "wood"]}},
    ]
    logits = torch.zeros(2, len(CATEGORIES) * len(COLORS))
    logits[0, list(COLORS).index("red")] = 100.0
    nothing = np.log(len(CATEGORIES))
    assert float(loss._named(logits, records)) == pytest.approx(nothing / 2, abs=1e-4)
    records[0]["paints"] = {"body": ["blue", "plain"]}
    assert float(loss._named(logits, records)) == pytest.approx(100 - nothing / 2, abs=1e-3)


def test_the_image_tower_learns_and_nothing_else(corpus: Corpus, tmp_path: Path) -> None:
    loss, model = _loss(corpus)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    settings = LoopSettings(steps=120, learning_rate=3e-3, warmup=5, checkpoint_every=120)
    first, *_, last = list(run_loop("images", model.visual, loss, settings, tmp_path))
    assert set(last.losses) == {"contrastive", "shape_image", "named"}
    assert all(last.losses[name] < 0.9 * first.losses[name] for name in last.losses), (first, last)
    now = model.state_dict()
    changed = {name.partition(".")[0] for name in now if not torch.equal(now[name], before[name])}
    assert changed == {"visual"}
