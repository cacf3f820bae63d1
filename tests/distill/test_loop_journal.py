import pytest

from distill.errors import DistillError
from distill.loop.journal import Journal

WHOLE = b'{"n": 1}\n{"n": 2}\n'


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rows.jsonl"


def reopened(path):
    journal = Journal(path)
    journal.close()
    return journal.rows


def test_rows_are_there_again_when_the_file_is_opened_again(path):
    journal = Journal(path)
    journal.append({"text": "zwei\nZeilen, 三"})
    assert path.read_bytes().endswith(b"\n")  # written before append returned
    assert reopened(path) == journal.rows == [{"text": "zwei\nZeilen, 三"}]


@pytest.mark.parametrize("tail", [b"{", b'{"n": 3, "text": "\xe4\xb8', b'{"n": 3', b"\x00\x00\x00"])
def test_a_half_last_row_is_cut_off(path, tail):
    path.write_bytes(WHOLE + tail)
    assert reopened(path) == [{"n": 1}, {"n": 2}]
    assert path.read_bytes() == WHOLE


def test_a_last_row_that_lacks_only_its_line_break_is_kept(path):
    path.write_bytes(WHOLE + b'{"n": 3}')
    assert reopened(path) == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert path.read_bytes() == WHOLE + b'{"n": 3}\n'


def test_a_row_after_a_mended_one_stands_in_a_line_of_its_own(path):
    path.write_bytes(WHOLE + b'{"n"')
    journal = Journal(path)
    journal.append({"n": 3})
    assert reopened(path) == [{"n": 1}, {"n": 2}, {"n": 3}]


@pytest.mark.parametrize("line", [b"garbage\n", b"[1]\n", b"\xff\n"])
def test_a_damaged_line_in_the_middle_is_named(path, line):
    path.write_bytes(b'{"n": 1}\n' + line + b'{"n": 2}\n')
    with pytest.raises(DistillError, match="Line 2 of .*rows.jsonl cannot be read"):
        Journal(path)
