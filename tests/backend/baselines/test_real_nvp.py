"""The conditional flow: exact inverse, exact likelihood, and a conditional distribution that it learns."""

import math

import torch

from backend.baselines.real_nvp import RealNvpMapper
from backend.whitening import Whitening


def _flow(components: int = 3, seed: int = 0, *, shaken: bool = True) -> RealNvpMapper:
    torch.manual_seed(seed)
    flow = RealNvpMapper(feature_size=2, code_size=components, components=components, hidden=16, couplings=4)
    flow.set_space(Whitening.identity(components))
    if shaken:
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return flow


def test_an_untrained_flow_is_the_identity_with_the_gaussian_likelihood() -> None:
    flow, white = _flow(shaken=False), torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 2.0]])
    features = torch.nn.functional.normalize(torch.ones(2, 2), dim=-1)
    noise, log_determinant = flow.to_noise(white, features)
    assert noise.equal(white) and log_determinant.equal(torch.zeros(2))
    expected = torch.tensor([0.0, 9.0 / 2]) / 3 + 0.5 * math.log(2 * math.pi)
    assert torch.allclose(flow.negative_log_likelihood(white, features), expected)


def test_the_inverse_and_the_determinant_are_exact() -> None:
    flow, white = _flow().double(), torch.randn(5, 3, dtype=torch.float64)
    features = torch.nn.functional.normalize(torch.randn(5, 2, dtype=torch.float64), dim=-1)
    with torch.no_grad():
        noise, log_determinant = flow.to_noise(white, features)
    assert torch.allclose(flow.from_noise(noise, features), white, atol=1e-10)
    for i in range(5):
        jacobian = torch.autograd.functional.jacobian(
            lambda x, i=i: flow.to_noise(x[None], features[i : i + 1])[0][0], white[i]
        )
        assert math.isclose(
            float(torch.linalg.slogdet(jacobian).logabsdet), float(log_determinant[i]), abs_tol=1e-9
        )


def test_it_learns_which_codes_go_with_which_feature() -> None:
    flow = _flow(2, shaken=False)
    generator = torch.Generator().manual_seed(1)
    features = torch.eye(2)
    centers = torch.tensor([[2.0, 0.0], [-2.0, 1.0]])
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-2)
    for _ in range(150):
        rows = torch.randint(2, (64,), generator=generator)
        codes = centers[rows] + 0.2 * torch.randn(64, 2, generator=generator)
        loss = flow.negative_log_likelihood(codes, features[rows]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        likely = flow.propose(features, None, 0.0)
        drawn = flow.propose(features[:1].expand(200, -1), generator, 1.0)
    assert torch.allclose(likely, centers, atol=0.3)
    assert 0.05 < float(drawn.std(dim=0).mean()) < 0.5
    # The entropy of a Gaussian of deviation 0.2, per dimension.
    assert abs(float(loss.detach()) - (0.5 * math.log(2 * math.pi * math.e) + math.log(0.2))) < 0.3
