"""Decisions are those of rouge_score wherever it can read the text, and sensible wherever it cannot."""

import json
import random
from pathlib import Path

import pytest
from rouge_score import rouge_scorer

from distill import novelty
from distill.novelty import NoveltyIndex
from distill.tokenisation import tokenise

ALPACA = Path(__file__).resolve().parents[3] / "shared/data/pools/alpaca_en_demo.json"
SCORER = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)


def rouge(one, other):
    return SCORER.score(one, other)["rougeL"].fmeasure


def judged_by_rouge(threshold, known, new):
    """(score, nearest, is_novel) for each new text, one after the other."""
    known, found = list(known), []
    for text in new:
        scores = [rouge(other, text) for other in known]
        best = max(scores, default=0.0)
        found.append((best, known[scores.index(best)] if best else None, best <= threshold))
        if best <= threshold:
            known.append(text)
    return found


def judged_by_us(threshold, known, new):
    return [(v.score, v.nearest, v.is_novel) for v in NoveltyIndex(threshold, known).check_many(new)]


def random_text(rng, words, longest):
    return " ".join(rng.choice(words) for _ in range(rng.randint(1, longest)))


def mutated(rng, text, words):
    tokens = text.split()
    for _ in range(rng.randint(1, len(tokens) // 2 + 1)):
        tokens[rng.randrange(len(tokens))] = rng.choice(words)
    return " ".join(tokens)


def overlapping(first, second, common):
    """Two texts of given lengths whose longest common subsequence has `common` words."""
    shared = [f"s{i}" for i in range(common)]
    return (
        " ".join(shared + [f"a{i}" for i in range(first - common)]),
        " ".join(shared + [f"b{i}" for i in range(second - common)]),
    )


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_scores_nearest_texts_and_decisions_are_those_of_rouge_score(threshold):
    rng = random.Random(7)
    words = [f"word{i}" for i in range(25)]
    known = [random_text(rng, words, 30) for _ in range(40)]
    new = [mutated(rng, rng.choice(known), words) for _ in range(150)]
    new = list(dict.fromkeys(text for text in new if text not in known))

    assert judged_by_us(threshold, known, new) == judged_by_rouge(threshold, known, new)


def test_pairs_at_exactly_the_threshold_are_decided_as_the_floats_of_rouge_score_decide_them():
    decisions = set()
    for total in range(20, 220, 20):
        common = total * 7 // 20
        for first in range(common, total - common + 1):
            one, other = overlapping(first, total - first, common)
            expected = rouge(one, other) <= 0.7
            assert NoveltyIndex(0.7, [one]).check_many([other])[0].is_novel is expected
            decisions.add(expected)
    assert decisions == {True, False}  # the same fraction rounds to both sides


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.6, 0.9, 2 / 3])
def test_the_values_beside_any_threshold_fall_on_the_right_side(threshold):
    for first in range(1, 40, 3):
        for second in range(1, 40, 3):
            border = int(threshold * (first + second) / 2)
            for common in {border, border + 1}:
                if common <= min(first, second):
                    one, other = overlapping(first, second, common)
                    verdict = NoveltyIndex(threshold, [one]).check_many([other])[0]
                    assert (verdict.score, verdict.is_novel) == (rouge(one, other), rouge(one, other) <= threshold)


def test_an_accepted_text_counts_against_the_next_one():
    index = NoveltyIndex(0.7, ["name three rivers in asia"])
    poem = "write a poem about the rain in spring"

    first, second = index.check_many([poem, f"{poem} please"])

    assert first.is_novel
    assert (second.is_novel, second.nearest) == (False, poem)


def test_a_rejected_text_does_not_count_against_the_next_one():
    known = " ".join(f"a{i}" for i in range(10))
    close = " ".join([*(f"a{i}" for i in range(8)), "b0", "b1"])
    far = " ".join([*(f"a{i}" for i in range(6)), "c0", "c1", "b0", "b1"])

    verdicts = NoveltyIndex(0.7, [known]).check_many([close, far])

    assert [v.is_novel for v in verdicts] == [False, True]
    assert verdicts[1].nearest == known


def test_bulk_and_one_by_one_agree_across_blocks(monkeypatch):
    rng = random.Random(3)
    words = [f"word{i}" for i in range(30)]
    known = [random_text(rng, words, 20) for _ in range(37)]
    new = [mutated(rng, rng.choice(known), words) for _ in range(60)]
    whole = judged_by_us(0.7, known, new)

    monkeypatch.setattr(novelty, "_QUERIES", 7)
    monkeypatch.setattr(novelty, "_CHOICES", 10)

    assert judged_by_us(0.7, known, new) == whole
    index = NoveltyIndex(0.7, known)
    assert [(v.score, v.nearest, v.is_novel) for text in new for v in index.check_many([text])] == whole


def test_more_words_than_code_points_change_nothing(monkeypatch):
    rng = random.Random(5)
    words = [f"word{i}" for i in range(60)]
    known = [random_text(rng, words, 15) for _ in range(30)]
    new = [mutated(rng, rng.choice(known), words) for _ in range(60)]
    expected = judged_by_us(0.7, known, new)

    monkeypatch.setattr(novelty, "_LAST_CODE", 0x20 + 20)

    assert judged_by_us(0.7, known, new) == expected


def test_words_beyond_the_surrogates_are_told_apart():
    index = NoveltyIndex(0.7, [" ".join(f"w{i}" for i in range(0xD800 - 0x30, 0xD800 + 0x900))])
    index.add("alpha beta gamma")

    assert index.nearest("alpha beta delta") == (rouge("alpha beta gamma", "alpha beta delta"), "alpha beta gamma")


