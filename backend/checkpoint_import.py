"""Public checkpoints of the method's models to bundles: official ISS, DVR, IM-NET, SS3D and GET3D files.

The parts are told apart by their public parameter names, every tensor must find its place, and the bundle
gets the settings that the model was published with. A checkpoint without a mapper gives a bundle that
`align` completes. The bundle appears whole or not at all.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backend.bundles import BundleRecord, load_bundle, save_bundle
from backend.checkpoint_file import read_state_dict
from backend.clip_encoder import ClipEncoder, build_open_clip
from backend.config import MapperSettings, PipelineSettings, RenderSettings, Stage2Settings
from backend.errors import CheckpointError, SettingError
from backend.get3d_mapper import Get3dMapper
from backend.mapper import Mapper, RegressingMapper
from backend.model_store import check_free
from backend.svr.base import ExplicitSvrModel, SvrModel
from backend.svr.dvr import DvrModel
from backend.svr.get3d import Get3dModel
from backend.svr.imnet import ImnetModel
from backend.svr.ss3d import Ss3dModel
from backend.weights import load_strictly
from backend.whitening import Whitening

logger = logging.getLogger(__name__)

PAPER_CLIP = ("ViT-B-32-quickgelu", "openai")
"""Architecture and tag of the CLIP that ISS was published with."""
CLIP_PREFIX = "clip_model."
ISS_PREFIXES = ("encoder.", "decoder.", "generator.", CLIP_PREFIX)
_WHITENING_SAMPLES, _WHITENING_COMPONENTS = 1024, 256
"""Random shapes, and directions kept, for the statistics of a generator's codes."""
_PAPER_NOISE = 0.23
"""The paper's noise mix for features of unit length (see `mix_noise`)."""
_SHOWN = 8


@dataclass(frozen=True)
class ImportKind:
    """One family of checkpoints."""

    build: Callable[..., SvrModel]
    """From a state dict; GET3D's takes scale besides."""
    settings: PipelineSettings
    prefixes: tuple[str, ...] = ()
    """Parts that a file may hold; empty where the builder judges every key."""
    needs_mapper: bool = False


def _settings(render: RenderSettings, **stage2: Any) -> PipelineSettings:
    return PipelineSettings(
        render=render,
        stage2=Stage2Settings(**stage2),
        mapper=MapperSettings(noise_scale=_PAPER_NOISE, candidates=1),
    )


# Choy et al.'s cameras stand at 1.14 to 1.75 and 25 to 30 degrees; stage 2 moves them 1.5 times further away.
_CHOY = {"distance": (1.7, 2.6), "elevation_deg": (25.0, 30.0)}
_DVR_SETTINGS = _settings(RenderSettings(), **_CHOY)

KINDS: dict[str, ImportKind] = {
    "iss": ImportKind(DvrModel.from_public, _DVR_SETTINGS, ISS_PREFIXES, needs_mapper=True),
    "dvr": ImportKind(DvrModel.from_public, _DVR_SETTINGS, ISS_PREFIXES),
    # Without colour only shading shows the shape to CLIP.
    "imnet": ImportKind(ImnetModel.from_public, _settings(RenderSettings(shading="lambert"), **_CHOY)),
    "ss3d": ImportKind(
        Ss3dModel.from_public, _settings(RenderSettings(), distance=(1.3, 1.7), elevation_deg=(0.0, 30.0))
    ),
    # ISS-GET3D: 20 views, no background loss, a far smaller step; cameras 75 +- 15 degrees from straight up.
    "get3d": ImportKind(
        Get3dModel.from_public,
        _settings(
            RenderSettings(), views=20, learning_rate=2e-6, clip_weight=1.0, background_weight=0.0,
            distance=(1.2, 1.2), elevation_deg=(0.0, 30.0),
        ),
    ),
}  # fmt: skip
"""What `--as` takes."""


