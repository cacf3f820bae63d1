"""What an HTTP error means: hopeless for all calls, hopeless for this one, or worth another try, and when."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from distill.errors import (
    CallFailed,
    DistillError,
    EndpointError,
    FeatureMissing,
    KeyRejected,
    ModelUnknown,
    NotAnOpenAIEndpoint,
    QuotaExhausted,
)
from distill.records import Endpoint
from distill.replies import parsed

LONGEST_WAIT_SECONDS = 900.0
QUOTA = re.compile(r"insufficient[_ ](quota|credit|balance|funds)|billing|exceeded your current quota|no credit", re.I)
UNKNOWN_MODEL = re.compile(
    r"model[_ ]not[_ ]found|unknown model|invalid model|no such model|model\W.*(not (exist|found|available|supported)|unknown)",
    re.I | re.S,
)
BAD_KEY = re.compile(r"(invalid|incorrect|wrong|bad)[_ ]api[_ ]key|api key (is )?(not valid|invalid)", re.I)
TOO_LONG = re.compile(r"context[_ ]length|context window|maximum context|too many tokens|prompt is too long", re.I)
UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
OPTIONS = {
    "response_format": (r"response_format|json_schema|structured output", "Turn structured output off."),
    "logprobs": (r"logprobs", "Choose another referee mode."),
    "temperature": (
        r"temperature",
        "Set the temperature that the endpoint accepts; many reasoning models take only 1.",
    ),
    "top_p": (r"top_p", "Set top_p to 1, so that it is not sent."),
    "seed": (r"\bseed\b", "Leave the seed empty."),
}


@dataclass(frozen=True)
class Setback:
    """A call that brought no reply. `error` given: asking again cannot help."""

    outcome: str  # the ledger's word, see records.Call
    cause: str
    error: DistillError | None = None
    wait_seconds: float | None = None  # what the server asks for
    paid: bool = False
    unreachable: bool = False  # nothing at all came back
    rename_max_tokens: bool = False  # the endpoint wants max_completion_tokens
    filtered: bool = False  # the provider's filter refused the prompt: an answer of its kind


def judge(status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint, sent: Mapping[str, Any]) -> Setback:
    """Judge an HTTP status that is not 2xx. `sent` is the request's body. The key never appears in what comes back."""
    said = what_it_says(body, endpoint)
    hints = f"{said} {_code(body)}"
    where = f"{endpoint.base_url} answered {status}" + (f": {said}" if said else "")
    if status == 402 or (status in (403, 429) and QUOTA.search(hints)):
        return _final(QuotaExhausted(f"{where}.", "Add credit to the account or use another key, then resume."))
    if status in (401, 403) or (status == 400 and BAD_KEY.search(hints)):
        return _final(KeyRejected(f"{where}.", "Check the API key, and that it may use this model."))
    if status == 429:
        return _rate_limited(headers, where)
    if status >= 500 or status in (408, 409, 425):
        return Setback("server_error", f"{where}.", wait_seconds=retry_after(headers))
    if status in (301, 302, 303, 307, 308, 404, 405):
        return _final(_not_found(status, headers, hints, where, endpoint))
    return _bad_request(hints, where, endpoint, sent)


def what_it_says(body: bytes, endpoint: Endpoint) -> str:
    """The server's message in at most 300 characters, with the key blotted out."""
    data = parsed(body)
    error = data.get("error", data) if isinstance(data, dict) else None
    if isinstance(error, dict):
        text = str(error.get("message") or error.get("detail") or "")
    else:
        text = error if isinstance(error, str) else ""
    text = " ".join(text.split()).rstrip(".")
    if endpoint.api_key:
        text = text.replace(endpoint.api_key, "[key]")
    return text[:300]


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that Retry-After (seconds or HTTP date) or retry-after-ms asks to wait; None: it does not say."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if value is None or (seconds := _number(value)) is not None:
        return None if value is None else seconds
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - (now or datetime.now(UTC))).total_seconds())


def used_up_seconds(headers: Mapping[str, str]) -> float:
    """How long until a rate limit whose rest the server reports as 0 is filled again; 0: none is used up."""
    waits = [
        duration(headers.get(f"x-ratelimit-reset-{kind}", ""))
        for kind in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{kind}") == "0"
    ]
    return min(max(waits, default=0.0), 60.0)


def duration(text: str) -> float:
    """Seconds in "1s", "6m0s", "12ms" or a bare number; 0 for anything else."""
    if (number := _number(text)) is not None:
        return number
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    return sum(float(value) * UNIT_SECONDS[unit] for value, unit in parts)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _code(body: bytes) -> str:
    data = parsed(body)
    error = data.get("error", data) if isinstance(data, dict) else {}
    return f"{error.get('code')} {error.get('type')} {error.get('param')}" if isinstance(error, dict) else ""


def _final(error: DistillError) -> Setback:
    return Setback("refused", error.cause, error)


def _rate_limited(headers: Mapping[str, str], where: str) -> Setback:
    wait = retry_after(headers)
    if wait is not None and wait > LONGEST_WAIT_SECONDS:
        error = QuotaExhausted(
            f"{where}, and asks to wait {wait / 60:.0f} minutes.", "Resume later or raise the account's limits."
        )
        return Setback("rate_limited", error.cause, error)
    return Setback("rate_limited", f"{where}.", wait_seconds=wait)


def _not_found(status: int, headers: Mapping[str, str], hints: str, where: str, endpoint: Endpoint) -> EndpointError:
    if status == 404 and (UNKNOWN_MODEL.search(hints) or "model" in hints.lower()):
        return _unknown_model(where, endpoint)
    if status < 400:
        where += f" and points to {headers.get('location', 'nowhere')[:200]}"
    return NotAnOpenAIEndpoint(f"{where}.", "Check the base URL: it usually ends in /v1.")


def _unknown_model(where: str, endpoint: Endpoint) -> ModelUnknown:
    return ModelUnknown(f"{where}.", f"Check the model's name ({endpoint.model}).")


def _bad_request(hints: str, where: str, endpoint: Endpoint, sent: Mapping[str, Any]) -> Setback:
    if "content_filter" in hints or "content management policy" in hints:
        return Setback("refused", f"{where}.", filtered=True)
    if TOO_LONG.search(hints):
        return _final(CallFailed(f"{where}.", "Shorten the instruction or lower max_tokens."))
    if "max_tokens" in sent and "max_completion_tokens" in hints:
        return Setback("refused", f"{where}.", rename_max_tokens=True)
    for option, (pattern, advice) in OPTIONS.items():
        if option in sent and re.search(pattern, hints, re.I):
            return _final(FeatureMissing(f"{where}.", advice))
    if UNKNOWN_MODEL.search(hints):
        return _final(_unknown_model(where, endpoint))
    return _final(CallFailed(f"{where}.", "Change this prompt or its settings; other calls are not affected."))
