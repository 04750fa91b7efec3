"""Training on tables of parts: what the loss compares and what it leaves alone; codes are learned."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from backend.datasets.procedural.categories import CATEGORIES, make
from backend.datasets.procedural.corpus import CorpusSettings, build_corpus, open_corpus
from backend.datasets.procedural.part_names import PART_NAMES
from backend.datasets.procedural.part_tables import part_table
from backend.errors import DatasetError
from backend.image_encoder import stages_of
from backend.shape_tower import ShapeTower
from backend.svr import parts_layout as layout
from backend.svr.parts import PartsSvr
from backend.svr.parts_field import PartsField
from backend.svr.parts_skin import Skin
from backend.training.names import NamesLoss, named_right, row_names
from backend.training.part_codes import AutoencoderLoss, DecoderLoss, PartAutoencoder, code_weights
from backend.training.part_loss import part_loss
from backend.training.part_volume import occupancy_of_all, volume_loss
from backend.whitening import Whitening

SURE = 30.0
"""A logit of which the cross entropy is nothing."""
NAMES = ("chair", "mug", "airplane", "car", "lamp", "guitar")


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of two shapes without images."""
    folder = tmp_path_factory.mktemp("named") / "corpus"
    settings = CorpusSettings(shapes=2, views=0, uniform_points=0, near_points=0, captions=1)
    list(build_corpus(folder, settings, workers=1))
    return folder


@pytest.fixture(scope="module")
def tables() -> Tensor:
    """[6, SLOTS, COLUMNS]"""
    return torch.from_numpy(np.stack([part_table(make(n, np.random.default_rng(41)).shape) for n in NAMES]))


def _row(kind: str, pattern: str = "plain") -> Tensor:
    """A table [1, SLOTS, COLUMNS] of one part of size 0.5."""
    table = torch.zeros(1, layout.SLOTS, layout.COLUMNS)
    row = table[0, 0]
    row[layout.EXISTS] = row[layout.KIND.start + layout.KINDS.index(kind)] = 1
    row[layout.PATTERN.start + layout.PATTERNS.index(pattern)] = 1
    row[layout.AXIS_Y], row[layout.AXIS_X] = torch.tensor([0.0, 1, 0]), torch.tensor([1.0, 0, 0])
    row[layout.PARAMS] = row[layout.OUTLINE] = 0.5
    row[layout.COLOR_A], row[layout.COLOR_B], row[layout.SCALE] = 0.2, 0.7, 0.15
    return table


def _said(table: Tensor) -> Tensor:
    """Rows that say a table and are sure of it."""
    rows = table.clone()
    for columns in (slice(layout.EXISTS, layout.EXISTS + 1), slice(layout.CUT, layout.CUT + 1), layout.KIND,
                    layout.PATTERN):  # fmt: skip
        rows[..., columns] = SURE * (2 * table[..., columns] - 1)
    return rows


def _changed(table: Tensor, columns: slice | int, by: float) -> dict[str, float]:
    """Losses after a change of the first part's columns, those that stay nothing left out."""
    rows = _said(table)
    rows[0, 0, columns] += by
    return {name: float(loss) for name, loss in part_loss(rows, table).items() if loss > 1e-6}


def test_a_table_that_is_said_exactly_costs_nothing(tables: Tensor) -> None:
    losses = part_loss(_said(tables), tables)
    assert set(losses) == {"lengths", "exists", "kinds", "patterns", "colors"}
    assert losses["lengths"] == losses["colors"] == 0
    assert all(0 <= loss < 1e-6 for loss in losses.values())


def test_an_unsure_decoder_pays_the_cross_entropies_only(tables: Tensor) -> None:
    rows = tables.clone()
    for columns in (layout.EXISTS, layout.CUT, layout.KIND, layout.PATTERN):
        rows[..., columns] = 0
    losses = {name: float(loss) for name, loss in part_loss(rows, tables).items()}
    assert losses["lengths"] == losses["colors"] == 0
    assert losses["exists"] == pytest.approx(layout.SLOTS * np.log(2) / 4, rel=1e-5)
    assert losses["kinds"] == pytest.approx(np.log(len(layout.KINDS)) + np.log(2), rel=1e-5)
    assert losses["patterns"] == pytest.approx(0.5 * np.log(len(layout.PATTERNS)), rel=1e-5)


