"""Overlaps between texts and benchmark items: what is caught, what is not, and that the fast way equals the plain one."""

import json
import random
from pathlib import Path

import pytest

from distill.evaluation_files import read_evaluation
from distill.leaks import COMMON, MOST_LEAKS, Leak, LeakIndex, LeakKind
from distill.novelty import NoveltyIndex
from distill.tokenisation import tokenise

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
LONG = (
    "A merchant bought twelve barrels of olive oil in Genoa and sold five of them in Lisbon at a price that was one "
    "quarter higher. How many coins did he earn if each barrel had cost him sixteen coins?"
)
SHORT = "Explain why the sky looks red at dusk"
TINY = "Who wrote Middlemarch?"
CHINESE = "小明在早上七点从家里出发，以每小时五公里的速度走到学校，请问他需要多少分钟才能到达距离三公里的学校？"
ITEMS = [LONG, SHORT, TINY, CHINESE]


@pytest.fixture(scope="module")
def index():
    return LeakIndex(ITEMS)


def kinds(index, text):
    return [(leak.item, leak.kind) for leak in index.check(text)]


@pytest.mark.parametrize("at", range(len(ITEMS)))
def test_an_item_itself_is_exact(index, at):
    assert index.check(ITEMS[at]) == [Leak(at, LeakKind.EXACT, 1.0)]


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("explain, why the SKY looks red at dusk?!", 1),
        ("  Who wrote “Middlemarch” ", 2),
        (LONG.upper().replace(" ", "\n"), 0),
    ],
)
def test_case_punctuation_and_blanks_do_not_hide_it(index, text, item):
    assert kinds(index, text) == [(item, LeakKind.EXACT)]


def test_a_few_changed_words_are_near(index):
    changed = LONG.replace("merchant", "trader").replace("Genoa", "Pisa").replace("earn", "make")

    (leak,) = index.check(changed)

    assert (leak.item, leak.kind) == (0, LeakKind.NEAR)
    assert 0.8 <= leak.score < 1


def test_an_item_inside_a_longer_text_is_found_by_its_runs(index):
    wrapped = (
        f"Write a funny poem of ten lines that answers the following riddle for children. {LONG} Then add a moral."
    )

    (leak,) = index.check(wrapped + " Keep it short and sweet, and mention three animals that live near the sea.")

    assert leak == Leak(0, LeakKind.NGRAM, 1.0)


def test_thirteen_words_in_a_row_are_enough_and_twelve_are_not(index):
    words = LONG.split()
    around = "Please continue this story with your own ideas about trade, travel, storms and dark harbours at night: {} and so on."

    assert kinds(index, around.format(" ".join(words[5:18]))) == [(0, LeakKind.NGRAM)]
    assert kinds(index, around.format(" ".join(words[5:17]))) == []


def test_a_short_item_is_found_by_its_eight_words(index):
    assert kinds(
        index, f"In the voice of a pirate and with many jokes about parrots: {SHORT}, using no numbers at all."
    ) == [(1, LeakKind.NGRAM)]


def test_a_tiny_item_counts_only_as_a_whole(index):
    assert kinds(index, "Tell me who wrote Middlemarch and who wrote Emma, with the years of both.") == []


def test_scripts_without_blanks_are_compared_by_characters(index):
    assert kinds(index, "请回答下面的问题并说明理由。" + CHINESE[:30] + "另外请画一张图。") == [(3, LeakKind.NGRAM)]
    assert kinds(index, CHINESE.replace("小明", "小红")) == [(3, LeakKind.NEAR)]
    assert kinds(index, "小明在早上七点起床。请写一篇关于学校的短文。") == []


@pytest.mark.parametrize(
    "text", ["", " ", "?!", "\x00", "word", "a " * 5000, "😀" * 50, "Name three rivers in Europe."]
)
def test_odd_and_unrelated_texts_overlap_with_nothing(index, text):
    assert index.check(text) == []


def test_an_index_of_nothing_finds_nothing():
    assert LeakIndex([]).check_many(["a", LONG]) == [[], []]
    assert LeakIndex(["", "!"]).check(LONG) == []


