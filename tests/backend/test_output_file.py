"""A result file is written whole or not at all."""

import pytest

from backend.errors import OutputError
from backend.output_file import write_file


def test_file_is_written_replaced_and_nothing_else_left(tmp_path):
    target = tmp_path / "a" / "b" / "result.json"
    write_file(target, b"first")
    write_file(target, b"second")
    assert target.read_bytes() == b"second"
    assert [p.name for p in target.parent.iterdir()] == ["result.json"]


@pytest.mark.parametrize("at_fault", ["os.fsync", "os.replace"])
def test_interruption_keeps_the_earlier_file(tmp_path, monkeypatch, at_fault):
    target = tmp_path / "result.json"
    target.write_bytes(b"earlier")

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(at_fault, no_space)
    with pytest.raises(OutputError, match=r"result.json cannot be written: No space left"):
        write_file(target, b"new")
    assert target.read_bytes() == b"earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_a_file_in_the_place_of_the_folder_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_file(tmp_path / "file" / "result.json", b"")
