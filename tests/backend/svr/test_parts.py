"""The parts model behind the interface: sizes, its constructor's arguments, gradients to the code."""

import pytest
import torch
from torch import Tensor

from backend.svr import parts_layout as layout
from backend.svr.parts import PartDecoder, PartsSvr, ResidualBlock

SIZES = {
    "code_size": 8, "image_size": 32, "stages": [[4, 1], [8, 1], [16, 2], [32, 2]], "hidden": 16, "blocks": 2,
    "azimuths": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> PartsSvr:
    torch.manual_seed(0)
    return PartsSvr(**SIZES).eval()


def _codes(count: int) -> Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(1))


def _points(count: int) -> Tensor:
    return torch.rand(count, 60, 3, generator=torch.Generator().manual_seed(2)) - 0.5


def test_images_of_any_size_become_codes(model: PartsSvr) -> None:
    assert (model.spec.kind, model.spec.code_size, model.spec.image_size) == ("parts", 8, 32)
    assert model.spec.has_color and model.spec.has_encoder and not model.spec.explicit
    small = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    large = small.repeat_interleave(4, -1).repeat_interleave(4, -2)
    with torch.no_grad():
        codes, enlarged, tiny = (model.encode(images) for images in (small, large, small[..., ::2, ::2]))
        assert codes.shape == enlarged.shape == tiny.shape == (2, 8)
        # Each image by itself; one shown larger is nearly the same.
        assert torch.allclose(model.encode(small[1:]), codes[1:], atol=1e-5)
        assert (enlarged - codes).norm() < 0.05 * codes.norm()


def test_a_code_is_the_mean_of_an_image_and_its_mirror_image(model: PartsSvr) -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, other = model.encoder(images), model.encoder(images.flip(-1))
        assert not torch.allclose(one, other, atol=1e-3)
        assert torch.allclose(model.encode(images), (one + other) / 2, atol=1e-6)


def test_a_field_has_occupancy_and_colour(model: PartsSvr) -> None:
    codes, points = _codes(3), _points(3)
    with torch.no_grad():
        field = model.field(codes)
        assert field.rows.shape == (3, layout.SLOTS, layout.COLUMNS)
        occupancy, color = field.occupancy_and_color(points)
        assert occupancy.shape == (3, 60) and color.shape == (3, 60, 3)
        assert occupancy.isfinite().all()
        assert (color >= 0).all() and (color <= 1).all()
        # Further away both are bounds, of different reach.
        alone = model.occupancy(points, codes)
        assert torch.equal(alone > 0, occupancy > 0)
        assert torch.equal(model.color(points, codes), color)
        # A shape depends on its own code alone.
        assert torch.allclose(model.occupancy(points[1:2], codes[1:2]), occupancy[1:2], atol=1e-3)
        assert torch.allclose(field[1].color(points[1:2]), color[1:2], atol=1e-5)


def test_the_architecture_makes_the_model_again(model: PartsSvr) -> None:
    assert model.architecture() == SIZES
    again = PartsSvr(**model.architecture())
    again.load_state_dict(model.state_dict())
    again.eval()
    images, points = torch.rand(1, 3, 32, 32), _points(1)
    with torch.no_grad():
        codes = model.encode(images)
        assert torch.equal(again.encode(images), codes)
        assert torch.equal(again.occupancy(points, codes), model.occupancy(points, codes))
        assert torch.equal(again.color(points, codes), model.color(points, codes))
        camera = model.camera_of(images)
        assert camera is not None and len(camera) == 1
        assert torch.equal(again.camera_of(images).world_mat, camera.world_mat)
    model.architecture()["hidden"] = 0
    assert model.architecture() == SIZES


def test_a_model_from_before_cameras_tells_none(model: PartsSvr) -> None:
    old = PartsSvr(**{name: size for name, size in SIZES.items() if name != "azimuths"}).eval()
    weights = model.state_dict()
    old.load_state_dict({name: weight for name, weight in weights.items() if "viewer" not in name})
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(old.encode(images), model.encode(images))
    assert old.camera_of(images) is None


def test_the_decoder_of_the_default_sizes_says_whole_tables() -> None:
    model = PartsSvr()
    assert model.spec.code_size == 128 and model.spec.image_size == 96
    assert isinstance(model.decoder, PartDecoder)
    with torch.no_grad():
        assert model.decoder(torch.zeros(2, 128)).shape == (2, layout.SLOTS, layout.COLUMNS)


@pytest.mark.parametrize("part", ["occupancy", "color"])
def test_gradients_reach_the_code(model: PartsSvr, part: str) -> None:
    codes = _codes(2).requires_grad_()
    field = model.field(codes)
    found = field.occupancy(_points(2)) if part == "occupancy" else field.color(_points(2))
    (gradient,) = torch.autograd.grad(found[0].sum(), codes)
    assert gradient.isfinite().all()
    assert gradient[0].any() and not gradient[1].any()


def test_a_new_block_changes_nothing() -> None:
    block, x = ResidualBlock(16), torch.randn(3, 16)
    assert torch.equal(block(x), x)


def test_strange_is_what_the_reader_would_not_have_written(
    model: PartsSvr, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = _codes(3)
    asked = []

    def one_more(tables: Tensor) -> Tensor:
        asked.append(tables)
        return codes + torch.tensor([0.0, 0.5, -2.0])[:, None]

    monkeypatch.setattr(model, "encode_parts", one_more)
    with torch.no_grad():
        assert torch.allclose(model.strangeness(codes), torch.tensor([0.0, 0.5, 2.0]), atol=1e-6)
    assert set(asked[0][..., layout.EXISTS].unique().tolist()) <= {0.0, 1.0}, "tables, not the decoder's rows"
