"""Copies of an experiment's rows for a branch of it, in Postgres: one statement a table, whatever the number of rows.

Columns are taken from the models, so that one that is added later is copied too.
"""

from collections.abc import Mapping
from typing import Any

from django.db import connection
from django.db.models import Model

from lionweb.models import (
    Candidate,
    Checkpoint,
    Classification,
    Decision,
    Experiment,
    Iteration,
    Membership,
    MetricPoint,
    Response,
    Review,
    Stage,
)

_ITERATIONS = "JOIN lionweb_iteration old ON old.id = t.iteration_id AND old.experiment_id = %(old)s"
_ITERATION = "JOIN lionweb_iteration new ON new.number = old.number AND new.experiment_id = %(new)s"
_CHECKPOINTS = """
    JOIN lionweb_checkpoint old_c ON old_c.id = {column} AND old_c.experiment_id = %(old)s
    JOIN lionweb_checkpoint new_c ON new_c.number = old_c.number AND new_c.experiment_id = %(new)s
"""
_STUDENT = """
    LEFT JOIN lionweb_response old_r ON old_r.id = {column}
    LEFT JOIN lionweb_response new_r ON new_r.instruction_id = old_r.instruction_id
        AND new_r.sampling_hash = old_r.sampling_hash AND new_r.author = 'checkpoint:' || new_c.id
"""


