"""Evaluation files in the shapes that people have, and what is said about the lines that cannot be used."""

import io
import json
from pathlib import Path

import pytest

from distill.errors import PoolError
from distill.evaluation_files import EvaluationRow, read_evaluation

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "eval"


def read(content, filename="set.jsonl"):
    problems = []
    data = content if isinstance(content, bytes) else "\n".join(json.dumps(row) for row in content).encode()
    return [item for _, item in read_evaluation(io.BytesIO(data), filename, on_problem=problems.append)], problems


def test_the_first_turn_is_the_item_and_further_ones_are_kept():
    row = {"question_id": 81, "category": "writing", "turns": ["First?", "Second?"], "reference": ["One.", "Two."]}

    assert read([row])[0] == [
        EvaluationRow("81", "First?", "writing", answer="One.", extra={"further_turns": ["Second?"]})
    ]


def test_a_multiple_choice_item_keeps_passage_options_and_label():
    row = {"passage": "A text.", "question": "Which?", "options": ["(A)x", "(B)y"], "label": "B", "answer": None}

    (item,) = read([row])[0]

    assert (item.text, item.choices, item.target, item.answer) == ("A text.\n\nWhich?", ("(A)x", "(B)y"), "B", None)
    assert (item.kind, item.extra) == ("choice", {"passage": "A text."})


def test_examples_of_one_object_with_the_options_in_the_question():
    options = "Which?\nOptions:\n(A) one\n(B) two"
    data = {"canary": "x", "examples": [{"input": options, "target": "(B)"}, {"input": "True and", "target": "False"}]}

    choice, answer = read(json.dumps(data).encode(), "bbh.json")[0]

    assert (choice.kind, choice.choices, choice.target) == ("choice", ("(A) one", "(B) two"), "(B)")
    assert (answer.kind, answer.choices, answer.target, answer.key) == ("answer", (), "False", "2")


@pytest.mark.parametrize("filename", ["set.json", "set.jsonl"])
def test_a_plain_array_is_read_as_well(filename):
    items, problems = read(json.dumps([{"instruction": "Do it.", "output": "Done."}]).encode(), filename)

    assert (items[0].text, items[0].answer, items[0].kind, problems) == ("Do it.", "Done.", "open", [])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1], "must be an object"),
        ({"answer": "x"}, "has no question"),
        ({"question": "x", "more": {"deep": ["a\0b"]}}, "U+0000"),
        ({"question": "x", "more": {"a\ud800b": 1}}, "U+D800"),
        ({"question": 3.5, "turns": []}, "turns must be a list"),
        ({"question": {"a": 1}}, "question must be text"),
        ({"question": "x", "options": "A"}, "options must be a list"),
        ({"question": "x\x00"}, "U+0000"),
        ({"question": "x", "options": ["\ud800"]}, "U+D800"),
        ({"question": "x" * 100_001}, "characters long"),
        ({"question": "x", "id": "k" * 101}, "key is longer"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_read(row, message):
    items, problems = read([{"question": "good"}, row, {"question": "also good"}])

    assert [item.text for item in items] == ["good", "also good"]
    assert [problem.line for problem in problems] == [2]
    assert message in problems[0].message


def test_a_key_that_comes_twice_is_a_problem():
    assert "stands in line 1 already" in read([{"id": "a", "text": "x"}, {"id": "a", "text": "y"}])[1][0].message


def test_a_line_that_is_no_json_is_a_problem():
    assert read(b'{"question": "x"}\n{bad\n')[1][0].line == 2


@pytest.mark.parametrize(
    ("content", "filename", "message"),
    [
        (b"a,b", "set.csv", "is no evaluation file"),
        (b'{"rows": []}', "set.json", "no list named examples"),
        (b"{bad", "set.json", "is not JSON"),
        (b"\xff", "set.json", "is not JSON"),
        ("x".encode("utf-16"), "set.jsonl", "UTF-16"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_is_refused(content, filename, message):
    with pytest.raises(PoolError, match=message):
        read(content, filename)


def test_all_benchmark_files_beside_the_repository_are_read_whole():
    files = sorted(DATA.rglob("*.json*")) if DATA.is_dir() else []
    if not files:
        pytest.skip("the benchmark files are not beside the repository (../shared/data/eval)")
    counts, problems = {}, []
    for path in files:
        with path.open("rb") as stream:
            rows = list(read_evaluation(stream, path.name, on_problem=problems.append))
        counts[path.stem] = len(rows)

    assert problems == []
    assert (counts["vicuna_bench"], counts["mt_bench"], counts["boolean_expressions"]) == (80, 80, 250)
