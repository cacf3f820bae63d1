"""Importing a pool, and every way in which a file can be wrong."""

import io
import json

import pytest

from distill.errors import PoolError
from lionweb.models import AuditEvent, Instruction, Pool, PoolEntry
from lionweb.services.errors import Refused
from lionweb.services.pools import KEPT_PROBLEMS, BadLines, import_pool

pytestmark = pytest.mark.django_db
GOOD = b'{"instruction": "Name three rivers.", "input": "In Europe", "category": "geography", "language": "en"}\n'


def do_import(content, filename="pool.jsonl", name="Mine", kind="seed", actor=None, keep_good=False):
    stream = io.BytesIO(content)
    return import_pool(stream=stream, filename=filename, name=name, kind=kind, actor=actor, keep_good=keep_good)


def lines(*rows):
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode()


def numbered(count, start=0):
    return lines(*({"instruction": f"Explain point {number}."} for number in range(start, start + count)))


def test_a_good_file_becomes_a_pool_in_the_files_order(alice):
    pool = do_import(numbered(30), actor=alice)

    texts = list(pool.entries.order_by("position").values_list("instruction__text", flat=True))
    assert texts == [f"Explain point {number}." for number in range(30)]
    assert (pool.rows, pool.problem_count, pool.problems, pool.created_by) == (30, 0, [], alice)


def test_every_column_and_the_hash_are_those_of_the_engine():
    from distill.records import Instruction as Text

    do_import(GOOD)

    row = Instruction.objects.get()
    assert (row.text, row.input, row.category, row.language) == ("Name three rivers.", "In Europe", "geography", "en")
    assert row.content_hash == Text("Name three rivers.", "In Europe").content_hash
    assert row.length == len("Name three rivers.In Europe")


def test_the_import_is_audited_with_its_figures(alice):
    pool = do_import(numbered(3) + b"\nnot json", actor=alice, keep_good=True)

    event = AuditEvent.objects.get(action="pool.import")
    assert (event.actor, event.target_id) == (alice, str(pool.pk))
    assert (event.detail["rows"], event.detail["problems"]) == (3, 1)


@pytest.mark.parametrize(
    ("content", "filename"),
    [
        (b'[{"instruction": "One"}, {"instruction": "Two", "input": "b"}]', "pool.json"),
        (b"instruction,input\nOne,\nTwo,b\n", "pool.csv"),
        (b"instruction;input\nOne;\nTwo;b\n", "pool.csv"),
        (b'{"prompt": "One"}\n{"question": "Two", "context": "b"}\n', "pool.jsonl"),
        (b'\xef\xbb\xbf{"instruction": "One"}\n{"instruction": "Two", "input": "b"}\n', "pool.jsonl"),
    ],
)
def test_all_formats_are_read(content, filename):
    assert do_import(content, filename).rows == 2


def test_an_instruction_that_is_known_is_stored_once_and_told():
    do_import(numbered(5))
    second = do_import(numbered(5, start=3), name="Second")

    assert Instruction.objects.count() == 8
    assert second.rows == 5
    assert [one["message"] for one in second.problems] == [
        "2 instructions were known already; their answers are used again."
    ]


def test_repeated_rows_are_merged_and_counted_but_are_no_fault():
    pool = do_import(lines(*[{"instruction": "Twice"}] * 3, {"instruction": "Once"}))

    assert (pool.rows, pool.problem_count) == (2, 0)
    assert pool.problems[0] == {
        "line": 0, "message": "2 repeated rows were merged with the first of their kind.", "kind": "remark"
    }  # fmt: skip


def test_outputs_are_read_over_and_that_is_said():
    pool = do_import(lines({"instruction": "Say hello.", "output": "Hello."}))

    assert "1 rows carry an output" in pool.problems[0]["message"]
    assert not Instruction.objects.get().responses.exists()


