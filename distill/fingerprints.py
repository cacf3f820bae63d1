"""Names under which results are kept, so that what was computed once under the same conditions is found again."""

from __future__ import annotations

from distill.referee import referee_fingerprint
from distill.reference_referee import reference_fingerprint
from distill.settings import ExperimentSettings
from distill.single_referee import single_fingerprint

_FINGERPRINTS = {
    "pairwise": referee_fingerprint,
    "reference": reference_fingerprint,
    "single": single_fingerprint,
}


def student_fingerprint(settings: ExperimentSettings) -> str:
    """Changes with anything that changes what the student is asked or how its tokens are drawn."""
    student = settings.student
    return student.sampling.fingerprint(student.template, settings.teacher.system_prompt, str(settings.seed))


def referee_name(settings: ExperimentSettings, author: str) -> str:
    """author: the endpoint's model and address; a referee by likelihood has none."""
    if settings.referee.mode == "likelihood":
        return f"likelihood:{settings.referee.weights}"
    if settings.referee.mode == "imported":
        return f"imported:{settings.referee.weights}"
    return f"{settings.referee.mode}:{author}#{_FINGERPRINTS[settings.referee.mode](settings.referee)}"
