"""CLIP (E_I and E_T of the method) behind one small class.

The models are open_clip's own: a tiny one from a configuration in a bundle, with the word-level tokenizer,
or any architecture and pretrained tag that open_clip knows. Weights are fetched by open_clip, and only at
the user's wish. Image features are differentiable in the images, which stage 2 needs.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from backend.errors import BundleError
from backend.word_tokenizer import TokenReport, WordTokenizer, script_report

logger = logging.getLogger(__name__)

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)

_DEFAULT_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")

_CACHED_TEXTS = 10_000
"""Text features kept; a tiny feature each, so the cache stays below 20 MB."""


class ClipEncoder(nn.Module):
    """Images and texts to features in CLIP space (Omega_I and Omega_T)."""

    def __init__(
        self,
        model: nn.Module,
        tokenizer: WordTokenizer | Callable[[Sequence[str]], Tensor],
        *,
        image_mean: Sequence[float] = OPENAI_MEAN,
        image_std: Sequence[float] = OPENAI_STD,
    ) -> None:
        """`model` is an open_clip model; mean and deviation are those its images were normalised with."""
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.register_buffer("image_mean", torch.tensor(image_mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("image_std", torch.tensor(image_std).view(1, 3, 1, 1), persistent=False)
        self._texts: dict[str, Tensor] = {}

    @property
    def image_size(self) -> int:
        """Pixels per side of the square images that CLIP sees."""
        size = self.model.visual.image_size
        return int(size[0] if isinstance(size, (tuple, list)) else size)

    @property
    def feature_size(self) -> int:
        """Numbers in a feature."""
        with torch.no_grad():
            return int(self.encode_text_raw(["a"]).shape[-1])

    @property
    def device(self) -> torch.device:
        return self.image_mean.device

    def prepare_images(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [0, 1], any size, as CLIP wants them: resized (bicubic), normalised."""
        size = (self.image_size, self.image_size)
        if images.shape[-2:] != size:
            images = F.interpolate(images, size=size, mode="bicubic", antialias=True, align_corners=False)
            # Bicubic overshoots at edges; 8-bit resizing, which CLIP was trained with, clips as well.
            images = images.clamp(0.0, 1.0)
        return (images - self.image_mean) / self.image_std

    def encode_image_raw(self, images: Tensor) -> Tensor:
        """Features [B, F] as the model gives them, of images [B, 3, H, W] in [0, 1]."""
        return self.model.encode_image(self.prepare_images(images))

    def encode_image(self, images: Tensor) -> Tensor:
        """Unit features [B, F] of images [B, 3, H, W] in [0, 1]; differentiable in the images."""
        return F.normalize(self.encode_image_raw(images).float(), dim=-1)

    def encode_text_raw(self, texts: Sequence[str]) -> Tensor:
        """Features [B, F] as the model gives them."""
        tokens = self.tokenizer(list(texts)).to(self.device)
        if not isinstance(self.tokenizer, WordTokenizer):
            return self.model.encode_text(tokens)
        # Words look back only, so what stands behind the last one changes nothing but the time.
        length = int((tokens != 0).sum(1).max())
        tower = _TextTower(self.model)
        shortened = {
            "model.positional_embedding": self.model.positional_embedding[:length],
            "model.attn_mask": self.model.attn_mask[:length, :length],
        }
        return functional_call(tower, shortened, (tokens[:, :length],))

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Unit features [B, F], without gradients; each text is encoded once and kept."""
        missing = list(dict.fromkeys(text for text in texts if text not in self._texts))
        if missing:
            if len(self._texts) + len(missing) > _CACHED_TEXTS:
                self._texts.clear()
                missing = list(dict.fromkeys(texts))
            features = F.normalize(self.encode_text_raw(missing).float(), dim=-1)
            self._texts.update(zip(missing, features, strict=True))
        return torch.stack([self._texts[text] for text in texts]).to(self.device)

    def forget_texts(self) -> None:
        """Drop the kept text features; needed after the weights changed."""
        self._texts.clear()

    def report(self, text: str) -> TokenReport:
        """What the tokenizer loses of a text."""
        own = getattr(self.tokenizer, "report", None)
        return own(text) if own else script_report(text)

    def nearest_text(self, text: str, candidates: Sequence[str]) -> tuple[str, float] | None:
        """The candidate with the most similar feature and the cosine; None without candidates."""
        if not candidates:
            return None
        cosines = self.encode_text(list(candidates)) @ self.encode_text([text])[0]
        best = int(cosines.argmax())
        return candidates[best], float(cosines[best])


class _TextTower(nn.Module):
    """A model's text tower as a module of its own."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model.encode_text(tokens)


