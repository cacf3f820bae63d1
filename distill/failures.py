"""How many calls may fail for good before a stage must not go on."""

from __future__ import annotations

from distill.errors import DistillError

TRIES = 2
"""An item whose call failed after all its retries gets a second turn at the end of the stage, and no third."""
MOST_FAILED_SHARE = 0.05
"""A stage in which more items than this failed for good stops and says so; fewer are shown and left out."""


class CallsFailed(DistillError):
    code = "calls_failed"


def too_many_failed(failed: int, total: int, last: str) -> CallsFailed | None:
    """The error that ends the stage, or None. last: what the last failure said."""
    if failed <= MOST_FAILED_SHARE * max(total, 1):
        return None
    return CallsFailed(
        f"{failed} of {total} calls failed for good. The last one: {last}",
        "Look at the endpoint, then run the stage again: what was answered is kept and not paid again.",
    )
