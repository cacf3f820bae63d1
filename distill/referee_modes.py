"""The modes of referee that call a model: in which orders a pair is asked, how, and how the reply is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from distill import reference_referee, single_referee
from distill.records import ChatRequest, Pair, Review
from distill.referee import ORDERS, parse_review, review_request
from distill.settings import RefereeSettings


@dataclass(frozen=True)
class CallMode:
    """`request` takes (key, pair, order, settings, structured, attempt), `read` (key, order, reply, cut, teacher's text)."""

    orders: tuple[str, ...]
    request: Callable[[str, Pair, str, RefereeSettings, bool, int], ChatRequest]
    read: Callable[[str, str, str, bool, str], Review]


def _ask_pair(
    key: str, pair: Pair, order: str, settings: RefereeSettings, structured: bool, attempt: int
) -> ChatRequest:
    return review_request(key, pair, order, settings, structured=structured, attempt=attempt)


def _read_pair(key: str, order: str, raw: str, cut: bool, teacher: str) -> Review:
    return parse_review(key, order, raw, cut=cut)


def _ask_beside_reference(
    key: str, pair: Pair, order: str, settings: RefereeSettings, structured: bool, attempt: int
) -> ChatRequest:
    return reference_referee.reference_request(key, pair, settings, structured=structured, attempt=attempt)


def _read_beside_reference(key: str, order: str, raw: str, cut: bool, teacher: str) -> Review:
    return reference_referee.parse_reference_review(key, raw, teacher, cut=cut)


def _ask_alone(
    key: str, pair: Pair, order: str, settings: RefereeSettings, structured: bool, attempt: int
) -> ChatRequest:
    return single_referee.single_request(key, pair, settings, structured=structured, attempt=attempt)


def _read_alone(key: str, order: str, raw: str, cut: bool, teacher: str) -> Review:
    return single_referee.parse_single_review(key, raw, cut=cut)


CALL_MODES = {
    "pairwise": CallMode(ORDERS, _ask_pair, _read_pair),
    "reference": CallMode((reference_referee.ORDER,), _ask_beside_reference, _read_beside_reference),
    "single": CallMode((single_referee.ALONE,), _ask_alone, _read_alone),
}
MODE_OF_ORDER = {order: name for name, mode in CALL_MODES.items() for order in mode.orders}
