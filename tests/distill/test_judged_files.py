"""Judged pairs in the formats that people have, whatever their writers put there."""

import io
import json
from pathlib import Path

import pytest

from distill import judged_rows
from distill.errors import PoolError
from distill.judged_files import JudgedFile, read_judged
from distill.judged_pairs import LOSS, TIE, WIN, preference_gap, win_rate
from distill.referee_parser import parse_scores

JUDGED = Path(__file__).resolve().parents[3] / "shared" / "data" / "judged"
needs_files = pytest.mark.skipif(
    not JUDGED.is_dir(), reason="the judged pairs are not beside the repository (../shared/data/judged)"
)


def lines(*rows):
    return "\n".join(json.dumps(row) for row in rows).encode()


def read(files, **options):
    """files: name to rows or bytes."""
    problems = []
    given = [JudgedFile(n, io.BytesIO(d if isinstance(d, bytes) else lines(*d))) for n, d in files.items()]
    pairs = [pair for _, pair in read_judged(given, on_problem=problems.append, **options)]
    return pairs, [(one.line, one.message) for one in problems]


def read_folder(name):
    problems, files = [], sorted((JUDGED / name).iterdir())
    pairs = [
        pair
        for _, pair in read_judged(
            [JudgedFile(path.name, io.BytesIO(path.read_bytes())) for path in files], on_problem=problems.append
        )
    ]
    assert problems == []
    return pairs


def table(**changes):
    review = {"question_id": 1, "answer1_id": "t", "answer2_id": "s", "text": "9 8.5\nGood.", "score": [9, 8.5]}
    return {
        "question.jsonl": [{"question_id": 1, "text": "Why?", "category": "generic"}],
        "answer_a.jsonl": [{"answer_id": "t", "question_id": 1, "model_id": "big", "text": "Because."}],
        "answer_b.jsonl": [{"answer_id": "s", "question_id": "1", "model_id": "small", "text": "So."}],
        "review.jsonl": [review | changes],
    }


def plain(**changes):
    return {
        "instruction": "Why?",
        "teacher": "Because.",
        "student": "So.",
        "score_teacher": 9,
        "score_student": 7,
    } | changes


def annotated(**changes):
    row = {
        "instruction": "Why?",
        "output_1": "Because.",
        "output_2": "So.",
        "generator_1": "big",
        "generator_2": "small",
    }
    return row | {"preference": 1, "annotator": "judge", "dataset": "base"} | changes


# FastChat's table


def test_a_review_is_joined_with_its_question_and_answers():
    (pair,), problems = read(table())

    assert problems == []
    assert (pair.instruction.text, pair.instruction.category) == ("Why?", "generic")
    assert (pair.teacher.model, pair.teacher.text, pair.student.model) == ("big", "Because.", "small")
    review = pair.review
    assert (review.order, review.score_teacher, review.score_student) == ("teacher_first", 9, 8.5)
    assert (review.raw, review.explanation, pair.stated) == ("9 8.5\nGood.", "Good.", (9, 8.5))


def test_the_model_named_as_teacher_turns_scores_and_order_round():
    (pair,), _ = read(table(), teacher="small")

    review = pair.review
    assert (pair.teacher.model, review.order) == ("small", "student_first")
    assert (review.score_teacher, review.score_student) == (8.5, 9)


def test_scores_come_from_the_text_and_a_file_that_states_others_is_shown_to_disagree():
    (pair,), _ = read(table(score=[3, 4]))

    assert (pair.review.score_teacher, pair.review.score_student, pair.disagrees) == (9, 8.5, True)


