"""The generative mapper: where its flow starts and ends in closed form, guidance, and its loss's weights."""

import pytest
import torch
from torch import Tensor

from backend.flow_mapper import NEAR_START, SETTLED, FlowMapper
from backend.training.align import EARLY_SHARE, Encoded, FlowLoss
from backend.whitening import Whitening

CODES = torch.tensor([[2.0, 0.0, 0.0, 4.0], [0.0, 1.0, 0.0, 0.0]])
FEATURES = torch.eye(2, 4)


def _mapper(**settings: float) -> FlowMapper:
    torch.manual_seed(0)
    mapper = FlowMapper(
        feature_size=4, code_size=4, components=4, hidden=8, blocks=1, bank_size=2, neighbours=1, steps=4,
        **settings,
    )  # fmt: skip
    for weight in mapper.tower.parameters():
        torch.nn.init.zeros_(weight)
    mapper.set_space(Whitening.identity(4), FEATURES, CODES)
    return mapper


def _along_the_condition(white: Tensor, time: Tensor, condition: Tensor) -> Tensor:
    """A velocity that is the condition, and [0, 0, 0, 1] without one."""
    free = (condition.abs().sum(-1, keepdim=True) == 0).float()
    return condition + free * torch.tensor([0.0, 0.0, 0.0, 1.0])


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_the_flow_goes_from_the_bank_along_the_guided_velocity(
    guidance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapper = _mapper(start=0.25, guidance=guidance)
    monkeypatch.setattr(mapper, "velocity", _along_the_condition)
    feature = torch.nn.functional.normalize(torch.tensor([[3.0, 0.0, 4.0, 0.0]]), dim=-1)
    free = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    expected = 0.25 * CODES[:1] + 0.75 * (free + guidance * (feature - free))
    assert torch.allclose(mapper.propose(feature, None, 0.0), expected, atol=1e-6)
    assert FlowMapper(**mapper.architecture()).guidance == guidance


def test_a_known_code_takes_the_place_of_the_banks(monkeypatch: pytest.MonkeyPatch) -> None:
    mapper = _mapper(start=0.25)
    monkeypatch.setattr(mapper, "velocity", _along_the_condition)
    known = torch.tensor([5.0, 6.0, 7.0, 8.0])
    found = mapper.propose(FEATURES, None, 0.0, near=known)
    assert torch.allclose(found, NEAR_START * known + (1 - NEAR_START) * FEATURES, atol=1e-6)
    noisy = mapper.propose(FEATURES, torch.Generator().manual_seed(1), 0.5, near=known)
    noise = torch.randn(2, 4, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(noisy, found + (1 - NEAR_START) * 0.5 * noise, atol=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_a_blend_settles_along_the_free_velocity_and_keeps_its_ends(
    weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapper = _mapper(guidance=3.0)
    monkeypatch.setattr(mapper, "velocity", _along_the_condition)
    start = {0.0: 1.0, 0.5: 1 - SETTLED, 1.0: 1.0}[weight]
    free = torch.tensor([0.0, 0.0, 0.0, 1.0])
    expected = start * torch.lerp(*CODES, weight) + (1 - start) * free
    assert torch.allclose(mapper.between(*CODES, weight), expected, atol=1e-6)


def test_a_flow_that_is_not_guided_blends_straight() -> None:
    assert torch.equal(_mapper().between(*CODES, 0.25), torch.lerp(*CODES, 0.25))


def test_dimensions_count_by_their_weights() -> None:
    mapper, encoded = _mapper(), Encoded(FEATURES[:, None], FEATURES[:, None], CODES)

    def flow(weights: list[float] | None) -> float:
        loss = FlowLoss(mapper, encoded, 16, weights=None if weights is None else torch.tensor(weights))
        return loss(0, torch.Generator().manual_seed(1))["flow"].item()

    parts = [flow([4.0 * (i == j) for j in range(4)]) for i in range(4)]
    assert sum(parts) / 4 == pytest.approx(flow(None), rel=1e-5)
    # The last dimension of the codes strays most, and an untrained flow guesses 0.
    assert parts[3] == max(parts)


def test_times_lie_after_the_start_but_for_a_few() -> None:
    loss = FlowLoss(_mapper(start=0.6), Encoded(FEATURES[:, None], FEATURES[:, None], CODES), 4)
    times = loss.times(20_000, torch.Generator().manual_seed(0))
    early = float((times < 0.6).float().mean())
    assert early == pytest.approx(0.6 * EARLY_SHARE, abs=0.01)
    assert times.min() >= 0 and times.max() <= 1
    # Those after the start are spread evenly.
    assert float((times > 0.8).float().mean()) == pytest.approx((1 - early) / 2, abs=0.01)


def test_a_tower_that_is_not_trained_costs_nothing() -> None:
    mapper, encoded = _mapper(), Encoded(FEATURES[:, None], FEATURES[:, None], CODES)
    assert set(FlowLoss(mapper, encoded, 8)(0, torch.Generator().manual_seed(0))) == {"flow", "tower"}
    mapper.tower.requires_grad_(False)
    assert set(FlowLoss(mapper, encoded, 8)(0, torch.Generator().manual_seed(0))) == {"flow"}


@pytest.mark.parametrize("draw", ["randn", "randint"])
def test_noise_of_the_cpu_reaches_a_mapper_elsewhere(draw: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed's generator is the CPU's, wherever the mapper is; here on the device that computes nothing, to
    which a GPU's refusal of other devices' generators is added."""
    drawn = getattr(torch, draw)

    def strict(*sizes: object, generator: torch.Generator | None = None, **options: object) -> Tensor:
        assert generator is None or options.get("device", generator.device) == generator.device
        return drawn(*sizes, generator=generator, **options)

    elsewhere = torch.device("meta")
    mapper = _mapper(start=0.6).to(elsewhere)
    monkeypatch.setattr(torch, draw, strict)
    codes = mapper.propose(FEATURES.to(elsewhere), torch.Generator().manual_seed(0), 1.0)
    assert codes.device == elsewhere and codes.shape == CODES.shape