@pytest.mark.parametrize(
    ("columns", "by", "expected"),
    [
        (layout.CENTER, 0.1, {"lengths": 6 * 3 * 0.1}),
        (layout.CENTER, -0.1, {"lengths": 6 * 3 * 0.1}),
        (layout.AXIS_Y, 0.1, {"lengths": 6 * 0.5 * 3 * 0.1}),
        (layout.AXIS_X, 0.1, {"lengths": 6 * 0.5 * 3 * 0.1}),
        (layout.PARAMS, 0.1, {"lengths": 6 * 4 * 0.1}),
        (layout.OUTLINE, 0.1, {}),
        (layout.BLEND, 0.1, {"lengths": 6 * 0.1}),
        (layout.EXISTS, -2 * SURE, {"exists": SURE / 4}),
        (layout.CUT, 2 * SURE, {"kinds": SURE}),
        (layout.KIND.start + 1, 4 * SURE, {"kinds": 2 * SURE}),
        (layout.PATTERN.start, -4 * SURE, {"patterns": 0.5 * (2 * SURE + np.log(17))}),
        (layout.COLOR_A, 0.1, {"colors": 2 * 3 * 0.1}),
        (layout.COLOR_B, 0.1, {}),
        (layout.SCALE, 0.1, {}),
    ],
)
def test_a_term_reacts_to_its_own_columns(
    columns: slice | int, by: float, expected: dict[str, float]
) -> None:
    """Of a plain box."""
    assert _changed(_row("box"), columns, by) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", layout.KINDS)
def test_what_a_kind_does_not_use_is_not_compared(kind: str) -> None:
    table = _row(kind)
    used = layout.PARAM_COUNTS[kind]
    for i in range(4):
        expected = {"lengths": 6 * 0.1} if i < used else {}
        assert _changed(table, layout.PARAMS.start + i, 0.1) == pytest.approx(expected, rel=1e-4)
    turned = {} if kind in layout.ROUND_KINDS else {"lengths": 6 * 0.5 * 3 * 0.1}
    assert _changed(table, layout.AXIS_X, 0.1) == pytest.approx(turned, rel=1e-4)
    # A whole outline counts as four numbers a side.
    drawn = {"lengths": 6 * 4 * 2 * 0.1} if kind in ("prism", "lathe") else {}
    assert _changed(table, layout.OUTLINE, 0.1) == pytest.approx(drawn, rel=1e-4)


def test_a_pattern_has_a_second_colour_and_a_scale() -> None:
    table = _row("box", "stripes")
    assert _changed(table, layout.COLOR_A, 0.1) == pytest.approx({"colors": 2 * 3 * 0.1}, rel=1e-4)
    assert _changed(table, layout.COLOR_B, 0.1) == pytest.approx({"colors": 2 * 3 * 0.1}, rel=1e-4)
    assert _changed(table, layout.SCALE, 0.1) == pytest.approx({"colors": 2 * 2 * 0.1}, rel=1e-4)


def test_shapes_count_alike_and_so_do_their_parts(tables: Tensor) -> None:
    rows = _said(tables)
    for i, table in enumerate(tables):
        moved = rows.clone()
        count = int(table[:, layout.EXISTS].sum())
        moved[i, :count, layout.CENTER.start] += 0.1
        assert float(part_loss(moved, tables)["lengths"]) == pytest.approx(6 * 0.1 / len(tables), rel=1e-4)
        one = rows.clone()
        one[i, count - 1, layout.CENTER.start] += 0.1
        expected = 6 * 0.1 / len(tables) / count
        assert float(part_loss(one, tables)["lengths"]) == pytest.approx(expected, rel=1e-4)


