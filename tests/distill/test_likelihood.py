import math

import pytest
import torch

from distill import likelihood
from distill.likelihood import LikelihoodReferee, mean_logprobs, repetition_charge, score
from distill.records import Instruction, Pair
from distill.weights import load_model
from tests.tiny_models import build_tiny_model

ASK = Instruction("Name three rivers.")
PROSE = (
    "The Rhine rises in the Alps and flows north to the sea. The Loire is the longest river of France, "
    "and its castles draw many visitors. The Danube passes through four capitals before it ends in the Black Sea."
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tiny models gain nothing from threads, and lose much to threads that wait for a busy core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = build_tiny_model(tmp_path_factory.mktemp("tiny"))
    return load_model(str(folder), home=folder)


def by_hand(model, prompt, response):
    with torch.no_grad():
        logprobs = model(torch.tensor([prompt + response])).logits[0].log_softmax(-1)
    picked = [logprobs[len(prompt) + i - 1, token].item() for i, token in enumerate(response)]
    return sum(picked) / len(picked)


def items(count=9):
    return [(list(range(5, 8 + i)), list(range(40, 41 + (7 * i) % 30))) for i in range(count)]


def test_the_mean_is_that_of_each_row_alone(loaded):
    expected = [by_hand(loaded.model, *item) for item in items()]

    assert mean_logprobs(loaded, items()) == pytest.approx(expected, abs=1e-4)


def test_small_batches_give_the_same_figures(loaded, monkeypatch):
    expected = mean_logprobs(loaded, items())
    monkeypatch.setattr(likelihood, "_LOGIT_ROWS", 20)

    assert mean_logprobs(loaded, items()) == pytest.approx(expected, abs=1e-4)


def test_an_empty_response_has_no_likelihood(loaded):
    assert mean_logprobs(loaded, [([5, 6], []), ([5, 6], [7])])[0] is None
    assert mean_logprobs(loaded, []) == []


def test_what_does_not_fit_into_the_context_is_left_out(loaded):
    long = [([5] * 500, [9, 10] * 100), ([5] * 600, [9])]

    assert mean_logprobs(loaded, long) == [pytest.approx(by_hand(loaded.model, [5] * 500, [9, 10] * 6), abs=1e-4), None]


def test_a_review_scores_both_responses_without_an_order(loaded):
    referee = LikelihoodReferee(loaded)
    teacher, student = referee.logprobs([(ASK, PROSE), (ASK, "poem")])

    (review,) = referee.review([Pair("k", ASK, PROSE, "poem")])

    assert (review.key, review.order) == ("k", "none")
    assert review.score_teacher == pytest.approx(1 + 9 * math.exp(teacher))
    assert review.score_student == pytest.approx(1 + 9 * math.exp(student))
    assert f"{teacher:.3f}" in review.explanation


def test_each_response_is_scored_once(loaded, monkeypatch):
    scored = []
    monkeypatch.setattr(likelihood, "mean_logprobs", lambda _, asked: scored.extend(asked) or [-1.0] * len(asked))
    pairs = [Pair(str(i), ASK, "the same answer", f"answer {i % 2}") for i in range(6)]

    reviews = list(LikelihoodReferee(loaded).review(pairs))

    assert [review.key for review in reviews] == [str(i) for i in range(6)]
    assert len(scored) == 3


def test_an_empty_student_response_is_the_worst_and_an_empty_teacher_leaves_the_pair_unscored(loaded):
    worst, unscored = LikelihoodReferee(loaded).review([Pair("a", ASK, "river", ""), Pair("b", ASK, "", "river")])

    assert worst.score_student == 1
    assert worst.score_teacher > 1
    assert (unscored.score_teacher, unscored.score_student) == (None, None)


def test_scores_lie_between_one_and_ten():
    assert score(0.0) == 10
    assert score(-math.inf) == 1
    assert score(None) == 1
    assert score(1e-9) == 10  # rounding may lift a certainty above zero
    assert 1 <= score(-0.1, charge=4) < score(-0.1)


@pytest.mark.parametrize(
    "text",
    [
        "the " * 96,
        "The sea is blue. " * 8,
        "1. Red. 2. Red. 3. Red. 4. Red. 5. Red. 6. Red. 7. Red. 8. Red.",
        "河流很长。" * 20,
        "ha" * 200,
    ],
)
def test_text_that_loops_is_charged(text):
    charge = repetition_charge(text)

    assert charge > 1
    assert f"less {charge:.2f} for repeating itself" in likelihood._explain("Student", -0.1, charge)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Yes.",
        "no no no",
        PROSE,
        "1. Read the text.\n2. Mark each verb.\n3. Write a summary.\n4. Read it aloud to a friend.",
        "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n",
        "莱茵河发源于阿尔卑斯山，向北流入大海。卢瓦尔河是法国最长的河流。多瑙河流经四个首都。",
    ],
)
def test_normal_text_is_not_charged(text):
    assert repetition_charge(text) == 0
