"""The Celery application. The queue is a doorbell only: what is to be done stands in the database."""

import os

import django
from celery import Celery
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lionweb.settings")
django.setup()

app = Celery("lionweb", broker=settings.BROKER_URL)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=False,
    task_default_queue="default",
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 600},
    beat_schedule_filename=str(settings.LIONWEB_HOME / "run" / "beat-schedule"),
    beat_schedule={
        "sweep": {"task": "worker.sweep", "schedule": settings.SWEEP_SECONDS, "options": {"expires": 30}},
    },
    imports=("worker.tasks",),
)
