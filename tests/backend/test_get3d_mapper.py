"""The two-headed mapper: outputs and losses of the reference, proposals, and refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch

from backend.errors import CheckpointError
from backend.get3d_mapper import Get3dMapper


@pytest.fixture(scope="module")
def archive(reference_dir: Path) -> np.lib.npyio.NpzFile:
    return np.load(reference_dir / "iss_get3d_mapper.npz")


@pytest.fixture(scope="module")
def weights(archive: np.lib.npyio.NpzFile) -> dict[str, torch.Tensor]:
    return {k[3:]: torch.from_numpy(archive[k]).float() for k in archive.files if k.startswith("sd/")}


def test_outputs_and_losses_match_the_reference(
    archive: np.lib.npyio.NpzFile, weights: dict[str, torch.Tensor]
) -> None:
    mapper = Get3dMapper.from_public(weights)
    with torch.no_grad():
        codes = mapper(torch.from_numpy(archive["out/noised"]))
    geometry, texture = codes.split(512, dim=1)
    for ours, name in ((geometry, "geo"), (texture, "tex")):
        reference = archive[f"out/{name}"]
        assert np.abs(ours.numpy() - reference).max() <= 1e-5 * np.abs(reference).max()
        target = torch.from_numpy(archive[f"in/{name}_target_first512"])
        loss = float((ours - target).abs().mean())
        assert loss == pytest.approx(float(archive[f"loss/{name}_l1"]), rel=1e-5)


def test_noise_is_mixed_as_in_the_reference(archive: np.lib.npyio.NpzFile) -> None:
    feature, noise = torch.from_numpy(archive["in/clip_feature"]), torch.from_numpy(archive["in/noise"])
    # The reference mixes the un-normalised feature; mix_noise takes a unit one, hence another scale.
    mixed = 0.25 * feature + 0.75 * torch.nn.functional.normalize(noise, dim=-1)
    ours = torch.nn.functional.normalize(mixed, dim=-1)
    assert np.abs(ours.numpy() - archive["out/noised"]).max() <= 1e-6


def test_clip_saw_renders_stretched_without_a_mean(archive: np.lib.npyio.NpzFile) -> None:
    """A quirk of the reference that the product leaves out (it normalises as CLIP was trained): renders in
    [-1, 1] are divided by 2.2 and by 0.27, and enlarged to the nearest pixel."""
    render = torch.from_numpy(archive["in/render4"])[:, :3]
    assert render.min() >= -1 and render.max() <= 1
    seen = torch.nn.functional.interpolate(render / 2.2 / 0.27, 224, mode="nearest")
    assert np.abs(seen[:, :, ::8, ::8].numpy() - archive["out/clip_input_every8"]).max() <= 1e-6


def test_unused_layers_are_left_out_and_sizes_come_from_the_weights(weights: dict[str, torch.Tensor]) -> None:
    mapper = Get3dMapper.from_public(weights)
    assert set(mapper.state_dict()) == set(weights) - {
        f"linear_{i}.{part}" for i in (1, 2, 3) for part in ("weight", "bias")
    }
    assert Get3dMapper(**mapper.architecture()).state_dict().keys() == mapper.state_dict().keys()
    official = Get3dMapper.__init__.__defaults__
    assert official == (512, 2048, 512, 512)


def test_proposals_vary_with_diversity_only() -> None:
    mapper = Get3dMapper(8, 16, 8, 4)
    features = torch.nn.functional.normalize(torch.ones(3, 8), dim=-1)
    with torch.no_grad():
        same = mapper.propose(features, torch.Generator().manual_seed(1), 0.0)
        varied = mapper.propose(features, torch.Generator().manual_seed(1), 0.5)
    assert same.shape == (3, 8) and torch.equal(same[0], same[1]) and not torch.equal(varied[0], varied[1])


def test_misfits_are_named(weights: dict[str, torch.Tensor]) -> None:
    wrong = {**weights, "linear_9.bias": torch.zeros(1)}
    del wrong["linear_4x.bias"]
    with pytest.raises(CheckpointError, match=r"missing: linear_4x.bias; unknown: linear_9.bias"):
        Get3dMapper.from_public(wrong)
    with pytest.raises(CheckpointError, match=r"linear_1g1.weight, linear_7g1.weight: missing"):
        Get3dMapper.from_public({"linear_4.weight": torch.zeros(2, 2)})
