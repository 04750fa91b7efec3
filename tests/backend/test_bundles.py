"""Bundles: round trip, and a refusal with a remedy for every kind of damage."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from backend.bundle_places import find_bundles
from backend.bundles import (
    BundleRecord,
    build_svr,
    load_bundle,
    memory_needed,
    read_record,
    save_bundle,
)
from backend.errors import BundleError, OutputError
from backend.image_encoder import stages_of
from backend.svr.parts import PartsSvr
from tests.backend.tiny_bundle import (
    CODE_SIZE,
    TINY_CLIP,
    TINY_SETTINGS,
    tiny_encoder,
    tiny_svr,
    write_tiny_bundle,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(written, tmp_path / "tiny"))


def test_what_was_saved_is_loaded(written: Path) -> None:
    bundle = load_bundle(written)
    assert bundle.name == "tiny" and bundle.spec.code_size == CODE_SIZE
    assert bundle.settings == TINY_SETTINGS
    assert bundle.examples == ("a red chair", "a blue table")
    assert bundle.whitening.scale.tolist() == [1.0, 0.5]
    expected = tiny_encoder().encode_text(["a red chair"])
    # Weights are stored in half precision, which keeps 11 bits.
    assert torch.allclose(bundle.clip.encode_text(["a red chair"]), expected, atol=5e-3)
    points = torch.tensor([[[0.0, 0.0, 0.0], [0.3, 0.0, 0.0], [0.0, -0.4, 0.0]]])
    logits = bundle.svr.occupancy(points, torch.zeros(1, CODE_SIZE))
    assert torch.allclose(logits, torch.tensor([[6.0, 0.0, -2.0]]), atol=0.02)


def test_loaded_parts_are_frozen_single_precision_and_in_evaluation_mode(written: Path) -> None:
    bundle = load_bundle(written)
    for part in (bundle.clip, bundle.svr, bundle.mapper):
        assert part is not None and not part.training
        assert all(p.dtype == torch.float32 and not p.requires_grad for p in part.parameters())


def test_bundles_are_found_by_name_and_path(written: Path) -> None:
    assert find_bundles([written.parent]) == {"tiny": written}
    assert load_bundle("tiny", folders=[written.parent]).folder == written
    with pytest.raises(BundleError, match="no bundle 'huge'") as caught:
        load_bundle("huge", folders=[written.parent])
    assert "tiny" in caught.value.remedy


def test_the_hash_tells_models_apart_but_not_notes(written: Path, folder: Path) -> None:
    """Results stay repeatable where a bundle's settings or figures are told anew: recipes carry settings."""
    assert load_bundle(written).sha256 == load_bundle(folder).sha256
    record = read_record(folder)
    told = record.replace(
        quality={"iou": 0.5}, settings=record.settings.replace(stage2=record.settings.stage2.replace(steps=9))
    )
    assert told.sha256 == record.sha256
    svr = record.files["svr.safetensors"]
    others = [
        record.replace(files={**record.files, "svr.safetensors": {**svr, "sha256": "0" * 64}}),
        record.replace(mapper={**record.mapper, "kind": "flow"}),
    ]
    assert len({record.sha256, *(other.sha256 for other in others)}) == 3


@pytest.mark.parametrize("name", ["clip.safetensors", "svr.safetensors", "vocabulary.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"lacks {name}") as caught:
        load_bundle(folder)
    assert caught.value.remedy and caught.value.exit_code == 2


def test_a_truncated_file_is_named_with_its_size(folder: Path) -> None:
    path = folder / "svr.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BundleError, match=rf"svr.safetensors .* has {path.stat().st_size} bytes"):
        load_bundle(folder)


def test_an_altered_file_is_named(folder: Path) -> None:
    path = folder / "mapper.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"mapper.safetensors .* was altered"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "schema 99"),
        ({"colour": "red"}, "Unknown BundleRecord keys: colour"),
        ({"svr": {"kind": "cube"}}, "no SVR model of kind 'cube'"),
        ({"svr": {"kind": "dvr", "architecture": {"depth": 1}}}, "does not take the recorded architecture"),
        ({"svr": {"kind": "dvr", "architecture": {"code_size": 5}}}, "svr.safetensors: Weights do not fit"),
        ({"clip": {"kind": "blip"}}, "no CLIP of kind 'blip'"),
        ({"mapper": {"kind": "table"}}, "no mapper of kind 'table'"),
        ({"files": {"../x": {}}}, "no plain name"),
        ({"files": ["svr.safetensors"]}, "files is"),
        ({"files": {"svr.safetensors": "x"}}, "lacks the size of svr.safetensors"),
        ({"files": {}}, "holds clip.safetensors, which its record does not list"),
        ({"svr": "dvr"}, "svr is 'dvr'"),
        ({"settings": {"mesh": {"resolution": 1}}}, "resolution is 1"),
    ],
)
def test_a_bad_record_is_refused(folder: Path, change: dict, message: str) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BundleError, match=message):
        load_bundle(folder)


def test_a_record_that_is_no_json_or_absent_is_refused(folder: Path) -> None:
    (folder / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match="not JSON"):
        read_record(folder)
    (folder / "bundle.json").unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        read_record(folder)


def test_saving_replaces_whole_folders_and_leaves_nothing_behind(tmp_path: Path) -> None:
    record = BundleRecord(name="b", clip={"kind": "tiny"}, svr={"kind": "dvr"})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old.txt").write_text("old")
    saved = save_bundle(tmp_path / "b", record, clip=tiny_encoder(), svr=tiny_svr())
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    names = {path.name for path in (tmp_path / "b").iterdir()}
    assert names == {"bundle.json", "clip.safetensors", "svr.safetensors", "vocabulary.json"}
    assert set(saved.files) == names - {"bundle.json"}
    assert memory_needed(saved) > 2 * sum(known["bytes"] for known in saved.files.values())


def test_saving_where_nothing_can_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        save_bundle(
            tmp_path / "file" / "b",
            BundleRecord(name="b", clip={"kind": "tiny"}, svr={"kind": "dvr"}),
            clip=tiny_encoder(),
            svr=tiny_svr(),
        )


def test_an_image_encoder_is_kept_in_eight_bits_and_the_rest_is_not(tmp_path: Path) -> None:
    torch.manual_seed(0)
    svr = PartsSvr(code_size=8, image_size=32, stages=stages_of(4), hidden=16, blocks=1, azimuths=8).eval()
    record = BundleRecord(
        name="b", clip={"kind": "tiny", "config": TINY_CLIP},
        svr={"kind": "parts", "architecture": svr.architecture()},
    )  # fmt: skip
    save_bundle(tmp_path / "b", record, clip=tiny_encoder(), svr=svr)
    kept = load_file(tmp_path / "b" / "svr.safetensors")
    assert kept["encoder.fc.weight"].dtype == kept["viewer.net.0.weight"].dtype == torch.int8
    assert kept["encoder.fc.weight.scale"].dtype == torch.float32
    assert kept["encoder.fc.bias"].dtype == kept["decoder.inlet.weight"].dtype == torch.float16
    loaded = load_bundle(tmp_path / "b").svr
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        codes, again = svr.encode(images), loaded.encode(images)
    assert 0 < (again - codes).norm() < 0.05 * codes.norm()


def test_models_are_built_by_kind() -> None:
    model = build_svr({"kind": "dvr", "architecture": {"code_size": 3, "width": 8, "blocks": 1}})
    assert model.spec.kind == "dvr" and model.spec.code_size == 3
