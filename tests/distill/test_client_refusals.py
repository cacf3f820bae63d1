import json
from datetime import UTC, datetime

import pytest

from distill.errors import CallFailed, FeatureMissing, KeyRejected, ModelUnknown, NotAnOpenAIEndpoint, QuotaExhausted
from distill.records import Endpoint
from distill.refusals import duration, judge, retry_after, used_up_seconds

ENDPOINT = Endpoint("https://host/v1", "big", "sk-secret")
SENT = {"max_tokens": 9, "temperature": 0.7, "response_format": {}}


def verdict(status, message="", code=None, headers=None, body=None):
    body = json.dumps({"error": {"message": message, "code": code}}).encode() if body is None else body
    return judge(status, headers or {}, body, ENDPOINT, SENT)


@pytest.mark.parametrize(
    ("status", "message", "code", "error"),
    [
        (401, "Incorrect API key provided: sk-secret", "invalid_api_key", KeyRejected),
        (403, "Forbidden", None, KeyRejected),
        (400, "API key not valid. Please pass a valid API key.", None, KeyRejected),
        (402, "Insufficient credits", None, QuotaExhausted),
        (429, "You exceeded your current quota, please check your plan", "insufficient_quota", QuotaExhausted),
        (403, "Insufficient balance: insufficient_balance", None, QuotaExhausted),
        (404, "The model `big` does not exist", "model_not_found", ModelUnknown),
        (404, 'model "big" not found, try pulling it first', None, ModelUnknown),
        (400, "Invalid model name passed in model=big", None, ModelUnknown),
        (404, "Not Found", None, NotAnOpenAIEndpoint),
        (405, "Method Not Allowed", None, NotAnOpenAIEndpoint),
        (301, "", None, NotAnOpenAIEndpoint),
        (400, "response_format json_schema is not supported", None, FeatureMissing),
        (400, "Unsupported value: 'temperature' does not support 0.7 with this model.", None, FeatureMissing),
        (400, "This model's maximum context length is 8192 tokens", "context_length_exceeded", CallFailed),
        (413, "Request too large", None, CallFailed),
        (422, "messages: field required", None, CallFailed),
    ],
)
def test_a_hopeless_status_becomes_its_error(status, message, code, error):
    setback = verdict(status, message, code)
    assert type(setback.error) is error
    assert "https://host/v1" in str(setback.error) and "sk-secret" not in str(setback.error)


@pytest.mark.parametrize("status", [408, 409, 425, 500, 502, 503, 504, 529])
def test_a_server_fault_is_worth_another_try(status):
    setback = verdict(status, body=b"<html>Bad gateway</html>")
    assert setback.error is None and setback.outcome == "server_error"


def test_a_429_is_waited_out():
    setback = verdict(429, "Slow down", headers={"retry-after": "7"})
    assert (setback.error, setback.outcome, setback.wait_seconds) == (None, "rate_limited", 7)


def test_a_wait_of_hours_is_a_used_up_quota():
    assert isinstance(verdict(429, headers={"retry-after": "7200"}).error, QuotaExhausted)


def test_a_filtered_prompt_is_an_answer_of_its_kind():
    assert verdict(400, "The response was filtered", "content_filter").filtered


def test_a_model_that_wants_max_completion_tokens_is_understood():
    setback = verdict(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
    assert setback.rename_max_tokens and setback.error is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Tue, 24 Nov 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Tue, 24 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "inf"}, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(headers, seconds):
    assert retry_after(headers, datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)) == seconds


def test_a_rate_limit_whose_rest_is_zero_tells_when_it_is_filled_again():
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1.5s"}
    assert used_up_seconds(headers) == 1.5
    assert used_up_seconds({"x-ratelimit-remaining-requests": "3"} | {"x-ratelimit-reset-requests": "9s"}) == 0


@pytest.mark.parametrize(("text", "seconds"), [("6m0s", 360), ("12ms", 0.012), ("1h2m3s", 3723), ("4", 4), ("", 0)])
def test_durations_are_read(text, seconds):
    assert duration(text) == pytest.approx(seconds)
