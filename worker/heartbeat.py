"""A lease's pulse: keeps it alive, learns of pause and cancel, re-divides the endpoint's limits, shows progress."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from django.conf import settings
from django.db import Error, connection

from lionweb.models import Lease
from lionweb.services import leases
from lionweb.services.advance import update_progress
from lionweb.stages.part import Part

logger = logging.getLogger(__name__)


class Heartbeat:
    """Beats in a thread of its own while the `with` block runs. on_sharing is called with the number of sharers."""

    def __init__(self, lease: Lease, part: Part, on_sharing: Callable[[int], None] = lambda n: None) -> None:
        self.lease, self.part, self.on_sharing = lease, part, on_sharing
        self.stopped = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat_until_over, name="heartbeat", daemon=True)

    def should_stop(self) -> bool:
        return self.stopped.is_set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _beat_until_over(self) -> None:
        while not self._over.wait(settings.HEARTBEAT_SECONDS):
            self._unless_away(self._beat)
        self._unless_away(self._show_progress)  # a part that ended by a fault says how far it came
        connection.close()

    @staticmethod
    def _unless_away(action: Callable[[], None]) -> None:
        try:
            action()
        except Error as error:  # the database restarts: the next beat tries again
            logger.warning("A heartbeat was missed: %s", str(error).strip())
            connection.close()

    def _beat(self) -> None:
        pulse = leases.beat(lease=self.lease)
        if not pulse.go_on:
            self.stopped.set()
        self.on_sharing(pulse.sharing)
        self._show_progress()

    def _show_progress(self) -> None:
        update_progress(self.part.stage, self.part)
