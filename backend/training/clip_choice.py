"""Which CLIP a bundle is aligned with: one of open_clip's, by tag or weights file, or another bundle's.

What bundle.json will say of it comes along, and an identity under which its features are cached.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.bundle_places import resolve_bundle
from backend.bundles import file_sha256, load_clip, read_record, verify_bundle
from backend.checkpoint_file import read_state_dict
from backend.clip_encoder import ClipEncoder, build_open_clip
from backend.errors import SettingError
from backend.weights import load_strictly

logger = logging.getLogger(__name__)

_QUICK = "-quickgelu"


@dataclass(frozen=True)
class ChosenClip:
    """A CLIP with weights, in evaluation mode."""

    encoder: ClipEncoder
    record: dict[str, Any]
    """bundle.json's `clip`."""
    identity: str
    """Differs between CLIPs with other features."""
    title: str
    """For descriptions."""


def choose_clip(
    architecture: str | None,
    pretrained: str | None,
    *,
    bundle: str | Path | None = None,
    allow_download: bool = False,
) -> ChosenClip:
    """The CLIP of an open_clip architecture with a pretrained tag or weights file, or that of a bundle.

    SettingError where the choice is none or double, BundleError for an unknown architecture or tag, or for
    weights that are not here without `allow_download`; CheckpointError for a file that does not fit.
    """
    if (bundle is None) == (architecture is None):
        raise SettingError(
            "Neither a CLIP nor a bundle to take it from is given."
            if bundle is None
            else "A CLIP is named, and a bundle to take it from as well.",
            remedy="Give --clip ARCH with --pretrained TAG, or --clip-bundle BUNDLE.",
        )
    if bundle is not None:
        return _from_bundle(bundle, allow_download)
    assert architecture is not None
    if pretrained is None:
        raise SettingError(
            f"No weights are named for {architecture}.",
            remedy="Give --pretrained with one of open_clip's tags, for example openai, or a file.",
        )
    if Path(pretrained).is_file():
        return _from_file(architecture, Path(pretrained))
    architecture = matching_activation(architecture, pretrained)
    encoder = build_open_clip(architecture, pretrained, allow_download=allow_download).eval()
    record = {"kind": "open_clip", "architecture": architecture, "pretrained": pretrained}
    return ChosenClip(encoder, record, f"{architecture}/{pretrained}", f"{architecture} ({pretrained})")


def matching_activation(architecture: str, tag: str) -> str:
    """The architecture's quick-GELU twin where the tag's weights were trained with that activation, as
    OpenAI's were: open_clip would only warn, and the features would be wrong."""
    import open_clip

    config = open_clip.get_model_config(architecture) or {}
    trained = open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False)
    twin = f"{architecture}{_QUICK}"
    if trained and not config.get("quick_gelu") and twin in open_clip.list_models():
        logger.info("The weights %s want quick GELU: taking %s.", tag, twin)
        return twin
    return architecture


def _from_file(architecture: str, path: Path) -> ChosenClip:
    """The file's weights go into the bundle, since a path means nothing on another machine."""
    encoder = build_open_clip(architecture, None).eval()
    load_strictly(encoder.model, read_state_dict(path))
    record = {"kind": "open_clip", "architecture": architecture, "pretrained": None}
    return ChosenClip(encoder, record, f"{architecture}/{file_sha256(path)}", f"{architecture} ({path.name})")


def _from_bundle(name: str | Path, allow_download: bool) -> ChosenClip:
    folder = resolve_bundle(name)
    record = read_record(folder)
    verify_bundle(folder, record)
    encoder = load_clip(folder, record, allow_download=allow_download).eval()
    values = dict(record.clip)
    weights = record.files.get("clip.safetensors", {}).get("sha256")
    pretrained = values.get("pretrained")
    if pretrained is not None and (folder / pretrained).is_file():
        # Named as a file beside the other bundle's record: the weights move into the new bundle instead.
        weights, values["pretrained"] = file_sha256(folder / pretrained), None
    identity = weights or f"{values.get('architecture')}/{pretrained}"
    return ChosenClip(encoder, values, identity, f"{record.name}'s CLIP")
