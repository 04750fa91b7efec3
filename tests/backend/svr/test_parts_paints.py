"""Clear paints: what is drawn together, what stays apart, and that gradients pass."""

import torch
from torch import Tensor

from backend.named_colors import COLORS, TINTS
from backend.svr import parts_layout as layout
from backend.svr.parts_paints import STRAY, clear_paints

RED, BLUE = torch.tensor(COLORS["red"]), torch.tensor(COLORS["blue"])


def _rows(colors: list[Tensor], patterns: list[str] | None = None, missing: tuple[int, ...] = ()) -> Tensor:
    """One shape [1, SLOTS, COLUMNS] with a part per colour."""
    rows = torch.zeros(1, layout.SLOTS, layout.COLUMNS)
    rows[..., layout.EXISTS] = -5
    for i, color in enumerate(colors):
        rows[0, i, layout.EXISTS] = -5 if i in missing else 5
        rows[0, i, layout.COLOR_A] = color
        pattern = patterns[i] if patterns else "plain"
        rows[0, i, layout.PATTERN.start + layout.PATTERNS.index(pattern)] = 5
    return rows


def _colors(rows: Tensor, count: int) -> Tensor:
    return clear_paints(rows)[0, :count, layout.COLOR_A]


def test_a_named_colour_and_a_tint_stay() -> None:
    wood = torch.tensor(TINTS["wood"][0][0])
    assert torch.allclose(_colors(_rows([RED, BLUE]), 2), torch.stack([RED, BLUE]), atol=5e-3)
    assert torch.allclose(_colors(_rows([wood], ["wood"]), 1)[0], wood, atol=2e-2)


def test_a_colour_beside_a_paint_is_drawn_to_it() -> None:
    drawn = _colors(_rows([0.9 * RED + 0.1 * BLUE]), 1)[0]
    assert (drawn - RED).norm() < STRAY + 0.02 < 0.1 * (BLUE - RED).norm()


def test_a_material_looks_like_itself() -> None:
    """Wood comes in wood's tints alone; leather also in the named colours."""
    blue = torch.tensor(COLORS["blue"])
    wooden, leathern = _colors(_rows([blue, blue], ["wood", "leather"]), 2)
    nearest = min((torch.tensor(rgb) - wooden).norm() for rgb in TINTS["wood"][0])
    assert nearest < STRAY + 0.01 and torch.allclose(leathern, blue, atol=5e-3)


def test_a_small_straying_is_kept() -> None:
    own = RED + torch.tensor([0.02, 0.01, -0.02])
    assert torch.allclose(_colors(_rows([own]), 1)[0], own, atol=5e-3)


def test_nearly_equal_parts_become_equal_and_others_do_not() -> None:
    shift = torch.tensor([0.05, -0.03, 0.04])
    first, second, third = _colors(_rows([BLUE + shift, BLUE - shift, RED]), 3)
    assert (first - second).norm() < 0.3 * (2 * shift).norm()
    assert (third - RED).norm() < 0.01


def test_other_patterns_and_missing_parts_do_not_pull() -> None:
    shift = torch.tensor([0.05, 0.0, 0.0])
    alone = _colors(_rows([BLUE + shift]), 1)[0]
    other = _colors(_rows([BLUE + shift, BLUE - shift], ["plain", "stripes"]), 1)[0]
    absent = _colors(_rows([BLUE + shift, BLUE - shift], missing=(1,)), 1)[0]
    assert torch.allclose(other, alone) and torch.allclose(absent, alone)


def test_all_but_main_colours_is_untouched() -> None:
    rows = _rows([RED, BLUE])
    rows[..., : layout.COLOR_A.start] += 0.1
    drawn = clear_paints(rows)
    assert torch.equal(drawn[..., : layout.COLOR_A.start], rows[..., : layout.COLOR_A.start])
    assert torch.equal(drawn[..., layout.COLOR_A.stop :], rows[..., layout.COLOR_A.stop :])


def test_stage_2_can_carry_a_part_from_one_paint_to_another() -> None:
    """Following the gradient, a red part becomes blue: nothing holds it at its paint for good."""
    rows = _rows([RED + torch.tensor([-0.03, 0.02, 0.05])]).requires_grad_()
    optimizer = torch.optim.Adam([rows], lr=0.02)
    for _ in range(200):
        optimizer.zero_grad()
        (clear_paints(rows)[0, 0, layout.COLOR_A] - BLUE).square().sum().backward()
        optimizer.step()
    assert (_colors(rows.detach(), 1)[0] - BLUE).norm() < STRAY + 0.02
