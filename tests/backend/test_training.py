"""The training parts on a tiny corpus: they resume, they learn, and they refuse what does not fit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from backend.bundles import load_bundle
from backend.clip_encoder import build_tiny_clip
from backend.datasets.procedural.corpus import CorpusSettings, build_corpus, open_corpus, sample_of
from backend.errors import DatasetError, NumericalError, SettingError
from backend.flow_mapper import FlowMapper
from backend.image_encoder import stages_of
from backend.shape_tower import ShapeTower
from backend.svr.parts import PartsSvr
from backend.training import part_images
from backend.training.align import Encoded, FlowLoss
from backend.training.clip import ClipStudent, ContrastiveLoss, DescribedShapes, classes_of
from backend.training.loop import LoopSettings, load_weights, rate_at, run_loop, save_weights
from backend.training.part_images import ImageCodeLoss, ImageSource
from backend.training.starter import (
    begin_from,
    export_starter,
    far_limit,
    record_part,
    train_clip,
    train_codes,
    train_decoder,
    train_flow,
    train_images,
    train_names,
    train_svr,
    train_tower,
    train_words,
    trained_clip,
    trained_svr,
)
from backend.training.starter_recipe import read_settings
from backend.whitening import Whitening
from backend.word_tokenizer import WordTokenizer

SLIM = stages_of(8)
TINY = CorpusSettings(seed=3, shapes=4, views=3, image_size=32, uniform_points=64, near_points=64, captions=2)


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    list(build_corpus(folder, TINY, workers=1))
    return folder


def test_corpus_depends_on_the_seed_alone(corpus_folder: Path) -> None:
    corpus = open_corpus(corpus_folder)
    sample, _ = sample_of(TINY, 2)
    assert corpus.records[2]["category"] == sample.category.name
    assert corpus.records[2]["kind"] == sample.draw.kind
    assert corpus.images.shape == (4, 3, 32, 32, 3)
    corner = corpus.images[:, :, 0, 0]
    assert np.array_equal(corner, np.full_like(corner, 255))
    near = np.abs(corpus.distances[:, TINY.uniform_points :].astype(np.float32))
    assert near.mean() < 0.05


def test_far_limit_is_a_low_quantile_of_nearest_cosines() -> None:
    class Angles:
        def encode_text(self, texts: list[str]) -> torch.Tensor:
            angle = torch.deg2rad(torch.tensor([float(text) for text in texts]))
            return torch.stack([angle.cos(), angle.sin()], -1)

    captions = ["1", "89", *["0"] * 198]
    limit = far_limit(Angles(), ["0", "90"], captions)
    assert abs(limit - np.cos(np.deg2rad(1))) < 1e-4


def test_unfinished_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="No finished corpus"):
        open_corpus(tmp_path)


class _Parabola(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor([3.0]))


def _fit(folder: Path, steps: int, **changes: float) -> tuple[_Parabola, list[int]]:
    model = _Parabola()
    settings = LoopSettings(steps=steps, learning_rate=0.1, warmup=0, checkpoint_every=20, **changes)
    seen = [s.step for s in run_loop("x", model, lambda step, g: {"x": (model.x**2).sum()}, settings, folder)]
    return model, seen


def test_loop_minimises_and_resumes(tmp_path: Path) -> None:
    _, seen = _fit(tmp_path, 40)
    assert seen == [20, 40]
    model, seen = _fit(tmp_path, 200)
    assert seen[0] == 60, "it went on from step 40"
    assert abs(float(model.x.detach())) < 0.1
    assert load_weights(tmp_path / "x.pt", _Parabola()) == 200


def test_a_loop_does_not_go_on_from_another_model(tmp_path: Path) -> None:
    save_weights(tmp_path / "x.pt", nn.Linear(2, 3))
    with pytest.raises(SettingError, match="do not fit the model"):
        list(run_loop("x", nn.Linear(3, 3), lambda step, g: {}, LoopSettings(steps=2), tmp_path))


def test_loop_stops_on_nan(tmp_path: Path) -> None:
    model = _Parabola()
    broken = run_loop(
        "x", model, lambda s, g: {"x": model.x.sum() * torch.nan}, LoopSettings(steps=9), tmp_path
    )
    with pytest.raises(NumericalError, match="not finite at step 2"):
        list(broken)


def test_learning_rate_schedule() -> None:
    settings = LoopSettings(steps=110, warmup=10, final_rate=0.1)
    assert rate_at(4, settings) == pytest.approx(0.5)
    assert rate_at(60, settings) == pytest.approx(0.55, abs=1e-6)
    assert rate_at(110, settings) == pytest.approx(0.1, abs=1e-6)


def test_flow_carries_noise_to_the_conditioned_code(tmp_path: Path) -> None:
    """Two clusters, told apart by the feature: after training each feature gives its own code."""
    torch.manual_seed(0)
    features = torch.nn.functional.normalize(torch.eye(2, 8), dim=-1)
    codes = torch.tensor([[1.0, 0.0, 2.0], [-1.0, 1.0, 0.0]])
    codes = codes.repeat(50, 1) + 0.01 * torch.randn(100, 3)
    images = features.repeat(50, 1)[:, None]
    encoded = Encoded(images, images, codes)
    mapper = FlowMapper(
        feature_size=8, code_size=3, components=2, hidden=32, blocks=1, bank_size=2, neighbours=1
    )
    mapper.set_space(Whitening.fit(codes, components=2), features, codes[:2])
    settings = LoopSettings(steps=300, learning_rate=5e-3, warmup=10, checkpoint_every=300)
    list(run_loop("flow", mapper, FlowLoss(mapper, encoded, 64), settings, tmp_path))
    with torch.no_grad():
        found = mapper.propose(features, torch.Generator().manual_seed(1), 1.0)
    assert torch.allclose(found, codes[:2], atol=0.3)


def test_settings_file_changes_one_part(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"svr": {"steps": 7}}')
    shipped = read_settings(None)
    assert read_settings(path) == replace(shipped, svr=shipped.svr.replace(steps=7))
    path.write_text('{"svr": {"stepz": 7}}')
    with pytest.raises(SettingError, match="stepz"):
        read_settings(path)


def test_clip_learns_to_tell_a_tiny_corpus_apart(corpus_folder: Path, tmp_path: Path) -> None:
    """Four shapes of four categories: a few steps bring both kinds of loss well down."""
    corpus = open_corpus(corpus_folder)
    words = WordTokenizer.from_captions((c for r in corpus.records for c in r["captions"]), context_length=24)
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 8},
        "text_cfg": {"width": 16, "heads": 2, "layers": 1},
    }
    torch.manual_seed(0)
    student = ClipStudent(build_tiny_clip(config, words), classes_of(corpus), 16, 4)
    assert len(student.classes["category"]) == 4
    described = DescribedShapes(torch.eye(4), [record["captions"] for record in corpus.records])
    loss = ContrastiveLoss(student, corpus, torch.eye(4), described, 4)
    settings = LoopSettings(steps=240, learning_rate=3e-3, warmup=5, checkpoint_every=240)
    first, *_, last = list(run_loop("clip", student, loss, settings, tmp_path))
    assert last.losses["contrastive"] < 0.7 * first.losses["contrastive"]
    assert last.losses["category"] < 0.7 * first.losses["category"]
    # 132 pairs of few captions: each has some 17 equals, and as many of its shape's other caption: ln 33.
    assert last.losses["shape_text"] < np.log(33) + 0.1 < first.losses["shape_text"]


@pytest.mark.parametrize("azimuths", [0, 8])
def test_an_image_encoder_learns_codes_and_cameras_and_leaves_the_rest(
    corpus_folder: Path, tmp_path: Path, azimuths: int
) -> None:
    torch.manual_seed(0)
    model = PartsSvr(code_size=8, image_size=32, stages=SLIM, hidden=16, blocks=1, azimuths=azimuths)
    for weight in model.decoder.parameters():  # a decoder of nothing, which asks nothing of a code
        weight.data.zero_()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    loss = ImageCodeLoss(model, [ImageSource(open_corpus(corpus_folder), torch.randn(4, 8))], 4)
    settings = LoopSettings(steps=60, learning_rate=5e-3, warmup=5, checkpoint_every=60)
    first, *_, last = list(run_loop("svr", model, loss, settings, tmp_path))
    learnt = {"code", "view"} if azimuths else {"code"}
    assert learnt == {"code", "view"} & set(first.losses)
    assert all(last.losses[name] < 0.8 * first.losses[name] for name in learnt)
    changed = {n.partition(".")[0] for n, w in model.state_dict().items() if not torch.equal(w, before[n])}
    assert changed == ({"encoder", "viewer"} if azimuths else {"encoder"})


def test_an_image_encoder_learns_from_sources_by_their_sizes(
    corpus_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four shapes and two a batch of three holds two and one; the codes of the second are the numbers 4
    and 5, and each code stands beside an image of its own shape."""
    corpus = open_corpus(corpus_folder)
    fewer = replace(
        corpus, images=corpus.images[2:], cameras=corpus.cameras[2:], parts=corpus.parts[2:],
        records=corpus.records[2:],
    )  # fmt: skip
    model = PartsSvr(code_size=1, image_size=32, stages=SLIM, hidden=16, blocks=1)
    numbers = torch.arange(6.0)[:, None]
    sources = [ImageSource(corpus, numbers[:4]), ImageSource(fewer, numbers[4:])]
    seen = []

    def look(images: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        return PartsSvr.features(model, images)

    def told(codes: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        seen.append(true)
        return (codes - true).square().mean()

    monkeypatch.setattr(part_images, "softened", lambda images, generator: images)
    monkeypatch.setattr(model, "features", look)
    monkeypatch.setattr(part_images.F, "mse_loss", told)
    ImageCodeLoss(model, sources, 3)(0, torch.Generator().manual_seed(0))
    images, codes = seen
    assert len(codes) == 3 and codes[:2].max() < 4 <= codes[2]
    for image, code in zip(images, codes[:, 0].tolist(), strict=True):
        shape = int(code) if code < 4 else int(code) - 2
        pictures = torch.tensor(corpus.images[shape]).permute(0, 3, 1, 2) / 255
        assert (pictures == image).flatten(1).all(1).any()


def test_a_third_of_the_images_are_softened_and_none_grows_lighter() -> None:
    """A single white pixel keeps what its kernel gives it: a quarter to all, and the rest goes beside it."""
    images = torch.zeros(600, 3, 7, 7)
    images[..., 3, 3] = 1.0
    soft = part_images.softened(images, torch.Generator().manual_seed(0))
    middle = soft[:, 0, 3, 3]
    assert 0.28 < float((middle < 1).float().mean()) < 0.39
    assert 0.25 <= middle.min() < 0.3 and middle.max() == 1.0
    assert torch.allclose(soft.sum((-2, -1)), torch.ones(600, 3), atol=1e-5)
    assert torch.equal(soft, soft.flip(-1)) and not soft[..., 0].any()
    plain = torch.full((4, 3, 5, 5), 0.5)
    assert torch.allclose(part_images.softened(plain, torch.Generator()), plain)


def test_a_folder_that_began_from_nothing_takes_no_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does one that began from a bundle begin twice: its weights are what they were."""
    shipped = load_bundle("starter")
    begin_from(shipped, tmp_path / "begun")
    shipped.mapper.tower.net[0].weight.data.zero_()
    begin_from(shipped, tmp_path / "begun")
    tower = ShapeTower(128, 256)
    assert load_weights(tmp_path / "begun" / "beginning" / "tower.pt", tower) == 0
    assert tower.net[0].weight.any()
    with pytest.raises(SettingError, match="began from another bundle"):
        begin_from(replace(shipped, record=replace(shipped.record, files={})), tmp_path / "begun")
    monkeypatch.setattr(shipped.clip, "tokenizer", object())
    with pytest.raises(SettingError, match="no bundle that `train starter` goes on from"):
        begin_from(shipped, tmp_path / "other")
    monkeypatch.undo()
    torch.save({}, tmp_path / "clip.pt")
    with pytest.raises(SettingError, match="did not begin from a bundle"):
        begin_from(shipped, tmp_path)
    assert not (tmp_path / "beginning").exists()


def test_a_beginning_that_was_cut_off_leaves_no_trace(tmp_path: Path) -> None:
    """Its record had named a bundle before the weights were laid down whole."""
    shipped = load_bundle("starter")
    (tmp_path / "training.json").write_text('{"before": "another\'s", "began_from": "another"}')
    begin_from(shipped, tmp_path)
    record = json.loads((tmp_path / "training.json").read_text())
    assert record == {"before": shipped.record.training, "began_from": shipped.sha256}


def test_weights_of_other_sizes_are_refused(tmp_path: Path) -> None:
    save_weights(tmp_path / "tower.pt", ShapeTower(128, 256))
    with pytest.raises(SettingError, match="do not fit the model"):
        load_weights(tmp_path / "tower.pt", ShapeTower(64, 256))


def test_a_part_names_the_one_that_it_needs(corpus_folder: Path, tmp_path: Path) -> None:
    for name in ("corpus", "described"):
        (tmp_path / name).symlink_to(corpus_folder)
    for train, needed in ((train_decoder, "codes"), (train_words, "clip"), (train_tower, "words")):
        with pytest.raises(SettingError, match=f"no trained '{needed}' yet"):
            list(train(read_settings(None), tmp_path))


def test_training_goes_on_from_a_bundle_with_its_own_words(corpus_folder: Path, tmp_path: Path) -> None:
    """The shipped weights fit although the corpus at hand has other words; CLIP makes a step, its words one
    more from CLIP's, and one from the bundle's; the shape tower follows, then the image tower and the flow.
    What is exported has the towers as they learnt last, also where the flow knew earlier ones."""
    (tmp_path / "corpus").symlink_to(corpus_folder)
    (tmp_path / "hard").symlink_to(corpus_folder)
    (tmp_path / "described").symlink_to(corpus_folder)
    (tmp_path / "test").symlink_to(corpus_folder)
    shipped = load_bundle("starter")
    settings = read_settings(None)
    one = {"steps": 1, "batch": 4, "checkpoint_every": 1}
    settings = settings.replace(
        clip=settings.clip.replace(**one),
        codes=settings.codes.replace(**one),
        decoder=settings.decoder.replace(**one),
        names=settings.names.replace(**one),
        svr=settings.svr.replace(**one),
        words=settings.words.replace(**one),
        tower=settings.tower.replace(**one),
        images=settings.images.replace(**one),
        flow=settings.flow.replace(**one),
        bank=4,
    )
    begin_from(shipped, tmp_path)
    list(train_codes(settings, tmp_path))
    list(train_svr(settings, tmp_path))
    list(train_decoder(settings, tmp_path))
    list(train_names(settings, tmp_path))
    svr, step = trained_svr(tmp_path)
    named = torch.load(tmp_path / "names.pt", weights_only=True)["averaged"]
    assert torch.equal(svr.namer.part.weight, named["part.weight"])
    tuned = torch.load(tmp_path / "decoder.pt", weights_only=True)["averaged"]
    assert step == 1
    assert torch.equal(svr.decoder.inlet.weight, tuned["decoder.inlet.weight"])
    assert torch.equal(svr.reader.inlet.weight, tuned["encoder.inlet.weight"])
    list(train_clip(settings, tmp_path))
    for after_clip in (True, False):
        list(train_words(settings, tmp_path))
        clip, step = trained_clip(settings, tmp_path)
        assert step == 1
        list(train_tower(settings, tmp_path))
        list(train_images(settings, tmp_path))
        seen = trained_clip(settings, tmp_path)[0].model.visual.state_dict()
        assert not torch.equal(seen["attnpool.c_proj.weight"], clip.model.visual.attnpool.c_proj.weight)
        if after_clip:
            for name in ("clip.pt", "words.pt", "tower.pt", "images.pt"):
                (tmp_path / name).unlink()
    assert clip.tokenizer.words == shipped.clip.tokenizer.words
    for seconds in (2.0, 3.0):
        record_part(tmp_path, "clip", settings, seconds)
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["clip"]["steps"] == 1 and record["clip"]["seconds"] == 5
    assert record["before"] == shipped.record.training
    record_part(tmp_path, "corpus", settings, 1.0)
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["described"]["shapes"] == settings.described.shapes
    assert record["hard"]["categories"] == list(settings.hard.categories)
    list(train_flow(settings, tmp_path))
    (tmp_path / "tower.pt").unlink()
    list(train_tower(settings.replace(tower=settings.tower.replace(steps=2, warmup=1)), tmp_path))
    export_starter(settings, tmp_path, tmp_path / "starter")
    exported, tower = load_bundle(tmp_path / "starter"), ShapeTower(128, 256)
    load_weights(tmp_path / "tower.pt", tower)
    for name, weight in tower.state_dict().items():
        assert torch.allclose(exported.mapper.tower.state_dict()[name], weight, atol=1e-2), name
    flow = torch.load(tmp_path / "flow.pt", weights_only=True)["averaged"]
    assert torch.allclose(exported.mapper.outlet.weight, flow["outlet.weight"], atol=1e-2)
    assert not torch.allclose(flow["tower.net.0.weight"], tower.state_dict()["net.0.weight"], atol=1e-4)
