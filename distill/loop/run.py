"""What all stages of a run share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from distill.loop.calls import Calls
from distill.loop.checkpoints import Checkpoints
from distill.loop.folder import RunFolder
from distill.loop.pools import Pools
from distill.loop.progress import Say, ShouldStop
from distill.loop.responses import Responses
from distill.settings import ExperimentSettings


@dataclass
class Run:
    """home: where the bundled models are kept. threads: 0 takes every core."""

    settings: ExperimentSettings
    folder: RunFolder
    pools: Pools
    calls: Calls
    home: Path
    threads: int
    say: Say
    should_stop: ShouldStop
    responses: Responses = field(init=False)
    checkpoints: Checkpoints = field(init=False)

    def __post_init__(self) -> None:
        self.responses = Responses(self.folder.responses)
        self.checkpoints = Checkpoints(self.folder, self.settings.student.base)