def import_checkpoint(
    path: Path,
    kind: str,
    out: Path,
    *,
    licence: str = "",
    description: str = "",
    mapper: Path | None = None,
    clip_from: str | Path | None = None,
    clip: tuple[str, str] = PAPER_CLIP,
    scale: float | None = None,
    replace: bool = False,
) -> BundleRecord:
    """Write the checkpoint `path` as the bundle folder `out` and return its record.

    mapper: a further file with the mapper. clip_from: a bundle whose CLIP to take; clip: else the open_clip
    architecture and tag to name in the bundle, unless the file holds CLIP itself. scale: GET3D's grid size
    (0.8 chairs, 1.0 cars and motorbikes). replace: a bundle that is there. CheckpointError where the file is
    unsafe or does not fit, SettingError for a wrong wish, OutputError where the bundle cannot be written.
    """
    if kind not in KINDS:
        raise SettingError(f"There is no kind {kind!r}.", remedy=f"Use --as with one of: {', '.join(KINDS)}.")
    if scale is not None and kind != "get3d":
        raise SettingError(f"A {kind} model has no grid scale.", remedy="Leave out --scale.")
    check_free(out, replace=replace)
    chosen = KINDS[kind]
    weights = read_state_dict(path)
    _refuse_strangers(weights, chosen.prefixes, path.name)
    svr = chosen.build(weights, **({} if scale is None else {"scale": scale}))
    found_mapper = _find_mapper(weights, mapper)
    if chosen.needs_mapper and found_mapper is None:
        raise CheckpointError(
            f"{path.name} has no generator.* tensors, the mapper of an ISS checkpoint.",
            remedy="Import it --as dvr, and run `align` on the bundle.",
        )
    if found_mapper is not None and _code_size(found_mapper) != svr.spec.code_size:
        raise CheckpointError(
            f"The mapper gives codes of {_code_size(found_mapper)} numbers, the {svr.spec.kind} model takes "
            f"{svr.spec.code_size}.",
            remedy="Give a mapper that was trained for this model.",
        )
    encoder, clip_values = _clip_part(weights, clip_from, clip)
    _check_features(found_mapper, encoder)
    record = BundleRecord(
        name=out.name,
        description=description or f"Imported from {path.name}",
        licence=licence,
        clip=clip_values,
        svr={"kind": svr.spec.kind, "architecture": svr.architecture()},
        mapper=_mapper_values(found_mapper),
        settings=_adapted(chosen.settings, has_mapper=found_mapper is not None),
        training={"imported": path.name, "as": kind},
    )
    whitening = _code_statistics(svr) if isinstance(svr, ExplicitSvrModel) else None
    return save_bundle(out, record, clip=encoder, svr=svr, mapper=found_mapper, whitening=whitening)


def _refuse_strangers(weights: Mapping[str, Tensor], prefixes: Sequence[str], name: str) -> None:
    strangers = [key for key in weights if prefixes and not key.startswith(tuple(prefixes))]
    if strangers:
        shown = ", ".join(strangers[:_SHOWN]) + (" ..." if len(strangers) > _SHOWN else "")
        raise CheckpointError(
            f"{name} has {len(strangers)} unknown keys: {shown}.",
            remedy=f"Choose --as by what the file is; this kind has the parts {', '.join(prefixes)}.",
        )


def _find_mapper(weights: Mapping[str, Tensor], path: Path | None) -> Mapper | None:
    """The mapper of the checkpoint itself or of its own file, None where there is none."""
    if path is not None:
        weights = read_state_dict(path)
        if "linear_1g1.weight" in weights:
            return Get3dMapper.from_public(weights)
        if not any(key.startswith("generator.") for key in weights):
            raise CheckpointError(
                f"{path.name} holds no mapper: neither generator.linear_1 nor linear_1g1.",
                remedy="Give an ISS checkpoint or the mapper of ISS-GET3D.",
            )
    elif not any(key.startswith("generator.") for key in weights) or "img_encoder.conv_0.weight" in weights:
        return None  # IM-NET calls its decoder generator
    return RegressingMapper.from_public(weights)


def _check_features(mapper: Mapper | None, encoder: ClipEncoder | None) -> None:
    if mapper is None or encoder is None:
        return
    first, *_ = mapper.parameters()
    if first.shape[1] != encoder.feature_size:
        raise CheckpointError(
            f"The mapper reads features of {first.shape[1]} numbers, the CLIP gives {encoder.feature_size}.",
            remedy="Choose the CLIP that the mapper was trained with.",
        )


