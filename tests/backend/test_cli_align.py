"""Stage 1 for another CLIP: the tiny SVR model meets a tiny ViT, and a prompt goes through the new bundle."""

import json
from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
import torch
from torch.nn import functional as F

from backend.__main__ import main
from backend.bundles import Bundle, BundleRecord, build_svr, load_bundle, save_bundle
from backend.clip_encoder import build_open_clip, build_tiny_clip
from backend.config import MapperSettings
from backend.errors import SettingError
from backend.flow_mapper import FlowMapper
from backend.mapper import RegressingMapper
from backend.svr.get3d import Get3dModel
from backend.training.align import Encoded, FlowLoss, choose_noise_scale, new_flow
from backend.training.clip_choice import choose_clip, matching_activation
from backend.training.held_out import mapping_quality, split
from backend.training.pairing import (
    Pairing,
    PairingSettings,
    image_sizes,
    new_regressor,
    pipeline_settings,
)
from backend.whitening import Whitening
from backend.word_tokenizer import WordTokenizer
from tests.backend.tiny_bundle import TINY_SETTINGS, WORDS, write_tiny_bundle
from tests.backend.tiny_checkpoints import tiny_get3d

TINY_VIT = {
    "embed_dim": 24,
    "vision_cfg": {"layers": 1, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32},
    "text_cfg": {"width": 16, "heads": 2, "layers": 1},
}
"""Another architecture and width than the tiny bundle's own CLIP, a ResNet with features of 16."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of the SVR model's bundle, of a bundle with the other CLIP, and of the work."""
    folder = tmp_path_factory.mktemp("align")
    svr = load_bundle(write_tiny_bundle(folder, name="svr"))
    torch.manual_seed(5)
    vit = build_tiny_clip(TINY_VIT, WordTokenizer(WORDS, context_length=16))
    record = svr.record.replace(name="vit", clip={"kind": "tiny", "config": TINY_VIT}, mapper={})
    save_bundle(folder / "vit", record.replace(files={}), clip=vit, svr=svr.svr)
    return {name: str(folder / name) for name in ("svr", "vit", "work", "flow", "regressor")}


def _align(places: dict[str, str], mapper: str, steps: int) -> int:
    return main([
        "align", "--clip-bundle", places["vit"], "--svr", places["svr"], "--out", places[mapper],
        "--work", places["work"], "--mapper", mapper, "--shapes", "40", "--steps", str(steps),
        "--threads", "1", "--device", "cpu",
    ])  # fmt: skip


@pytest.fixture(scope="module")
def aligned(places: dict[str, str]) -> Bundle:
    assert _align(places, "flow", 40) == 0
    return load_bundle(places["flow"])


def _encoded(places: dict[str, str]) -> Encoded:
    from safetensors.torch import load_file

    parts = [load_file(path) for path in sorted(Path(places["work"]).glob("*.safetensors"))]
    return Encoded(**parts[0], **parts[1])


def test_the_bundle_holds_the_other_clip_and_a_mapper_of_its_width(aligned: Bundle) -> None:
    assert isinstance(aligned.mapper, FlowMapper)
    assert aligned.mapper.architecture()["feature_size"] == aligned.clip.feature_size == 24
    assert aligned.record.clip["config"] == TINY_VIT
    assert aligned.spec.kind == "dvr" and aligned.record.categories == ("chair", "table")
    assert aligned.record.training["align"]["shapes"] == 40
    assert aligned.record.quality["alignment"]["shapes"] == 4
    assert aligned.examples


def test_the_flow_s_error_falls(aligned: Bundle, places: dict[str, str]) -> None:
    train, held = split(_encoded(places))
    assert (len(train.codes), len(held.codes)) == (36, 4)
    losses = []
    for mapper in (new_flow(train, seed=0), aligned.mapper):
        loss = FlowLoss(mapper, train, 512)(0, torch.Generator().manual_seed(0))
        losses.append(float(loss["flow"].detach()))
    # E|code|^2 + E|noise|^2 over the whitened directions, from 512 draws of few codes with long tails.
    assert losses[0] == pytest.approx(2.0, abs=0.25), "an untrained flow stands still"
    assert losses[1] < 0.95 * losses[0]


def test_a_prompt_goes_through_the_other_clip(aligned: Bundle, tmp_path: Path) -> None:
    arguments = ["generate", "a red chair", "--bundle", str(aligned.folder), "--device", "cpu", "--quiet"]
    assert main([*arguments, "--out", str(tmp_path / "out"), "--steps", "1", "--format", "ply"]) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["watertight"] and result["faces"] > 100 and len(result["code"]) == 4