def test_a_text_without_a_common_word_has_no_nearest():
    assert NoveltyIndex(0.7, ["one two"]).nearest("three four") == (0.0, None)


def test_an_empty_index_finds_everything_novel_once():
    verdicts = NoveltyIndex(0.7).check_many(["one two three", "one two three"])

    assert [v.is_novel for v in verdicts] == [True, False]


def test_nothing_to_check_gives_nothing():
    assert NoveltyIndex(0.7, ["one"]).check_many([]) == []


def test_of_several_nearest_texts_the_first_known_is_named():
    assert NoveltyIndex(0.7, ["x b c", "a b x"]).nearest("a b c")[1] == "x b c"


def test_texts_without_any_word_are_not_alike_but_the_same_one_is_never_novel_twice():
    verdicts = NoveltyIndex(0.7, ["?!"]).check_many(["...", "🙂🙂", "🙂🙂"])

    assert [v.is_novel for v in verdicts] == [True, True, False]


def test_the_same_text_is_never_novel_even_at_a_threshold_of_one():
    index = NoveltyIndex(1.0, ["name a river"])

    assert index.check_many(["name a river"])[0].is_novel is False
    assert index.check_many(["Name a river!"])[0].is_novel is True


def test_the_index_knows_its_size_and_its_texts():
    index = NoveltyIndex(0.7, ["one two"])
    index.check_many(["three four", "one two"])

    assert len(index) == 2
    assert "three four" in index and "five" not in index


@pytest.mark.parametrize(
    ("known", "close", "far"),
    [
        ("写一首关于春天的雨的诗", "写一首关于秋天的雨的诗", "解释黑洞是如何形成的"),
        ("春の雨についての詩を書いてください", "秋の雨についての詩を書いてください", "三つの川の名前を挙げよ"),
        ("เขียนบทกวีเกี่ยวกับฝนในฤดูใบไม้ผลิ", "เขียนบทกวีเกี่ยวกับฝนในฤดูใบไม้ร่วง", "ช้างคืออะไร"),
        (
            "Напиши стихотворение о весеннем дожде в городе",
            "Напиши стихотворение о весеннем дожде в деревне",
            "Назови три реки",
        ),
        ("اكتب قصيدة عن المطر في الربيع", "اكتب قصيدة عن المطر في الخريف", "ما هي عاصمة اليابان"),
        ("봄에 내리는 비에 대한 시를 써 줘", "가을에 내리는 비에 대한 시를 써 줘", "강 이름을 세 개 말해"),
        ("वसंत की बारिश पर एक कविता लिखो", "पतझड़ की बारिश पर एक कविता लिखो", "तीन नदियों के नाम बताओ"),
    ],
)
def test_near_duplicates_are_found_in_other_scripts(known, close, far):
    verdicts = NoveltyIndex(0.7, [known]).check_many([close, far])

    assert [v.is_novel for v in verdicts] == [False, True]


@pytest.mark.parametrize(
    "text",
    [
        "Don’t say “hello”… it’s 5 °C — or x² = 4",
        "Cost: 5 € (½ price) ™",
        "snake_case and CamelCase, 3.14",
        "tabs\tand\nnew lines ",
        "naïve"[:2] + " text 🙂",
    ],
)
def test_text_whose_letters_and_digits_are_ascii_gets_the_tokens_of_rouge_score(text):
    from rouge_score.tokenize import tokenize

    assert tokenise(text) == tokenize(text, None)


def test_composed_and_decomposed_letters_are_one():
    assert tokenise("Café") == tokenise("Cafe\u0301") == ["café"]


def test_words_keep_their_marks_and_unspaced_scripts_are_split():
    assert tokenise("नमस्ते दुनिया") == ["नमस्ते", "दुनिया"]
    assert tokenise("用Python写代码") == ["用", "python", "写", "代", "码"]


@pytest.mark.skipif(not ALPACA.exists(), reason="the shared Alpaca rows are not here")
def test_real_instructions_are_decided_as_rouge_score_decides_them():
    rows = json.loads(ALPACA.read_text(encoding="utf-8"))
    texts = [f"{row['instruction']}\n\n{row['input']}".strip() for row in rows]
    texts = [text for text in dict.fromkeys(texts) if text.isascii() and len(text) < 200][:220]

    assert judged_by_us(0.5, texts[:100], texts[100:]) == judged_by_rouge(0.5, texts[:100], texts[100:])


def test_the_closest_ones_are_those_of_a_comparison_with_each(monkeypatch):
    monkeypatch.setattr("distill.novelty._CHOICES", 7)
    noise = random.Random(3)
    known = [" ".join(noise.choices("abcdefghij", k=noise.randint(1, 9))) for _ in range(40)]
    texts = [" ".join(noise.choices("abcdefghijk", k=noise.randint(1, 9))) for _ in range(15)]
    index = NoveltyIndex(1.0, known)

    for text, found in zip(texts, index.closest(texts, 3), strict=True):
        scores = sorted((NoveltyIndex(1.0, [one]).nearest(text)[0] for one in known), reverse=True)[:3]
        assert [score for _, score in found] == pytest.approx(scores)
        assert [NoveltyIndex(1.0, [known[at]]).nearest(text)[0] for at, _ in found] == pytest.approx(scores)


def test_nothing_is_close_to_a_text_without_words():
    assert NoveltyIndex(1.0, ["a b"]).closest(["!", "x", "a"], 3) == [[], [], [(0, pytest.approx(2 / 3))]]
    assert NoveltyIndex(1.0).closest(["a"], 3) == [[]]
