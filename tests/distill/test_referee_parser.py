"""Replies in the shapes that referee models really give, and the ones that must not pass as scores."""

import json
import math
from pathlib import Path

import pytest

from distill.referee_parser import parse_explanation, parse_scores

REVIEWS = Path(__file__).resolve().parents[3] / "shared/data/judged/vicuna_table/review_gpt35_vicuna-13b.jsonl"

READABLE = [
    # a first line of two numbers
    ("9 8.5", 9, 8.5),
    ("9 8.5\nBoth answers are good.", 9, 8.5),
    ("\n\n8 7\n\nBoth answers are good.", 8, 7),
    ("10 10", 10, 10),
    ("1 1", 1, 1),
    ("8.25 7.75", 8.25, 7.75),
    ("8, 7", 8, 7),
    ("8,7", 8, 7),
    ("10,9", 10, 9),
    ("8.5,7", 8.5, 7),
    ("8;7", 8, 7),
    ("8 | 7", 8, 7),
    ("| 8 | 7 |", 8, 7),
    ("8 and 7", 8, 7),
    ("8 vs 7", 8, 7),
    ("(8, 7)", 8, 7),
    ("[8, 7]", 8, 7),
    ("8/10 7/10", 8, 7),
    ("8/10, 6.5/10", 8, 6.5),
    ("8 out of 10 and 7 out of 10", 8, 7),
    ("**8** **7**", 8, 7),
    ("`8 7`", 8, 7),
    ("Scores: 8 7", 8, 7),
    ("Score: 8.25, 7.75", 8.25, 7.75),
    ("The scores are 8 and 7.", 8, 7),
    ("Scores for Assistant 1 and 2: 8 7", 8, 7),
    ("9 8.5 Both assistants did well.", 9, 8.5),
    ("8 7. Assistant 1 was better.", 8, 7),
    ("8 7 - the first is better", 8, 7),
    ("\\boxed{8, 7}", 8, 7),
    # other digits, decimal commas, other languages
    ("８ ７", 8, 7),
    ("٨ ٧", 8, 7),
    ("8,5 7,0", 8.5, 7),
    ("8,5 7", 8.5, 7),
    ("8,5; 7,5", 8.5, 7.5),
    ("评分：8 和 7", 8, 7),
    ("助手1的得分：8\n助手2的得分：7.5", 8, 7.5),
    ("助手１：８分\n助手２：７分", 8, 7),
    ("アシスタント1のスコア：8\nアシスタント2のスコア：9", 8, 9),
    ("어시스턴트 1: 8점\n어시스턴트 2: 7점", 8, 7),
    ("Оценка ассистента 1: 8\nОценка ассистента 2: 7,5", 8, 7.5),
    ("Puntuación del Asistente 1: 8,5\nPuntuación del Asistente 2: 7", 8.5, 7),
    ("Note assistant 1 : 8/10\nNote assistant 2 : 7/10", 8, 7),
    ("Bewertung von Assistent 1: 8 Punkte\nBewertung von Assistent 2: 7 Punkte", 8, 7),
    ("المساعد 1: ٨\nالمساعد 2: ٧", 8, 7),
    # labelled
    ("Evaluation evidence: the first has 3 errors.\nScore of the Assistant 1: 8\nScore of the Assistant 2: 7", 8, 7),
    ("Score of the Assistant 2: 7\nScore of the Assistant 1: 8", 8, 7),
    ("**Score of the Assistant 1:** 8/10\n**Score of the Assistant 2:** 6.5/10", 8, 6.5),
    ("Score of the Assistant 1: <8>\nScore of the Assistant 2: <7>", 8, 7),
    ("Score of the Assistant 1: 8 (good)\nScore of the Assistant 2: 7 (fair)", 8, 7),
    ("Score of the Assistant 1: 8\n\n\nScore of the Assistant 2: 7\n\nIn conclusion 5 points matter.", 8, 7),
    ("Score of the Assistant 1: 6\nOn reflection:\nScore of the Assistant 1: 8\nScore of the Assistant 2: 7", 8, 7),
    ("Both did well.\nScore for Assistant 1 = 8.0\nScore for Assistant 2 = 7.0\nThanks!", 8, 7),
    ("Assistant 1: 8, Assistant 2: 7", 8, 7),
    ("Assistant 1's score: 8\nAssistant 2's score: 7", 8, 7),
    ("Assistant 1 gets 8 and Assistant 2 gets 7.", 8, 7),
    ("I give Assistant 1 a score of 8 and Assistant 2 a score of 7", 8, 7),
    ("Assistant 1 - 8/10; Assistant 2 - 7/10", 8, 7),
    ("Assistant 1 (8/10), Assistant 2 (7/10)", 8, 7),
    ("Assistant A: 8\nAssistant B: 7", 8, 7),
    ("Assistant One: 8\nAssistant Two: 7", 8, 7),
    ("First assistant: 8\nSecond assistant: 7", 8, 7),
    ("The first assistant scores 8, the second assistant scores 7.", 8, 7),
    ("8/10 for Assistant 1 and 7/10 for Assistant 2", 8, 7),
    ("Model 1: 8 out of 10\nModel 2: 7 out of 10", 8, 7),
    ("| Assistant 1 | 8 |\n| Assistant 2 | 7 |", 8, 7),
    ("| Assistant 1 | Assistant 2 |\n|---|---|\n| 8 | 7 |", 8, 7),
    ("<assistant_1>8</assistant_1><assistant_2>7</assistant_2>", 8, 7),
    ("1: 8\n2: 7", 8, 7),
    ("1. 8\n2. 7", 8, 7),
    # JSON
    ('{"explanation": "x", "assistant_1": 8, "assistant_2": 7.5}', 8, 7.5),
    ('```json\n{"assistant_2": 7, "assistant_1": 8}\n```', 8, 7),
    ('Here you are: {"scores": [8, 7]}', 8, 7),
    ('{"assistant_1": {"score": 8}, "assistant_2": {"score": "7/10"}}', 8, 7),
    ('{"score_a": 8, "score_b": 7}', 8, 7),
    ('{"Score of the Assistant 1": 8, "Score of the Assistant 2": 7}', 8, 7),
    ('{"explanation": "Assistant 1: 2, Assistant 2: 3", "assistant_1": 8, "assistant_2": 7}', 8, 7),
    # at the end, or one number a line
    ("The first answer is better.\n8 7", 8, 7),
    ("The first answer has 3 parts.\n\n8\n7", 8, 7),
    ("8\n7\nThe first answer is better.", 8, 7),
    ("<think>maybe 3 4</think>8 7", 8, 7),
]

