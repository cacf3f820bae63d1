"""Runs a part of a stage: takes a lease, works until nothing is left to claim, reports what went wrong, advances."""

import asyncio
import logging
import shutil
from contextlib import suppress
from functools import partial

from django.conf import settings
from django.db import Error

from distill.client import ChatClient, ClientLimits
from distill.errors import DistillError
from distill.inference_client import InferenceProcess
from distill.training_client import TrainingStopped, run_training
from lionweb.models import Endpoint, EndpointSource, Lease, Stage, StageStatus
from lionweb.services import leases
from lionweb.services.advance import advance
from lionweb.services.budget import pause_for_budget
from lionweb.services.endpoints import engine_endpoint
from lionweb.services.transitions import log, transition
from lionweb.stages.part import CallPart, InferencePart, Part, PlainPart, TrainingPart
from lionweb.stages.registry import part_of
from worker.heartbeat import Heartbeat
from worker.patience import patiently
from worker.pump import Pump
from worker.spending import Spending

logger = logging.getLogger(__name__)

STORE_ROWS = 16


def run_part(stage_id: int, name: str) -> None:
    """Work on a part of a stage if it still waits for it; otherwise do nothing. Running it twice is harmless."""
    stage = Stage.objects.select_related("iteration__experiment__endpoint").filter(pk=stage_id).first()
    if stage is None or stage.status != StageStatus.RUNNING:
        return
    iteration_id = stage.iteration_id
    try:
        part = part_of(stage, name)
        lease = _take(stage, part) if part else None
        if part is None or lease is None:
            return
        try:
            _work(part, lease)
        finally:
            patiently(lambda: leases.release(lease=lease))
    except DistillError as error:
        failure = error
        patiently(lambda: transition(stage=stage, to=StageStatus.FAILED, error=failure.as_dict(), message=str(failure)))
    except Error:
        raise  # the database is away for good: the sweep begins again when it is back
    except Exception as error:
        logger.exception("Stage %s failed", stage)
        unforeseen = {
            "code": "unforeseen",
            "cause": f"The worker met an error that it does not know: {type(error).__name__}: {error}",
            "advice": "The worker's log has the details. Retry the stage: what is done is kept.",
        }
        patiently(lambda: transition(stage=stage, to=StageStatus.FAILED, error=unforeseen))
    patiently(lambda: advance(iteration_id))


def _take(stage: Stage, part: Part) -> Lease | None:
    endpoint = part.endpoint if isinstance(part, CallPart) else None
    return leases.take(stage=stage, part=part.name, exclusive=_exclusive(part, endpoint), endpoint=endpoint)


def _exclusive(part: Part, endpoint: Endpoint | None) -> str | None:
    """On a machine without a GPU one model at a time: two that spin on all cores are many times slower than in turn."""
    if isinstance(part, PlainPart):
        return f"{part.stage.pk}:{part.name}"
    computes_here = part.queue == "gpu" or (endpoint is not None and endpoint.source == EndpointSource.BUNDLED)
    if computes_here and shutil.which("nvidia-smi") is None:
        return f"cores:{leases.machine()}"
    return f"{part.stage.pk}:{part.name}" if isinstance(part, TrainingPart) else None


def _work(part: Part, lease: Lease) -> None:
    match part:
        case CallPart():
            spending = Spending(part, lease)
            asyncio.run(_call(part, lease, spending))
            if spending.exhausted:
                patiently(lambda: pause_for_budget(part=part))
        case InferencePart():
            _infer(part, lease)
        case TrainingPart():
            _train(part, lease)
        case PlainPart():
            with Heartbeat(lease, part):
                part.work()


async def _call(part: CallPart, lease: Lease, spending: Spending) -> None:
    endpoint = await asyncio.to_thread(engine_endpoint, part.endpoint)
    async with ChatClient(endpoint) as client:
        whole = ClientLimits(endpoint.max_concurrency, endpoint.requests_per_minute, endpoint.tokens_per_minute)

        def beaten(sharers: int) -> None:
            client.set_limits(_share(whole, sharers))
            spending.read()

        with Heartbeat(lease, part, beaten) as heart:
            while not heart.should_stop():
                spending.claimed = 0
                await Pump(client, spending.claim, spending.store, heart.should_stop, spending.may_draw).run()
                if spending.exhausted or not spending.claimed:
                    break


def _share(whole: ClientLimits, sharers: int) -> ClientLimits:
    """This lease's part of what the provider allows in all."""
    return ClientLimits(
        max(1, whole.max_concurrency // sharers),
        whole.requests_per_minute and max(1, whole.requests_per_minute // sharers),
        whole.tokens_per_minute and max(1, whole.tokens_per_minute // sharers),
    )


def _infer(part: InferencePart, lease: Lease) -> None:
    with Heartbeat(lease, part) as heart:
        items = part.claim_items(lease, settings.CHUNK_ROWS)
        if not items:
            return
        with InferenceProcess(part.header()) as process:
            while items and not heart.should_stop():
                rows = []
                for row in process.run(items, should_stop=heart.should_stop):
                    rows.append(row)
                    if len(rows) >= STORE_ROWS:
                        patiently(partial(part.store_rows, rows))
                        rows = []
                if rows:
                    patiently(partial(part.store_rows, rows))
                items = part.claim_items(lease, settings.CHUNK_ROWS)


def _train(part: TrainingPart, lease: Lease) -> None:
    with Heartbeat(lease, part) as heart, suppress(TrainingStopped):
        job = part.job()
        run_training(
            job, on_event=lambda event: patiently(partial(part.on_event, event)), should_stop=heart.should_stop
        )
        log(stage=part.stage, message="Training is done.")
