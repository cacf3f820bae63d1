"""The pump between database and client: nothing that came back is lost, whatever fails beside it."""

import asyncio

import pytest

from distill.errors import KeyRejected
from distill.records import Call, CallOutcome, ChatRequest, Completion, Finish, Purpose, Sampling
from worker.pump import STORE_TOGETHER, Pump


def requests(count, start=0):
    return [
        ChatRequest(str(at), ({"role": "user", "content": "x"},), Sampling(), Purpose.ANSWER)
        for at in range(start, start + count)
    ]


class FakeClient:
    """Answers after a moment; fails with `error` once `fail_after` requests were answered."""

    def __init__(self, fail_after=None, error=None, width=8):
        self.fail_after, self.error, self.width, self.answered = fail_after, error, width, 0

    async def stream(self, todo, *, should_stop):
        waiting = iter(todo)
        while not should_stop():
            batch = [request for _, request in zip(range(self.width), waiting, strict=False)]
            if not batch:
                return
            await asyncio.sleep(0.001)
            for request in batch:
                self.answered += 1
                yield CallOutcome(
                    request.key, Completion("text", Finish.STOP, 1, 1, 0.0), None, (Call("ok", 0.1, True),)
                )
            if self.fail_after is not None and self.answered >= self.fail_after:
                raise self.error


class Table:
    """What a part does with the database."""

    def __init__(self, blocks):
        self.blocks, self.stored, self.batches = list(blocks), [], []

    def claim(self):
        return self.blocks.pop(0) if self.blocks else []

    def store(self, outcomes):
        self.batches.append(len(outcomes))
        self.stored += [outcome.key for outcome in outcomes]


def run(table, client, should_stop=lambda: False, seconds=20):
    async def bounded():
        await asyncio.wait_for(Pump(client, table.claim, table.store, should_stop).run(), seconds)

    asyncio.run(bounded())


def test_every_block_is_claimed_called_and_stored_once():
    table = Table([requests(50), requests(50, 50), requests(7, 100)])
    run(table, FakeClient())
    assert sorted(table.stored, key=int) == [str(at) for at in range(107)]


def test_nothing_to_claim_ends_at_once():
    table = Table([])
    run(table, FakeClient())
    assert table.stored == []


def test_replies_are_stored_in_small_batches():
    table = Table([requests(500)])
    run(table, FakeClient(width=64))
    assert max(table.batches) <= STORE_TOGETHER


def test_what_came_back_before_the_endpoint_failed_is_stored():
    table = Table([requests(100)])
    client = FakeClient(fail_after=40, error=KeyRejected("The key was rejected.", "Enter another."))
    with pytest.raises(KeyRejected):
        run(table, client)
    assert len(table.stored) == client.answered == 40


def test_a_failing_database_is_raised_and_does_not_hang():
    table = Table([requests(100)])

    def broken(outcomes):
        raise ValueError("the table is gone")

    table.store = broken
    with pytest.raises(ValueError, match="gone"):
        run(table, FakeClient())


def test_a_failing_claim_is_raised_after_everything_is_stored():
    table = Table([requests(20)])
    claim = table.claim

    def breaking():
        block = claim()
        if not block:
            raise ValueError("no claim")
        return block

    table.claim = breaking
    with pytest.raises(ValueError, match="no claim"):
        run(table, FakeClient())
    assert len(table.stored) <= 20


def test_it_stops_when_told_and_keeps_what_came_back():
    table = Table([requests(1000)])
    client = FakeClient()
    run(table, client, should_stop=lambda: len(table.stored) >= 30)
    assert 30 <= len(table.stored) == client.answered < 1000
