"""Runs the calls of a part: claims rows block by block, keeps the client busy across blocks, stores results at once."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from django.db import connection

from distill.client import ChatClient
from distill.records import CallOutcome, ChatRequest
from worker.patience import patiently

STORE_TOGETHER = 32
"""Replies stored in one transaction at most: what a kill can lose beside the calls in flight."""


class Pump:
    """All database work runs in one thread of its own, so that neither side waits for the other.

    claim: the next block of requests, empty when nothing is left to claim.
    store: keeps outcomes; must be idempotent.
    may_draw: asked before each call; False ends its block there. Must be cheap.
    """

    def __init__(
        self,
        client: ChatClient,
        claim: Callable[[], list[ChatRequest]],
        store: Callable[[Sequence[CallOutcome]], None],
        should_stop: Callable[[], bool],
        may_draw: Callable[[ChatRequest], bool] = lambda request: True,
    ) -> None:
        self.client, self.claim, self.store, self.should_stop = client, claim, store, should_stop
        self.may_draw = may_draw
        self.finished: asyncio.Queue[CallOutcome] = asyncio.Queue(STORE_TOGETHER)
        self.database = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pump-database")

    async def run(self) -> None:
        """Until nothing is left to claim or it is told to stop.

        Raises:
            EndpointError: the endpoint is unusable. Everything that came back before was stored.
        """
        storing = asyncio.create_task(self._store_all())
        try:
            await self._call_all(storing)
        finally:
            await self._flush(storing)
            self.database.submit(lambda: connection.close())  # looked up there: each thread has its own connection
            self.database.shutdown()

    async def _flush(self, storing: asyncio.Task[None]) -> None:
        """Wait until everything that came back is stored, or storing failed for good."""
        stored = asyncio.create_task(self.finished.join())
        await asyncio.wait({stored, storing}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stored, storing):
            task.cancel()
        await asyncio.gather(stored, storing, return_exceptions=True)

    async def _call_all(self, storing: asyncio.Task[None]) -> None:
        streams: set[asyncio.Task[None]] = set()
        try:
            while not self.should_stop():
                block = await self._in_database(self.claim)
                if not block:
                    break
                drawn = asyncio.Event()
                streams.add(asyncio.create_task(self._stream(block, drawn)))
                await self._wait(drawn, streams | {storing})
                streams = {task for task in streams if not _passed(task)}
            await self._settle(streams, storing)
        finally:
            for task in streams:
                task.cancel()
            await asyncio.gather(*streams, return_exceptions=True)

    async def _stream(self, block: list[ChatRequest], drawn: asyncio.Event) -> None:
        async for outcome in self.client.stream(self._drawing(block, drawn), should_stop=self.should_stop):
            await self.finished.put(outcome)
        drawn.set()

    def _drawing(self, block: list[ChatRequest], drawn: asyncio.Event) -> Iterator[ChatRequest]:
        """The block's requests; sets the event when the client has drawn the last one: then the next is claimed early."""
        for at, request in enumerate(block, 1):
            if not self.may_draw(request):
                break
            if at == len(block):
                drawn.set()
            yield request

    @staticmethod
    async def _wait(drawn: asyncio.Event, tasks: set[asyncio.Task[None]]) -> None:
        """Until the block's last request has been started, or something failed."""
        waiting = asyncio.create_task(drawn.wait())
        try:
            while not waiting.done():
                running = {task for task in tasks if not task.done()}
                await asyncio.wait({waiting} | running, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    _passed(task)
        finally:
            waiting.cancel()

    @staticmethod
    async def _settle(streams: set[asyncio.Task[None]], storing: asyncio.Task[None]) -> None:
        left = set(streams)
        while left:
            done, left = await asyncio.wait(left | {storing}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            left.discard(storing)

    async def _store_all(self) -> None:
        while True:
            outcomes = [await self.finished.get()]
            while len(outcomes) < STORE_TOGETHER and not self.finished.empty():
                outcomes.append(self.finished.get_nowait())
            await self._in_database(partial(self.store, outcomes))
            for _ in outcomes:
                self.finished.task_done()

    async def _in_database(self, action: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.database, lambda: patiently(action))


def _passed(task: asyncio.Task[None]) -> bool:
    """Whether it is done; raises what it raised."""
    if task.done():
        task.result()
    return task.done()
