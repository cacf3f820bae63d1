"""The one place that sends messages. The queue is a doorbell: losing a message costs a few seconds, never work."""

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger(__name__)


@cache
def _producer() -> "Celery":
    from celery import Celery  # here, so that pages which send nothing start without it

    app = Celery("lionweb-producer", broker=settings.BROKER_URL)
    app.conf.broker_transport_options = {"socket_connect_timeout": 2, "socket_timeout": 5}
    return app


def ring(*, stage_id: int, part: str, queue: str) -> None:
    """Call a worker to a stage's part once the transaction is committed."""
    transaction.on_commit(lambda: _send("worker.run", [stage_id, part], queue))


def ring_for_leak_scan(*, scan_id: int) -> None:
    """Call a worker to a leak check once the transaction is committed."""
    transaction.on_commit(lambda: _send("worker.scan_leaks", [scan_id], "default"))


def ring_bulk(*, job_id: int) -> None:
    """Call a worker to a change of many instructions once the transaction is committed."""
    transaction.on_commit(lambda: _send("worker.bulk", [job_id], "default"))


def ring_words() -> None:
    transaction.on_commit(lambda: _send("worker.words", [], "default"))


def _send(task: str, args: list[Any], queue: str) -> None:
    try:
        _producer().send_task(task, args=args, queue=queue, retry=False, expires=60, ignore_result=True)
    except Exception as error:  # noqa: BLE001 - whatever the broker does, the sweep rings again
        logger.warning("The broker could not be reached (%s); the sweep rings again.", error)
