"""Stands between a part and its calls: none is begun that could take the experiment past its budget."""

import threading
from collections.abc import Sequence
from dataclasses import replace

from django.conf import settings
from django.db import transaction

from distill.records import CallOutcome, ChatRequest
from lionweb.models import Lease
from lionweb.services import leases
from lionweb.services.budget import Limit, Money, hold_money, is_limited, read_money
from lionweb.stages.part import CallPart

_LOOKS = 3


class Spending:
    """Of one lease. `claim` and `store` run in the pump's thread, `may_draw` in the event loop, `read` at heartbeats.

    Attributes:
        claimed: rows claimed since someone set it to 0.
        exhausted: there was more to call, and no money for it with nothing in flight any more.
    """

    def __init__(self, part: CallPart, lease: Lease) -> None:
        self.part, self.lease = part, lease
        self.claimed, self.exhausted = 0, False
        self._lock = threading.Lock()
        self._held: set[str] = set()  # claimed and not stored
        self._drawn: set[str] = set()  # of these, the calls that were begun
        self._money = Money((), 0.0, 0)
        self._stores = 0  # begun and ended, so odd while one is under way

    def read(self) -> None:
        """Look at the money again: others spend and raise it too. A look that a store overtook counts for nothing."""
        for _ in range(_LOOKS):
            before = self._stores
            money = read_money(self.part, self.lease)
            with self._lock:
                if before == self._stores and not before % 2:
                    self._money = money
                    return

    def claim(self) -> list[ChatRequest]:
        """The next block, at most as large as the money is; empty when nothing is left, or nothing can be paid now."""
        with transaction.atomic():
            if is_limited(self.part.stage.iteration_id):
                hold_money(self.part.stage.iteration.experiment_id)
            self._give_back_undrawn()
            self.read()
            room = self._money.room(self._money.others + len(self._held))
            limit = settings.CHUNK_ROWS if room is None else min(settings.CHUNK_ROWS, room)
            requests = self.part.claim(self.lease, max(1, limit))
            surplus = [request.key for request in requests[limit:]]
            leases.unclaim(keys=surplus)
        requests = requests[:limit]
        with self._lock:
            self._held.update(request.key for request in requests)
        self.claimed += len(requests)
        self.exhausted = bool(surplus) and not requests and not self._held and not self._money.others
        return requests

    def _give_back_undrawn(self) -> None:
        """Where the money did not reach to the end of a block: its rest is claimed anew, or left for later."""
        with self._lock:
            rest = self._held - self._drawn
            self._held -= rest
        leases.unclaim(keys=sorted(rest))

    def may_draw(self, request: ChatRequest) -> bool:
        with self._lock:
            room = self._money.room(self._money.others + len(self._drawn))
            if room == 0:
                return False
            self._drawn.add(request.key)
            return True

    def store(self, outcomes: Sequence[CallOutcome]) -> None:
        with self._lock:
            self._stores += 1 - self._stores % 2  # still odd where a store broke off and comes again
        self.part.store(outcomes)
        paid = [call.cost_usd for outcome in outcomes for call in outcome.calls if call.paid]
        with self._lock:
            self._stores += 1
            keys = {outcome.key for outcome in outcomes}
            self._held -= keys
            self._drawn -= keys
            self._money = _after(self._money, sum(paid), len(paid))


def _after(money: Money, usd: float, calls: int) -> Money:
    """What is known once these calls are paid; the next `read` has it from the ledger."""
    known = money.known + calls
    total = (money.call_usd * money.known if money.known else 0.0) + usd
    return replace(
        money,
        limits=tuple(Limit(one.scope, one.usd, one.spent_usd + usd) for one in money.limits),
        call_usd=total / known if total else money.call_usd,
        known=known if total else 0,
    )
