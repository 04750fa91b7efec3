"""SS3D: preprocessing to the byte, outputs of the reference's networks and volume renderer, refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch

from backend.errors import CheckpointError, ImageError
from backend.svr.ss3d import DENSITY_SURFACE, Ss3dModel
from backend.svr.ss3d_input import mask_box, prepare_image
from backend.svr.ss3d_volume import NEAR_FAR, pixel_rays, render_rays

END_TO_END = 1e-4
"""Absolute: the SIREN chain amplifies rounding (the reference's own float32 error is 3.5e-5)."""


@pytest.fixture(scope="module")
def archive(reference_dir: Path) -> np.lib.npyio.NpzFile:
    return np.load(reference_dir / "ss3d.npz")


@pytest.fixture(scope="module")
def model(archive: np.lib.npyio.NpzFile) -> Ss3dModel:
    tensors = {k[3:]: torch.from_numpy(archive[k]) for k in archive.files if k.startswith("sd/")}
    return Ss3dModel.from_public({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})


def _far(ours: torch.Tensor, reference: np.ndarray) -> float:
    assert ours.shape == reference.shape
    return float(np.abs(ours.detach().numpy() - reference).max())


@pytest.mark.parametrize("number", [0, 1])
def test_preprocessing_matches_to_the_byte(archive: np.lib.npyio.NpzFile, number: int) -> None:
    image, box = prepare_image(archive[f"in/rgb{number}_u8"], archive[f"in/mask{number}_u8"] / 255)
    assert list(box) == archive[f"out/bbox{number}"].tolist()
    assert np.array_equal((image * 255).round().byte().numpy(), archive[f"out/preproc{number}_u8"])


def test_encoder_matches_the_reference(model: Ss3dModel, archive: np.lib.npyio.NpzFile) -> None:
    with torch.no_grad():
        code = model.encode(torch.from_numpy(archive["out/preproc0_u8"]) / 255)
    assert _far(code, archive["out/c"]) <= 1e-5 * np.abs(archive["out/c"]).max()


def test_decoder_matches_the_reference(model: Ss3dModel, archive: np.lib.npyio.NpzFile) -> None:
    points = torch.from_numpy(archive["in/points"])
    with torch.no_grad():
        field = model.field(torch.from_numpy(archive["out/c"]))
        assert _far(field.raw(points), archive["out/raw"]) <= 2e-5
        assert torch.equal(field.occupancy(points), field.raw(points)[..., 3] - DENSITY_SURFACE)
        own = model.encode(torch.from_numpy(archive["out/preproc0_u8"]) / 255)
        assert _far(model.field(own).raw(points), archive["out/raw"]) <= END_TO_END


def test_grid_has_its_end_points_on_the_cube(model: Ss3dModel, archive: np.lib.npyio.NpzFile) -> None:
    reference = archive["out/grid12_raw"]
    ends = torch.linspace(-0.5, 0.5, len(reference))
    points = torch.stack(torch.meshgrid(ends, ends, ends, indexing="ij"), -1).reshape(1, -1, 3)
    with torch.no_grad():
        raw = model.field(torch.from_numpy(archive["out/c"])).raw(points)
    assert _far(raw.reshape(reference.shape), reference) <= END_TO_END


def test_volume_rendering_matches_the_reference(model: Ss3dModel, archive: np.lib.npyio.NpzFile) -> None:
    rays = torch.from_numpy(archive["in/rays"])
    camera = torch.from_numpy(archive["in/c2w"])
    origins, directions = pixel_rays(camera, 12, 12, focal=28.0)
    assert _far(torch.cat([origins, directions], -1), archive["in/rays"][:, :6]) <= 1e-6
    distance = camera[:, 3].norm()
    assert torch.allclose(rays[:, 6], distance - NEAR_FAR) and torch.allclose(rays[:, 7], distance + NEAR_FAR)
    with torch.no_grad():
        field = model.field(torch.from_numpy(archive["out/c"]))
        seen = render_rays(field, rays[:, :3], rays[:, 3:6], rays[:, 6], rays[:, 7])
        white = render_rays(field, rays[:, :3], rays[:, 3:6], rays[:, 6], rays[:, 7], white_background=True)
    for ours, name in (
        (seen.rgb, "rgb_map"), (seen.opacity, "acc_map"), (seen.weights, "weights"),
        (white.rgb, "white_rgb_map"), (white.opacity, "white_acc_map"),
    ):  # fmt: skip
        assert _far(ours, archive[f"out/{name}"]) <= 2e-5, name


def test_masks_that_cannot_be_used_are_refused() -> None:
    mask = np.zeros((9, 7))
    mask[2:5, 3:6] = 1.0
    assert mask_box(mask) == (2, 5, 3, 6)
    with pytest.raises(ImageError, match=r"no object: its greatest value is 0\.30"):
        mask_box(np.full((4, 4), 0.3))
    with pytest.raises(ImageError, match=r"\(9, 8, 3\), the mask \(9, 7\)"):
        prepare_image(np.zeros((9, 8, 3), np.uint8), mask)


def test_shapes_of_a_batch_stay_apart_and_detach() -> None:
    model = Ss3dModel(width=4, layers=2)
    assert model.spec.code_size == 16 and model.spec.background == 0.0
    codes = torch.randn(3, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    points = torch.randn(3, 5, 3, generator=torch.Generator().manual_seed(1)) / 4
    field = model.field(codes)
    assert field.occupancy(points).requires_grad and not field.detach()[0].color(points[:1]).requires_grad
    assert torch.allclose(field[2].raw(points[2:])[0], field.raw(points)[2], atol=1e-6)


def test_sizes_come_from_the_weights_and_misfits_are_named() -> None:
    small = Ss3dModel(width=4, layers=2)
    assert Ss3dModel.from_public(small.state_dict()).architecture() == {"width": 4, "layers": 2}
    weights = small.state_dict()
    weights["decoder.net.9.bias"] = weights.pop("decoder.net.3.bias")
    with pytest.raises(CheckpointError, match=r"missing: decoder.net.3.bias; unknown: decoder.net.9.bias"):
        Ss3dModel.from_public(weights)
    with pytest.raises(CheckpointError, match=r"decoder\.net\.0\.linear\.weight is missing"):
        Ss3dModel.from_public({})
