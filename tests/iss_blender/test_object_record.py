"""The record on an object, with a dictionary for the object: what is written is read again."""

import json
from typing import Any

import numpy as np
import pytest

from iss_blender.object_record import ObjectRecord, read_record, write_record

FIELDS = {
    "recipe": {"prompt": "a red chair", "seed": 2**63 - 1},
    "scores": [0.2, 0.31, 0.3],
    "best_step": 1,
    "warnings": ["This shape has no doors of its own."],
    "backend_version": "0.1.0",
}
ARRAYS = {
    "code": np.array([0.5, -1.25], np.float32),
    "codes": np.array([[0, 0], [0.5, -1.25], [1, 1]], np.float32),
}


def test_a_result_is_read_as_it_was_written() -> None:
    target: dict[str, Any] = {"artist": "keeps this"}
    write_record(target, ObjectRecord.of_result(FIELDS, ARRAYS, job_id="j1", height_m=0.75))
    kept = read_record(target)
    assert kept is not None and target["artist"] == "keeps this"
    assert (kept.job_id, kept.recipe, kept.best_step) == ("j1", FIELDS["recipe"], 1)
    assert (kept.scores, kept.score, kept.prompt) == ((0.2, 0.31, 0.3), 0.31, "a red chair")
    assert kept.warnings == ("This shape has no doors of its own.",)
    assert (kept.backend_version, kept.height_m, kept.preview) == ("0.1.0", 0.75, False)
    np.testing.assert_array_equal(kept.code, ARRAYS["code"])
    np.testing.assert_array_equal(kept.codes, ARRAYS["codes"])
    assert kept.code.dtype == np.float32


def test_records_of_before_there_were_warnings_have_none() -> None:
    target: dict[str, Any] = {}
    write_record(target, ObjectRecord.of_result(FIELDS, ARRAYS))
    content = json.loads(target["iss"])
    del content["warnings"]
    kept = read_record({**target, "iss": json.dumps(content)})
    assert kept is not None and kept.warnings == () and kept.best_step == 1


def test_values_are_ones_that_blender_can_store() -> None:
    target: dict[str, Any] = {}
    write_record(target, ObjectRecord.of_result(FIELDS, ARRAYS))
    for value in target.values():
        items = value if isinstance(value, list) else [value]
        assert items and all(isinstance(item, str | float) for item in items)


def test_a_new_record_leaves_nothing_of_the_old_one() -> None:
    target: dict[str, Any] = {}
    write_record(target, ObjectRecord.of_result(FIELDS, ARRAYS))
    write_record(target, ObjectRecord(job_id="preview", preview=True))
    kept = read_record(target)
    assert kept is not None and kept.preview and kept.score is None
    assert kept.code.size == 0 and kept.codes.shape == (0, 0) and kept.scores == ()


@pytest.mark.parametrize(
    "damage",
    [{}, {"iss": "no JSON"}, {"iss": "[]"}, {"iss": json.dumps({"format": 99})}, {"iss_codes": [1.0]}],
)
def test_an_object_without_a_readable_record_has_none(damage: dict[str, Any]) -> None:
    target: dict[str, Any] = {}
    if "iss_codes" in damage:  # its length no longer fits
        write_record(target, ObjectRecord.of_result(FIELDS, ARRAYS))
    target.update(damage)
    assert read_record(target) is None
