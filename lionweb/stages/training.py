"""The student learns: one process, its files in the artifacts folder, its metrics in the database."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings as django_settings
from django.db import transaction
from django.db.models import Q, QuerySet

from distill.errors import DiskFull, TrainingError
from distill.records import Finish, TrainingExample
from distill.training_files import HELDOUT_FINISHES, trainable_finishes, write_examples
from distill.training_job import TrainingJob
from lionweb import pools_of
from lionweb.corrections import corrections
from lionweb.models import Checkpoint, Instruction, MetricPoint, Response, Stage
from lionweb.services.transitions import log
from lionweb.stages.answers import engine_instruction
from lionweb.stages.pairs import teacher_responses

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Training:
    name = "train"
    queue = "gpu"
    label = "optimizer steps"

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.iteration = stage.iteration
        self.experiment = stage.iteration.experiment
        self.settings = self.experiment.settings

    def total_rows(self) -> int:
        return 1

    def open_rows(self) -> int:
        return 0 if Checkpoint.objects.filter(iteration=self.iteration).exists() else 1

    def job(self) -> TrainingJob:
        """Write the training files and say what to do with them."""
        folder = django_settings.ARTIFACTS_DIR / self._folder()
        train, heldout = folder / "train.jsonl", folder / "heldout.jsonl"
        with _faults_of_the_disk_said(folder):
            folder.mkdir(parents=True, exist_ok=True)
            rows, heldout_rows = (
                write_examples(train, self._train_rows()),
                write_examples(heldout, self._heldout_rows()),
            )
        if not rows:
            raise TrainingError(
                "No teacher response can be trained on: all are cut, empty or missing.",
                "Raise the teacher's token limit, or allow training on cut answers.",
            )
        return TrainingJob(
            base=self.settings.student.base,
            home=str(django_settings.LIONWEB_HOME),
            adapter=self._warm_start(),
            output=str(django_settings.ARTIFACTS_DIR / self._checkpoint_path()),
            work=str(folder / "work"),
            train_file=str(train),
            heldout_file=str(heldout) if heldout_rows else None,
            settings=asdict(self.settings.training),
            template=self.settings.student.template,
            system_prompt=self.settings.teacher.system_prompt,
            seed=self.settings.seed,
            threads=django_settings.LIONWEB_THREADS,
        )

    def _folder(self) -> str:
        return f"experiments/{self.experiment.pk}/iteration-{self.iteration.number}"

    def _checkpoint_path(self) -> str:
        return f"experiments/{self.experiment.pk}/checkpoint-{self.iteration.number}"

    def _warm_start(self) -> str | None:
        if not self.settings.training.warm_start or self.iteration.number == 1:
            return None
        last = self.experiment.checkpoints.get(number=self.iteration.number - 1)
        return str(django_settings.ARTIFACTS_DIR / last.path)

    def _train_rows(self) -> Iterator[TrainingExample]:
        """The teacher's answers, and those of people where they know better."""
        pool = pools_of.train_pool(self.experiment, self.iteration.number)
        better = corrections(self.experiment, self.iteration.number)
        taught = self._answers(pool, trainable_finishes(self.settings.training)).exclude(instruction__in=list(better))
        by_people = Response.objects.filter(pk__in=[pk for pk in better.values() if pk], instruction__in=pool)
        return _examples(Response.objects.filter(Q(pk__in=taught.values("pk")) | Q(pk__in=by_people.values("pk"))))

    def _heldout_rows(self) -> Iterator[TrainingExample]:
        return _examples(self._answers(pools_of.heldout_set(self.experiment), HELDOUT_FINISHES))

    def _answers(self, pool: QuerySet[Instruction], finishes: Sequence[Finish]) -> QuerySet[Response]:
        return teacher_responses(self.iteration).filter(instruction__in=pool, finish__in=finishes).exclude(text="")

    def on_event(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "start":
                log(stage=self.stage, message=_start_line(event))
            case "metric":
                self._point(event["name"], event["step"], event["value"])
            case "progress":
                Stage.objects.filter(pk=self.stage.pk).update(
                    done=event["step"], total=event["steps"], phase=f"step {event['step']} of {event['steps']}"
                )
            case "heldout":
                self._point(f"heldout_loss_{event['when']}", 0, event["loss"])
                log(stage=self.stage, message=f"Held-out loss {event['when']} training: {event['loss']:.4f}")
            case "done":
                self._keep(event)

    def _point(self, name: str, step: int, value: float) -> None:
        MetricPoint.objects.bulk_create(
            [MetricPoint(stage=self.stage, name=name, step=step, value=value)],
            update_conflicts=True,
            unique_fields=["stage", "name", "step"],
            update_fields=["value"],
        )

    @transaction.atomic
    def _keep(self, event: dict[str, Any]) -> None:
        heldout = MetricPoint.objects.filter(stage=self.stage, name__startswith="heldout_loss_")
        metrics = dict(heldout.values_list("name", "value"))
        checkpoint, made = Checkpoint.objects.get_or_create(
            experiment=self.experiment,
            number=self.iteration.number,
            defaults={
                "iteration": self.iteration,
                "path": self._checkpoint_path(),
                "sha256": event["sha256"],
                "base": self.settings.student.base,
                "training": asdict(self.settings.training),
                "metrics": metrics,
            },
        )
        if made:
            log(stage=self.stage, message=f"Saved {checkpoint} (sha256 {event['sha256'][:12]}).")


def _examples(rows: QuerySet[Response]) -> Iterator[TrainingExample]:
    """Sorted by content, so that the order of training does not depend on when an instruction was imported."""
    for row in rows.select_related("instruction").order_by("instruction__content_hash").iterator():
        yield TrainingExample(engine_instruction(row.instruction), row.text, row.finish == Finish.STOP)


@contextmanager
def _faults_of_the_disk_said(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            advice = "Free some space and retry the stage: the teacher's answers are kept."
            raise DiskFull(f"The disk that holds {folder} is full.", advice) from error
        raise TrainingError(
            f"{folder} cannot be written: {error.strerror or error}.",
            "Mend the folder's permissions, then retry the stage.",
        ) from error


def _start_line(event: dict[str, Any]) -> str:
    skipped = ", ".join(f"{reason} {n}" for reason, n in event.get("skipped", {}).items() if n)
    again = f", resumed from step {event['resumed_from_step']}" if event.get("resumed_from_step") else ""
    return (
        f"Training on {event['examples']} examples, {event['steps']} steps, precision {event['precision']}, "
        f"{event['trainable_parameters']:,} trainable parameters{again}"
        + (f"; skipped: {skipped}." if skipped else ".")
    )
