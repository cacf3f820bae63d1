"""What was paid for is not dropped because the database restarts."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

T = TypeVar("T")
PATIENCE_SECONDS = 600.0

logger = logging.getLogger(__name__)


def patiently(action: Callable[[], T], *, patience_seconds: float = PATIENCE_SECONDS) -> T:
    """Run an idempotent database action, again and again while the database is away.

    Raises:
        OperationalError, InterfaceError: it stayed away for longer than `patience_seconds`.
    """
    give_up, wait = time.monotonic() + patience_seconds, 0.2
    while True:
        try:
            return action()
        except (OperationalError, InterfaceError) as error:
            connection.close()
            if time.monotonic() > give_up:
                raise
            logger.warning("The database is away (%s); trying again in %.1f s.", str(error).strip(), wait)
            time.sleep(wait)
            wait = min(wait * 2, 5.0)