def test_where_no_part_is_only_that_is_compared(tables: Tensor) -> None:
    rows = _said(tables)
    empty = tables[..., layout.EXISTS] == 0
    nonsense = torch.randn(rows.shape, generator=torch.Generator().manual_seed(1))
    nonsense[..., layout.EXISTS] = rows[..., layout.EXISTS]
    rows = torch.where(empty[..., None], nonsense, rows)
    assert all(float(loss) < 1e-6 for loss in part_loss(rows, tables).values())


def test_an_autoencoder_learns_a_few_tables(tables: Tensor) -> None:
    torch.manual_seed(0)
    model = PartAutoencoder(PartsSvr(code_size=16, image_size=16, stages=stages_of(4), hidden=48, blocks=1))
    loss = AutoencoderLoss(model, tables.numpy().astype(np.float16), 6)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    generator, seen = torch.Generator().manual_seed(2), []
    for step in range(1, 31):
        losses = loss(step, generator)
        seen.append({name: float(value.detach()) for name, value in losses.items()})
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        optimizer.step()
    first, last = seen[0], seen[-1]
    assert set(first) == {"lengths", "exists", "kinds", "patterns", "colors", "divergence"}
    assert all(np.isfinite(value) and value >= 0 for losses in seen for value in losses.values())
    assert sum(last.values()) < 0.6 * sum(first.values())
    for name in ("lengths", "exists", "kinds", "patterns", "colors"):
        assert last[name] < 0.8 * first[name], name


def test_a_decoder_learns_alone_and_codes_stay(tables: Tensor) -> None:
    torch.manual_seed(0)
    model = PartAutoencoder(PartsSvr(code_size=16, image_size=16, stages=stages_of(4), hidden=48, blocks=1))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    loss = DecoderLoss(model, tables.numpy().astype(np.float16), 6)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.1)
    generator, seen = torch.Generator().manual_seed(2), []
    for step in range(1, 46):
        losses = loss(step, generator)
        seen.append(float(sum(losses.values()).detach()))
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        optimizer.step()
    assert set(losses) == {"lengths", "exists", "kinds", "patterns", "colors"}
    assert seen[-1] < 0.6 * seen[0]
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name]) == name.startswith("encoder."), name


