"""Stage 2 on the hand-made octahedron: it moves the right way, keeps the best, and survives NaN."""

from collections.abc import Callable, Generator

import pytest
import torch
from torch import Tensor, nn

from backend import text_guidance
from backend.cameras import random_cameras
from backend.config import MapperSettings, RenderSettings, Stage2Settings
from backend.errors import NumericalError
from backend.ranking import Judge, Score
from backend.rendering.occupancy_grid import OccupancyGrid, build_grid
from backend.text_guidance import (
    GRID_AGE,
    GuidanceStep,
    augment,
    guidance_gradient,
    guide,
    views_at_once,
)
from backend.whitening import Whitening
from tests.backend.tiny_bundle import CODE_SIZE, TINY_SETTINGS, tiny_svr

RED = torch.nn.functional.normalize(torch.tensor([1.0, 0.2, 0.2]), dim=0)
START = torch.zeros(CODE_SIZE)
WHITENING = Whitening(torch.zeros(CODE_SIZE), torch.eye(CODE_SIZE)[:2], torch.ones(2))


class MeanColor(nn.Module):
    """Stands in for CLIP: the feature of an image is its mean colour."""

    def encode_image(self, images: Tensor) -> Tensor:
        return torch.nn.functional.normalize(images.mean(dim=(2, 3)), dim=-1)


def _steps(
    judge: Callable[[Tensor, OccupancyGrid | None], Score] = lambda code, grid: Score(
        total=float(code[1]), clip=float(code[1])
    ),
    whitening: Whitening = WHITENING,
    mapper: nn.Module | None = None,
    render: RenderSettings = TINY_SETTINGS.render,
    confirm: Callable[[Tensor, Score], Score] = lambda code, score: score,
    **changes: object,
) -> Generator[GuidanceStep, None, Tensor]:
    settings = Stage2Settings.from_dict(
        {
            "steps": 4, "views": 2, "view_size": 16, "learning_rate": 0.1,
            "background_weight": 0.0, **changes,
        }
    )  # fmt: skip
    return guide(
        clip=MeanColor(),
        svr=tiny_svr().requires_grad_(False),
        mapper=mapper,
        whitening=whitening,
        feature=RED,
        start=START,
        judge=judge,
        settings=settings,
        render=render,
        generator=torch.Generator().manual_seed(0),
        confirm=confirm,
    )


def _with_grid(code: Tensor, carried: OccupancyGrid | None) -> Score:
    """As the default judge of `_steps`, with the code's grid."""
    grid = build_grid(tiny_svr().field(code[None]), 16)
    return Score(total=float(code[1]), clip=float(code[1]), grid=grid)


def _run(steps: Generator[GuidanceStep, None, Tensor]) -> tuple[list[GuidanceStep], Tensor]:
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as finished:
            return seen, finished.value


def test_a_red_text_makes_the_shape_redder() -> None:
    seen, best = _run(_steps())
    assert [step.step for step in seen] == [0, 1, 2, 3, 4]
    assert torch.equal(seen[0].code, START)
    redness = [float(step.code[1]) for step in seen]
    assert redness == sorted(redness) and redness[-1] > 0.2
    assert torch.equal(best, seen[-1].code)


def test_the_offset_stays_in_the_whitened_directions() -> None:
    _, best = _run(_steps())
    assert best[2:].abs().max() == 0


def test_the_best_iterate_is_kept_and_never_worse_than_the_start() -> None:
    totals = iter([0.0, 0.3, 0.9, 0.5, -1.0])
    seen, best = _run(
        _steps(judge=lambda code, grid: Score(total=(total := next(totals)), clip=max(total, 0.0)))
    )
    assert [step.best_step for step in seen] == [0, 1, 2, 2, 2]
    assert torch.equal(best, seen[2].code)
    falling = iter([0.0, -0.1, -0.2, -0.3, -0.4])
    _, best = _run(_steps(judge=lambda code, grid: Score(total=(total := next(falling)), clip=total)))
    assert torch.equal(best, START)


