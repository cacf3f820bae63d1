"""Good rows come out, whatever is wrong with the others is said with its line, and no file ends in a traceback."""

import io
import json
import random
import tracemalloc
from pathlib import Path

import pytest

from distill.errors import PoolError
from distill.pool_source import MAX_LINE_BYTES
from distill.pools import read_pool, write_pool
from distill.records import Instruction

SHARED = Path(__file__).resolve().parents[3] / "shared/data/pools"


def read(data, filename="pool.jsonl", **options):
    problems = []
    data = data.encode() if isinstance(data, str) else data
    rows = list(read_pool(io.BytesIO(data), filename, on_problem=problems.append, **options))
    return rows, problems


def texts(rows):
    return [instruction.text for _, instruction, _ in rows]


def refused(data, filename="pool.jsonl"):
    with pytest.raises(PoolError) as error:
        read(data, filename)
    return str(error.value)


def lines(*rows):
    return "\n".join(json.dumps(row) for row in rows)


# fields


def test_an_alpaca_row_gives_instruction_and_input_and_keeps_the_rest():
    rows, problems = read(lines({"instruction": " Sort. ", "input": "3, 1", "output": "1, 3", "id": 7}))

    assert rows == [(1, Instruction("Sort.", "3, 1"), {"output": "1, 3", "id": 7})]
    assert problems == []


@pytest.mark.parametrize("name", ["instruction", "text", "prompt", "question"])
def test_the_text_may_have_other_names(name):
    assert texts(read(lines({name: "Name a river."}))[0]) == ["Name a river."]


@pytest.mark.parametrize("name", ["output", "response", "answer", "completion"])
def test_the_answer_may_have_other_names(name):
    assert read(lines({"prompt": "Name a river.", name: "Rhine"}))[0][0][2] == {"output": "Rhine"}


def test_language_and_category_are_taken_over():
    rows, _ = read(lines({"instruction": "写诗。", "lang": "zh", "category": "writing"}))

    assert rows[0][1] == Instruction("写诗。", "", "zh", "writing")


def test_a_seed_task_gives_one_row_for_each_of_its_instances():
    task = {"instruction": "Add.", "instances": [{"input": "1 1", "output": "2"}, {"input": "2 2", "output": "4"}]}

    rows, _ = read(lines(task))

    assert rows == [(1, Instruction("Add.", "1 1"), {"output": "2"}), (1, Instruction("Add.", "2 2"), {"output": "4"})]


@pytest.mark.parametrize("value", ["", None, "<noinput>", "  "])
def test_no_input_is_no_input_however_it_is_written(value):
    assert read(lines({"instruction": "Name a river.", "input": value}))[0][0][1].input == ""


# formats and lines


def test_json_lines_count_every_line():
    rows, problems = read('{"instruction": "a b"}\n\nbroken\r\n{"instruction": "c d"}\n')

    assert [(line, i.text) for line, i, _ in rows] == [(1, "a b"), (4, "c d")]
    assert [(p.line, p.kind) for p in problems] == [(3, "bad_json")]


def test_an_array_gives_the_line_each_row_begins_on():
    rows, _ = read(json.dumps([{"instruction": "a"}, {"instruction": "b"}], indent=2), "pool.json")

    assert [(line, i.text) for line, i, _ in rows] == [(2, "a"), (5, "b")]


def test_the_first_character_decides_between_array_and_lines():
    rows = [{"instruction": "a"}, {"instruction": "b"}]

    assert texts(read(json.dumps(rows), "pool.jsonl")[0]) == ["a", "b"]
    assert texts(read(lines(*rows), "pool.json")[0]) == ["a", "b"]


def test_a_fault_in_an_array_keeps_what_came_before():
    rows, problems = read('[{"instruction": "a"},\n{"instruction": "b" "c"},\n{"instruction": "d"}]', "pool.json")

    assert texts(rows) == ["a"]
    assert (problems[0].line, problems[0].kind) == (2, "bad_json")
    assert "was not read" in problems[0].message


def test_an_array_that_breaks_off_is_said_to_be_cut():
    rows, problems = read('[{"instruction": "a"},\n{"instruction": "b"}\n', "pool.json")

    assert texts(rows) == ["a", "b"]
    assert "cut" in problems[0].message