def test_a_review_that_cannot_be_read_has_no_scores_whatever_the_file_states():
    (pair,), _ = read(table(text="I cannot say.", score=[9, 8]))

    assert (pair.review.score_teacher, pair.review.score_student, pair.result) == (None, None, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question_id": 7}, "No question has the id 7"),
        ({"answer1_id": "x"}, "No answer has the id x"),
        ({"answer1_id": None}, "has no answer1_id"),
        ({"answer1_id": {"a": 1}}, "has no answer1_id"),
        ({"answer1_id": True}, "has no answer1_id"),
        ({"text": ["9 8"]}, "text must be text"),
        ({"text": "9 8\x00"}, "U+0000"),
        ({"text": "9 8\ud800"}, "U+D800"),
        ({"text": "9" * 100_001}, "characters long"),
        ({"reviewer_id": [1]}, "has no reviewer_id"),
    ],
)
def test_a_bad_review_is_named_with_its_file_and_line(changes, message):
    pairs, ((line, said),) = read(table(**changes))

    assert (pairs, line) == ([], 1)
    assert said.startswith("review.jsonl: ") and message in said


@pytest.mark.parametrize("score", [[True, 8], "9 8", [9], [10**400, 1], {"a": 1}])
def test_a_score_field_that_is_none_is_passed_over(score):
    (pair,), problems = read(table(score=score))

    assert (pair.stated, problems) == (None, [])


def test_answers_to_other_questions_and_ids_that_come_twice_are_problems():
    files = table()
    files["question.jsonl"] += [{"question_id": 1, "text": "Again?"}, {"question_id": 2, "text": "Two?"}]
    files["answer_a.jsonl"] += [{"answer_id": "u", "question_id": 2, "model_id": "big", "text": "x"}]
    files["review.jsonl"] += [{"question_id": 1, "answer1_id": "u", "answer2_id": "s", "text": "1 2"}]

    pairs, problems = read(files)

    assert len(pairs) == 1
    assert [message for _, message in problems] == [
        "question.jsonl: The question 1 is there already.",
        "review.jsonl: The answer u is to question 2, not 1.",
    ]


@pytest.mark.parametrize(("missing", "message"), [("question.jsonl", "questions"), ("answer_", "answers")])
def test_reviews_without_what_they_refer_to_are_refused(missing, message):
    files = {name: rows for name, rows in table().items() if not name.startswith(missing)}

    with pytest.raises(PoolError, match=f"without their {message}"):
        read(files)


def test_what_must_be_held_has_a_limit(monkeypatch):
    monkeypatch.setattr("distill.judged_fastchat.MAX_HELD_CHARACTERS", 500)

    with pytest.raises(PoolError, match="longer than 500 characters together"):
        read(table())
    assert judged_rows.MAX_HELD_CHARACTERS > 10**8


def test_a_review_of_a_third_model_is_a_problem():
    files = table()
    files["answer_b.jsonl"] += [{"answer_id": "m", "question_id": 1, "model_id": "middle", "text": "x"}]
    files["review.jsonl"] += [{"question_id": 1, "answer1_id": "t", "answer2_id": "m", "text": "1 2"}]

    pairs, problems = read(files)

    assert len(pairs) == 1
    assert "of big and middle; the first one is of big and small" in problems[0][1]


# AlpacaEval


@pytest.mark.parametrize(
    ("preference", "expected"), [(1, 0.0), (2, 1.0), (1.5, 0.5), (0, 0.5), (1.25, 0.25), (None, None)]
)
def test_a_preference_is_kept_as_the_probability_that_the_student_wins_and_no_score_is_made_of_it(preference, expected):
    (pair,), problems = read({"annotations.json": [annotated(preference=preference)]})

    assert (pair.preference, problems) == (expected, [])
    assert (pair.review.score_teacher, pair.review.score_student, pair.review.order) == (None, None, "none")
    assert json.loads(pair.review.raw)["annotator"] == pair.judge == "judge"


def test_the_reference_is_the_teacher_unless_the_other_is_named():
    row = annotated(preference=2)

    (first,), _ = read({"a.json": [row]})
    (second,), _ = read({"a.json": [row]}, teacher="small")
    nobody, problems = read({"a.json": [row]}, teacher="huge")

    assert (first.teacher.model, first.preference, first.result) == ("big", 1.0, WIN)
    assert (second.teacher.model, second.teacher.text, second.preference, second.result) == ("small", "So.", 0.0, LOSS)
    assert nobody == [] and "Neither answer is by huge" in problems[0][1]


