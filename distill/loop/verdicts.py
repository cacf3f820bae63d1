"""From the reviews of an iteration to its verdicts."""

from __future__ import annotations

from distill.discrimination import UNSCORED, Judgement, judge, orders_needed, seed_sets
from distill.length_adjustment import adjusted, fitted_slope, length_difference
from distill.loop.checkpoints import Checkpoint
from distill.loop.reviews import Reviews, compared, pair_of, reviews_of
from distill.loop.run import Run
from distill.records import Difficulty, Instruction, Pair, Verdict


def classify(run: Run, iteration: int) -> None:
    """Write the verdicts that are not in the file yet."""
    rows = run.folder.verdicts.rows
    done = {(row["checkpoint"], row["content_hash"]) for row in rows if row["iteration"] == iteration}
    reviews, heldout = reviews_of(run), {one.content_hash for one in run.pools.heldout}
    slope = _length_slope(run, iteration, reviews, heldout)
    for one in compared(run, iteration):
        for instruction in one.instructions:
            content_hash = instruction.content_hash
            if (one.checkpoint.number, content_hash) not in done:
                judged = _judge(run, reviews, one.checkpoint, instruction, slope)
                pool = "heldout" if content_hash in heldout else "cache"
                _keep(run, iteration, one.checkpoint, instruction, pool, judged)


def seeds(run: Run, iteration: int) -> dict[Difficulty, list[str]]:
    """Content hashes of the Cache Pool by difficulty; held-out instructions are never seeds."""
    rows = (row for row in run.folder.verdicts.rows if row["iteration"] == iteration and row["pool"] == "cache")
    return seed_sets({row["content_hash"]: Verdict(row["verdict"]) for row in rows})


def _length_slope(run: Run, iteration: int, reviews: Reviews, heldout: set[str]) -> float:
    """Over the scored Cache Pool, from stored reviews alone: a run that goes on finds the same. 0: nothing to adjust."""
    if not run.settings.referee.length_adjusted:
        return 0.0
    one = compared(run, iteration)[0]
    pairs = (pair_of(run, one.checkpoint, i) for i in one.instructions if i.content_hash not in heldout)
    scored = ((pair, _raw(run, reviews, pair).gap) for pair in pairs if pair is not None)
    return fitted_slope((_difference(pair), gap) for pair, gap in scored if gap is not None)


def _judge(run: Run, reviews: Reviews, checkpoint: Checkpoint, instruction: Instruction, slope: float) -> Judgement:
    pair = pair_of(run, checkpoint, instruction)
    if pair is None:
        return UNSCORED
    judged = _raw(run, reviews, pair)
    return adjusted(judged, _difference(pair), slope, run.settings.referee.tau) if slope else judged


def _raw(run: Run, reviews: Reviews, pair: Pair) -> Judgement:
    referee = run.settings.referee
    return judge(reviews.of(pair), referee.tau, orders_needed=orders_needed(referee.mode))


def _difference(pair: Pair) -> float:
    return length_difference(pair.teacher_response, pair.student_response)


def _keep(
    run: Run, iteration: int, checkpoint: Checkpoint, instruction: Instruction, pool: str, judged: Judgement
) -> None:
    run.folder.verdicts.append(
        {
            "iteration": iteration,
            "checkpoint": checkpoint.number,
            "pool": pool,
            "content_hash": instruction.content_hash,
            "instruction": instruction.text,
            "verdict": judged.verdict,
            "gap": judged.gap,
            "score_teacher": judged.score_teacher,
            "score_student": judged.score_student,
            "flipped": judged.flipped,
        }
    )
