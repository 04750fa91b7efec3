"""The tuned decoder as a file: it comes back, thin matrices stay thin, and what does not fit is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from backend.decoder_delta import TOLERANCE, DecoderDelta
from backend.errors import BundleError, CheckpointError
from backend.styled_field import StyledField
from backend.svr.dvr import DvrModel
from backend.svr.ss3d import Ss3dDecoder, Ss3dField
from backend.svr.triplane import TriplaneSvr

POINTS = torch.rand(1, 50, 3, generator=torch.Generator().manual_seed(0)) - 0.5


def _dvr_field() -> torch.nn.Module:
    torch.manual_seed(0)
    model = DvrModel(code_size=4, width=32, blocks=2, image_size=32).eval().requires_grad_(False)
    return model.field(torch.ones(1, 4))


def _triplane_field() -> object:
    torch.manual_seed(0)
    model = TriplaneSvr(
        code_size=8, width=8, widths=(24, 24), geometry_channels=6, color_channels=2, hidden=8
    )
    return model.eval().requires_grad_(False).field(torch.ones(1, 8))


def _ss3d_field() -> object:
    torch.manual_seed(0)
    decoder = Ss3dDecoder(width=8, layers=2).requires_grad_(False)
    return Ss3dField(decoder, decoder.modulations(0.1 * torch.ones(1, 32)))


@pytest.mark.parametrize("make", [_dvr_field, _triplane_field, _ss3d_field])
def test_a_field_computed_from_its_own_tensors_is_the_same(make: object) -> None:
    field = make()
    for part in ("occupancy", "color"):
        given = field.evaluate(part, field.tensors(part), POINTS)
        torch.testing.assert_close(given, getattr(field, part)(POINTS), rtol=0, atol=1e-6)
        assert given.shape == ((1, 50) if part == "occupancy" else (1, 50, 3))


@pytest.mark.parametrize("make", [_dvr_field, _triplane_field, _ss3d_field])
def test_colour_tensors_change_colours_and_leave_occupancy_bit_for_bit(make: object) -> None:
    field = make()
    changed = {name: tensor + 0.1 for name, tensor in field.tensors("color").items()}
    styled = StyledField(field, {"color": changed})
    assert torch.equal(styled.occupancy(POINTS), field.occupancy(POINTS))
    assert (styled.color(POINTS) - field.color(POINTS)).abs().max() > 0.01
    assert torch.equal(styled[0].detach().color(POINTS), styled.color(POINTS))


def test_differences_come_back_from_a_file(tmp_path: Path) -> None:
    field = _triplane_field()
    changed = {name: tensor + 0.125 for name, tensor in field.tensors("color").items()}
    code = np.ones(8, np.float32)
    delta = DecoderDelta.between(field, {"color": changed}, bundle_sha256="b", code=code)
    delta.save(tmp_path)
    again = DecoderDelta.load(tmp_path)
    assert again.to_bytes() == delta.to_bytes()
    again.check("b", code)
    styled = again.apply(field)
    # 0.125 has no rounding in half precision, but for the sums' own.
    torch.testing.assert_close(
        styled.color(POINTS), StyledField(field, {"color": changed}).color(POINTS), rtol=0, atol=1e-3
    )
    # Rounding once is enough: a difference taken again gives the same bytes.
    twice = DecoderDelta.between(field, styled.tuned, bundle_sha256="b", code=code).apply(field)
    torch.testing.assert_close(twice.color(POINTS), styled.color(POINTS), rtol=0, atol=1e-3)


def test_a_thin_difference_is_stored_thin() -> None:
    field = _dvr_field()
    own = field.tensors("color")
    generator = torch.Generator().manual_seed(1)
    thin = torch.randn(32, 2, generator=generator) @ torch.randn(2, 32, generator=generator)
    full = torch.randn(32, 32, generator=generator)
    name, other = "blocks.0.fc_0.weight", "blocks.1.fc_0.weight"
    changed = {**own, name: own[name] + thin, other: own[other] + full}
    delta = DecoderDelta.between(field, {"color": changed})
    assert delta.stored[f"color/{name}.left"].shape == (32, 2)
    assert delta.stored[f"color/{other}"].shape == (32, 32)
    error = (delta.differences()["color"][name] - thin).norm() / thin.norm()
    assert error < TOLERANCE + 1e-3  # half precision adds its own
    assert delta.stored[f"color/{name}.left"].dtype == torch.float16
    assert len(delta.to_bytes()) < 4 * sum(t.numel() for t in own.values())


def test_refusals(tmp_path: Path) -> None:
    field, code = _dvr_field(), np.ones(4, np.float32)
    delta = DecoderDelta.between(field, {"color": field.tensors("color")}, bundle_sha256="b", code=code)
    with pytest.raises(BundleError, match="another version"):
        delta.check("c", code)
    with pytest.raises(BundleError, match="another shape"):
        delta.check("b", code + 1)
    with pytest.raises(CheckpointError, match="does not fit"):
        delta.apply(_triplane_field())
    with pytest.raises(CheckpointError, match="cannot be read") as caught:
        DecoderDelta.load(tmp_path)
    assert "recipe" in caught.value.remedy
    for data in (b"", b"nothing", delta.to_bytes()[:-3]):
        with pytest.raises(CheckpointError, match="cannot be read"):
            DecoderDelta.from_bytes(data)