@pytest.mark.parametrize("preference", [3, -1, 0.5, True, "1", [1], 10**400])
def test_what_is_no_preference_is_a_problem(preference):
    pairs, problems = read({"a.json": [annotated(preference=preference)]})

    assert (pairs, len(problems)) == ([], 1)


def test_outputs_fill_what_the_annotations_leave_out_and_contradict_what_is_not_so():
    bare = annotated()
    del bare["output_2"]
    outputs = [{"instruction": "Why?", "output": "So.", "generator": "small", "dataset": "base"}]

    (pair,), problems = read({"a.json": [bare], "outputs.json": outputs})
    none, contradicted = read({"a.json": [annotated(output_2="Other.")], "outputs.json": outputs})

    assert (pair.student.text, problems) == ("So.", [])
    assert none == [] and "is not what small answered" in contradicted[0][1]


def test_a_preference_becomes_a_gap_of_probabilities():
    assert [preference_gap(p) for p in (0.0, 0.5, 1.0, 0.3)] == [1.0, 0.0, -1.0, 0.4]


# plain lines


def test_plain_lines_carry_scores_or_a_review_or_a_preference():
    rows = [
        plain(input="Sky", order="student_first", judge="me"),
        plain(score_teacher=None, score_student=None, review="6 8", order="student_first"),
        plain(score_teacher=None, score_student=None, preference="tie"),
    ]

    pairs, problems = read({"p.jsonl": rows})

    assert problems == []
    assert [(p.review.order, p.review.score_teacher, p.review.score_student) for p in pairs] == [
        ("student_first", 9, 7),
        ("student_first", 8, 6),
        ("none", None, None),
    ]
    assert (pairs[0].instruction.input, pairs[0].judge, pairs[2].result) == ("Sky", "me", TIE)
    assert (pairs[0].teacher.model, pairs[0].student.model) == ("teacher", "student")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1], "must be an object"),
        (plain(instruction=" "), "has no instruction"),
        (plain(teacher=None), "has no teacher"),
        (plain(teacher=5), "teacher must be text"),
        (plain(score_teacher=11), "score_teacher must be a number from 1 to 10"),
        (plain(score_teacher=True), "score_teacher must be a number"),
        (plain(score_student=None), "score_student must be a number"),
        (plain(order="first"), "order must be one of"),
        (plain(preference="teacher"), "scores and a preference"),
        (plain(score_teacher=None, score_student=None), "no review and no preference"),
        (plain(score_teacher=None, score_student=None, preference=1), "preference must be one of"),
        (plain(score_teacher=None, score_student=None, review="8 7", order="none"), "only with its order"),
        (plain(instruction="x" * 20_001), "at most 20,000"),
        (plain(student="x" * 100_001), "at most 100,000"),
        (plain(student="\ud800"), "U+D800"),
        (plain(judge="x" * 201), "at most 200"),
        (plain(category="x" * 101), "at most 100"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_read(row, message):
    pairs, problems = read({"p.jsonl": [plain(), row, plain()]})

    assert (len(pairs), [line for line, _ in problems]) == (2, [2])
    assert message in problems[0][1]


def test_lines_that_are_no_json_and_arrays_are_read_as_in_any_other_file():
    pairs, problems = read({"p.jsonl": lines(plain()) + b'\n{"a": NaN}\n' + b"[" * 100_000})
    array, none = read({"p.json": json.dumps([plain(), plain()]).encode()})

    assert (len(pairs), [line for line, _ in problems]) == (1, [2, 3])
    assert (len(array), none) == (2, [])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "0 files were given"),
        ({f"{n}.jsonl": [plain()] for n in range(21)}, "21 files"),
        ({"a.csv": b"a,b"}, "no file of judged pairs"),
        ({"a.jsonl": b""}, "holds no row"),
        ({"a.jsonl": [{"x": 1}]}, "nothing that is known here"),
        ({"a.jsonl": [{"prompt_id": 1}]}, "hold no judgement"),
        ({"a.jsonl": [plain()], "b.jsonl": [annotated()]}, "several kinds"),
        ({"a.jsonl": "x".encode("utf-16")}, "UTF-16"),
    ],
)
def test_files_that_cannot_be_read_at_all_are_refused(files, message):
    with pytest.raises(PoolError, match=message):
        read(files)


