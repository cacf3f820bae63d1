"""Tries an endpoint before an experiment relies on it: a few small calls, and plain words for what is wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distill.endpoint_url import safe_base_url
from distill.errors import DistillError, EndpointError, EndpointUnreachable, FeatureMissing, NotAnOpenAIEndpoint
from distill.records import Call, ChatRequest, Endpoint, Purpose, Sampling
from distill.refusals import judge, what_it_says
from distill.replies import Reply, estimated_tokens, parsed, prompt_tokens, read_reply
from distill.wire import Answer, NoAnswer, Wire

__all__ = ["EndpointReport", "check_endpoint", "safe_base_url"]

TIMEOUT_SECONDS = 60.0
TRIES = 3
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "check",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"ready": {"type": "boolean"}},
            "required": ["ready"],
            "additionalProperties": False,
        },
    },
}
HELLO = ChatRequest("check", ({"role": "user", "content": "Say hello."},), Sampling(1.0, max_tokens=16), Purpose.CHECK)
READY = ChatRequest(
    "check",
    ({"role": "user", "content": 'Are you ready? Reply in JSON: {"ready": true}'},),
    Sampling(1.0, max_tokens=64),
    Purpose.CHECK,
    SCHEMA,
)


@dataclass(frozen=True)
class EndpointReport:
    """What an endpoint can do. `calls` are the paid checks, for the ledger; `models` is empty if it does not list any."""

    models: tuple[str, ...]
    supports_json_schema: bool
    supports_logprobs: bool
    latency_seconds: float
    calls: tuple[Call, ...] = ()


async def check_endpoint(
    endpoint: Endpoint, *, need_json_schema: bool = False, need_logprobs: bool = False
) -> EndpointReport:
    """Three calls of a few tokens each. Raises the EndpointError that fits; the message names the URL, never the key."""
    wire = Wire(endpoint)
    try:
        return await _Check(endpoint, wire).run(need_json_schema, need_logprobs)
    finally:
        await wire.aclose()


class _Check:
    def __init__(self, endpoint: Endpoint, wire: Wire) -> None:
        self._endpoint, self._wire = endpoint, wire
        self._calls: list[Call] = []

    async def run(self, need_json_schema: bool, need_logprobs: bool) -> EndpointReport:
        models = await self._models()
        try:
            await self._ask(HELLO)
        except EndpointError as error:
            raise _with_models(error, models) from None
        latency = self._calls[-1].latency_seconds
        schema, logprobs = await asyncio.gather(self._has_json_schema(), self._has_logprobs())
        if need_json_schema and not schema:
            raise self._missing("structured output (response_format json_schema)", "Turn structured output off.")
        if need_logprobs and not logprobs:
            raise self._missing("logprobs", "Choose another referee mode or endpoint.")
        return EndpointReport(models, schema, logprobs, latency, tuple(self._calls))

    async def _models(self) -> tuple[str, ...]:
        """The model names it lists; empty where it has no such list (the call that follows tells what is wrong)."""
        answer = await self._send(None)
        data = parsed(answer.body) if answer.status == 200 else None
        rows = data.get("data") if isinstance(data, dict) else None
        if not isinstance(rows, list):
            return ()
        return tuple(str(row["id"]) for row in rows if isinstance(row, dict) and "id" in row)

    async def _has_json_schema(self) -> bool:
        try:
            reply, _ = await self._ask(READY)
        except EndpointError:  # a plain call went well just before, so it is the option that it refuses
            return False
        data = parsed(reply.text.encode())
        return isinstance(data, dict) and isinstance(data.get("ready"), bool)

    async def _has_logprobs(self) -> bool:
        try:
            _, data = await self._ask(HELLO, {"logprobs": True, "top_logprobs": 1})
        except EndpointError:  # a plain call went well just before, so it is the option that it refuses
            return False
        logprobs = data["choices"][0].get("logprobs")
        return isinstance(logprobs, dict) and bool(logprobs.get("content"))

    async def _ask(self, request: ChatRequest, extra: Mapping[str, Any] | None = None) -> tuple[Reply, Any]:
        """One reply and its parsed body. Raises EndpointError, also for what would only be this call's fault."""
        for tries_left in reversed(range(TRIES)):
            body = self._wire.body(request) | dict(extra or {})
            started_at = time.monotonic()
            answer = await self._send(body)
            if 200 <= answer.status < 300:
                return self._read(answer, request, time.monotonic() - started_at)
            setback = judge(answer.status, answer.headers, answer.body, self._endpoint, body)
            if setback.error is not None:
                raise _as_endpoint_error(setback.error)
            if setback.rename_max_tokens:
                self._wire.rename_max_tokens()
            elif tries_left:
                await asyncio.sleep(min(setback.wait_seconds or 0.5, 5.0))
        raise EndpointUnreachable(setback.cause, "The server is up but busy or faulty: try again later.")

    def _read(self, answer: Answer, request: ChatRequest, latency: float) -> tuple[Reply, Any]:
        data = parsed(answer.body)
        reply = read_reply(data)
        if reply is None:
            said = what_it_says(answer.body, self._endpoint) or answer.headers.get("content-type", "no content type")
            cause = f"{self._endpoint.base_url} answered, but not with a chat completion ({said})."
            raise NotAnOpenAIEndpoint(cause, "Check the base URL: it usually ends in /v1.")
        asked = prompt_tokens(request.messages) if reply.prompt_tokens is None else reply.prompt_tokens
        written = estimated_tokens(reply.text) if reply.completion_tokens is None else reply.completion_tokens
        self._calls.append(Call("ok", latency, True, asked, written, self._endpoint.cost_usd(asked, written)))
        return reply, data

    async def _send(self, body: dict[str, Any] | None) -> Answer:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await (self._wire.models() if body is None else self._wire.chat(body))
        except TimeoutError:
            what = f"gave no answer within {TIMEOUT_SECONDS:.0f} seconds"
        except NoAnswer as error:
            what = f"cannot be reached: {error}"
        raise EndpointUnreachable(
            f"{self._endpoint.base_url} {what}.", "Check that the server runs and that host, port and https are right."
        )

    def _missing(self, feature: str, advice: str) -> FeatureMissing:
        return FeatureMissing(f"{self._endpoint.base_url} does not support {feature}.", advice)


def _as_endpoint_error(error: DistillError) -> EndpointError:
    return error if isinstance(error, EndpointError) else EndpointError(error.cause, "Check the endpoint's settings.")


def _with_models(error: EndpointError, models: tuple[str, ...]) -> EndpointError:
    """The same error, telling which models there are if the model was the fault."""
    if error.code == "model_unknown" and models:
        return type(error)(error.cause, f"{error.advice} It offers: {', '.join(models[:5])}.")
    return error
