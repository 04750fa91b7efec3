"""`train svr|align|clip` from the command line: small data sets in, bundles out that `generate` takes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from backend.__main__ import main
from backend.bundles import load_bundle
from backend.errors import SettingError
from backend.mapper import RegressingMapper
from backend.training.data_settings import AlignTraining, SvrTraining, read_config
from tests.backend.datasets.tiny_datasets import write_co3d, write_imnet, write_shapenet
from tests.backend.tiny_bundle import write_tiny_bundle

TRIPLANE = {"code_size": 8, "image_size": 32, "width": 8, "widths": [12, 12], "hidden": 16}
CLIP = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 8},
    "text_cfg": {"width": 16, "heads": 2, "layers": 1},
}
LOOP = {"steps": 20, "batch": 2, "checkpoint_every": 20, "learning_rate": 0.003}
LOSSES = {"rays": 32, "points": 64, "march_steps": 12, "secant_steps": 2}
QUICK = {
    "render": {"march_steps": 8, "secant_steps": 2, "grid_resolution": 0},
    "stage2": {"steps": 1, "views": 1, "view_size": 16, "evaluation_views": 1},
    "mesh": {"resolution": 16},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    write_shapenet(folder / "shapenet", count=4, views=2)
    write_co3d(folder / "co3d", count=1, views=4)
    write_imnet(folder / "imnet", count=2, views=1)
    write_tiny_bundle(folder)
    return folder


def _config(root: Path, what: str, data: str, **changes: Any) -> dict[str, Any]:
    common = {"data": {"folder": str(root / data)}, "mapping": {"steps": 20}, "threads": 1, "device": "cpu"}
    own: dict[str, dict[str, Any]] = {
        "svr": {"kind": "triplane", "architecture": TRIPLANE, "loop": LOOP, "losses": LOSSES,
                "clip": str(root / "tiny"), "pipeline": QUICK},
        "align": {"svr": str(root / "tiny"), "clip": str(root / "tiny"), "losses": LOSSES,
                  "decoder_steps": 20, "decoder_batch": 2},
        "clip": {"svr": str(root / "tiny"), "config": CLIP, "loop": LOOP},
    }  # fmt: skip
    return {**common, **own[what], **changes}


def _train(place: Path, what: str, values: dict[str, Any], *more: str) -> int:
    (place / "config.json").write_text(json.dumps(values))
    return main([
        "train", what, "--config", str(place / "config.json"), "--work", str(place / "work"),
        "--out", str(place / "out"), *more,
    ])  # fmt: skip


def _generate(bundle: Path, prompt: str, out: Path) -> dict[str, Any]:
    arguments = ["generate", prompt, "--bundle", str(bundle), "--out", str(out), "--quiet", "--steps", "1"]
    assert main([*arguments, "--format", "ply", "--device", "cpu"]) == 0
    result: dict[str, Any] = json.loads((out / "result.json").read_text())
    return result


def test_svr_goes_on_from_a_bundle_and_prompts_go_through(root: Path, tmp_path: Path) -> None:
    gentle = {**LOOP, "learning_rate": 1e-5}
    start = {"kind": "dvr", "architecture": {}, "start": str(root / "tiny"), "loop": gentle}
    assert _train(tmp_path, "svr", _config(root, "svr", "shapenet", **start)) == 0
    assert _generate(tmp_path / "out", "a chair", tmp_path / "result")["watertight"]


def test_svr_on_shapenet_gives_a_bundle_and_resumes(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = _config(root, "svr", "shapenet")
    assert _train(tmp_path, "svr", values) == 0
    bundle = load_bundle(tmp_path / "out")
    assert bundle.spec.kind == "triplane" and bundle.record.categories == ("chair", "table")
    assert isinstance(bundle.mapper, RegressingMapper) and bundle.mapper.widths[-1] == 8
    align = bundle.record.training["align"]
    assert align["data"] == "shapenet" and align["shapes"] == 4
    assert bundle.record.training["svr"]["loop"]["steps"] == 20
    assert "a chair" in bundle.examples
    # More steps go on from the checkpoint; other data or losses do not fit the folder.
    kept = torch.load(tmp_path / "work/svr.pt", weights_only=True)
    assert kept["step"] == 20 and list((tmp_path / "work/tensorboard/svr").iterdir())
    assert _train(tmp_path, "svr", values) == 2
    assert "There is a bundle at" in capsys.readouterr().err
    longer = {**values, "loop": {**LOOP, "steps": 40}}
    assert _train(tmp_path, "svr", longer, "--replace") == 0
    assert torch.load(tmp_path / "work/svr.pt", weights_only=True)["step"] == 40
    other = {**values, "losses": {**LOSSES, "depth": 3.0}}
    assert _train(tmp_path, "svr", other, "--replace") == 2
    assert "begun with other settings: losses" in capsys.readouterr().err


def test_svr_on_imnet_s_points(root: Path, tmp_path: Path) -> None:
    tiny = {"code_size": 8, "encoder_width": 2, "widths": [16, 16]}
    assert _train(tmp_path, "svr", _config(root, "svr", "imnet", kind="imnet", architecture=tiny)) == 0
    bundle = load_bundle(tmp_path / "out")
    assert bundle.spec.kind == "imnet" and bundle.mapper is not None


def test_align_on_co3d_whitens_the_background_and_spares_the_rest(root: Path, tmp_path: Path) -> None:
    """Nothing of the decoder's losses reaches the mapper, and the encoder rests."""
    bundles = {}
    for name in (True, False):
        place = tmp_path / str(name)
        place.mkdir()
        assert _train(place, "align", _config(root, "align", "co3d", background_loss=name)) == 0
        bundles[name] = load_bundle(place / "out")
    source = load_bundle(root / "tiny").svr.state_dict()
    tuned, plain = bundles[True].svr.state_dict(), bundles[False].svr.state_dict()
    assert all(torch.equal(plain[key], value) for key, value in source.items())
    changed = {key for key, value in source.items() if not torch.equal(tuned[key], value)}
    assert changed and all(key.startswith("decoder.") for key in changed)
    mappers = [bundles[name].mapper.state_dict() for name in (True, False)]
    assert all(torch.equal(value, mappers[1][key]) for key, value in mappers[0].items())
    told = bundles[True].record.training["align"]
    assert told["background_loss"] and told["decoder_steps"] == 20 and told["data"] == "co3d"
    assert str(tmp_path) not in json.dumps(bundles[True].record.to_dict())


