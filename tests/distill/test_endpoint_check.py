import asyncio
import json

import pytest
from aiohttp import web

from distill import endpoint_check
from distill.endpoint_check import check_endpoint, safe_base_url
from distill.endpoint_url import refuse_metadata_names
from distill.errors import (
    EndpointError,
    EndpointUnreachable,
    FeatureMissing,
    KeyRejected,
    ModelUnknown,
    NotAnOpenAIEndpoint,
    QuotaExhausted,
)
from distill.records import Endpoint
from tests.mock_server import completion, fake_openai, mock_openai, refusal

KEY = "sk-very-secret"


def check(handler, **needs):
    async def run():
        async with fake_openai(handler) as fake:
            return await check_endpoint(Endpoint(fake.base_url, "fake-teacher", KEY), **needs)

    return asyncio.run(run())


async def able(request, body):
    if "response_format" in body:
        return completion('{"ready": true}')
    if body.get("logprobs"):
        logprobs = {"content": [{"token": "Hi", "logprob": -0.1}]}
        message = {"role": "assistant", "content": "Hi"}
        return completion(choices=[{"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "stop"}])
    return completion("Hi")


async def plain(request, body):
    """Knows neither option: refuses one, ignores the other."""
    return refusal(400, "response_format: unknown field") if "response_format" in body else completion("Hi")


def always(status, message="", code=""):
    async def handler(request, body):
        return refusal(status, message, code)

    return handler


def test_an_able_endpoint_is_reported_with_what_it_can_and_what_the_check_cost():
    report = check(able, need_json_schema=True, need_logprobs=True)
    assert report.models == ("fake-teacher",)
    assert report.supports_json_schema and report.supports_logprobs
    assert report.latency_seconds > 0 and len(report.calls) == 3 and all(call.paid for call in report.calls)


def test_a_plain_endpoint_passes_if_nothing_more_is_needed():
    report = check(plain)
    assert (report.supports_json_schema, report.supports_logprobs) == (False, False)


@pytest.mark.parametrize("need", ["need_json_schema", "need_logprobs"])
def test_a_needed_feature_that_is_missing_is_named(need):
    with pytest.raises(FeatureMissing) as caught:
        check(plain, **{need: True})
    assert need.removeprefix("need_") in str(caught.value) and caught.value.advice


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (always(401, f"Incorrect API key provided: {KEY}"), KeyRejected),
        (always(404, "The model does not exist", "model_not_found"), ModelUnknown),
        (always(404, "Not Found"), NotAnOpenAIEndpoint),
        (always(402, "No credit"), QuotaExhausted),
        (always(429, "You exceeded your current quota", "insufficient_quota"), QuotaExhausted),
        (always(418, "I am a teapot"), EndpointError),
    ],
)
def test_each_fault_has_its_error_with_the_url_and_without_the_key(handler, error):
    with pytest.raises(EndpointError) as caught:
        check(handler)
    assert type(caught.value) is error
    assert "http://127.0.0.1" in str(caught.value) and KEY not in str(caught.value) and caught.value.advice


def test_an_unknown_model_comes_with_the_names_that_are_known():
    with pytest.raises(ModelUnknown, match="fake-teacher"):
        check(always(404, "model not found", "model_not_found"))


def test_a_web_page_is_not_an_openai_endpoint():
    async def page(request, body):
        return web.Response(text="<html>Welcome</html>", content_type="text/html")

    with pytest.raises(NotAnOpenAIEndpoint):
        check(page)


def test_a_server_that_stays_busy_is_unreachable(monkeypatch):
    monkeypatch.setattr(endpoint_check, "TRIES", 2)
    with pytest.raises(EndpointUnreachable, match="503"):
        check(always(503, "loading"))


def test_a_server_that_never_answers_is_unreachable(monkeypatch):
    monkeypatch.setattr(endpoint_check, "TIMEOUT_SECONDS", 0.3)

    async def silent(request, body):
        await asyncio.sleep(30)
        return completion()

    with pytest.raises(EndpointUnreachable, match="no answer"):
        check(silent)


def test_a_closed_port_is_unreachable():
    with pytest.raises(EndpointUnreachable, match="127.0.0.1:9"):
        asyncio.run(check_endpoint(Endpoint("http://127.0.0.1:9/v1", "m", KEY)))


def test_the_report_can_be_written_as_json():
    from dataclasses import asdict

    assert json.loads(json.dumps(asdict(check(able))))["supports_logprobs"]


def test_the_shared_mock_passes_as_a_plain_endpoint():
    with mock_openai("--latency-ms", "5") as mock:
        report = asyncio.run(check_endpoint(Endpoint(mock.base_url, "mock-teacher")))
    assert report.models == ("mock-teacher",) and not report.supports_json_schema


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        (" http://127.0.0.1:8080/v1 ", "http://127.0.0.1:8080/v1"),
        ("http://localhost:11434/v1/chat/completions", "http://localhost:11434/v1"),
        ("http://10.0.0.7:8000", "http://10.0.0.7:8000"),
        ("http://192.168.1.5/v1", "http://192.168.1.5/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_ordinary_and_local_urls_are_taken(url, normal):
    assert safe_base_url(url) == normal


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com/v1",
        "ftp://host/v1",
        "file:///etc/passwd",
        "http://",
        "http://host:99999/v1",
        "http://[::1/v1",
        "https://user:secret@host/v1",
        "https://secret@host/v1",
        "https://host/v1?key=secret",
        "https://host/v1#x",
        "https://ho st/v1",
        "https://host\\@evil/v1",
        "http://169.254.169.254/latest",
        "http://169.254.170.2/v2",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0251.0376.0251.0376/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[fd00:ec2::254]/",
        "http://[fe80::1%25eth0]/",
        "http://metadata.google.internal/",
        "http://METADATA.google.internal./",
        "http://100.100.100.200/",
    ],
)
def test_urls_that_are_wrong_or_dangerous_are_refused_without_repeating_a_secret(url):
    with pytest.raises(EndpointError) as caught:
        safe_base_url(url)
    assert "secret" not in str(caught.value)


def test_a_name_that_resolves_to_a_metadata_address_is_refused(monkeypatch):
    async def run():
        async def resolve(*_, **__):
            return [(2, 1, 6, "", ("169.254.169.254", 0))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        await refuse_metadata_names("http://innocent.example/v1")

    with pytest.raises(EndpointError, match="metadata"):
        asyncio.run(run())
