"""Reviews that came with imported answers: all there are is there."""

from distill.fingerprints import referee_name
from lionweb.models import Stage


class ImportedReviews:
    name = "imported"
    queue = "default"
    label = "imported reviews"

    def __init__(self, stage: Stage) -> None:
        experiment = stage.iteration.experiment
        self.stage = stage
        self.referee = referee_name(experiment.settings, experiment.endpoint.author)

    def total_rows(self) -> int:
        return self.stage.iteration.classifications.count()

    def open_rows(self) -> int:
        return 0
