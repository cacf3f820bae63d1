"""OpenAI-compatible servers for tests: the shared mock in a process of its own, and a small fake for what it cannot do."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

MOCK = Path(__file__).resolve().parents[2] / "shared" / "tools" / "mock_openai.py"


class Mock:
    """A running mock: where it listens and what it has served."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    def stats(self, *, detail: bool = False) -> dict[str, Any]:
        url = f"{self.base_url.removesuffix('/v1')}/stats?detail={int(detail)}"
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)


@contextmanager
def mock_openai(*flags: str) -> Iterator[Mock]:
    """Start the shared mock with these flags; skips where ../shared is absent."""
    if not MOCK.exists():
        pytest.skip(f"{MOCK} is not there")
    with mock_process(*flags) as mock:
        yield mock


@contextmanager
def mock_process(*flags: str) -> Iterator[Mock]:
    process = subprocess.Popen(
        [sys.executable, str(MOCK), "--max-seconds", "600", *flags], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield Mock(json.loads(process.stdout.readline())["base_url"])
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close() if process.stdout else None


Handler = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


class Fake:
    """An in-process server whose answers a test writes itself. It remembers each request's body and headers."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.base_url = ""
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.in_flight = self.most_in_flight = 0

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._handler(request, body)
        finally:
            self.in_flight -= 1

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "fake-teacher", "object": "model"}]})


@asynccontextmanager
async def fake_openai(handler: Handler) -> AsyncIterator[Fake]:
    fake = Fake(handler)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", fake.chat)
    app.router.add_get("/v1/models", fake.models)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield fake
    finally:
        await runner.cleanup()


def completion(text: str | None = "Fine.", finish: str = "stop", **extra: Any) -> web.Response:
    """A whole chat completion; `extra` replaces or adds top-level fields, None leaves one out."""
    data = {
        "id": "1",
        "object": "chat.completion",
        "model": "fake-teacher",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        **extra,
    }
    return web.json_response({key: value for key, value in data.items() if value is not None})


def refusal(status: int, message: str = "", code: str = "", headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"message": message, "code": code}}, status=status, headers=headers)


async def broken_off(request: web.Request, body: bytes, length: int) -> web.StreamResponse:
    """Promises `length` bytes, sends `body` and closes the socket."""
    response = web.StreamResponse(headers={"Content-Length": str(length), "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(body)
    await asyncio.sleep(0.01)
    assert request.transport is not None
    request.transport.close()
    return response