BAD = {
    "malformed line": (b"{not json", "not JSON"),
    "a list": (b'["instruction"]', "must be an object"),
    "no instruction": (b'{"input": "only"}', "has no instruction"),
    "blank": (b'{"instruction": "  "}', "blank"),
    "a number": (b'{"instruction": 7}', "must be text"),
    "zero character": (b'{"instruction": "a\\u0000b"}', "U+0000"),
    "half a surrogate pair": (b'{"instruction": "a\\ud800b"}', "U+D800"),
    "Latin-1": (b'{"instruction": "caf\xe9"}', "UTF-8"),
    "100,000 characters": (json.dumps({"instruction": "x" * 100_000}).encode(), "100,000 characters long"),
    "long category": (json.dumps({"instruction": "a", "category": "c" * 101}).encode(), "longer than 100 characters"),
    "long language": (json.dumps({"instruction": "a", "language": "l" * 17}).encode(), "longer than 16 characters"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_named_and_nothing_is_imported(name):
    line, message = BAD[name]

    with pytest.raises(BadLines) as caught:
        do_import(GOOD + line + b"\n" + GOOD)

    assert caught.value.problems[0].line == 2
    assert message in caught.value.problems[0].message
    assert "nothing was imported" in caught.value.cause
    assert not Pool.objects.exists()
    assert not Instruction.objects.exists()


@pytest.mark.parametrize("name", BAD)
def test_the_good_lines_are_kept_if_the_person_chose_so(name):
    line, message = BAD[name]

    pool = do_import(GOOD + line + b"\n" + numbered(2), keep_good=True)

    assert (pool.rows, pool.problem_count) == (3, 1)
    assert pool.problems[0]["line"] == 2
    assert message in pool.problems[0]["message"]


def test_only_the_first_problems_are_kept_but_all_are_counted():
    pool = do_import(GOOD + b"{bad\n" * (KEPT_PROBLEMS + 50), keep_good=True)

    assert pool.problem_count == KEPT_PROBLEMS + 50
    assert len(pool.problems) == KEPT_PROBLEMS


@pytest.mark.parametrize("keep_good", [True, False])
@pytest.mark.parametrize(
    ("content", "filename", "message"),
    [
        (b"", "pool.jsonl", "is empty"),
        (b"\n\n", "pool.jsonl", "is empty"),
        (b"[]", "pool.json", "is empty"),
        (b"instruction,input\n", "pool.csv", "is empty"),
        ('{"instruction": "a"}'.encode("utf-16"), "pool.jsonl", "UTF-16"),
        (b"a,b\n1,2\n", "pool.csv", "names no column"),
        (GOOD, "pool.xlsx", "is no pool file"),
    ],
)
def test_an_unusable_file_is_refused_with_its_reason(content, filename, message, keep_good):
    with pytest.raises(PoolError, match=message):
        do_import(content, filename, keep_good=keep_good)

    assert not Pool.objects.exists()


def test_a_file_without_any_good_line_is_refused_even_if_the_good_ones_are_wanted():
    with pytest.raises(PoolError, match="no usable row"):
        do_import(b"{bad\n{worse\n", keep_good=True)


def test_good_rows_that_are_all_too_long_elsewhere_make_no_empty_pool():
    with pytest.raises(PoolError, match="No row"):
        do_import(json.dumps({"instruction": "a", "category": "c" * 101}).encode(), keep_good=True)

    assert not Pool.objects.exists()


def test_a_taken_name_is_refused_and_the_first_pool_stays():
    do_import(numbered(3))

    with pytest.raises(Refused, match="there already"):
        do_import(numbered(3, start=9))

    assert Pool.objects.get().rows == 3
    assert Instruction.objects.count() == 3


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\x00b"])
def test_a_name_that_cannot_be_stored_is_refused(name):
    with pytest.raises(Refused, match="needs a name"):
        do_import(GOOD, name=name)


def test_an_unknown_kind_is_refused():
    with pytest.raises(Refused, match="no kind of pool"):
        do_import(GOOD, kind="other")


def test_positions_are_unique_and_leave_no_row_out():
    pool = do_import(numbered(2500))

    assert PoolEntry.objects.filter(pool=pool).count() == 2500
    assert list(pool.entries.order_by("position").values_list("position", flat=True)) == list(range(2500))


def test_known_instructions_in_later_blocks_are_met_too(monkeypatch):
    from lionweb.services import pool_rows

    monkeypatch.setattr(pool_rows, "BLOCK", 4)
    do_import(numbered(3, start=9))

    second = do_import(numbered(20), name="Second")

    assert Instruction.objects.count() == 20
    assert second.rows == 20
    texts = list(second.entries.order_by("position").values_list("instruction__text", flat=True))
    assert texts == [f"Explain point {number}." for number in range(20)]
    assert "3 instructions were known already" in second.problems[0]["message"]


def test_tabs_breaks_and_backslashes_come_through():
    text = "a\tb\\n\nc\\.\r\x0b\u2028\\N d"
    do_import(lines({"instruction": text, "input": "\\"}))

    row = Instruction.objects.get()
    assert (row.text, row.input) == (text, "\\")