def test_a_better_total_with_a_lower_clip_score_is_refused() -> None:
    totals = iter([0.0, 1.0, 2.0, 3.0, 4.0])
    _, best = _run(_steps(judge=lambda code, grid: Score(total=(total := next(totals)), clip=-total)))
    assert torch.equal(best, START)


def test_the_drift_penalty_holds_the_code() -> None:
    free, _ = _run(_steps())
    held, _ = _run(_steps(drift_weight=1000.0))
    assert held[-1].code.abs().sum() < 0.5 * free[-1].code.abs().sum()


def test_the_surface_penalty_holds_the_shape_and_not_its_colour() -> None:
    """The code's first number is the octahedron's size, the second its redness; here they grow together, or
    redness alone."""
    both = Whitening(torch.zeros(CODE_SIZE), torch.tensor([[0.6, 0.8, 0.0, 0.0]]), torch.ones(1))
    moved = {
        (name, weight): float(_run(_steps(_with_grid, whitening, surface_weight=weight))[0][-1].code[1])
        for name, whitening in (("both", both), ("apart", WHITENING))
        for weight in (0.0, 1000.0)
    }
    assert moved["both", 1000.0] < 0.2 * moved["both", 0.0]
    assert moved["apart", 1000.0] == pytest.approx(moved["apart", 0.0])


def test_tuning_the_mapper_starts_at_the_start_and_leaves_the_mapper_alone() -> None:
    torch.manual_seed(0)
    mapper = nn.Linear(3, CODE_SIZE).requires_grad_(False)
    before = [parameter.clone() for parameter in mapper.parameters()]
    seen, _ = _run(_steps(mapper=mapper, target="mapper", drift_weight=0.1))
    assert torch.allclose(seen[0].code, START)
    assert float(seen[-1].code[1]) > 0.2
    assert all(torch.equal(a, b) for a, b in zip(before, mapper.parameters(), strict=True))


def test_not_a_number_is_a_fault_with_the_start_already_told() -> None:
    broken = Whitening(WHITENING.mean, WHITENING.basis, torch.tensor([float("nan"), 1.0]))
    steps = _steps(whitening=broken)
    assert next(steps).step == 0
    with pytest.raises(NumericalError, match="step 1"):
        next(steps)


def test_zero_steps_only_judge_the_start() -> None:
    seen, best = _run(_steps(steps=0))
    assert len(seen) == 1 and torch.equal(best, START)


def test_the_same_generator_gives_the_same_steps() -> None:
    first, _ = _run(_steps(augment=True))
    again, _ = _run(_steps(augment=True))
    assert all(torch.equal(a.code, b.code) for a, b in zip(first, again, strict=True))


def test_the_grid_is_carried_over_and_built_anew_now_and_then() -> None:
    given = []

    def judge(code: Tensor, grid: OccupancyGrid | None) -> Score:
        given.append(grid)
        return real(code, grid)

    render = TINY_SETTINGS.render.replace(grid_resolution=16)
    real = Judge(
        MeanColor(), tiny_svr().requires_grad_(False), RED,
        stage2=TINY_SETTINGS.stage2, render=render, mapper=MapperSettings(),
    )  # fmt: skip
    carried, _ = _run(_steps(judge=judge, render=render, steps=GRID_AGE + 1))
    assert [grid is None for grid in given] == [True, *[False] * (GRID_AGE - 1), True, False]
    # A grid that is built anew for every score gives the same steps: roots are verified by the decoder.
    fresh, _ = _run(_steps(judge=lambda code, grid: real(code), render=render, steps=GRID_AGE + 1))
    for one, other in zip(carried, fresh, strict=True):
        assert torch.allclose(one.code, other.code, atol=1e-3)
        assert one.score.total == pytest.approx(other.score.total, abs=1e-3)
    again, _ = _run(_steps(judge=real, render=render, steps=GRID_AGE + 1))
    assert all(torch.equal(one.code, other.code) for one, other in zip(carried, again, strict=True))