def _code_size(mapper: Mapper) -> int:
    *_, last = mapper.parameters()
    heads = 2 if isinstance(mapper, Get3dMapper) else 1
    return heads * len(last)


def _mapper_values(mapper: Mapper | None) -> dict[str, Any]:
    if mapper is None:
        return {}
    kind = "get3d" if isinstance(mapper, Get3dMapper) else "regressor"
    return {"kind": kind, "architecture": mapper.architecture()}


def _adapted(settings: PipelineSettings, *, has_mapper: bool) -> PipelineSettings:
    """The paper tunes the mapper; a bundle that has none yet keeps our default."""
    return settings.replace(stage2=settings.stage2.replace(target="mapper")) if has_mapper else settings


def _code_statistics(svr: ExplicitSvrModel) -> Whitening:
    """Of a generator's own random shapes, always the same ones."""
    with torch.no_grad():
        codes = svr.sample_codes(_WHITENING_SAMPLES, torch.Generator().manual_seed(0))
    return Whitening.fit(codes, components=min(_WHITENING_COMPONENTS, svr.spec.code_size))


def _clip_part(
    weights: Mapping[str, Tensor], clip_from: str | Path | None, named: tuple[str, str]
) -> tuple[ClipEncoder | None, dict[str, Any]]:
    """The CLIP to store (None: only named) and the record's `clip`."""
    inside = {k.removeprefix(CLIP_PREFIX): v for k, v in weights.items() if k.startswith(CLIP_PREFIX)}
    if clip_from is not None:
        bundle = load_bundle(clip_from)
        return bundle.clip, bundle.record.clip
    if not inside:
        return None, {"kind": "open_clip", "architecture": named[0], "pretrained": named[1]}
    architecture = matching_architecture(inside)
    encoder = build_open_clip(architecture, None)
    load_strictly(encoder.model, inside)
    return encoder, {"kind": "open_clip", "architecture": architecture, "pretrained": None}


def matching_architecture(weights: Mapping[str, Tensor]) -> str:
    """Name of open_clip's quick-GELU architecture with the sizes of a CLIP state dict; CheckpointError where
    there is none.
    """
    import open_clip

    sizes = _clip_sizes(weights)
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        vision, text = config.get("vision_cfg", {}), config.get("text_cfg", {})
        if not config.get("quick_gelu") or not isinstance(vision.get("layers"), int):
            continue
        offered = {
            "embed_dim": config["embed_dim"],
            "vision width": vision.get("width"),
            "vision layers": vision["layers"],
            "patch size": vision.get("patch_size"),
            "image size": vision.get("image_size"),
            "text width": text.get("width"),
            "text layers": text.get("layers"),
            "vocabulary": text.get("vocab_size"),
        }
        if offered == sizes:
            return name
    raise CheckpointError(
        f"open_clip has no quick-GELU architecture like the file's CLIP: {sizes}.",
        remedy="Use --clip-from BUNDLE to take another bundle's CLIP.",
    )


def _clip_sizes(weights: Mapping[str, Tensor]) -> dict[str, int]:
    try:
        patches = weights["visual.conv1.weight"]
        text = weights["token_embedding.weight"]
        grid = round((len(weights["visual.positional_embedding"]) - 1) ** 0.5)
        embedding = weights["text_projection"].shape[1]
    except KeyError as error:
        raise CheckpointError(
            f"The clip_model part lacks {error}; only CLIP's vision transformers are imported.",
            remedy="Use --clip-from BUNDLE to take another bundle's CLIP.",
        ) from error

    def layers(prefix: str) -> int:
        return len({k.split(".")[prefix.count(".")] for k in weights if k.startswith(prefix)})

    return {
        "embed_dim": embedding,
        "vision width": patches.shape[0],
        "vision layers": layers("visual.transformer.resblocks."),
        "patch size": patches.shape[-1],
        "image size": grid * patches.shape[-1],
        "text width": text.shape[1],
        "text layers": layers("transformer.resblocks."),
        "vocabulary": text.shape[0],
    }