def test_clip_on_captions(root: Path, tmp_path: Path) -> None:
    captions = {f"03001627/shape{i}": ["a wooden chair", "a chair with four legs"] for i in (0, 2)}
    (root / "shapenet" / "captions.json").write_text(json.dumps(captions))
    try:
        assert _train(tmp_path, "clip", _config(root, "clip", "shapenet")) == 0
    finally:
        (root / "shapenet" / "captions.json").unlink()
    bundle = load_bundle(tmp_path / "out")
    assert set(bundle.clip.tokenizer.words) == {"a", "chair", "table", "wooden", "with", "four", "legs"}
    assert bundle.clip.feature_size == 12 and bundle.spec.kind == "dvr"
    assert _generate(tmp_path / "out", "a wooden chair", tmp_path / "result")["watertight"]


@pytest.mark.parametrize(
    ("what", "changes", "message"),
    [
        ("svr", {"stepz": 3}, "Unknown SvrTraining keys: stepz"),
        ("svr", {"loop": {"steps": "many"}}, "LoopSettings.steps is 'many'"),
        ("svr", {"loop": {"steps": 0}}, "steps is 0"),
        ("svr", {"losses": {"rays": 0}}, "rays is 0"),
        ("svr", {"data": {"foldr": "x"}}, "Unknown DataSettings keys: foldr"),
        ("svr", {"data": {"folder": "nowhere"}}, "nowhere does not exist"),
        ("svr", {"data": {}}, "No data folder is named"),
        ("svr", {"data": {"folder": "{root}/shapenet", "layout": "kitti"}}, "layout is 'kitti'"),
        ("svr", {"data": {"folder": "{root}/shapenet", "front": "up"}}, "front is 'up'"),
        ("svr", {"kind": "get3d"}, "kind is 'get3d'"),
        ("svr", {"kind": "dvr", "architecture": {"depth": 3}}, "does not take the recorded architecture"),
        ("svr", {"clip": "nowhere"}, "no bundle 'nowhere'"),
        ("svr", {"start": "{root}/tiny"}, "holds a dvr model, kind is triplane"),
        ("svr", {"loop": {**LOOP, "batch": 1}}, "loop.batch is 1"),
        ("svr", {"kind": "ss3d", "architecture": {}}, "has no masks"),
        ("align", {"background_loss": 1}, "AlignTraining.background_loss is 1"),
        ("align", {"clip": ""}, "Neither a CLIP nor a bundle"),
        ("clip", {"config": {"embed_dim": 8}}, "vision_cfg"),
    ],
)
def test_bad_configurations_leave_nothing_behind(
    what: str, changes: dict[str, Any], message: str, root: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    filled = json.loads(json.dumps(changes).replace("{root}", str(root)))
    assert _train(tmp_path, what, _config(root, what, "shapenet") | filled) == 2
    error = capsys.readouterr().err
    assert message in error and error.strip().endswith("."), error
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


def test_a_picture_that_breaks_on_the_way_stops_with_its_name(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shapenet(tmp_path / "data", count=2, views=1)
    (tmp_path / "data/03001627/shape0/img_choy2016/000.jpg").write_bytes(b"\xff\xd8\xff nothing")
    values = _config(root, "svr", "shapenet") | {"data": {"folder": str(tmp_path / "data")}}
    assert _train(tmp_path, "svr", values) == 2
    error = capsys.readouterr().err
    assert "000.jpg cannot be decoded" in error and "Copy the file again" in error
    assert not (tmp_path / "out").exists() and not (tmp_path / "work/svr.pt").exists()


def test_files_and_options_that_are_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "svr", "--out", str(tmp_path / "out")]) == 2
    assert "needs --config FILE and --out FOLDER" in capsys.readouterr().err
    for text, message in (("{", "cannot be read"), ("[1]", "holds no table")):
        (tmp_path / "c.json").write_text(text)
        with pytest.raises(SettingError, match=message):
            read_config(tmp_path / "c.json", SvrTraining())
    (tmp_path / "c.json").write_text('{"losses": {"rays": 5}, "mapping": {"mapper": "flow"}}')
    read = read_config(tmp_path / "c.json", AlignTraining())
    assert read.losses.rays == 5 and read.losses.background == 30 and read.mapping.mapper == "flow"