def test_an_array_larger_than_a_block_is_read_whole():
    rows = [{"instruction": f"Número {i}: " + "ü" * (i % 97)} for i in range(9_000)]

    found, problems = read(json.dumps(rows, ensure_ascii=False, indent=1), "pool.json")

    assert [i.text for _, i, _ in found] == [row["instruction"].strip() for row in rows]
    assert [line for line, _, _ in found] == [2 + 3 * i for i in range(9_000)]
    assert problems == []


def test_csv_cells_may_hold_lines_and_commas():
    rows, problems = read('instruction,input\n"Sort, please","3\n1"\nName a river.,\n', "pool.csv")

    assert [(line, i.text, i.input) for line, i, _ in rows] == [(2, "Sort, please", "3\n1"), (4, "Name a river.", "")]
    assert problems == []


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_may_be_separated_by_comma_semicolon_or_tab(delimiter):
    rows, _ = read(f"Input{delimiter}Instruction\n3 1{delimiter}Sort.\n", "pool.csv")

    assert rows[0][1] == Instruction("Sort.", "3 1")


def test_csv_without_a_known_column_is_refused():
    assert "names no column called instruction" in refused("foo,bar\n1,2\n", "pool.csv")


def test_csv_rows_with_too_many_cells_or_an_open_quote_are_problems():
    rows, problems = read('instruction,input\na,b,c\nd,e\nf,"open\n', "pool.csv")

    assert texts(rows) == ["d"]
    assert [(p.line, p.kind) for p in problems] == [(2, "bad_csv"), (4, "bad_csv")]


def test_other_file_names_are_refused():
    assert "Use a .json, .jsonl or .csv file" in refused("x", "pool.xlsx")


# encodings


@pytest.mark.parametrize("filename", ["pool.jsonl", "pool.csv", "pool.json"])
def test_a_byte_order_mark_is_accepted(filename):
    data = {"pool.jsonl": '{"instruction": "a"}', "pool.csv": "instruction\na", "pool.json": '[{"instruction": "a"}]'}

    assert texts(read(b"\xef\xbb\xbf" + data[filename].encode(), filename)[0]) == ["a"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("filename", ["pool.jsonl", "pool.csv", "pool.json"])
def test_utf_16_is_refused_by_name_with_byte_and_line(encoding, filename):
    message = refused(lines({"instruction": "Name a river."}).encode(encoding), filename)

    assert "UTF-16" in message and "line 1" in message.lower() and "byte" in message.lower()
    assert "UTF-8" in message


@pytest.mark.parametrize(
    ("filename", "before", "after"),
    [
        ("pool.jsonl", '{"instruction": "a"}\n{"instruction": "caf', '"}\n{"instruction": "b"}\n'),
        ("pool.csv", "instruction\na\ncaf", "\nb\n"),
    ],
)
def test_latin_1_is_named_with_byte_and_line_and_the_other_rows_are_kept(filename, before, after):
    rows, problems = read(before.encode() + b"\xe9" + after.encode(), filename)

    assert texts(rows) == ["a", "b"]
    assert len(problems) == 1
    assert problems[0].kind == "encoding"
    assert "0xE9" in problems[0].message and "Latin-1" in problems[0].message
    line, column = before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1
    assert problems[0].line == line
    assert f"Byte {column} of line {line}" in problems[0].message


def test_latin_1_in_an_array_is_refused_with_byte_and_line():
    padding = '{"instruction": "' + "x" * 300_000 + '"}, '

    assert "Byte 5 of line 2 is 0xE9" in refused(b'[{"instruction":"a"},\n{"  \xe9"}]', "pool.json")
    assert f"Byte {len(padding) + 2} of line 1" in refused(f"[{padding}".encode() + b"\xe9", "pool.json")


def test_a_character_cut_by_the_end_of_the_file_is_a_problem():
    rows, problems = read(b'{"instruction": "a"}\n{"instruction": "\xe5\x86')

    assert texts(rows) == ["a"]
    assert (problems[0].line, problems[0].kind) == (2, "encoding")


# bad rows


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("[1]", "not_a_row"),
        ('"text"', "not_a_row"),
        ("{}", "missing"),
        ('{"instruction": ""}', "missing"),
        ('{"instruction": "  "}', "missing"),
        ('{"instruction": null}', "missing"),
        ('{"input": "x"}', "missing"),
        ('{"instruction": 5}', "not_text"),
        ('{"instruction": ["a"]}', "not_text"),
        ('{"instruction": "q", "input": {"a": 1}}', "not_text"),
        ('{"instruction": "a\\u0000b"}', "not_text"),
        ('{"instruction": "a\\ud800b"}', "not_text"),
        ('{"instruction": "q", "output": "\\udfff"}', "not_text"),
        ('{"instruction": "q", "tags": [{"x": "\\u0000"}]}', "not_text"),
        ('{"instruction": "q", "instances": []}', "not_a_row"),
        ('{"instruction": "q", "instances": "x"}', "not_a_row"),
        ('{"instruction": "q", "score": NaN}', "bad_json"),
        ('{"instruction": "q"', "bad_json"),
        ("[" * 100_000, "bad_json"),
        ('{"n": ' + "9" * 5_000 + "}", "bad_json"),
    ],
)
def test_a_bad_row_is_a_problem_of_its_line(row, kind):
    rows, problems = read('{"instruction": "good"}\n' + row + '\n{"instruction": "also good"}')

    assert texts(rows) == ["good", "also good"]
    assert [(p.line, p.kind) for p in problems] == [(2, kind)]
    assert problems[0].message.endswith(".")


