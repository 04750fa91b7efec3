"""Corpora that are stopped: what was made is kept, what was not is made, and nothing is made twice."""

from pathlib import Path

import numpy as np
import pytest

from backend.datasets.procedural import corpus as corpus_module
from backend.datasets.procedural.corpus import CorpusSettings, build_corpus, open_corpus
from backend.errors import DatasetError, SettingError

TINY = CorpusSettings(seed=8, shapes=4, views=1, image_size=16, uniform_points=8, near_points=8, captions=1)


def test_a_stopped_corpus_is_finished_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_module, "_PART", 2)
    making = build_corpus(tmp_path / "stopped", TINY, workers=1)
    assert next(done for done in making if done) == 2
    making.close()
    with pytest.raises(DatasetError, match="No finished corpus"):
        open_corpus(tmp_path / "stopped")
    kept = tmp_path / "stopped" / "records-0.json"
    assert kept.exists()
    kept.write_text(kept.read_text().replace('"kind": ', '"kept": true, "kind": '))
    assert set(build_corpus(tmp_path / "stopped", TINY, workers=1)) - {2} == {4}
    assert list(build_corpus(tmp_path / "stopped", TINY, workers=1)) == [], "it is left alone now"
    assert sorted(set(build_corpus(tmp_path / "whole", TINY, workers=1)) - {0}) == [2, 4]
    finished, whole = open_corpus(tmp_path / "stopped"), open_corpus(tmp_path / "whole")
    assert [record.pop("kept", False) for record in finished.records] == [True, True, False, False]
    assert finished.records == whole.records
    for name in ("images", "masks", "cameras", "points", "distances", "colors", "parts"):
        assert np.array_equal(getattr(finished, name), getattr(whole, name)), name
    assert not list(tmp_path.glob("*/records-*.json"))


def test_a_corpus_of_an_earlier_version_is_named(tmp_path: Path) -> None:
    list(build_corpus(tmp_path, TINY, workers=1))
    assert open_corpus(tmp_path).parts[0, 0, 0] == 1
    (tmp_path / "parts.npy").unlink()
    with pytest.raises(DatasetError, match=r"lacks parts\.npy: an earlier version"):
        open_corpus(tmp_path)


def test_named_categories_take_turns(tmp_path: Path) -> None:
    turns = ("mug", "sword", "mug")
    list(build_corpus(tmp_path, TINY.replace(categories=turns), workers=1))
    corpus = open_corpus(tmp_path)
    assert [record["category"] for record in corpus.records] == ["mug", "sword", "mug", "mug"]
    assert corpus.settings.categories == turns
    with pytest.raises(SettingError, match="Unknown categories: mugg"):
        CorpusSettings(categories=("mug", "mugg"))
