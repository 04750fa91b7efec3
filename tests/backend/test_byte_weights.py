"""Weights in eight bits: known numbers, the promised nearness, and files that hold other things too."""

import torch

from backend.byte_weights import SCALE, from_bytes, to_bytes


def test_known_numbers() -> None:
    weight = torch.tensor([[127.0, -63.6, 0.0], [0.0, 0.0, 0.0], [-0.5, 0.25, 0.1]])
    whole, scale = to_bytes(weight)
    assert whole.dtype == torch.int8
    assert whole.tolist() == [[127, -64, 0], [0, 0, 0], [-127, 64, 25]]
    assert torch.allclose(scale, torch.tensor([1.0, 0.0, 0.5 / 127]))
    back = from_bytes({"w": whole, "w" + SCALE: scale})
    assert list(back) == ["w"]
    assert back["w"][0].tolist() == [127.0, -64.0, 0.0]


def test_no_weight_moves_far_and_a_second_time_none_moves() -> None:
    kernel = torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    once = from_bytes(dict(zip(("w", "w" + SCALE), to_bytes(kernel), strict=True)))["w"]
    assert once.shape == kernel.shape and once.dtype == torch.float32
    most = kernel.abs().flatten(1).amax(1).view(-1, 1, 1, 1)
    moved = (once - kernel).abs()
    assert (moved <= most / 254 * 1.0001).all() and moved.max() > 0
    whole, _ = to_bytes(once)
    assert torch.equal(whole, to_bytes(kernel)[0])


def test_what_has_no_scale_stays_as_it_is() -> None:
    tensors = {
        "count": torch.tensor([3], dtype=torch.int8),
        "norm" + SCALE: torch.ones(2),
        "norm": torch.ones(2),
    }
    assert from_bytes(tensors).keys() == tensors.keys()
    assert all(torch.equal(from_bytes(tensors)[name], tensors[name]) for name in tensors)
