"""The key numbers of one iteration."""

from dataclasses import dataclass

from django.db.models import Avg, Count, Q

from lionweb.models import Candidate, Checkpoint, Classification, Iteration, MemberPool


@dataclass(frozen=True)
class IterationNumbers:
    """None: not measured yet. Losses and gaps are means over the held-out set, before and after the training."""

    loss_before: float | None
    loss_after: float | None
    gap_before: float | None
    gap_after: float | None
    hard: int
    easy: int
    unscored: int
    flipped: int
    overridden: int
    generated: int
    accepted: int
    rejected: tuple[tuple[str, int], ...]

    @property
    def classified(self) -> int:
        return self.hard + self.easy + self.unscored

    @property
    def rejected_count(self) -> int:
        return sum(count for _, count in self.rejected)

    @property
    def loss_change(self) -> float | None:
        """Relative: -0.55 is 55 % lower."""
        if self.loss_before and self.loss_after is not None:
            return self.loss_after / self.loss_before - 1
        return None

    @property
    def gap_change(self) -> float | None:
        if self.gap_before is None or self.gap_after is None:
            return None
        return self.gap_after - self.gap_before


def heldout_gaps(experiment_id: int) -> dict[int, float]:
    """Mean gap on the held-out set by the checkpoint's number; 0 is the base."""
    rows = Classification.objects.filter(
        iteration__experiment=experiment_id, pool=MemberPool.HELDOUT, gap__isnull=False
    )
    return dict(rows.order_by().values_list("checkpoint__number").annotate(Avg("gap")))


def iteration_numbers(iteration: Iteration) -> IterationNumbers:
    metrics = Checkpoint.objects.filter(iteration=iteration).values_list("metrics", flat=True).first() or {}
    gaps = heldout_gaps(iteration.experiment_id)
    verdicts = _verdicts(iteration)
    reasons = _rejected(iteration)
    return IterationNumbers(
        loss_before=metrics.get("heldout_loss_before"),
        loss_after=metrics.get("heldout_loss_after"),
        gap_before=gaps.get(iteration.number - 1),
        gap_after=gaps.get(iteration.number),
        hard=verdicts["hard"],
        easy=verdicts["easy"],
        unscored=verdicts["unscored"],
        flipped=verdicts["flipped"],
        overridden=verdicts["overridden"],
        generated=sum(reasons.values()),
        accepted=reasons.pop("", 0),
        rejected=tuple(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))),
    )


def _verdicts(iteration: Iteration) -> dict[str, int]:
    rows = Classification.objects.filter(iteration=iteration, pool=MemberPool.CACHE)
    return rows.aggregate(
        hard=Count("pk", filter=Q(verdict="hard")),
        easy=Count("pk", filter=Q(verdict="easy")),
        unscored=Count("pk", filter=Q(verdict="unscored")),
        flipped=Count("pk", filter=Q(flipped=True)),
        overridden=Count("pk", filter=Q(person_verdict__isnull=False)),
    )


def _rejected(iteration: Iteration) -> dict[str, int]:
    """Judged candidates by reason; "" are the accepted ones."""
    judged = Candidate.objects.filter(iteration=iteration, judged=True)
    return dict(judged.order_by().values_list("rejected").annotate(Count("pk")))