# the win rate


def test_ties_count_half_and_what_cannot_be_read_in_no_share():
    rows = [
        plain(student="So so so."),  # 9 7: the longer lost
        plain(score_teacher=5, score_student=7),  # the shorter won
        plain(score_teacher=5, score_student=5),
        plain(score_teacher=5, score_student=7, student="Because, because."),  # the longer won
        plain(score_teacher=None, score_student=None, review="?"),
    ]

    found = win_rate(read({"p.jsonl": rows})[0])

    assert (found.wins, found.ties, found.losses, found.unparsed, found.n) == (2, 1, 1, 1, 4)
    assert found.rate == 2.5 / 4
    assert found.longer_share == 1 / 3
    assert (found.teacher.characters, found.teacher.words) == (8.0, 1.0)


def test_nothing_has_no_rate():
    assert (win_rate([]).rate, win_rate([]).longer_share) == (None, None)


# the shared files


# Three reviews begin with the referee's own solution; this is what a person reads further down in each.
FURTHER_DOWN = {68: (10, 4), 69: (10, 4), 70: (10, 3)}


def on_the_first_line(text):
    words = text.lstrip().split("\n")[0].split()
    try:
        return tuple(map(float, words)) if len(words) == 2 else None
    except ValueError:
        return None


@needs_files
def test_each_of_the_80_reviews_of_gpt_4_gives_the_scores_that_a_person_reads_there():
    rows = [json.loads(line) for line in (JUDGED / "vicuna_table/review_gpt35_vicuna-13b.jsonl").open(encoding="utf-8")]
    pairs = read_folder("vicuna_table")
    read_there = {row["question_id"]: on_the_first_line(row["text"]) for row in rows}
    elsewhere = {number for number, scores in read_there.items() if scores is None}
    by_us = {
        row["question_id"]: (pair.review.score_teacher, pair.review.score_student)
        for row, pair in zip(rows, pairs, strict=True)
    }
    stated = {row["question_id"]: tuple(row["score"]) for row in rows}

    assert (len(rows), len(by_us), elsewhere) == (80, 80, set(FURTHER_DOWN))
    expected = read_there | FURTHER_DOWN
    assert [(n, by_us[n], expected[n]) for n in by_us if by_us[n] != expected[n]] == []
    assert [(n, by_us[n], stated[n]) for n in by_us if by_us[n] != stated[n]] == []
    assert not any(pair.disagrees for pair in pairs)
    assert [parse_scores(row["text"]) for row in rows] == list(by_us.values())  # all were shown the teacher's first


@needs_files
def test_the_win_rate_of_alpaca_7b_is_the_one_that_the_preferences_of_its_own_files_give():
    rows = json.loads((JUDGED / "alpaca_eval/alpaca-7b_annotations_gpt4.json").read_text(encoding="utf-8"))
    own = [{1: 0.0, 2: 1.0, 0: 0.5, 1.5: 0.5}[row["preference"]] for row in rows]
    lengths = {side: [row[f"output_{side}"] for row in rows] for side in (1, 2)}
    longer_won = [
        (row["preference"] == 2) == (len(row["output_2"]) > len(row["output_1"]))
        for row in rows
        if row["preference"] in (1, 2) and len(row["output_2"]) != len(row["output_1"])
    ]

    found = win_rate(read_folder("alpaca_eval"))

    assert found.n == len(rows) == 805
    assert found.rate == pytest.approx(sum(own) / len(own), abs=1e-12)
    assert (found.wins, found.ties, found.losses) == (205, 16, 584)
    for side, seen in ((1, found.teacher), (2, found.student)):
        assert seen.characters == pytest.approx(sum(map(len, lengths[side])) / 805)
        assert seen.words == pytest.approx(sum(len(text.split()) for text in lengths[side]) / 805)
    assert (found.longer_share, found.longer_or_shorter_won) == (sum(longer_won) / len(longer_won), len(longer_won))
    print(f"alpaca-7b: {100 * found.rate:.2f} % of {found.n}, longer answer won {100 * found.longer_share:.1f} %")