def build_tiny_clip(
    config: dict[str, Any],
    tokenizer: WordTokenizer,
    *,
    image_mean: Sequence[float] = OPENAI_MEAN,
    image_std: Sequence[float] = OPENAI_STD,
) -> ClipEncoder:
    """A CLIP with random weights from open_clip's arguments: embed_dim, vision_cfg, text_cfg.

    The vocabulary size and context length come from the tokenizer; a configuration that says otherwise is
    refused with BundleError.
    """
    from open_clip.model import CLIP

    text_cfg = dict(config.get("text_cfg", {}))
    for key in ("vocab_size", "context_length"):
        wanted = getattr(tokenizer, key)
        if text_cfg.setdefault(key, wanted) != wanted:
            raise BundleError(
                f"The CLIP configuration has {key} {text_cfg[key]}, the vocabulary {wanted}.",
                remedy="Install the bundle again; its files do not belong together.",
            )
    try:
        model = CLIP(**{**config, "vision_cfg": dict(config["vision_cfg"]), "text_cfg": text_cfg})
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"The CLIP configuration is not one of open_clip's: {error}.",
            remedy="Check embed_dim, vision_cfg and text_cfg in bundle.json.",
        ) from error
    return ClipEncoder(model, tokenizer, image_mean=image_mean, image_std=image_std)


def build_open_clip(
    architecture: str, pretrained: str | None, *, folder: Path | None = None, allow_download: bool = False
) -> ClipEncoder:
    """An open_clip model by architecture name and pretrained tag or weights file.

    `pretrained` None leaves the weights random (the caller loads them). A file is looked for in `folder`
    first. A tag needs its weights in open_clip's cache, or `allow_download`; BundleError says so.
    """
    import open_clip

    if architecture not in open_clip.list_models():
        raise BundleError(
            f"open_clip knows no architecture {architecture!r}.",
            remedy="Choose one of open_clip.list_models(), for example ViT-B-32-quickgelu.",
        )
    source, preprocess = _weights_source(architecture, pretrained, folder, allow_download)
    try:
        model = open_clip.create_model(
            architecture, pretrained=source, force_preprocess_cfg=preprocess, pretrained_text=False
        )
        tokenizer = open_clip.get_tokenizer(architecture)
    except (RuntimeError, OSError, ValueError) as error:
        raise BundleError(
            f"The CLIP model {architecture} ({pretrained}) could not be made: {error}.",
            remedy="Check the network and the disk, or name a weights file as `pretrained` in bundle.json.",
        ) from error
    normalisation = open_clip.get_model_preprocess_cfg(model)
    return ClipEncoder(
        model,
        tokenizer,
        image_mean=normalisation.get("mean", OPENAI_MEAN),
        image_std=normalisation.get("std", OPENAI_STD),
    )


def _weights_source(
    architecture: str, pretrained: str | None, folder: Path | None, allow_download: bool
) -> tuple[str | None, dict[str, Any] | None]:
    """What to pass to open_clip as `pretrained`, and the image normalisation where it would not know it."""
    if pretrained is None:
        return None, None
    for place in ((folder / pretrained) if folder else None, Path(pretrained)):
        if place is not None and place.is_file():
            return str(place), None

    import open_clip

    config = open_clip.get_pretrained_cfg(architecture, pretrained)
    if not config:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)) or "none"
        raise BundleError(
            f"{pretrained!r} is neither a file nor a pretrained tag of {architecture}.",
            remedy=f"Choose one of: {tags}; or name a weights file.",
        )
    if allow_download:
        return pretrained, None
    cached = cached_weights(config)
    if cached is None:
        raise BundleError(
            f"The weights {pretrained} of {architecture} are not on this machine.",
            remedy="Pass --allow-download to let open_clip fetch them, or put a weights file into the "
            "bundle's folder and name it as `pretrained` in bundle.json.",
        )
    return str(cached), {key: config[key] for key in ("mean", "std") if key in config}


def weight_files(config: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Repository and file names, best first, of an open_clip pretrained configuration; "" where it has none.

    open_clip's convention: "owner/name/file", or "owner/name/" for its default file names.
    """
    repository, _, name = config.get("hf_hub", "").rpartition("/")
    return repository, (str(Path(name).with_suffix(".safetensors")), name) if name else _DEFAULT_NAMES


def cached_weights(config: dict[str, Any]) -> Path | None:
    """The weights file of an open_clip pretrained configuration, if an earlier download left it here."""
    from huggingface_hub import try_to_load_from_cache

    repository, names = weight_files(config)
    for candidate in names if repository else ():
        found = try_to_load_from_cache(repo_id=repository, filename=candidate)
        if isinstance(found, str):
            return Path(found)
    return None