def test_the_wording_of_a_task_is_no_item():
    task = "Which of the following sentences holds an error in the agreement of subject and verb? Sentence:"
    index = LeakIndex([f"{task} {n} alpha{n} beta{n} gamma{n} delta{n}" for n in range(COMMON + 1)])

    assert index.check(f"Explain to a pupil what is meant by this question, in your own words and slowly. {task}") == []


def test_most_leaks_are_named_and_the_clearest_stand_first():
    items = [f"{LONG} Variant {n}" for n in range(6)]

    found = LeakIndex(items).check(items[4])

    assert len(found) == MOST_LEAKS
    assert found[0] == Leak(4, LeakKind.EXACT, 1.0)


def test_many_at_once_are_judged_as_one_by_one(index):
    texts = [LONG, "nothing", SHORT + " then", CHINESE, "", LONG[:90]] * 120

    assert index.check_many(texts) == [index.check(text) for text in texts]


def test_runs_and_scores_equal_a_plain_comparison():
    noise = random.Random(5)
    words = [f"w{n}" for n in range(60)]
    items = [" ".join(noise.choices(words, k=noise.randint(1, 40))) for _ in range(60)]
    texts = [" ".join(noise.choices(words, k=noise.randint(0, 20))) for _ in range(60)]
    for item in items[:40]:
        cut = item.split()
        start = noise.randint(0, max(0, len(cut) - 10))
        texts.append(" ".join([*noise.choices(words, k=8), *cut[start : start + noise.randint(6, 20)], "w1", "w2"]))
    index = LeakIndex(items)

    for text in texts:
        assert {leak.item for leak in index.check(text)} == _plain(items, text)


def _plain(items, text):
    tokens, found = tokenise(text), []
    for at, item in enumerate(items):
        other = tokenise(item)
        size = 13 if len(other) >= 13 else 8 if len(other) >= 8 else 0
        runs = {tuple(other[i : i + size]) for i in range(len(other) - size + 1)} if size else set()
        shared = runs & {tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)}
        score = NoveltyIndex(1.0, [item]).nearest(text)[0]
        if tokens and tokens == other:
            found.append((0, 0, at))
        elif len(tokens) >= 6 and score >= 0.8:
            found.append((1, -score, at))
        elif shared:
            found.append((2, -len(shared) / len(runs), at))
    nearest = [one for one in sorted(found) if one[0] == 1][1:]  # only the nearest is named
    return {at for _, _, at in [one for one in sorted(found) if one not in nearest][:MOST_LEAKS]}


@pytest.fixture(scope="module")
def benchmarks():
    """Every item of the benchmark files that lie beside the repository, and their index."""
    files = sorted((DATA / "eval").rglob("*.json*")) if (DATA / "eval").is_dir() else []
    if not files:
        pytest.skip("the benchmark files are not beside the repository (../shared/data/eval)")
    items = []
    for path in files:
        with path.open("rb") as stream:
            items += [item.text for _, item in read_evaluation(stream, path.name, on_problem=pytest.fail)]
    return items, LeakIndex(items)


def test_a_planted_near_copy_of_each_benchmark_is_caught(benchmarks):
    items, index = benchmarks
    noise = random.Random(1)
    planted = []
    for item in noise.sample([item for item in items if len(item.split()) >= 16], 60):
        words = item.split()
        words[noise.randrange(len(words))] = "changed"
        planted.append("Please help: " + " ".join(words))

    found = index.check_many(planted)

    assert all(found)


def test_no_instruction_of_the_alpaca_sample_is_called_a_leak(benchmarks):
    path = DATA / "pools" / "alpaca_en_demo.json"
    if not path.exists():
        pytest.skip("the Alpaca sample is not beside the repository (../shared/data/pools)")
    rows = json.loads(path.read_text(encoding="utf-8"))
    texts = [f"{row['instruction']}\n\n{row['input']}" if row.get("input") else row["instruction"] for row in rows]

    assert not any(benchmarks[1].check_many(texts))
