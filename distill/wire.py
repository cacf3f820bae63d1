"""The only module that knows the openai package: a request goes out, a status with headers and bytes comes back."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpcore2  # noqa: F401 - httpx2 would load it during the first call, with all others waiting
import httpx2
from openai import APIConnectionError, APIStatusError, AsyncOpenAI, AsyncStream

from distill.endpoint_url import refuse_metadata_names, safe_base_url
from distill.errors import KeyRejected
from distill.records import ChatRequest, Endpoint
from distill.replies import storable

CONNECT_SECONDS = 10.0
LANE_WIDTH = 8
KEEP_ALIVE_SECONDS = 4.0  # under the 5 s after which common servers close, so that no call meets a closing connection
BROKEN = (httpx2.HTTPError, httpx2.StreamError, ssl.SSLError, OSError)


@dataclass(frozen=True)
class Answer:
    """What an endpoint sent. `broken`: the connection ended before the body did."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    broken: bool = False


class NoAnswer(Exception):
    """Not even a status line came back; the text says why."""


@dataclass(eq=False)
class _Lane:
    """A client with a few connections: its pool looks at all of them for every request, which 64 make slow."""

    client: AsyncOpenAI
    in_flight: int = 0


class Wire:
    """Connections to one endpoint, as many as are needed. It never retries and never times out by itself."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises EndpointError for a URL and KeyRejected for a key that cannot be right."""
        if not re.fullmatch(r"[\x21-\x7e]*", endpoint.api_key):  # it would be quoted in the HTTP library's complaint
            raise KeyRejected("The API key contains a blank, a line break or a letter outside ASCII.", "Copy it again.")
        self._endpoint = endpoint
        self._max_tokens_name = "max_tokens"
        self._checked = False
        self._base_url = safe_base_url(endpoint.base_url)
        # reading the certificate authorities takes 50 ms, for nothing where nothing is encrypted
        self._tls = httpx2.create_ssl_context() if self._base_url.startswith("https:") else False
        self._lanes: list[_Lane] = []

    async def aclose(self) -> None:
        lanes, self._lanes = self._lanes, []
        for lane in lanes:
            await lane.client.close()

    def rename_max_tokens(self) -> None:
        """From now on say max_completion_tokens, as OpenAI's reasoning models want it."""
        self._max_tokens_name = "max_completion_tokens"

    def body(self, request: ChatRequest) -> dict[str, Any]:
        """The request as JSON. What is left at its neutral value is not sent: many servers refuse what they do not know."""
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self._endpoint.model,
            "messages": [{name: storable(text) for name, text in one.items()} for one in request.messages],
            "temperature": sampling.temperature,
            self._max_tokens_name: sampling.max_tokens,
        }
        if sampling.top_p != 1:
            body["top_p"] = sampling.top_p
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        if request.response_format is not None:
            body["response_format"] = request.response_format
        return body

    async def chat(self, body: Mapping[str, Any], heard: list[bytes] | None = None) -> Answer:
        """POST /chat/completions. Raises NoAnswer. `heard` collects the reply's bytes, for a caller that may lose patience."""
        return await self._send("POST", body, [] if heard is None else heard)

    async def models(self) -> Answer:
        """GET /models. Raises NoAnswer."""
        return await self._send("GET", {}, [])

    async def _send(self, method: str, body: Mapping[str, Any], heard: list[bytes]) -> Answer:
        if not self._checked:
            await refuse_metadata_names(self._endpoint.base_url)
            self._checked = True
        lane = self._free_lane()
        lane.in_flight += 1
        try:
            # asked for as a stream, so that the bytes are ours: a body that breaks off is still worth its beginning
            if method == "GET":
                stream = await lane.client.get("/models", cast_to=object, stream=True, stream_cls=AsyncStream[object])
            else:
                stream = await lane.client.post(
                    "/chat/completions", cast_to=object, body=dict(body), stream=True, stream_cls=AsyncStream[object]
                )
            return await _read(stream.response, heard)
        except APIStatusError as error:
            return Answer(error.status_code, error.response.headers, error.response.content)
        except (APIConnectionError, *BROKEN) as error:
            raise NoAnswer(_reason(error)) from None
        finally:
            lane.in_flight -= 1

    def _free_lane(self) -> _Lane:
        for lane in self._lanes:
            if lane.in_flight < LANE_WIDTH:
                return lane
        lane = _Lane(self._open())
        self._lanes.append(lane)
        return lane

    def _open(self) -> AsyncOpenAI:
        return AsyncOpenAI(
            base_url=self._base_url,
            api_key=self._endpoint.api_key or "none",  # the package insists on one, local servers do not care
            max_retries=0,
            http_client=httpx2.AsyncClient(
                verify=self._tls,
                follow_redirects=False,  # a redirect could lead to an address that was never checked
                timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
                limits=httpx2.Limits(max_connections=None, keepalive_expiry=KEEP_ALIVE_SECONDS),
            ),
        )


async def _read(response: httpx2.Response, heard: list[bytes]) -> Answer:
    broken = False
    try:
        async for chunk in response.aiter_bytes():
            heard.append(chunk)
    except BROKEN:
        broken = True
    finally:
        await response.aclose()
    return Answer(response.status_code, response.headers, b"".join(heard), broken)


def _reason(error: Exception) -> str:
    """The innermost cause that has words, e.g. "All connection attempts failed"."""
    text, cause = "", error.__cause__
    while cause is not None:
        text, cause = str(cause) or text, cause.__cause__
    return text.rstrip(".") or type(error.__cause__ or error).__name__
