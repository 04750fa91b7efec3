"""The table of public CLIPs and the way of their weights: cache, earlier download, network where allowed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.errors import CheckpointError, SettingError
from backend.known_clips import KNOWN_CLIPS, clip_source, fetch_clip, known_clip
from backend.model_store import downloaded
from backend.training.clip_choice import matching_activation

CLIP = KNOWN_CLIPS["vit-b-32"]


def test_the_table_names_what_open_clip_has_with_the_right_activation() -> None:
    import open_clip

    for name, clip in KNOWN_CLIPS.items():
        assert clip.name == name and clip.licence and clip.page.startswith("https://")
        config = open_clip.get_pretrained_cfg(clip.architecture, clip.pretrained)
        assert config, name
        assert matching_activation(clip.architecture, clip.pretrained) == clip.architecture
        wanted = open_clip.get_model_config(clip.architecture) or {}
        assert bool(wanted.get("quick_gelu")) == bool(config.get("quick_gelu")), name
    code = "import sys; import backend.known_clips; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_the_told_size_is_that_of_the_parameters() -> None:
    """ViT-B/32 counted by hand: two transformers of 12 layers, embeddings and projections; 4 bytes each."""

    def transformer(width: int, layers: int) -> int:
        return layers * (12 * width**2 + 13 * width)  # attention 4 + 4, perceptron 8 + 5, two norms 4

    vision = 768 * 3 * 32**2 + 768 + 50 * 768 + 4 * 768 + transformer(768, 12) + 768 * 512
    text = 49408 * 512 + 77 * 512 + 2 * 512 + transformer(512, 12) + 512 * 512
    assert CLIP.megabytes == round(4 * (vision + text + 1) / 1e6)


def test_the_address_is_open_clip_s_own(tmp_path: Path) -> None:
    import open_clip

    config = open_clip.get_pretrained_cfg(CLIP.architecture, CLIP.pretrained)
    source = clip_source(CLIP, config)
    assert source.url.endswith("/vit_base_patch32_clip_224.openai/resolve/main/open_clip_model.safetensors")
    assert source.name == "clip-vit-b-32" and source.licence == CLIP.licence
    assert clip_source(CLIP, {"url": "https://example.org/w.pt"}).url == "https://example.org/w.pt"


def test_nothing_is_fetched_while_offline_or_when_it_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr("backend.model_store._fetch", refuse)
    monkeypatch.setattr("backend.clip_encoder.cached_weights", lambda config: None)
    with pytest.raises(CheckpointError, match="going online is not allowed") as caught:
        next(fetch_clip(CLIP, tmp_path, online=False))
    assert "Preferences" in caught.value.remedy and not list(tmp_path.iterdir())
    kept = tmp_path / "clip-vit-b-32.safetensors"
    kept.write_bytes(b"x")
    for online in (False, True):
        with pytest.raises(StopIteration) as end:
            next(fetch_clip(CLIP, tmp_path, online=online))
        assert end.value.value == kept
    monkeypatch.setattr("backend.clip_encoder.cached_weights", lambda config: Path("cached"))
    with pytest.raises(StopIteration) as end:
        next(fetch_clip(CLIP, tmp_path, online=False))
    assert end.value.value == Path("cached")
    assert downloaded(clip_source(CLIP, {}), tmp_path) is None, "without an address there is no download"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(SettingError, match="no known CLIP 'x'"):
        known_clip("x")