def test_a_pair_of_surrogates_is_one_character():
    assert texts(read('{"instruction": "\\ud83d\\ude42 ok"}')[0]) == ["🙂 ok"]


def test_an_instruction_of_100_000_characters_is_a_problem_that_names_its_length():
    rows, problems = read(lines({"instruction": "x" * 100_000}, {"instruction": "good"}))

    assert texts(rows) == ["good"]
    assert problems[0].kind == "too_long"
    assert "100,000 characters" in problems[0].message and "20,000" in problems[0].message


def test_input_counts_towards_the_length_and_the_limit_can_be_moved():
    row = lines({"instruction": "x" * 60, "input": "y" * 60})

    assert len(read(row, max_characters=120)[0]) == 1
    assert "120 characters" in refused_with_limit(row, 119)


def refused_with_limit(data, limit):
    with pytest.raises(PoolError) as error:
        read(data, max_characters=limit)
    return str(error.value)


def test_an_endless_line_is_passed_over():
    data = b'{"instruction": "a"}\n' + b"x" * (2 * MAX_LINE_BYTES + 5) + b'\n{"instruction": "b"}\n'

    rows, problems = read(data)

    assert [(line, i.text) for line, i, _ in rows] == [(1, "a"), (3, "b")]
    assert [(p.line, p.kind) for p in problems] == [(2, "too_long")]


def test_duplicates_name_the_line_of_the_first():
    rows, problems = read(
        lines(
            {"instruction": "a"},
            {"instruction": "b"},
            {"instruction": " a ", "output": "x"},
            {"instruction": "a", "input": "z"},
        )
    )

    assert [line for line, _, _ in rows] == [1, 2, 4]
    assert [(p.line, p.kind) for p in problems] == [(3, "duplicate")]
    assert "line 1" in problems[0].message


def test_duplicates_are_found_among_many():
    numbers = list(range(5_000)) + [17, 4_999, 2_500]

    rows, problems = read(lines(*({"instruction": f"number {n}"} for n in numbers)))

    assert len(rows) == 5_000
    assert [p.message for p in problems] == [
        f"The row repeats the instruction of line {n + 1}." for n in (17, 4_999, 2_500)
    ]


@pytest.mark.parametrize(
    ("data", "filename"), [("", "p.jsonl"), ("\n \n", "p.jsonl"), ("", "p.json"), ("[]", "p.json")]
)
def test_an_empty_file_is_an_error(data, filename):
    assert "is empty" in refused(data, filename)


def test_an_empty_csv_is_an_error():
    assert "is empty" in refused("instruction,input\n", "p.csv")
    assert refused("", "p.csv")