UNREADABLE = [
    "",
    "   \n ",
    "error",
    "nan nan",
    "inf inf",
    "8",
    "8/10",
    "Scores: 8",
    "9 8 7",
    "8 7 6/10",
    # outside 1 to 10
    "80 90",
    "0 5",
    "11 9",
    "10.5 9",
    "-1 -1",
    "Assistant 1: -1\nAssistant 2: -1",
    "Score of the Assistant 1: 80\nScore of the Assistant 2: 90",
    "Score of the Assistant 1: 80/100\nScore of the Assistant 2: 70/100",
    "Assistant 1: 4/5\nAssistant 2: 3/5",
    "4/5 for Assistant 1 and 3/5 for Assistant 2",
    '{"assistant_1": 80, "assistant_2": 7}',
    # ambiguous
    "9/8",
    "9/10",
    "8-9",
    "8,5,7,5",
    "1e1 5",
    "Score of the Assistant 1: 7-8\nScore of the Assistant 2: 6-7",
    # one score is missing
    "Score of the Assistant 1: 8",
    "Score of the Assistant 1: 8\nScore of",
    "Score of the Assistant 1: 8\nScore of the Assistant 2:",
    "Score of the Assistant 1: 8\nScore of the Assistant 2: nan",
    '{"assistant_1": 8}',
    '{"assistant_1": null, "assistant_2": 7}',
    '{"assistant_1": true, "assistant_2": 7}',
    # numbers that are no scores of the two
    "1. Clarity: 8\n2. Accuracy: 9",
    "Step 1: 8\nStep 2: 9",
    "2 3 are primes",
    "In 2019 8 people agreed.",
    "Assistant 1 gave 3 examples and Assistant 2 gave 4 examples.",
    "1. Assistant 1 has 2 errors\n2. Assistant 2 has 1 error",
    "Assistant 1 is better.",
    "I'm sorry, I cannot rate these.",
    "<think>8 7",
    # a first pair that is no score is not made good by a later one
    "80 90\nScore of the Assistant 1: 8\nScore of the Assistant 2: 9",
]


