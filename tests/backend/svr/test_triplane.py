"""The tri-plane model: the low pass against its checkerboard."""

import torch

from backend.svr.triplane import TriplaneSvr, _low_passed


def test_low_pass_keeps_flat_maps_and_removes_a_checkerboard() -> None:
    flat = torch.full((1, 2, 8, 8), 3.0)
    board = (-1.0) ** (torch.arange(8)[:, None] + torch.arange(8)[None])
    filtered = _low_passed(flat + board)
    assert torch.allclose(filtered[..., 1:-1, 1:-1], flat[..., 1:-1, 1:-1])


def test_low_pass_spreads_a_point() -> None:
    point = torch.zeros(1, 1, 5, 5)
    point[0, 0, 2, 2] = 16.0
    expected = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
    assert torch.equal(_low_passed(point)[0, 0, 1:4, 1:4], expected)


def test_low_pass_has_no_parameters_and_smooths_the_planes() -> None:
    sizes = {"code_size": 8, "image_size": 16, "width": 8, "widths": (12, 12, 12), "hidden": 8}
    torch.manual_seed(0)
    plain, smooth = TriplaneSvr(**sizes), TriplaneSvr(**sizes, low_pass=2)
    smooth.load_state_dict(plain.state_dict())
    code = torch.randn(1, 8)

    def roughness(model: TriplaneSvr) -> float:
        planes = model.field(code).planes.detach()[0].flatten(0, 1)
        spectrum = torch.fft.rfft2(planes - planes.mean((-1, -2), keepdim=True)).abs().mean(0)
        return float(spectrum[len(spectrum) // 2, -1] / spectrum.mean())

    assert roughness(smooth) < 0.5 * roughness(plain), "amplitude of the checkerboard"
    assert smooth.architecture()["low_pass"] == 2
