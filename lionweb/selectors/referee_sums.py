"""What the figures of referee health rest on, counted by Postgres: small whatever the number of pairs."""

from dataclasses import dataclass, fields
from typing import Any, TypeVar

from django.db import connection

from distill.fingerprints import referee_name
from lionweb.models import Iteration

_PAIRS = """
    SELECT id, teacher_response_id, student_response_id, gap, score_teacher, score_student
    FROM lionweb_classification WHERE iteration_id = %(iteration)s AND pool = 'cache'
"""
_REPLIES = f"""
    WITH item AS ({_PAIRS}), reply AS (
        SELECT item.id, review.attempt, review.score_teacher IS NULL AS unparsed,
            CASE review.order WHEN 'teacher_first' THEN review.score_teacher - review.score_student
                              WHEN 'student_first' THEN review.score_student - review.score_teacher END AS first_by
        FROM item JOIN lionweb_review review USING (teacher_response_id, student_response_id)
        WHERE review.referee = %(referee)s
    ), pair AS (
        SELECT count(*) AS replies, count(*) FILTER (WHERE unparsed) AS unparsed,
            count(*) FILTER (WHERE attempt > 0) AS reasked,
            count(*) FILTER (WHERE first_by > 0) AS first_wins, count(*) FILTER (WHERE first_by < 0) AS second_wins,
            CASE WHEN count(first_by) >= 2 THEN avg(first_by) END AS first_by
        FROM reply GROUP BY id
    )
    SELECT coalesce(sum(replies), 0)::int AS replies, coalesce(sum(unparsed), 0)::int AS unparsed,
        coalesce(sum(reasked), 0)::int AS reasked, coalesce(sum(first_wins), 0)::int AS first_wins,
        coalesce(sum(second_wins), 0)::int AS second_wins, count(first_by)::int AS both_orders,
        avg(first_by) AS first_mean, stddev_samp(first_by) AS first_deviation
    FROM pair
"""
# The same measure of length as distill/length_adjustment.py: characters, at least one.
_LENGTHS = f"""
    WITH item AS ({_PAIRS} AND gap IS NOT NULL), pair AS (
        SELECT greatest(1, char_length(teacher.text)) AS teacher, greatest(1, char_length(student.text)) AS student,
            item.score_teacher - item.score_student AS gap, item.gap AS gap_used
        FROM item JOIN lionweb_response teacher ON teacher.id = item.teacher_response_id
                  JOIN lionweb_response student ON student.id = item.student_response_id
    ), point AS (SELECT *, ln(teacher::float8 / student) AS ratio FROM pair)
    SELECT count(*)::int AS n, avg(teacher)::float8 AS teacher_mean, stddev_samp(teacher)::float8 AS teacher_deviation,
        avg(student)::float8 AS student_mean, stddev_samp(student)::float8 AS student_deviation,
        regr_sxx(gap, ratio) AS sxx, regr_sxy(gap, ratio) AS sxy, regr_syy(gap, ratio) AS syy,
        (count(*) FILTER (WHERE (round(gap::numeric, 9) >= %(tau)s) <> (gap_used >= %(tau)s)))::int AS moved
    FROM point
"""
# Two referees, or one asked twice, on the pairs that both scored in every order.
_COMPARED = """
    WITH other AS MATERIALIZED (
        SELECT teacher_response_id, student_response_id,
            round(avg(score_teacher - score_student)::numeric, 9) AS gap
        FROM lionweb_review review WHERE referee = %(other)s AND score_teacher IS NOT NULL
        GROUP BY 1, 2 HAVING count(DISTINCT review.order) >= %(orders)s
    ), item AS MATERIALIZED (
        SELECT chosen.id, teacher_response_id, student_response_id, other.gap
        FROM (
            SELECT id, teacher_response_id, student_response_id FROM lionweb_classification
            WHERE iteration_id = %(iteration)s AND pool = 'cache'
        ) chosen JOIN other USING (teacher_response_id, student_response_id)
    ), own AS MATERIALIZED (
        SELECT item.id, round(avg(review.score_teacher - review.score_student)::numeric, 9) AS gap
        FROM item JOIN lionweb_review review USING (teacher_response_id, student_response_id)
        WHERE review.referee = %(referee)s AND review.score_teacher IS NOT NULL
        GROUP BY item.id HAVING count(DISTINCT review.order) >= %(orders)s
    ), pair AS (SELECT own.gap AS own, item.gap AS other FROM own JOIN item USING (id)), ranked AS (
        SELECT own, other,
            rank() OVER (ORDER BY own) + (count(*) OVER (PARTITION BY own) - 1) / 2.0 AS own_rank,
            rank() OVER (ORDER BY other) + (count(*) OVER (PARTITION BY other) - 1) / 2.0 AS other_rank
        FROM pair
    )
    SELECT count(*)::int AS n, avg(own - other)::float8 AS mean, stddev_samp(own - other)::float8 AS deviation,
        avg(abs(own - other))::float8 AS distance, stddev_samp(abs(own - other))::float8 AS distance_deviation,
        (count(*) FILTER (WHERE sign(own) = sign(other)))::int AS same_sign,
        (count(*) FILTER (WHERE (own >= %(tau)s) <> (other >= %(tau)s)))::int AS verdicts_changed,
        corr(own_rank::float8, other_rank::float8) AS rank_correlation
    FROM ranked
"""


@dataclass(frozen=True)
class Replies:
    """`first_*`: by how much the answer shown first is scored above the other, a mean over both orders of a pair, so
    that it does not matter which of the two is better."""

    replies: int
    unparsed: int
    reasked: int
    first_wins: int
    second_wins: int
    both_orders: int
    first_mean: float | None
    first_deviation: float | None


@dataclass(frozen=True)
class Lengths:
    """Characters. `s..`: centred sums of the raw gap (y) on the difference in log length (x). `moved`: verdicts that the
    length adjustment changed."""

    n: int
    teacher_mean: float | None
    teacher_deviation: float | None
    student_mean: float | None
    student_deviation: float | None
    sxx: float | None
    sxy: float | None
    syy: float | None
    moved: int


@dataclass(frozen=True)
class Compared:
    """Gaps of the referee less those of another, or of a second asking, over the pairs that both scored."""

    n: int
    mean: float | None
    deviation: float | None
    distance: float | None
    distance_deviation: float | None
    same_sign: int
    verdicts_changed: int
    rank_correlation: float | None


T = TypeVar("T", Replies, Lengths, Compared)


def _one(kind: type[T], query: str, given: dict[str, Any]) -> T:
    with connection.cursor() as cursor:
        cursor.execute(query, given)
        names = [column.name for column in cursor.description or ()]
        row = dict(zip(names, cursor.fetchone() or (), strict=True))
    return kind(**{one.name: row[one.name] for one in fields(kind)})


def referee_of(iteration: Iteration) -> str:
    experiment = iteration.experiment
    return referee_name(experiment.settings, experiment.endpoint.author)


def replies(iteration: Iteration) -> Replies:
    return _one(Replies, _REPLIES, {"iteration": iteration.pk, "referee": referee_of(iteration)})


def lengths(iteration: Iteration) -> Lengths:
    return _one(Lengths, _LENGTHS, {"iteration": iteration.pk, "tau": iteration.tau})


def compared(iteration: Iteration, other: str, *, orders: int) -> Compared:
    given = {"iteration": iteration.pk, "referee": referee_of(iteration), "tau": iteration.tau}
    return _one(Compared, _COMPARED, given | {"other": other, "orders": orders})