# What the reply is like, the reply, whether it was cut at the token limit, and what it must give.
REPLIES = [
    ("first line", "Rating: [[8]] [[7]]", False, (8, 7)),
    ("first line", "<score>8</score> <score>7</score>", False, (8, 7)),
    ("first line", "8\t7", False, (8, 7)),
    ("first line", "8  7  ", False, (8, 7)),
    ("first line", "1) 8\n2) 7", False, (8, 7)),
    ("first line", "9 8.5\nBoth are good.", False, (9, 8.5)),
    ("last line", "The output tuple is (10, 4).", False, (10, 4)),
    ("last line", "The first is better.\n\n8 7", False, (8, 7)),
    ("last line", "Because of 3 errors.\nScore of the Assistant 1: 8\nScore of the Assistant 2: 7", False, (8, 7)),
    ("8/10", "8/10 9/10\nreason", False, (8, 9)),
    ("8/10", "**8/10** vs **7/10**", False, (8, 7)),
    ("8/10", "- **Assistant 2**: 7/10\n- **Assistant 1**: 8/10", False, (8, 7)),
    ("8/10", "8.5/10 8/10\n", False, (8.5, 8)),
    ("8/10", "8.5 / 10, 8 / 10", False, (8.5, 8)),
    ("bold", "__8__ __7__", False, (8, 7)),
    ("bold", "*Assistant 1: 8*\n*Assistant 2: 7*", False, (8, 7)),
    ("bold", "**Assistant 1:** 8\n**Assistant 2:** 7.5\n", False, (8, 7.5)),
    ("bold", "Reasons.\n\n**Final scores: 8 7**", False, (8, 7)),
    ("bold", "**Score of the Assistant 1:** **8**\n**Score of the Assistant 2:** **6.5**", False, (8, 6.5)),
    ("two decimals", "Reasons.\n\nFinal scores: Assistant 1: 8.25, Assistant 2: 7.75", False, (8.25, 7.75)),
    ("two decimals", "Reasons first.\n8.25 7.75", False, (8.25, 7.75)),
    ("two decimals", "Score of the Assistant 1: 8.25\nScore of the Assistant 2: 7.75", False, (8.25, 7.75)),
    ("json", '{"assistant_2": 7, "assistant_1": 8, "explanation": "x"}', False, (8, 7)),
    ("json", 'Sure! ```json\n{"assistant_1": "8.5", "assistant_2": "7.25"}\n``` Hope it helps.', False, (8.5, 7.25)),
    ("json", 'Here you are: {"scores": [8, 7]}', False, (8, 7)),
    ("prose around", "Score: Assistant 1 = 8 / Assistant 2 = 7", False, (8, 7)),
    ("prose around", "Assistant 1 | Assistant 2\n8 | 7", False, (8, 7)),
    ("prose around", "Assistant 1: [[8]]\nAssistant 2: [[7]]", False, (8, 7)),
    ("prose around", "Assistant 1's answer scores 8 while Assistant 2's answer scores 7.", False, (8, 7)),
    ("prose around", "Assistant #1: 8\nAssistant #2: 7", False, (8, 7)),
    (
        "prose around",
        "I would give Assistant 1 a score of 10 and Assistant 2 a score of 4.\n\nThat is all.",
        False,
        (10, 4),
    ),
    ("swapped labels", "Assistant 2 deserves 7 and Assistant 1 deserves 8.", False, (8, 7)),
    ("swapped labels", "Assistant B: 7/10, Assistant A: 8/10", False, (8, 7)),
    ("swapped labels", "Score of the Assistant 2: 7\nScore of the Assistant 1: 8", False, (8, 7)),
    ("other language", "Assistente 1: 8\nAssistente 2: 7", False, (8, 7)),
    ("other language", "Pontuação do Assistente 1: 8,5\nPontuação do Assistente 2: 7", False, (8.5, 7)),
    ("other language", "Punteggio dell'Assistente 1: 8\nPunteggio dell'Assistente 2: 7", False, (8, 7)),
    ("other language", "Điểm của Trợ lý 1: 8\nĐiểm của Trợ lý 2: 7", False, (8, 7)),
    ("other language", "सहायक 1: ८\nसहायक 2: ७", False, (8, 7)),
    ("other language", "Asistan 1: 8\nAsistan 2: 7", False, (8, 7)),
    ("other language", "助手1：8分，助手2：7分", False, (8, 7)),
    ("other language", "助手 2 得分为 7，助手 1 得分为 8", False, (8, 7)),
    ("other language", "8分 7分", False, (8, 7)),
    ("other language", "Ассистент 1 — 8 баллов\nАссистент 2 — 7 баллов", False, (8, 7)),
    ("other language", "Assistant 1: 8 Punkte, Assistant 2: 7 Punkte", False, (8, 7)),
    ("other language", "Wertung: 8 und 7", False, (8, 7)),
    ("other language", "Les notes sont 8 et 7.", False, (8, 7)),
    ("out of range", '{"assistant_1": 8, "assistant_2": 11}', False, None),
    ("out of range", '{"assistant_1": 0, "assistant_2": 7}', False, None),
    ("out of range", "100 90", False, None),
    ("out of range", "8 0", False, None),
    ("out of range", "Assistant 1: 8\nAssistant 2: 12", False, None),
    ("out of range", "8/5 7/5", False, None),
    ("out of range", "8/100 7/100", False, None),
    ("out of range", "80% 70%", False, None),
    ("out of range", "Assistant 1: 85%\nAssistant 2: 70%", False, None),
    ("out of range", "10.5 9", False, None),
    ("out of range", "-1 -1", False, None),
    ("nan", '{"assistant_1": NaN, "assistant_2": 7}', False, None),
    ("nan", "NaN 8", False, None),
    ("nan", "8 nan", False, None),
    ("nan", "Assistant 1: NaN\nAssistant 2: 8", False, None),
    ("nan", "Assistant 1: N/A\nAssistant 2: 8", False, None),
    ("cut", "Score of the Assistant 1: 8\nScore of the Assistant 2: 1", True, None),
    ("cut", "Score of the Assistant 1: 8\nScore of the Assistant 2: 7.", True, None),
    ("cut", "8 7\nThe first answer gives 3", True, (8, 7)),
    ("cut", '{"explanation": "The first', True, None),
    ("cut", '{"assistant_1": 8, "assistant_2": 1', True, None),
    ("cut", "8 1", True, None),
    ("cut", "The first is better because", True, None),
    ("unclear", "I rate them 8 and 7 respectively.", False, None),
    ("unclear", "Assistant 1 is better than Assistant 2: 8 vs 7", False, None),
    ("unclear", "A: 8, B: 7", False, None),
]


