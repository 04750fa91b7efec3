"""DVR: outputs of the reference's networks, and refusals of weights that do not fit."""

from pathlib import Path

import numpy as np
import pytest
import torch

from backend.errors import CheckpointError
from backend.svr.dvr import DvrModel
from backend.weights import load_strictly


@pytest.fixture(scope="module")
def archive(reference_dir: Path) -> np.lib.npyio.NpzFile:
    return np.load(reference_dir / "dvr.npz")


def _weights(archive: np.lib.npyio.NpzFile) -> dict[str, torch.Tensor]:
    tensors = {k[3:]: torch.from_numpy(archive[k]) for k in archive.files if k.startswith("sd/")}
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


@pytest.fixture(scope="module")
def model(archive: np.lib.npyio.NpzFile) -> DvrModel:
    return DvrModel.from_public(_weights(archive))


def _close(ours: torch.Tensor, reference: np.ndarray) -> None:
    assert ours.shape == reference.shape
    assert np.abs(ours.detach().numpy() - reference).max() <= 1e-5 * np.abs(reference).max()


def test_encoder_matches_the_reference(model: DvrModel, archive: np.lib.npyio.NpzFile) -> None:
    with torch.no_grad():
        _close(model.encode(torch.from_numpy(archive["in/image_u8"]) / 255), archive["out/c"])


def test_decoder_matches_the_reference(model: DvrModel, archive: np.lib.npyio.NpzFile) -> None:
    points, codes = torch.from_numpy(archive["in/points"]), torch.from_numpy(archive["out/c"])
    with torch.no_grad():
        field = model.field(codes)
        _close(field.raw(points), archive["out/decoder_raw4"])
        _close(model.occupancy(points, codes), archive["out/occ_logits"])
        _close(model.color(points, codes), archive["out/rgb_sigmoid"])


def test_a_batch_keeps_shapes_apart(model: DvrModel, archive: np.lib.npyio.NpzFile) -> None:
    # The reference's flat call: one code per point, here seven shapes of one point.
    points, codes = torch.from_numpy(archive["in/flat_points"]), torch.from_numpy(archive["in/flat_c"])
    with torch.no_grad():
        field = model.field(codes)
        _close(field.raw(points[:, None])[:, 0], archive["out/flat_raw4"])
        _close(field[3].raw(points[None])[0, 3], archive["out/flat_raw4"][3])


def test_detached_field_carries_no_graph() -> None:
    model = DvrModel(8, 16, 2)
    codes = torch.randn(2, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    points = torch.zeros(2, 5, 3)
    assert model.field(codes).occupancy(points).requires_grad
    detached = model.field(codes).detach()
    assert not detached.occupancy(points).requires_grad and not detached[1].color(points[:1]).requires_grad


def test_sizes_come_from_the_weights() -> None:
    small = DvrModel(8, 16, 2)
    again = DvrModel.from_public({**small.state_dict(), "generator.linear_1.bias": torch.zeros(3)})
    assert again.architecture() == small.architecture() == {
        "code_size": 8, "width": 16, "blocks": 2, "image_size": 224,
    }  # fmt: skip
    assert DvrModel(**small.architecture()).spec.code_size == 8


def test_misfitting_weights_are_named() -> None:
    small = DvrModel(8, 16, 2)
    weights = small.state_dict()
    weights["decoder.surplus"] = weights.pop("decoder.blocks.1.fc_0.bias")
    with pytest.raises(CheckpointError) as refusal:
        load_strictly(small, weights)
    assert "missing: decoder.blocks.1.fc_0.bias" in refusal.value.message
    assert "unknown: decoder.surplus" in refusal.value.message
    with pytest.raises(CheckpointError, match=r"decoder\.fc_p\.weight"):
        DvrModel.from_public({"decoder.weight": torch.zeros(3)})
    with pytest.raises(CheckpointError, match=r"decoder\.fc_out\.weight \(5, 16\) instead of \(4, 16\)"):
        load_strictly(small, {**small.state_dict(), "decoder.fc_out.weight": torch.zeros(5, 16)})
