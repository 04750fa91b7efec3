"""Public CLIPs for "Use full CLIP": what they are, their licence and size, and how their weights come here.

The weights are those that open_clip names; its cache is looked into first. Our own download shows progress,
can be cancelled, and goes on where it stopped. Free of torch until weights are wanted.
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.errors import CheckpointError, SettingError
from backend.model_store import KnownModel, download, downloaded


@dataclass(frozen=True)
class KnownClip:
    """A CLIP that open_clip can build and its authors have published."""

    name: str
    title: str
    architecture: str
    """open_clip's, with the activation that the weights were trained with."""
    pretrained: str
    """open_clip's tag."""
    page: str
    licence: str
    megabytes: int
    """Of the weights in single precision."""


_OPENAI = ("https://github.com/openai/CLIP", "MIT (OpenAI; the page of the copy says Apache-2.0)")

KNOWN_CLIPS: dict[str, KnownClip] = {
    clip.name: clip
    for clip in (
        KnownClip("vit-b-32", "CLIP ViT-B/32 of OpenAI (the paper's)", "ViT-B-32-quickgelu", "openai",
                  *_OPENAI, 605),
        KnownClip("vit-b-16", "CLIP ViT-B/16 of OpenAI (sees finer, takes longer)", "ViT-B-16-quickgelu",
                  "openai", *_OPENAI, 599),
        KnownClip("vit-b-32-laion", "CLIP ViT-B/32 of LAION (two billion pictures)", "ViT-B-32",
                  "laion2b_s34b_b79k", "https://github.com/mlfoundations/open_clip", "MIT", 605),
    )
}  # fmt: skip
"""The first one is what "Use full CLIP" proposes."""


def known_clip(name: str) -> KnownClip:
    """The known CLIP of that name; SettingError lists the names."""
    if name not in KNOWN_CLIPS:
        raise SettingError(
            f"There is no known CLIP {name!r:.60}.", remedy=f"Choose one of: {', '.join(KNOWN_CLIPS)}."
        )
    return KNOWN_CLIPS[name]


def fetch_clip(
    clip: KnownClip, folder: Path | None = None, *, online: bool
) -> Generator[tuple[int, int], None, Path]:
    """The weights file of a CLIP, yielding bytes done and in all while it is fetched into `folder`.

    Nothing is fetched where open_clip's cache or an earlier download has it. online: whether the network may
    be used; CheckpointError where it would be needed and may not be, or where it fails.
    """
    import open_clip

    from backend.clip_encoder import cached_weights

    config = open_clip.get_pretrained_cfg(clip.architecture, clip.pretrained)
    cached = cached_weights(config)
    if cached is not None:
        return cached
    source = clip_source(clip, config)
    if not online and downloaded(source, folder) is None:
        raise CheckpointError(
            f"{clip.title}: its weights are not on this machine, and going online is not allowed.",
            remedy="Allow it in Edit > Preferences > System > Network, or give a weights file.",
        )
    return (yield from download(source, folder))


def clip_source(clip: KnownClip, config: dict[str, Any]) -> KnownModel:
    """Where the weights come from, as open_clip's pretrained configuration says."""
    from huggingface_hub import hf_hub_url

    from backend.clip_encoder import weight_files

    repository, names = weight_files(config)
    url = hf_hub_url(repository, names[0]) if repository else str(config.get("url", ""))
    name = f"clip-{clip.name}"
    return KnownModel(name, clip.title, "clip", clip.page, clip.licence, url, clip.megabytes)