@pytest.mark.parametrize(("what", "raw", "cut", "expected"), REPLIES, ids=[f"{r[0]}: {r[1]!r}"[:60] for r in REPLIES])
def test_each_kind_of_reply_gives_its_two_scores_or_none(what, raw, cut, expected):
    assert parse_scores(raw, cut=cut) == expected, what


def test_the_table_of_replies_holds_every_kind():
    kinds = {what for what, *_ in REPLIES}

    assert len(REPLIES) >= 60
    assert kinds >= {"8/10", "bold", "first line", "last line", "json", "prose around", "two decimals"}
    assert kinds >= {"swapped labels", "other language", "out of range", "nan", "cut"}


@pytest.mark.parametrize(("raw", "first", "second"), READABLE, ids=[repr(r[0])[:50] for r in READABLE])
def test_reads_the_two_scores(raw, first, second):
    assert parse_scores(raw) == (first, second)


@pytest.mark.parametrize("raw", UNREADABLE, ids=[repr(r)[:50] for r in UNREADABLE])
def test_reads_nothing_where_there_is_no_clear_pair_in_range(raw):
    assert parse_scores(raw) is None


@pytest.mark.parametrize("first", range(1, 11))
def test_every_pair_of_half_points_is_read_in_every_layout(first):
    for second in (x / 2 for x in range(2, 21)):
        labelled = f"Score of the Assistant 1: {first}\nScore of the Assistant 2: {second}"
        document = json.dumps({"explanation": "so so", "assistant_1": first, "assistant_2": second})
        for raw in (f"{first} {second}", labelled, document):
            assert parse_scores(raw) == (first, second)


