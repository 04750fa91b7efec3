"""The regressing mapper and the noise mix: reference values, closed forms, refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch

from backend.errors import CheckpointError, SettingError
from backend.mapper import PAPER_WIDTHS, RegressingMapper, mix_noise


def _seed(value: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def test_paper_widths_are_the_public_layout() -> None:
    shapes = {k: tuple(v.shape) for k, v in RegressingMapper().state_dict().items()}
    assert len(shapes) == 24 and len(PAPER_WIDTHS) == 13
    assert shapes["generator.linear_8.weight"] == (512, 512)
    assert shapes["generator.linear_9.weight"] == (256, 512)
    assert shapes["generator.linear_12.weight"] == (256, 256)


def test_mapper_matches_the_reference(reference_dir: Path) -> None:
    archive = np.load(reference_dir / "iss_stage2.npz")
    weights = {k[3:]: torch.from_numpy(archive[k]).float() for k in archive.files if k.startswith("sd/")}
    mapper = RegressingMapper.from_public(weights)
    unit = torch.nn.functional.normalize
    with torch.no_grad():
        _close(mapper(torch.from_numpy(archive["in/clip_features"])), archive["out/latents"])
        text = unit(torch.from_numpy(archive["in/text_feature_raw"]), dim=-1)
        _close(mapper.propose(text, _seed(), 0.0), archive["out/text_latent"])


def test_leaky_layers_by_hand() -> None:
    mapper = RegressingMapper([1, 2, 1])
    with torch.no_grad():
        mapper.generator["linear_1"].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        mapper.generator["linear_2"].weight.copy_(torch.tensor([[1.0, 10.0]]))
    # 3 -> (3, -3) -> leaky (3, -0.06) -> 3 - 0.6; no activation after the last layer.
    assert mapper(torch.tensor([[3.0]])).item() == pytest.approx(2.4)


def test_widths_come_from_the_weights() -> None:
    small = RegressingMapper([6, 5, 4])
    again = RegressingMapper.from_public({**small.state_dict(), "decoder.fc_p.bias": torch.zeros(2)})
    assert again.architecture() == {"widths": [6, 5, 4]}
    assert RegressingMapper(**small.architecture()).widths == (6, 5, 4)


def test_fresh_weights_are_small_and_biases_zero() -> None:
    mapper = RegressingMapper()
    assert mapper.generator["linear_3"].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert mapper.generator["linear_3"].bias.abs().max() == 0


def test_mix_noise_follows_its_formula() -> None:
    features = 3 * torch.randn(4, 16, generator=_seed(1))
    noise = torch.randn(4, 16, generator=_seed(7))
    expected = 0.25 * features + 0.75 * noise / noise.norm(dim=-1, keepdim=True)
    expected /= expected.norm(dim=-1, keepdim=True)
    assert torch.allclose(mix_noise(features, 0.75, _seed(7)), expected, atol=1e-6)
    assert torch.allclose(mix_noise(features, 0.0, _seed()).norm(dim=-1), torch.ones(4))


def test_diversity_spreads_and_repeats() -> None:
    mapper = RegressingMapper([8, 8])
    feature = torch.nn.functional.normalize(torch.ones(1, 8), dim=-1)
    codes = [mapper.propose(feature, _seed(s), d) for s, d in ((1, 0.0), (1, 0.3), (1, 0.3), (2, 0.3))]
    assert torch.equal(codes[1], codes[2])
    assert not torch.equal(codes[0], codes[1]) and not torch.equal(codes[1], codes[3])


def test_refusals() -> None:
    with pytest.raises(SettingError, match=r"1\.5"):
        mix_noise(torch.ones(1, 4), 1.5, _seed())
    with pytest.raises(SettingError, match="no layer"):
        RegressingMapper([4])
    weights = RegressingMapper([6, 5, 4]).state_dict()
    del weights["generator.linear_2.bias"]
    with pytest.raises(CheckpointError):
        RegressingMapper.from_public(weights)
    with pytest.raises(CheckpointError, match="0 generator"):
        RegressingMapper.from_public({"decoder.fc_p.bias": torch.zeros(2)})


def _close(ours: torch.Tensor, reference: np.ndarray) -> None:
    assert np.abs(ours.numpy() - reference).max() <= 1e-5 * np.abs(reference).max()