def test_augmentation_recolours_only_the_background() -> None:
    count, size = 16, 12
    mask = torch.zeros(count, size, size, dtype=torch.bool)
    mask[:, 3:10, 3:10] = True
    images = torch.where(mask[..., None], torch.tensor([0.0, 0.0, 1.0]), torch.ones(3))
    changed = augment(images, mask, torch.Generator().manual_seed(3))
    assert changed.shape == images.shape
    # Crops keep the middle: the centre pixels stay pure blue, corners show white or one flat colour per view.
    assert torch.allclose(changed[:, 6, 6], torch.tensor([0.0, 0.0, 1.0]).expand(count, 3), atol=1e-6)
    corners = changed[:, 0, 0]
    white = (corners == 1).all(dim=-1)
    assert 0 < int(white.sum()) < count
    whole = torch.ones(4, size, size, dtype=torch.bool)
    gray = torch.full((4, size, size, 3), 0.5)
    assert torch.equal(augment(gray, whole, torch.Generator()), gray)


class ShortOfMemory(MeanColor):
    """Has room for so many images at a time."""

    def __init__(self, room: int, error: Exception) -> None:
        super().__init__()
        self.room, self.error, self.tried = room, error, []

    def encode_image(self, images: Tensor) -> Tensor:
        self.tried.append(len(images))
        if len(images) > self.room:
            raise self.error
        return super().encode_image(images)


def _gradient(clip: nn.Module, **changes: object) -> tuple[Tensor, Tensor, int]:
    settings = Stage2Settings.from_dict({"views": 5, "view_size": 16, "background_weight": 3.0, **changes})
    cameras = random_cameras(
        5, torch.Generator().manual_seed(1), distance=(1.6, 2.0), elevation_deg=(0.0, 30.0)
    )
    loss, gradient, at_once = guidance_gradient(
        clip, tiny_svr().requires_grad_(False), torch.tensor([0.1, 0.3, 0.0, 0.0]), cameras, RED, settings,
        TINY_SETTINGS.render, generator=torch.Generator().manual_seed(2),
    )  # fmt: skip
    return loss, gradient, at_once


@pytest.mark.parametrize("augmented", [False, True])
def test_fewer_views_at_a_time_give_the_same_gradient(augmented: bool) -> None:
    loss, gradient, at_once = _gradient(MeanColor(), augment=augmented)
    short = ShortOfMemory(2, torch.OutOfMemoryError("CUDA out of memory."))
    again, same, fitted = _gradient(short, augment=augmented)
    assert short.tried == [5, 3, 2, 2, 1] and (at_once, fitted) == (5, 2)
    assert gradient.abs().max() > 0
    assert torch.allclose(again, loss) and torch.allclose(same, gradient, rtol=1e-4, atol=1e-6)


def test_a_view_that_does_not_fit_alone_and_other_faults_are_told() -> None:
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        _gradient(ShortOfMemory(0, RuntimeError("can't allocate memory: you tried to allocate 9 bytes")))
    broken = ShortOfMemory(0, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="do not fit"):
        _gradient(broken)
    assert broken.tried == [5]


def test_views_at_once_follow_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    paper, cpu = Stage2Settings(), torch.device("cpu")
    monkeypatch.setattr(text_guidance, "free_memory", lambda device: 10**10)
    assert views_at_once(paper, cpu) == paper.views == 10
    # The CPU's cap holds however much is free; a view is never cut.
    assert views_at_once(paper.replace(views=64, view_size=128), cpu) == 4
    assert views_at_once(paper.replace(view_size=512), cpu) == 1
    monkeypatch.setattr(text_guidance, "free_memory", lambda device: 10**9)
    assert views_at_once(paper, cpu) == 3


def test_a_score_is_confirmed_before_it_decides() -> None:
    totals = iter([0.0, 0.3, 0.2, 0.5, 0.6])
    asked = []

    def confirm(code: Tensor, score: Score) -> Score:
        asked.append(score.total)
        return Score(total=score.total - (1.0 if score.total == 0.5 else 0.0), clip=score.clip)

    seen, _ = _run(
        _steps(judge=lambda code, grid: Score(total=(total := next(totals)), clip=total), confirm=confirm)
    )
    assert asked == [0.3, 0.5, 0.6]
    assert [step.best_step for step in seen] == [0, 1, 1, 1, 4]
