"""What the length of the answers has to do with their scores. Apart from the other figures: every text is measured."""

from lionweb import referee_words as words
from lionweb.models import Iteration
from lionweb.referee_stats import mean, slope
from lionweb.selectors import referee_sums as sums
from lionweb.selectors.referee_health import Figure, kept

LN_2 = 0.6931471805599453
MEASURED = "Characters of the answers that were scored."


def lengths(iteration: Iteration) -> tuple[Figure, ...]:
    return kept(f"referee/{iteration.pk}/lengths/{iteration.tau}", lambda: _lengths(iteration))


def _lengths(iteration: Iteration) -> tuple[Figure, ...]:
    found = sums.lengths(iteration)
    per_doubling = slope(found.n, found.sxx, found.sxy, found.syy, per=LN_2)
    is_adjusted = iteration.experiment.settings.referee.length_adjusted
    teacher = mean(found.n, found.teacher_mean, found.teacher_deviation)
    student = mean(found.n, found.student_mean, found.student_deviation)
    said = words.length(per_doubling, adjusted=is_adjusted, moved=found.moved)
    return (
        Figure("length", "Gap per doubling of length", "points", per_doubling, said),
        Figure("teacher_length", "Teacher's mean length", "chars", teacher, MEASURED),
        Figure("student_length", "Student's mean length", "chars", student, MEASURED),
    )
