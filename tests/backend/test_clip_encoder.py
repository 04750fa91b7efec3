"""The CLIP wrapper on a tiny random model: normalisation, gradients, cache, refusals."""

import pytest
import torch

from backend.clip_encoder import build_open_clip, build_tiny_clip
from backend.errors import BundleError
from backend.word_tokenizer import WordTokenizer
from tests.backend.tiny_bundle import TINY_CLIP, tiny_encoder


def test_features_have_unit_length_and_the_right_shape() -> None:
    encoder = tiny_encoder()
    images = torch.rand(2, 3, 40, 30, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = encoder.encode_image(images)
        raw = encoder.encode_image_raw(images)
    assert features.shape == (2, encoder.feature_size)
    assert torch.allclose(features.norm(dim=-1), torch.ones(2), atol=1e-6)
    assert torch.allclose(features, raw / raw.norm(dim=-1, keepdim=True), atol=1e-6)
    assert torch.allclose(encoder.encode_text(["a red chair"]).norm(), torch.tensor(1.0), atol=1e-6)


def test_images_are_normalised_with_the_models_own_mean_and_deviation() -> None:
    encoder = tiny_encoder()
    size = encoder.image_size
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
    assert encoder.prepare_images(mean.expand(1, 3, size, size)).abs().max() < 1e-6
    white = encoder.prepare_images(torch.ones(1, 3, size * 3, size * 2))
    assert white.shape == (1, 3, size, size)
    assert torch.allclose(
        white[0, :, 0, 0], (1 - mean.flatten()) / torch.tensor([0.26862954, 0.26130258, 0.27577711])
    )


def test_image_features_are_differentiable_in_the_images() -> None:
    encoder = tiny_encoder()
    images = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(1), requires_grad=True)
    encoder.encode_image(images)[0, 0].backward()
    assert images.grad is not None and images.grad.abs().sum() > 0


def test_text_features_are_kept_until_forgotten() -> None:
    encoder = tiny_encoder()
    before = encoder.encode_text(["a red chair", "a table", "a red chair"])
    assert torch.equal(before[0], before[2]) and not torch.equal(before[0], before[1])
    with torch.no_grad():
        encoder.model.text_projection.neg_()
    assert torch.equal(encoder.encode_text(["a table"])[0], before[1])
    encoder.forget_texts()
    assert torch.allclose(encoder.encode_text(["a table"])[0], -before[1])


def test_the_nearest_text_of_a_known_text_is_itself() -> None:
    encoder = tiny_encoder()
    text, cosine = encoder.nearest_text("a red chair", ["a table", "a red chair"]) or ("", 0.0)
    assert text == "a red chair" and cosine == pytest.approx(1.0, abs=1e-5)
    assert encoder.nearest_text("a red chair", []) is None


def test_a_configuration_that_contradicts_the_vocabulary_is_refused() -> None:
    config = {**TINY_CLIP, "text_cfg": {**TINY_CLIP["text_cfg"], "vocab_size": 5}}
    with pytest.raises(BundleError, match="vocab_size 5"):
        build_tiny_clip(config, WordTokenizer(["a"]))
    with pytest.raises(BundleError, match="not one of open_clip's"):
        build_tiny_clip({"embed_dim": 8, "vision_cfg": {"colour": 1}}, WordTokenizer(["a"]))


def test_open_clip_names_are_checked_and_nothing_is_fetched_unasked(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("backend.clip_encoder.cached_weights", lambda config: None)
    with pytest.raises(BundleError, match="no architecture 'ViT-B-33'"):
        build_open_clip("ViT-B-33", "openai")
    with pytest.raises(BundleError, match="neither a file nor a pretrained tag"):
        build_open_clip("ViT-B-32-quickgelu", "nobody")
    with pytest.raises(BundleError, match="--allow-download"):
        build_open_clip("ViT-B-32-quickgelu", "openai")