def test_a_number_at_the_end_of_a_cut_reply_is_not_trusted():
    raw = "Score of the Assistant 1: 8\nScore of the Assistant 2: 1"

    assert parse_scores(raw) == (8, 1)
    assert parse_scores(raw, cut=True) is None


def test_scores_before_the_cut_are_read():
    assert parse_scores("8 7\nThe first answer gives 3", cut=True) == (8, 7)


def test_whatever_comes_out_is_finite_and_in_range():
    pieces = ["8", "0", "nan", "11", "-3", "/10", "Assistant 1:", "Assistant 2:", ",", "\n", " ", "{", "[", "8,5", "1."]
    for a in pieces:
        for b in pieces:
            for c in pieces:
                for d in ("", " 7", "\n9"):
                    scores = parse_scores(a + b + c + d)
                    assert scores is None or all(math.isfinite(s) and 1 <= s <= 10 for s in scores)


@pytest.mark.parametrize("raw", ["{" * 50_000, "9 " * 20_000, "Assistant 1 " * 5_000, "1" * 6_000, "a1:" * 10_000])
def test_hostile_replies_end_soon(raw):
    assert parse_scores(raw) is None


@pytest.mark.parametrize(
    ("raw", "explanation"),
    [
        ("9 8\nThe first is clearer.", "The first is clearer."),
        ("Evaluation evidence: Clear.\nScore of the Assistant 1: 9\nScore of the Assistant 2: 8", "Clear."),
        ('{"explanation": "Clear.", "assistant_1": 9, "assistant_2": 8}', "Clear."),
        ("The first names 3 rivers.\n\n9\n8", "The first names 3 rivers.\n\n9\n8"),
        ("No scores here.", "No scores here."),
        ("", ""),
    ],
)
def test_the_explanation_is_what_is_left_without_the_score_lines(raw, explanation):
    assert parse_explanation(raw) == explanation


@pytest.mark.skipif(not REVIEWS.exists(), reason="the shared reviews are not here")
def test_all_80_real_reviews_of_gpt_4_give_the_scores_that_stand_beside_them():
    rows = [json.loads(line) for line in REVIEWS.read_text(encoding="utf-8").splitlines()]

    assert len(rows) == 80
    for row in rows:
        assert parse_scores(row["text"]) == tuple(row["score"]), row["text"]
        assert len(parse_explanation(row["text"])) > 100
