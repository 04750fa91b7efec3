"""The losses of SVR training on real data: the reference's values, what they teach, and refusals."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from backend.bundles import build_svr
from backend.cameras import Cameras, look_at, sample_pixels
from backend.config import RenderSettings
from backend.datasets.base import Dataset, DataSettings, LabelledPoints, Picture, Record
from backend.datasets.layouts import open_dataset
from backend.datasets.procedural.views import label
from backend.errors import DatasetError, SettingError
from backend.losses import STAGE1_WEIGHTS
from backend.svr.dvr import DvrModel
from backend.svr.ss3d import Ss3dModel
from backend.svr.triplane import TriplaneSvr
from backend.training.align import code_parts
from backend.training.batches import RayBatch, input_batch, ray_batch
from backend.training.loop import LoopSettings, run_loop
from backend.training.svr_loss import DecoderOnly, SvrLoss, SvrLossSettings, ray_terms, see, training_points
from tests.backend.datasets.tiny_datasets import cameras, shapes, write_imnet, write_shapenet
from tests.backend.reference import close, fitted_model, tensor
from tests.backend.tiny_bundle import tiny_svr
from tests.backend.tiny_checkpoints import tiny_get3d

TINY_TRIPLANE = {"code_size": 8, "image_size": 32, "width": 8, "widths": [12, 12], "hidden": 16}
FEW = SvrLossSettings(rays=48, points=96, march_steps=16, secant_steps=2)


def test_terms_are_the_reference_s(reference_dir: Path) -> None:
    """Stage 1 of the reference, through the code that trains: every term of L_D but normals, and L_bg."""
    archive = np.load(reference_dir / "stage1_losses.npz")
    pixels = tensor(archive, "in/pixels")
    seen_by = Cameras(tensor(archive, "in/world_mat"), tensor(archive, "in/camera_mat"))
    rays = RayBatch(
        *seen_by.rays_at(pixels),
        sample_pixels(tensor(archive, "in/img_u8") / 255, pixels),
        sample_pixels(tensor(archive, "in/mask")[:, None], pixels)[..., 0] > 0,
        sample_pixels(tensor(archive, "in/depth")[:, None], pixels)[..., 0],
    )
    field = fitted_model(reference_dir).field(tensor(archive, "in/c_std"))
    seen = see(field, rays, RenderSettings(grid_resolution=0, march_steps=16))
    free = torch.where(seen.crossings.hit[..., None], seen.points, tensor(archive, "in/p_freespace"))
    terms = ray_terms(field, rays, seen, free, tensor(archive, "in/p_occupancy"))
    names = {"color": "rgb", "occupancy": "occupied", "background": "bg30"}
    for name, value in terms.items():
        close(getattr(STAGE1_WEIGHTS, name) * value, archive[f"loss/{names.get(name, name)}"])
    # Points at the true depth are those that the reference drew for rays that should hit.
    _, inside = training_points(rays, seen, torch.rand(*rays.mask.shape, 2))
    known = rays.mask & rays.depth.isfinite()
    assert known.any()
    close(inside[known], archive["in/p_occupancy"][known.numpy()])


def test_free_points_lie_on_their_rays_inside_the_padded_cube() -> None:
    view = look_at([0.0, 40.0], 20.0, 1.8)
    origins, directions = view.rays_at(torch.rand(2, 50, 2) - 0.5)
    rays = RayBatch(origins, directions, torch.ones(2, 50, 3), torch.zeros(2, 50, dtype=torch.bool),
                    torch.full((2, 50), torch.inf))  # fmt: skip
    seen = see(tiny_svr().field(torch.tensor([[-99.0, 0, 0, 0]] * 2)), rays, RenderSettings(march_steps=8))
    assert not seen.crossings.hit.any(), "a shape of negative radius"
    for points in training_points(rays, seen, torch.rand(2, 50, 2)):
        assert (points.abs() <= 0.5501).all()
        along = torch.linalg.cross(points - origins, directions, dim=-1)
        assert along.abs().max() < 1e-5


def test_rays_see_what_the_view_shows(tmp_path: Path) -> None:
    data = open_dataset(DataSettings(folder=str(write_shapenet(tmp_path, count=1, views=2))))
    places = (np.arange(32 * 32)[None] + 0.5) / 1024  # every pixel, row by row
    rays = ray_batch(data, np.array([0]), np.array([0.5]), places)
    view = data.view(0, 1)
    assert np.array_equal(rays.mask[0].numpy(), view.mask.reshape(-1))
    assert np.allclose(rays.rgb[0].numpy(), view.rgb.reshape(-1, 3) / 255)
    ours = Cameras(torch.tensor(cameras(2)[1][None]).float(), torch.tensor(view.camera_mat))
    origins, directions = ours.rays(32, 32)
    assert torch.allclose(rays.origins[0], origins.reshape(-1, 3), atol=1e-5)
    assert torch.allclose(rays.directions[0], directions.reshape(-1, 3), atol=1e-5)
    # A hit's depth along such a ray lies on the true surface.
    on = rays.mask[0]
    points = (rays.origins + rays.depth[..., None] * rays.directions)[0][on]
    assert np.abs(label(shapes(1)[0][1], points.numpy()).distance).max() < 5e-3


@pytest.fixture(scope="module")
def shapenet(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(DataSettings(folder=str(write_shapenet(tmp_path_factory.mktemp("sn"), count=2))))


def test_dvr_losses_train_a_model_on_views(shapenet: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = TriplaneSvr(**TINY_TRIPLANE)
    loss = SvrLoss(model, shapenet, 2, FEW)
    assert set(loss(0, torch.Generator())) == {
        "color", "depth", "freespace", "occupancy", "normal", "background",
    }  # fmt: skip
    settings = LoopSettings(steps=60, batch=2, learning_rate=0.01, warmup=0, checkpoint_every=60)
    seen = [step.losses for step in run_loop("svr", model, loss, settings, tmp_path)]
    wrong = [sum(s[k] for k in ("freespace", "occupancy")) for s in seen]
    assert wrong[-1] < 0.8 * wrong[0]


def test_without_depth_maps_the_depth_loss_is_nothing(tmp_path: Path) -> None:
    data = open_dataset(DataSettings(folder=str(write_shapenet(tmp_path, count=2)), depth=False))
    with torch.no_grad():
        terms = SvrLoss(tiny_svr(), data, 2, FEW)(0, torch.Generator())
    assert float(terms["depth"]) == 0 and float(terms["freespace"]) > 0


def test_labelled_points_train_a_model_without_colour(tmp_path: Path) -> None:
    data = open_dataset(DataSettings(folder=str(write_imnet(tmp_path / "data", count=2, views=1))))
    torch.manual_seed(0)
    model = build_svr(
        {"kind": "imnet", "architecture": {"code_size": 8, "encoder_width": 2, "widths": [32, 32]}}
    )
    loss = SvrLoss(model, data, 2, FEW)
    settings = LoopSettings(steps=40, batch=2, learning_rate=5e-3, warmup=0, checkpoint_every=40)
    with torch.no_grad():
        first = loss(0, torch.Generator())
    last = [step.losses for step in run_loop("svr", model, loss, settings, tmp_path)][-1]
    assert set(last) == {"occupancy"} and last["occupancy"] < 0.75 * float(first["occupancy"])


def test_the_background_turns_white_and_the_encoder_rests(shapenet: Dataset, tmp_path: Path) -> None:
    """Stage 1's decoder: L_bg falls, while encoder, its statistics and so the mapper's targets stay."""
    torch.manual_seed(0)
    model = TriplaneSvr(**TINY_TRIPLANE)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loss = SvrLoss(model, shapenet, 2, FEW, tuned="decoder")
    settings = LoopSettings(steps=40, batch=2, learning_rate=5e-3, warmup=0, checkpoint_every=40)
    steps = list(run_loop("decoder", DecoderOnly(model), loss, settings, tmp_path))
    assert steps[-1].losses["background"] < 0.5 * steps[0].losses["background"]
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and not any(name.startswith("encoder.") for name in changed)


@dataclass
class _Pictures(Dataset):
    """One grey picture with a mask, of a shape with points that lie inside."""

    layout: ClassVar[str] = "procedural"
    title: ClassVar[str] = "pictures"
    masked: bool = True
    labelled: bool = True

    @property
    def has_points(self) -> bool:
        return self.labelled

    def input(self, shape: int, number: int) -> Picture:
        mask = np.zeros((8, 8), np.float32)
        mask[2:6, 2:6] = 1
        mask[2, 2] = 0.5
        rgb = np.full((8, 8, 3), 255.0)
        rgb[2:6, 2:6] = 100
        rgb[2, 2] = 0.5 * 100 + 0.5 * 255
        return Picture(rgb.astype(np.uint8), mask if self.masked else None)

    def points(self, shape: int) -> LabelledPoints:
        return LabelledPoints(np.zeros((4, 3), np.float32), np.ones(4, bool))


def _pictures(**changes: bool) -> _Pictures:
    return _Pictures(DataSettings(), [Record("a/b", "chair", 1)], **changes)


def test_pictures_for_ss3d_stand_on_black() -> None:
    """Soft edges too: what was half white becomes half black."""
    image = input_batch(_pictures(), np.array([0]), np.array([0]), size=8, background=0.0)[0]
    assert image.shape == (3, 8, 8)
    assert image[0, 0, 0] == 0 and image[0, 3, 3] == pytest.approx(100 / 255)
    assert image[0, 2, 2] == pytest.approx(50 / 255, abs=0.003)
    assert Ss3dModel(8, 1).spec.background == 0
    with pytest.raises(DatasetError, match="has no masks"):
        input_batch(_pictures(masked=False), np.array([0]), np.array([0]), size=8, background=0.0)


class _Watching(DvrModel):
    """Notes the pictures that it is shown; wants them on black, as SS3D does."""

    def __init__(self) -> None:
        super().__init__(4, 8, 1, image_size=8)
        self.spec = replace(self.spec, background=0.0)
        self.shown = torch.empty(0)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        self.shown = images
        return images.mean((2, 3))


def test_codes_of_stage_1_come_from_pictures_on_the_model_s_background(tmp_path: Path) -> None:
    model = _Watching()
    cache = tmp_path / "codes.safetensors"
    assert list(code_parts(model, _pictures(), cache)) == [1]
    codes = load_file(cache)["codes"]
    assert model.shown.shape == (3, 3, 8, 8), "three views; the one picture serves for all"
    assert model.shown[:, :, 0].max() == 0 and model.shown[0, 0, 3, 3] == pytest.approx(100 / 255)
    assert torch.allclose(codes, model.shown.mean((0, 2, 3))[None])


def test_refusals() -> None:
    with pytest.raises(SettingError, match="get3d model has no field"):
        SvrLoss(tiny_get3d(), _pictures(), 2, FEW)
    with pytest.raises(SettingError, match="neither cameras nor labelled points"):
        SvrLoss(tiny_svr(), _pictures(labelled=False), 2, FEW)
    with pytest.raises(SettingError, match="rays is 0"):
        SvrLossSettings(rays=0)
    assert SvrLoss(DvrModel(4, 8, 1), _pictures(), 2, FEW)(0, torch.Generator())["occupancy"] > 0
