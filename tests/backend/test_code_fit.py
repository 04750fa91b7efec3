"""The fit of codes by hand: what the mapper says, less what is strange to the SVR model."""

import numpy as np
import pytest
import torch
from torch import Tensor

from backend.bundles import load_bundle
from backend.code_fit import CodeFit
from backend.datasets.procedural.categories import CATEGORIES, make
from backend.datasets.procedural.part_tables import part_table
from backend.mapper import RegressingMapper
from backend.svr.dvr import DvrModel
from tests.backend.tiny_bundle import CODE_SIZE, tiny_svr

FEATURE = torch.tensor([1.0, 0.0])


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> tuple[RegressingMapper, DvrModel]:
    """A mapper that agrees with the first numbers of a code where they meet the feature, and an SVR model to
    which the second number is strange."""
    mapper, svr = RegressingMapper([2, CODE_SIZE]), tiny_svr()

    def agreement(codes: Tensor, features: Tensor) -> Tensor:
        assert features.shape == (len(codes), 2)
        return codes[:, 0] * features[:, 0]

    monkeypatch.setattr(mapper, "agreement", agreement)
    monkeypatch.setattr(svr, "strangeness", lambda codes: codes[:, 1].abs())
    return mapper, svr


def test_fit_is_agreement_less_weighted_strangeness(models: tuple[RegressingMapper, DvrModel]) -> None:
    codes = torch.tensor([[0.8, 0.0, 0, 0], [0.9, -0.5, 0, 0], [0.1, 0.2, 0, 0]])
    assert torch.allclose(CodeFit(*models, 0.4)(codes, FEATURE), torch.tensor([0.8, 0.7, 0.02]))
    assert torch.equal(CodeFit(*models, 0.0)(codes, FEATURE), codes[:, 0])


def test_nothing_is_strange_to_a_model_that_cannot_tell() -> None:
    fit = CodeFit(RegressingMapper([2, CODE_SIZE]), tiny_svr(), 1.0)
    assert torch.equal(fit(torch.randn(3, CODE_SIZE), FEATURE), torch.zeros(3))


def test_what_lies_between_shapes_is_stranger_to_the_starter_than_they_are() -> None:
    svr = load_bundle("starter").svr
    shapes = [make(name, np.random.default_rng(index)).shape for index, name in enumerate(CATEGORIES)]
    tables = torch.from_numpy(np.stack([part_table(shape) for shape in shapes]).astype(np.float32))
    with torch.no_grad():
        true = svr.encode_parts(tables)
        mixed = (true + true.flip(0)) / 2  # between a chair and a sword there is nothing
        own, strange = svr.strangeness(true), svr.strangeness(mixed)
    assert strange.median() > 2 * own.median()
    assert float((strange > own).float().mean()) > 0.8
