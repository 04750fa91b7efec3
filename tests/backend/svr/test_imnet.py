"""IM-NET: outputs of the reference's networks, its leaky clamp, and refusals of other weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from backend.errors import CheckpointError
from backend.svr.imnet import LOGITS_PER_VALUE, ImnetModel

REFERENCE_ERROR = 8e-6
"""Twice the reference's own float32-against-float64 difference."""


@pytest.fixture(scope="module")
def archive(reference_dir: Path) -> np.lib.npyio.NpzFile:
    return np.load(reference_dir / "imnet.npz")


@pytest.fixture(scope="module")
def model(archive: np.lib.npyio.NpzFile) -> ImnetModel:
    tensors = {k[3:]: torch.from_numpy(archive[k]) for k in archive.files if k.startswith("sd/")}
    return ImnetModel.from_public({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})


def _close(ours: torch.Tensor, reference: np.ndarray) -> None:
    assert ours.shape == reference.shape
    assert np.abs(ours.numpy() - reference).max() <= max(REFERENCE_ERROR, 1e-5 * np.abs(reference).max())


def test_encoder_matches_the_reference(model: ImnetModel, archive: np.lib.npyio.NpzFile) -> None:
    grey = torch.from_numpy(archive["in/view_u8"]) / 255
    with torch.no_grad():
        _close(model.encode(grey.expand(-1, 3, -1, -1)), archive["out/z"])


def test_generator_matches_the_reference(model: ImnetModel, archive: np.lib.npyio.NpzFile) -> None:
    points, codes = torch.from_numpy(archive["in/points"]), torch.from_numpy(archive["out/z"])
    with torch.no_grad():
        field = model.field(codes)
        values = field.values(points)
        _close(values[..., None], archive["out/values"])
        assert torch.equal(field.occupancy(points) > 0, values > 0.5)
    assert ((values < 0) | (values > 1)).any(), "the leaky clamp was not exercised"


def test_grid_is_of_cell_centres(model: ImnetModel, archive: np.lib.npyio.NpzFile) -> None:
    reference = archive["out/grid16_values"]
    centres = (torch.arange(len(reference)) + 0.5) / len(reference) - 0.5
    points = torch.stack(torch.meshgrid(centres, centres, centres, indexing="ij"), -1).reshape(1, -1, 3)
    with torch.no_grad():
        _close(
            model.field(torch.from_numpy(archive["out/z"])).values(points).reshape(reference.shape), reference
        )


def test_the_clamp_leaks_outside_zero_and_one() -> None:
    model = ImnetModel(2, 1, (4,)).requires_grad_(False)
    for parameter in model.generator.parameters():
        torch.nn.init.zeros_(parameter)
    last = model.generator.get_submodule("linear_2")
    points = torch.zeros(1, 1, 3)
    for given, expected in ((0.3, 0.3), (3.0, 1.02), (-2.0, -0.02)):
        torch.nn.init.constant_(last.bias, given)
        field = model.field(torch.zeros(1, 2))
        assert float(field.values(points)) == pytest.approx(expected, abs=1e-6)
        assert float(field.occupancy(points)) == pytest.approx(LOGITS_PER_VALUE * (expected - 0.5), abs=1e-5)


def test_images_of_other_sizes_and_colours_become_grey_of_128_pixels() -> None:
    model = ImnetModel(3, 2, (4,)).eval()
    with torch.no_grad():
        small = model.encode(torch.full((1, 3, 40, 40), 0.25))
        assert torch.allclose(small, model.encode(torch.full((1, 3, 128, 128), 0.25)), atol=1e-6)
        assert not torch.equal(small, model.encode(torch.full((1, 3, 128, 128), 0.75)))
    assert ((small > 0) & (small < 1)).all()


def test_a_detached_field_is_one_shape_without_graph() -> None:
    model = ImnetModel(2, 1, (4,))
    codes = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    points = torch.randn(3, 5, 3, generator=torch.Generator().manual_seed(1)) / 4
    field = model.field(codes)
    assert field.occupancy(points).requires_grad and not field.detach().occupancy(points).requires_grad
    assert torch.equal(field[1].occupancy(points[1:2])[0], field.occupancy(points)[1])
    assert not model.spec.has_color and (field.color(points) == field.color(points)[0, 0, 0]).all()


def test_sizes_come_from_the_weights_and_misfits_are_named() -> None:
    small = ImnetModel(5, 2, (6, 4))
    again = ImnetModel.from_public(small.state_dict())
    assert again.architecture() == small.architecture()
    weights = small.state_dict()
    weights["generator.surplus"] = torch.zeros(1)
    del weights["img_encoder.bn_9.bias"]
    with pytest.raises(CheckpointError, match=r"missing: img_encoder.bn_9.bias; unknown: generator.surplus"):
        ImnetModel.from_public(weights)
    with pytest.raises(CheckpointError, match=r"img_encoder\.conv_10\.weight is missing"):
        ImnetModel.from_public({"encoder.conv_10.weight": torch.zeros(3)})