def test_the_same_generator_gives_the_same_loss(tables: Tensor) -> None:
    torch.manual_seed(0)
    loss = AutoencoderLoss(
        PartAutoencoder(PartsSvr(code_size=16, image_size=16, stages=stages_of(4), hidden=48, blocks=1)),
        tables.numpy(),
        4,
    )
    first, again, other = (loss(1, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["lengths"], other["lengths"])


def _volume(rows: Tensor, table: Tensor) -> Tensor:
    return volume_loss(rows, table, torch.Generator().manual_seed(0))


def test_volume_asks_where_the_surface_is_not_what_it_is_made_of() -> None:
    """A box as two halves is the same volume; moved to either side it costs more, and is drawn back."""
    whole, halves = _row("box"), _row("box")
    whole[0, 0, layout.PARAMS] = torch.tensor([0.3, 0.2, 0.2, 0.0])
    halves[0, :2] = whole[0, 0]
    halves[0, :2, layout.PARAMS.start] = 0.15
    halves[0, 0, layout.CENTER.start], halves[0, 1, layout.CENTER.start] = -0.15, 0.15
    least = float(_volume(whole, whole))
    assert float(_volume(halves, whole)) == pytest.approx(least, abs=0.01)
    for way in (-0.04, 0.04):
        moved = whole.clone()
        moved[0, 0, layout.CENTER.start] += way
        moved.requires_grad_()
        loss = _volume(moved, whole)
        (gradient,) = torch.autograd.grad(loss, moved)
        assert loss.item() > 1.1 * least
        assert gradient[0, 0, layout.CENTER.start] * way > 0
        assert not gradient[0, 0, layout.COLOR_A].any()


def test_dimensions_of_a_code_that_say_little_count_little() -> None:
    """By hand: deviations of 0.3 and 0.9, each over a scale of its own, beside the constant 0.3."""

    class Sure:
        def reader(self, tables: Tensor) -> tuple[Tensor, Tensor]:
            return torch.zeros(len(tables), 2), torch.tensor([0.3, 0.9]).log().expand(len(tables), 2)

    space = Whitening(torch.zeros(2), torch.eye(2), torch.tensor([1.0, 2.0]))
    weights = code_weights(Sure(), np.zeros((3, layout.SLOTS, layout.COLUMNS)), space)
    expected = np.array([1 / (0.09 + 0.09), 1 / (0.2025 + 0.09)])
    assert weights.numpy() == pytest.approx(expected / expected.mean(), rel=1e-5)


def test_the_shape_tower_gives_unit_features() -> None:
    torch.manual_seed(0)
    tower = ShapeTower(code_size=16, feature_size=24, hidden=32)
    codes = torch.randn(5, 16, requires_grad=True)
    features = tower(codes)
    assert features.shape == (5, 24)
    assert torch.allclose(features.norm(dim=-1), torch.ones(5), atol=1e-6)
    assert torch.allclose(tower(codes[2:3]), features[2:3], atol=1e-6)
    (gradient,) = torch.autograd.grad(features[:, 0].sum(), codes)
    assert gradient.isfinite().all() and gradient.any()


def test_many_shapes_at_once_have_the_occupancy_of_each_alone(tables: Tensor) -> None:
    """Of tables as the programs write them, cuts and rounded joints among them, and of a shape of which
    nothing is said to be there, whose likeliest part stays."""
    rows = torch.cat([tables, tables[:1]])
    rows[-1, :, layout.EXISTS] -= 2.0
    rows[-1, 0, layout.EXISTS] += 0.5
    points = torch.rand((len(rows), 3000, 3), generator=torch.Generator().manual_seed(5)) - 0.5
    alone = PartsField(Skin(), rows).occupancy(points)
    together = occupancy_of_all(rows, points)
    near = alone.abs() < 5
    assert near.sum() > 2000
    assert torch.allclose(together[near], alone[near], atol=1e-3)
    assert torch.equal(together > 0, alone > 0)


def test_a_namer_learns_what_parts_are_called(corpus_folder: Path) -> None:
    """Two shapes by heart, of a decoder whose rows differ by chance."""
    corpus = open_corpus(corpus_folder)
    svr = PartsSvr(code_size=16, image_size=16, stages=stages_of(8), hidden=48, blocks=1, names=PART_NAMES)
    svr.decoder.outlet.bias.data.unflatten(0, (layout.SLOTS, layout.COLUMNS))[:, layout.EXISTS] = 5.0
    codes = svr.encode_parts(torch.from_numpy(corpus.parts.astype(np.float32))).detach()
    known = row_names(corpus, svr.names)
    assert [PART_NAMES[i] for i in known[0].tolist() if i >= 0] == corpus.records[0]["parts"]
    before = {name: weight.clone() for name, weight in svr.state_dict().items()}
    loss = NamesLoss(svr, corpus, codes, 8)
    optimizer = torch.optim.AdamW(svr.namer.parameters(), 1e-2)
    generator = torch.Generator().manual_seed(2)
    for _ in range(120):
        (value,) = loss(0, generator).values()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert named_right(svr, corpus) > 0.9
    changed = {
        name.partition(".")[0] for name, w in svr.state_dict().items() if not torch.equal(w, before[name])
    }
    assert changed == {"namer"}


def test_a_corpus_without_names_is_refused(corpus_folder: Path) -> None:
    corpus = open_corpus(corpus_folder)
    old = replace(corpus, records=[{k: v for k, v in r.items() if k != "parts"} for r in corpus.records])
    with pytest.raises(DatasetError, match="does not name its parts"):
        row_names(old, PART_NAMES)


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_part_of_the_programs_has_a_known_name(category: str) -> None:
    for seed in range(20):
        assert set(make(category, np.random.default_rng(seed)).shape.names) <= set(PART_NAMES)