def test_shapes_and_features_are_made_once_and_the_paper_s_mapper_learns_too(
    aligned: Bundle, places: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    made = {path: path.stat().st_mtime_ns for path in Path(places["work"]).rglob("*.np[yz]")}
    cached = {path: path.stat().st_mtime_ns for path in Path(places["work"]).glob("*.safetensors")}
    assert len(cached) == 2 and made
    assert _align(places, "regressor", 400) == 0
    assert all(path.stat().st_mtime_ns == then for path, then in {**made, **cached}.items())
    assert "Held out: error" in capsys.readouterr().out
    bundle = load_bundle(places["regressor"])
    assert isinstance(bundle.mapper, RegressingMapper) and bundle.mapper.widths == (24,) * 9 + (4,) * 4
    noise = bundle.settings.mapper.noise_scale
    assert noise == pytest.approx(choose_noise_scale(split(_encoded(places))[0].images), abs=1e-6)
    train, _ = split(_encoded(places))
    untrained = new_regressor("dvr", 24, 4, seed=0)
    before, after = (
        mapping_quality(mapper, train, bundle.whitening, captioned=True)["error"]
        for mapper in (untrained, bundle.mapper)
    )
    assert after < 0.75 * before
    assert main(["align", "--clip-bundle", places["vit"], "--out", places["regressor"]]) == 2


def test_the_decoder_is_tuned_only_when_asked(places: dict[str, str], tmp_path: Path) -> None:
    """--background-loss: the decoder changes, the encoder and what the mapper learns from it do not."""
    status = main([
        "align", "--clip-bundle", places["vit"], "--svr", places["svr"], "--out", str(tmp_path / "out"),
        "--work", str(tmp_path / "work"), "--mapper", "regressor", "--shapes", "40", "--steps", "20",
        "--threads", "1", "--device", "cpu", "--background-loss", "--decoder-steps", "20",
    ])  # fmt: skip
    assert status == 0
    before = load_bundle(places["svr"]).svr.state_dict()
    bundle = load_bundle(tmp_path / "out")
    changed = {key for key, value in bundle.svr.state_dict().items() if not torch.equal(value, before[key])}
    assert changed and all(key.startswith("decoder.") for key in changed)
    assert bundle.record.training["align"]["background_loss"] is True
    assert list((tmp_path / "work").glob("decoder-*/decoder.pt"))
    grey = {"kind": "imnet", "architecture": {"code_size": 4, "encoder_width": 1, "widths": [4]}}
    record = load_bundle(places["svr"]).record.replace(name="imnet", svr=grey, files={})
    save_bundle(tmp_path / "imnet", record, clip=None, svr=build_svr(grey))
    with pytest.raises(SettingError, match="no colour field that a background loss could whiten"):
        Pairing(tmp_path / "imnet", choose_clip(None, None, bundle=places["vit"]),
                PairingSettings(background_loss=True), tmp_path)  # fmt: skip


def test_a_model_without_an_encoder_gives_its_own_shapes(places: dict[str, str], tmp_path: Path) -> None:
    model = tiny_get3d()
    assert isinstance(model, Get3dModel)
    record = BundleRecord(
        name="get3d",
        clip={"kind": "open_clip", "architecture": "ViT-B-32", "pretrained": "openai"},
        svr={"kind": "get3d", "architecture": model.architecture()},
        settings=TINY_SETTINGS,
    )
    save_bundle(tmp_path / "get3d", record, clip=None, svr=model)
    clip = choose_clip(None, None, bundle=places["vit"])
    settings = PairingSettings(shapes=40, steps=20, mapper="regressor")
    pairing = Pairing(tmp_path / "get3d", clip, settings, tmp_path / "work")
    for name, part in pairing.parts():
        assert name == "shapes" and list(part)[-1] == 40
    steps = list(pairing.train())
    assert [step.step for step in steps] == [20]
    pairing.write(tmp_path / "out")
    bundle = load_bundle(tmp_path / "out")
    assert bundle.record.mapper["kind"] == "get3d"
    assert bundle.mapper.propose(torch.ones(1, 24), torch.Generator(), 0.0).shape == (1, 1024)
    assert "text_error" not in bundle.record.quality["alignment"]


def test_a_weights_file_moves_into_the_bundle(places: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "ViT-test-8.json").write_text(json.dumps(TINY_VIT))
    open_clip.add_model_config(tmp_path / "ViT-test-8.json")
    torch.manual_seed(6)
    source = build_open_clip("ViT-test-8", None)
    torch.save(source.model.state_dict(), tmp_path / "weights.pt")
    chosen = choose_clip("ViT-test-8", str(tmp_path / "weights.pt"))
    assert chosen.record == {"kind": "open_clip", "architecture": "ViT-test-8", "pretrained": None}
    svr = load_bundle(places["svr"])
    save_bundle(
        tmp_path / "out",
        svr.record.replace(name="out", clip=chosen.record, mapper={}, files={}),
        clip=chosen.encoder,
        svr=svr.svr,
    )
    again = load_bundle(tmp_path / "out").clip.encode_text(["a red chair"])
    # The bundle stores weights in half precision.
    assert F.cosine_similarity(again, source.eval().encode_text(["a red chair"])) > 0.9999


def test_noise_is_half_the_spread_of_the_features() -> None:
    """Features at angle t around an axis, in opposite pairs: mean cosine over distinct ones is known."""
    directions = torch.eye(64)[1:]
    around = torch.cat([directions, -directions])
    cone = 0.735**0.5 * torch.eye(64)[0] + (1 - 0.735) ** 0.5 * around
    n = len(cone)
    cosine = (0.735 * n * n - n) / (n * (n - 1))
    ratio = 0.5 * ((1 - cosine) / cosine) ** 0.5
    assert choose_noise_scale(cone[:, None]) == pytest.approx(ratio / (1 + ratio), rel=1e-4)
    assert ratio / (1 + ratio) == pytest.approx(3 / 13, abs=3e-3), "the paper's ratio"
    assert choose_noise_scale(around[:, None]) == 0.6
    assert choose_noise_scale(torch.ones(9, 1, 1)) == 0.05


def test_quality_of_known_mappings() -> None:
    """A mapper that copies the feature: perfect where code and feature agree, useless where all are alike."""
    torch.manual_seed(0)
    codes = F.normalize(torch.randn(20, 6), dim=-1)
    mapper = RegressingMapper([6, 6])
    with torch.no_grad():
        mapper.generator["linear_1"].weight.copy_(torch.eye(6))
    alike = torch.zeros(20, 1, 6)
    whitening = Whitening(torch.zeros(6), torch.eye(6), torch.ones(6))
    figures = mapping_quality(mapper, Encoded(codes[:, None], alike, codes), whitening, captioned=True)
    assert figures["error"] == 0 and figures["top5"] == 1 and figures["chance"] == 0.25
    assert figures["text_error"] == 1, "the zero feature maps to the mean code"


def test_sizes_of_the_images_and_settings_of_the_bundle() -> None:
    assert image_sizes(64, 224) == (64, 128)
    assert image_sizes(224, 32) == (224, 224)
    assert image_sizes(30, 30) == (32, 32)
    mapper_tuned = TINY_SETTINGS.replace(stage2=TINY_SETTINGS.stage2.replace(target="mapper"))
    source = BundleRecord(name="a", mapper={"kind": "regressor"}, settings=mapper_tuned)
    assert pipeline_settings(source, "flow", 0.3).stage2.target == "code", "a flow is not tuned itself"
    kept = pipeline_settings(source, "regressor", 0.3)
    assert kept == replace(mapper_tuned, mapper=MapperSettings(candidates=2, noise_scale=0.3))
    shipped = load_bundle("starter").record
    assert shipped.settings.mapper.repaints > 0
    for mapper in ("flow", "regressor"):
        assert pipeline_settings(shipped, mapper, 0.3).mapper.repaints == 0, "no tower that knows paints"


def test_openai_weights_get_their_activation() -> None:
    assert matching_activation("ViT-B-32", "openai") == "ViT-B-32-quickgelu"
    assert matching_activation("ViT-B-32", "laion2b_s34b_b79k") == "ViT-B-32"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clip", "ViT-Z-9", "--pretrained", "openai"], "no architecture 'ViT-Z-9'"),
        (["--clip", "ViT-B-32", "--pretrained", "nowhere"], "'nowhere' is neither a file nor"),
        (["--clip", "ViT-B-32"], "No weights are named for ViT-B-32"),
        (["--clip", "RN50x64", "--pretrained", "openai"], "--allow-download"),
        ([], "Neither a CLIP nor a bundle"),
        (["--clip", "ViT-B-32", "--clip-bundle", "starter"], "and a bundle to take it from as well"),
        (["--clip-bundle", "nowhere"], "no bundle 'nowhere'"),
        (["--clip-bundle", "{vit}", "--svr", "nowhere"], "no bundle 'nowhere'"),
        (["--clip-bundle", "{vit}", "--shapes", "39"], "shapes is 39, outside 40"),
        (["--clip-bundle", "{vit}", "--steps", "0"], "steps is 0"),
    ],
)
def test_refusals(
    arguments: list[str], message: str, places: dict[str, str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    given = [argument.format(**places) for argument in arguments]
    assert main(["align", *given, "--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_a_folder_that_is_no_bundle_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("x")
    assert main(["align", "--clip-bundle", "starter", "--out", str(tmp_path / "letters"), "--replace"]) == 2
    assert "exists and is no bundle" in capsys.readouterr().err
    assert (tmp_path / "letters" / "dear.txt").read_text() == "x"


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(SettingError, match="mapper is 'linear'"):
        PairingSettings(mapper="linear")