def test_a_file_without_a_usable_row_names_its_first_problem():
    message = refused("oops\n{}\n")

    assert "no usable row" in message and "line 1" in message


@pytest.mark.parametrize("filename", ["p.json", "p.jsonl", "p.csv"])
def test_whatever_the_bytes_nothing_but_a_pool_error_comes_out(filename):
    rng = random.Random(4)
    pieces = [
        b"instruction",
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\n",
        b"\x00",
        b"\xff",
        b"\xe5\x86",
        b"a",
        b"\\u",
    ]
    for _ in range(400):
        data = b"".join(rng.choices(pieces, k=rng.randint(0, 30)))
        try:
            read(data, filename)
        except PoolError as error:
            assert str(error)


def test_memory_stays_flat_over_many_rows():
    class Rows(io.RawIOBase):
        """20,000 rows of 400 bytes that never exist at once."""

        def __init__(self):
            self.number, self.rest = 0, b""

        def readable(self):
            return True

        def readinto(self, buffer):
            if not self.rest and self.number < 20_000:
                self.rest = json.dumps({"instruction": f"row {self.number}", "output": "x" * 360}).encode() + b"\n"
                self.number += 1
            size = min(len(buffer), len(self.rest))
            buffer[:size], self.rest = self.rest[:size], self.rest[size:]
            return size

    tracemalloc.start()
    count = sum(1 for _ in read_pool(io.BufferedReader(Rows()), "p.jsonl", on_problem=print))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 20_000
    assert peak < 4e6


# writing

ROWS = [
    (Instruction("Sort, please.", "3\n1", "en", "logic"), {"output": "1, 3"}),
    (Instruction("写一首诗 🙂", "", "zh"), {}),
    (Instruction("=SUM(A1) explain", "-1"), {"output": "+x"}),
    (Instruction("'=quoted", "'plain"), {}),
]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_what_is_written_is_read_back(tmp_path, suffix):
    path = tmp_path / f"pool{suffix}"

    write_pool(path, ROWS)
    with path.open("rb") as stream:
        rows = [(i, extra.get("output") or "") for _, i, extra in read_pool(stream, path.name, on_problem=print)]

    assert rows == [(instruction, extra.get("output", "")) for instruction, extra in ROWS]


def test_instructions_alone_can_be_written(tmp_path):
    write_pool(tmp_path / "pool.jsonl", [Instruction("Name a river.")])

    assert json.loads((tmp_path / "pool.jsonl").read_text()) == {"instruction": "Name a river.", "input": ""}


def test_csv_cells_are_no_formulas(tmp_path):
    write_pool(tmp_path / "pool.csv", ROWS)

    assert "'=SUM(A1) explain,'-1,'+x" in (tmp_path / "pool.csv").read_text(encoding="utf-8")


def test_an_empty_array_is_still_json(tmp_path):
    write_pool(tmp_path / "pool.json", [])

    assert json.loads((tmp_path / "pool.json").read_text()) == []


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "pool.jsonl"
    write_pool(path, [Instruction("old")])

    def failing():
        yield Instruction("new")
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        write_pool(path, failing())

    assert "old" in path.read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["pool.jsonl"]


def test_an_unknown_format_is_not_written(tmp_path):
    with pytest.raises(PoolError, match="Use a .json"):
        write_pool(tmp_path / "pool.txt", [])


# real pools


@pytest.mark.parametrize(
    ("filename", "rows", "duplicates"), [("alpaca_en_demo.json", 985, 14), ("self_instruct_seed_tasks.jsonl", 175, 0)]
)
def test_real_pools_are_read_whole(filename, rows, duplicates):
    path = SHARED / filename
    if not path.exists():
        pytest.skip("the shared pools are not here")
    problems = []
    with path.open("rb") as stream:
        found = list(read_pool(stream, filename, on_problem=problems.append))

    assert len(found) == rows
    assert [p.kind for p in problems] == ["duplicate"] * duplicates
    assert all(instruction.text and extra["output"] for _, instruction, extra in found)
    assert any(instruction.input for _, instruction, _ in found)
