"""What people know better than the teacher: their own answers, and answers of the teacher that are wrong."""

from django.db.models import Q

from lionweb.models import Classification, DecisionKind, Experiment


def corrections(experiment: Experiment, iteration: int) -> dict[int, int | None]:
    """By instruction the response to train on in this iteration instead of the teacher's; None: train on neither.

    From decisions of earlier iterations; of several the last counts. Without an answer of their own, people can only
    say that the teacher's is wrong, and then nothing can be learnt from it.
    """
    known: dict[int, int | None] = {}
    wrong = Q(corrected_response__isnull=False) | Q(person_kind=DecisionKind.TEACHER_WRONG)
    rows = Classification.objects.filter(wrong, iteration__experiment=experiment, iteration__number__lt=iteration)
    for instruction, response in rows.order_by("iteration__number", "pk").values_list(
        "instruction_id", "corrected_response_id"
    ):
        known[instruction] = response or known.get(instruction)
    return known
