"""A lease's pulse: keeps it alive, learns of pause and cancel, re-divides the endpoint's limits, shows progress."""

import logging
import threading
import time
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

HELD_SHARE = 0.6
"""Of a lease's length without a pulse: then its holder begins nothing new, well before another may take it over."""


class Heartbeat:
    """Beats in a thread of its own while the `with` block runs. on_sharing is called with the number of sharers.

    Progress is counted in another thread: counting may be slow, or wait for a row that others hold, and a lease whose pulse
    waits with it would be given to a second worker, which would pay for the same rows.
    """

    def __init__(self, lease: Lease, part: Part, on_sharing: Callable[[int], None] = lambda n: None) -> None:
        self.lease, self.part, self.on_sharing = lease, part, on_sharing
        self._told_to_stop = threading.Event()
        self._over = threading.Event()
        self._last_pulse = time.monotonic()
        self._threads = [
            threading.Thread(target=self._repeat, args=(action,), name=name, daemon=True)
            for name, action in (("heartbeat", self._beat), ("progress", self._show_progress))
        ]

    def should_stop(self) -> bool:
        """Paused, cancelled, lost, or not sure to hold the lease any more."""
        unsure = time.monotonic() - self._last_pulse > HELD_SHARE * settings.LEASE_SECONDS
        return unsure or self._told_to_stop.is_set()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, action: Callable[[], None]) -> None:
        while not self._over.wait(settings.HEARTBEAT_SECONDS):
            self._unless_away(action)
        if action == self._show_progress:
            self._unless_away(action)  # a part that ended by a fault says how far it came
        connection.close()

    @staticmethod
    def _unless_away(action: Callable[[], None]) -> None:
        try:
            action()
        except Error as error:  # the database restarts: the next time may do
            logger.warning("A heartbeat was missed: %s", str(error).strip())
            connection.close()

    def _beat(self) -> None:
        begun = time.monotonic()
        pulse = leases.beat(lease=self.lease)
        self._last_pulse = begun
        if not pulse.go_on:
            self._told_to_stop.set()
        self.on_sharing(pulse.sharing)

    def _show_progress(self) -> None:
        update_progress(self.part.stage, self.part)
