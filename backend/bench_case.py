"""What is measured: models, code, text feature and settings, of the paper's size or of a bundle."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backend.clip_encoder import ClipEncoder, build_open_clip
from backend.config import PipelineSettings, RenderSettings
from backend.device import resolve_device
from backend.errors import DatasetError, SettingError
from backend.ranking import Judge
from backend.svr.base import SvrModel
from backend.svr.dvr import DvrModel
from backend.whitening import Whitening

PROMPT = "a chair"
PAPER_CLIP = "ViT-B-32"
_ARCHIVE = "dvr_fitted.npz"


@dataclass(frozen=True)
class BenchCase:
    """Frozen models on their device, and what both paths do with them."""

    name: str
    clip: ClipEncoder
    svr: SvrModel
    whitening: Whitening
    feature: Tensor
    """[F], unit length."""
    code: Tensor
    """[C]"""
    settings: PipelineSettings

    @property
    def device(self) -> torch.device:
        return self.code.device

    @property
    def render(self) -> RenderSettings:
        return self.settings.render


def load_case(size: str, bundle: str, device: torch.device) -> BenchCase:
    """The paper's size, or the bundle with its own settings."""
    return paper_case(device) if size == "paper" else bundle_case(bundle, device)


def paper_case(device: torch.device) -> BenchCase:
    """Decoder and code of the reference's `dvr_fitted`, ViT-B/32 with random weights, the paper's settings.

    DatasetError where the reference archive is not found.
    """
    archive = np.load(_reference_folder() / _ARCHIVE)
    prefix = "sd/decoder."
    weights = {
        name[len(prefix) :]: torch.from_numpy(archive[name]).float()
        for name in archive.files
        if name.startswith(prefix)
    }
    svr = DvrModel()
    svr.decoder.load_state_dict(weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        clip = build_open_clip(PAPER_CLIP, None)
    for part in (svr, clip):
        part.to(device).eval().requires_grad_(False)
    code = torch.from_numpy(archive["in/c"])[0].to(device)
    return BenchCase(
        name="paper",
        clip=clip,
        svr=svr,
        whitening=Whitening.identity(len(code)).to(device),
        feature=clip.encode_text([PROMPT])[0],
        code=code,
        settings=PipelineSettings(),
    )


def bundle_case(name: str, device: torch.device) -> BenchCase:
    """A bundle, and the code that its mapper proposes for a prompt; SettingError for an explicit model."""
    from backend.bundles import load_bundle

    bundle = load_bundle(name, device=device)
    if bundle.spec.explicit or bundle.mapper is None:
        raise SettingError(
            f"The bundle {name} has no field or no mapper, so there is no dense path to compare with.",
            remedy="Choose a bundle with an implicit model.",
        )
    feature = bundle.clip.encode_text([PROMPT])[0]
    with torch.no_grad():
        code = bundle.mapper.propose(feature[None], torch.Generator().manual_seed(0), 0.0)[0]
    return BenchCase(bundle.name, bundle.clip, bundle.svr, bundle.whitening, feature, code, bundle.settings)


def warm_up(arguments: list[str]) -> None:
    """Load the case (size, bundle, device) and judge its code once: what a fresh process does first."""
    size, bundle, device = arguments
    case = load_case(size, bundle, resolve_device(device))
    settings = case.settings
    Judge(
        case.clip, case.svr, case.feature, stage2=settings.stage2, render=case.render, mapper=settings.mapper
    )(case.code)


def _reference_folder() -> Path:
    """The reference archives: ISS_REFERENCE_DIR, else ../shared/reference, else tests/reference."""
    root = Path(__file__).resolve().parent.parent
    named = os.environ.get("ISS_REFERENCE_DIR")
    places = [Path(named)] if named else [root.parent / "shared" / "reference", root / "tests" / "reference"]
    for place in places:
        if (place / _ARCHIVE).is_file():
            return place
    raise DatasetError(
        f"{_ARCHIVE} is not in {', '.join(map(str, places))}.",
        remedy="Set ISS_REFERENCE_DIR to the folder of the reference archives, or measure --size starter.",
    )


if __name__ == "__main__":
    warm_up(sys.argv[1:])
