"""The novelty benchmark runs at a small size and compares decisions that lie at the threshold."""

import random

from bench.novelty import near_threshold, run
from distill.novelty import NoveltyIndex


def test_a_small_run_agrees_with_rouge_score_and_reports_all_fields():
    result = run(40, 300, peer_pairs=200)

    assert result["decisions_identical"] is True
    assert result["scores_exactly_at_threshold"] > 0
    assert {"name", "ours", "peer", "ratio", "target", "holds", "unit", "n"} <= result.keys()


def test_the_constructed_texts_lie_on_both_sides_of_the_threshold_and_on_it():
    text = " ".join(f"word{i}" for i in range(20))

    scores = [NoveltyIndex(0.7, [text]).nearest(variant)[0] for variant in near_threshold(random.Random(1), text)]

    assert any(0.65 < score < 0.6999 for score in scores)
    assert any(abs(score - 0.7) < 1e-9 for score in scores)
    assert any(0.7001 < score < 0.75 for score in scores)