class Copies:
    """From one experiment into its branch, of the iterations 1 to `last`. Called in the order of the methods."""

    def __init__(self, source: Experiment, branch: Experiment, last: int) -> None:
        self.values = {"old": source.pk, "new": branch.pk, "last": last}

    def iterations(self, tau_of_settings: float) -> None:
        """Each with the threshold by which its verdicts stand; the last one judges by the branch's settings."""
        tau = "CASE WHEN t.number < %(last)s THEN coalesce(t.applied_tau, %(tau)s) END"
        changed = {"experiment_id": "%(new)s", "applied_tau": tau}
        changed["finished_at"] = "CASE WHEN t.number < %(last)s THEN t.finished_at END"
        self._copy(Iteration, changed, where="t.experiment_id = %(old)s AND t.number <= %(last)s", tau=tau_of_settings)

    def stages(self, judged: int) -> None:
        """Those after the `judged` first ones of the last iteration are still to come."""
        begun = "(new.number < %(last)s OR t.position <= %(judged)s)"
        changed = {"iteration_id": "new.id", "status": f"CASE WHEN {begun} THEN t.status ELSE 'pending' END"}
        changed |= {name: f"CASE WHEN {begun} THEN t.{name} ELSE 0 END" for name in ("done", "total", "failed_items")}
        changed |= {name: f"CASE WHEN {begun} THEN t.{name} END" for name in ("started_at", "finished_at", "error")}
        changed |= {name: f"CASE WHEN {begun} THEN t.{name} ELSE '' END" for name in ("phase", "note", "paused_for")}
        self._copy(Stage, changed, f"{_ITERATIONS} {_ITERATION}", judged=judged)

    def metrics(self) -> None:
        join = """
            JOIN lionweb_stage old_s ON old_s.id = t.stage_id AND old_s.kind = 'train'
            JOIN lionweb_iteration old ON old.id = old_s.iteration_id AND old.experiment_id = %(old)s
            JOIN lionweb_iteration new ON new.number = old.number AND new.experiment_id = %(new)s
            JOIN lionweb_stage new_s ON new_s.iteration_id = new.id AND new_s.kind = 'train'
        """
        self._copy(MetricPoint, {"stage_id": "new_s.id"}, join)

    def checkpoints(self) -> None:
        """Their files are shared."""
        join = """
            LEFT JOIN lionweb_iteration old ON old.id = t.iteration_id
            LEFT JOIN lionweb_iteration new ON new.number = old.number AND new.experiment_id = %(new)s
        """
        where = "t.experiment_id = %(old)s AND t.number <= %(last)s"
        self._copy(Checkpoint, {"experiment_id": "%(new)s", "iteration_id": "new.id"}, join, where)

    def student_responses(self) -> None:
        """A student's answers are found under its checkpoint; the teacher's and people's are shared."""
        changed = {"checkpoint_id": "new_c.id", "author": "'checkpoint:' || new_c.id", "cost_usd": "0"}
        self._copy(Response, changed, _CHECKPOINTS.format(column="t.checkpoint_id"))

    def reviews(self) -> None:
        join = """
            JOIN lionweb_response old_r ON old_r.id = t.student_response_id
            JOIN lionweb_checkpoint old_c ON old_c.id = old_r.checkpoint_id AND old_c.experiment_id = %(old)s
            JOIN lionweb_checkpoint new_c ON new_c.number = old_c.number AND new_c.experiment_id = %(new)s
            JOIN lionweb_response new_r ON new_r.instruction_id = old_r.instruction_id
                AND new_r.sampling_hash = old_r.sampling_hash AND new_r.author = 'checkpoint:' || new_c.id
        """
        self._copy(Review, {"student_response_id": "new_r.id", "cost_usd": "0"}, join)

    def candidates(self) -> None:
        """Of the iterations before the last: what that one generated is what the branch makes anew."""
        changed = {"iteration_id": "new.id"}
        self._copy(Candidate, changed, f"{_ITERATIONS} {_ITERATION}", "old.number < %(last)s")

    def memberships(self) -> None:
        """As they were when the last iteration was judged: what was taken out later is in again."""
        join = """
            LEFT JOIN lionweb_candidate old_c ON old_c.id = t.candidate_id
            LEFT JOIN lionweb_iteration old ON old.id = old_c.iteration_id
            LEFT JOIN lionweb_iteration new ON new.number = old.number AND new.experiment_id = %(new)s
            LEFT JOIN lionweb_candidate new_c ON new_c.iteration_id = new.id AND new_c.key = old_c.key
        """
        changed = {
            "experiment_id": "%(new)s",
            "candidate_id": "new_c.id",
            "action_id": "NULL",
            "until": "CASE WHEN t.until <= %(last)s THEN t.until END",
        }
        self._copy(Membership, changed, join, "t.experiment_id = %(old)s AND t.since <= %(last)s")

    def earlier_verdicts(self) -> None:
        """With what people made of them. Those iterations are closed, so nothing of this is settled again."""
        join = " ".join(
            (_ITERATIONS, _ITERATION, _CHECKPOINTS.format(column="t.checkpoint_id"),
             _STUDENT.format(column="t.student_response_id"))
        )  # fmt: skip
        changed = {"iteration_id": "new.id", "checkpoint_id": "new_c.id", "student_response_id": "new_r.id"}
        self._copy(Classification, changed, join, "old.number < %(last)s")

    def decisions(self) -> None:
        """Standing decisions on the last iteration's items, on the items of the branch."""
        join = """
            JOIN lionweb_classification old_v ON old_v.id = t.classification_id
            JOIN lionweb_iteration old ON old.id = old_v.iteration_id AND old.experiment_id = %(old)s
                AND old.number = %(last)s
            JOIN lionweb_checkpoint old_c ON old_c.id = old_v.checkpoint_id
            JOIN lionweb_checkpoint new_c ON new_c.number = old_c.number AND new_c.experiment_id = %(new)s
            JOIN lionweb_iteration new ON new.number = old.number AND new.experiment_id = %(new)s
            JOIN lionweb_classification new_v ON new_v.iteration_id = new.id AND new_v.checkpoint_id = new_c.id
                AND new_v.instruction_id = old_v.instruction_id
        """
        changed = {"classification_id": "new_v.id", "batch_id": "NULL"}
        self._copy(Decision, changed, join, "t.undone_at IS NULL", order="t.id")

    def _copy(
        self,
        model: type[Model],
        changed: Mapping[str, str],
        join: str = "",
        where: str = "true",
        *,
        order: str = "t.id",
        **more: Any,
    ) -> None:
        fields = [f for f in model._meta.concrete_fields if not f.primary_key and not getattr(f, "generated", False)]
        columns = ", ".join(f'"{f.column}"' for f in fields)
        taken = ", ".join(changed.get(str(f.column), f't."{f.column}"') for f in fields)
        table = model._meta.db_table
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {table} ({columns}) SELECT {taken} FROM {table} t {join} WHERE {where} ORDER BY {order}",
                self.values | more,
            )
