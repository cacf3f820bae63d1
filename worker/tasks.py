"""Celery tasks: an id in, one call."""

import gc
import logging
import os
import threading
from typing import Any

from celery import signals
from django.conf import settings
from django.db import Error, close_old_connections, connection
from django.utils import timezone

from lionweb.models import Worker
from lionweb.services import bulk as bulk_jobs
from lionweb.services import leak_scans, leases
from lionweb.services import words as words_known
from lionweb.services.advance import sweep as sweep_all
from lionweb.services.bulk_work import work_on
from lionweb.services.words import read_words
from worker.celery_app import app
from worker.run import run_part

logger = logging.getLogger(__name__)


@app.task(name="worker.run")
def run(stage_id: int, part: str) -> None:
    close_old_connections()
    run_part(stage_id, part)


@app.task(name="worker.sweep")
def sweep() -> None:
    close_old_connections()
    sweep_all()
    leak_scans.ring_open()
    bulk_jobs.ring_open()
    words_known.ring_if_new()


@app.task(name="worker.scan_leaks")
def scan_leaks(scan_id: int) -> None:
    close_old_connections()
    leak_scans.run(scan_id=scan_id)


@app.task(name="worker.bulk")
def bulk(job_id: int) -> None:
    close_old_connections()
    work_on(job_id)


@app.task(name="worker.words")
def words() -> None:
    close_old_connections()
    read_words()


@signals.worker_ready.connect
def report_worker(sender: Any, **_: Any) -> None:
    """Show this process on the workers page for as long as it lives."""
    gc.freeze()  # what was imported stays: walking through it holds up all calls under way for 50 ms, again and again
    queues = ",".join(sorted(queue.name for queue in sender.task_consumer.queues))
    threading.Thread(target=_report, args=(queues, timezone.now()), name="worker-report", daemon=True).start()


def _report(queues: str, started_at: Any) -> None:
    waited = threading.Event()
    while True:
        try:
            Worker.objects.update_or_create(
                name=leases.worker_name(),
                defaults={
                    "queues": queues,
                    "hostname": leases.machine(),
                    "pid": os.getpid(),
                    "started_at": started_at,
                    "heartbeat_at": timezone.now(),
                },
            )
        except Error as error:
            logger.warning("The worker could not report itself: %s", str(error).strip())
            connection.close()
        waited.wait(settings.HEARTBEAT_SECONDS)
