"""The client against a fake whose answers each test writes, and against the shared mock."""

import asyncio
import logging
import time

import pytest

from distill import attempt
from distill.client import ChatClient, ClientLimits
from distill.errors import (
    CallFailed,
    CallInterrupted,
    EndpointError,
    EndpointUnreachable,
    FeatureMissing,
    KeyRejected,
    ModelUnknown,
    NotAnOpenAIEndpoint,
    QuotaExhausted,
)
from distill.records import ChatRequest, Endpoint, Finish, Purpose, Sampling
from tests.mock_server import broken_off, completion, fake_openai, mock_openai, refusal

KEY = "sk-very-secret"
GUARD_SECONDS = 30


def request(key, **sampling):
    return ChatRequest(key, ({"role": "user", "content": f"Say {key}."},), Sampling(**sampling), Purpose.ANSWER)


def requests(n):
    return (request(str(i)) for i in range(n))


def endpoint(base_url, width=8, **more):
    return Endpoint(base_url, "fake-teacher", KEY, max_concurrency=width, **more)


def ask(handler, todo, *, width=8, should_stop=lambda: False, prices=(), **options):
    """All outcomes by key, the error that ended the stream, and the fake."""

    async def run():
        outcomes, failure = {}, None
        async with fake_openai(handler) as fake, asyncio.timeout(GUARD_SECONDS):
            client = ChatClient(endpoint(fake.base_url, width, **dict(prices)), **options)
            try:
                async for outcome in client.stream(todo, should_stop=should_stop):
                    outcomes[outcome.key] = outcome
            except EndpointError as error:
                failure = error
            await client.aclose()
        return outcomes, failure, fake

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
    monkeypatch.setattr(attempt, "FIRST_BACKOFF_SECONDS", 0.01)


def script(*answers):
    """A handler that gives these answers in turn, the last one for ever. An answer is a function of the request."""
    left = list(answers)

    async def handler(request, body):
        answer = left.pop(0) if len(left) > 1 else left[0]
        made = answer(request) if callable(answer) else answer
        return await made if asyncio.iscoroutine(made) else made

    return handler


def fine(_):
    return completion()


def status(code, *args, **more):
    return lambda _: refusal(code, *args, **more)


# whole replies


def test_a_reply_becomes_a_completion_with_its_tokens_and_cost():
    prices = {"input_usd_per_million": 1.0, "output_usd_per_million": 2.0}
    outcomes, _, _ = ask(script(fine), requests(1), prices=prices)
    done = outcomes["0"].completion
    assert (done.text, done.finish, done.prompt_tokens, done.completion_tokens) == ("Fine.", Finish.STOP, 10, 5)
    assert done.cost_usd == pytest.approx(20e-6) and done.model == "fake-teacher"
    (call,) = outcomes["0"].calls
    assert (call.outcome, call.paid, call.cost_usd) == ("ok", True, done.cost_usd)
    assert 0 < call.latency_seconds < GUARD_SECONDS


def test_settings_are_passed_through_and_neutral_ones_left_out():
    todo = [
        ChatRequest("a", ({"role": "user", "content": "x"},), Sampling(0.2, 0.9, 7, 3), Purpose.REVIEW, {"type": "t"}),
        request("b"),
    ]
    _, _, fake = ask(script(fine), todo, width=1)
    assert fake.bodies[0] == {
        "model": "fake-teacher",
        "messages": [{"role": "user", "content": "x"}],
        "temperature": 0.2,
        "top_p": 0.9,
        "max_tokens": 7,
        "seed": 3,
        "response_format": {"type": "t"},
    }
    assert set(fake.bodies[1]) == {"model", "messages", "temperature", "max_tokens"}


def test_tokens_are_estimated_where_the_server_counts_none():
    outcomes, _, _ = ask(script(lambda _: completion("x" * 400, usage=None)), requests(1))
    assert outcomes["0"].completion.completion_tokens == 100
    assert outcomes["0"].completion.prompt_tokens > 0


@pytest.mark.parametrize(
    ("answer", "finish", "word"),
    [
        (lambda _: completion("Half", "length"), Finish.LENGTH, "length"),
        (lambda _: completion(""), Finish.EMPTY, "empty"),
        (lambda _: completion(None), Finish.EMPTY, "empty"),
    ],
)
def test_a_cut_or_empty_reply_is_kept_and_not_asked_for_again(answer, finish, word):
    outcomes, _, fake = ask(script(answer), requests(1))
    assert outcomes["0"].completion.finish is finish
    assert [call.outcome for call in outcomes["0"].calls] == [word]
    assert len(fake.bodies) == 1


def test_a_prompt_with_half_an_emoji_can_be_sent():
    todo = [ChatRequest("a", ({"role": "user", "content": "x\ud83d"},), Sampling(), Purpose.ANSWER)]
    outcomes, _, fake = ask(script(fine), todo)
    assert outcomes["a"].completion and fake.bodies[0]["messages"][0]["content"] == "x\ufffd"


# replies that broke off


def test_a_body_that_breaks_off_is_salvaged_and_paid_once():
    begun = b'{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"The lion is'
    outcomes, _, fake = ask(script(lambda r: broken_off(r, begun, 4000)), requests(1))
    assert outcomes["0"].completion.text == "The lion is"
    assert outcomes["0"].completion.finish is Finish.TRUNCATED
    assert [(call.outcome, call.paid) for call in outcomes["0"].calls] == [("truncated", True)]
    assert len(fake.bodies) == 1


def test_a_reply_lost_before_its_text_is_asked_for_once_more_and_both_are_in_the_ledger():
    outcomes, _, _ = ask(script(lambda r: broken_off(r, b'{"id":"1","cho', 400), fine), requests(1))
    assert outcomes["0"].completion.text == "Fine."
    assert [(call.outcome, call.paid) for call in outcomes["0"].calls] == [("cut_off", True), ("ok", True)]


def test_a_reply_lost_twice_is_not_paid_a_third_time():
    outcomes, failure, fake = ask(script(lambda r: broken_off(r, b'{"id":"1","cho', 400)), requests(1))
    assert isinstance(outcomes["0"].error, CallFailed) and outcomes["0"].completion is None
    assert len(fake.bodies) == 2 and failure is None


def test_a_reply_that_stalls_half_way_is_salvaged_when_patience_ends():
    async def stall(request, body):
        response = await begin(request, b'{"choices":[{"message":{"content":"The lion')
        await asyncio.sleep(GUARD_SECONDS)
        return response

    outcomes, _, fake = ask(stall, requests(1), timeout_ceiling_seconds=0.5)
    assert outcomes["0"].completion.text == "The lion" and len(fake.bodies) == 1


async def begin(request, body):
    from aiohttp import web

    response = web.StreamResponse(headers={"Content-Length": "4000", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(body)
    return response


# faults that pass


def test_server_errors_are_retried_and_each_call_is_in_the_ledger():
    outcomes, _, _ = ask(script(status(500), status(503), fine), requests(1))
    assert [call.outcome for call in outcomes["0"].calls] == ["server_error", "server_error", "ok"]
    assert [call.paid for call in outcomes["0"].calls] == [False, False, True]


def test_a_request_that_always_fails_is_one_lost_call_and_the_others_go_on():
    async def handler(request, body):
        return refusal(500, "boom") if "Say 3." in body["messages"][0]["content"] else completion()

    outcomes, failure, _ = ask(handler, requests(20), max_attempts=3, width=2)
    assert failure is None and len(outcomes) == 20
    assert isinstance(outcomes["3"].error, CallFailed) and "boom" in str(outcomes["3"].error)
    assert len(outcomes["3"].calls) == 3
    assert sum(one.completion is not None for one in outcomes.values()) == 19


def test_a_connection_closed_without_an_answer_is_tried_again():
    async def handler(request, body):
        if len(handler.seen) < 1:
            handler.seen.append(1)
            request.transport.close()
        return completion()

    handler.seen = []
    outcomes, _, _ = ask(handler, requests(1))
    assert [call.outcome for call in outcomes["0"].calls] == ["cut_off", "ok"]


def test_retry_after_is_honoured():
    times = []

    async def handler(request, body):
        times.append(time.monotonic())
        return refusal(429, "slow down", headers={"Retry-After": "0.6"}) if len(times) == 1 else completion()

    outcomes, _, _ = ask(handler, requests(1))
    assert times[1] - times[0] >= 0.6
    assert [(call.outcome, call.paid) for call in outcomes["0"].calls] == [("rate_limited", False), ("ok", True)]


def test_a_hung_call_is_given_up_by_the_latencies_seen_and_asked_again():
    async def handler(request, body):
        if "Say 50." in body["messages"][0]["content"] and not handler.hung:
            handler.hung.append(1)
            await asyncio.sleep(GUARD_SECONDS)
        await asyncio.sleep(0.01)
        return completion()

    handler.hung = []
    outcomes, _, _ = ask(handler, requests(60))
    assert [call.outcome for call in outcomes["50"].calls] == ["timeout", "ok"]
    assert len(outcomes) == 60


def test_a_model_that_wants_max_completion_tokens_gets_them_from_then_on():
    async def handler(request, body):
        if "max_tokens" in body:
            return refusal(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        return completion()

    outcomes, _, fake = ask(handler, requests(4), width=1)
    assert all(one.completion for one in outcomes.values())
    assert len(fake.bodies) == 5 and fake.bodies[-1]["max_completion_tokens"] == 1024


def test_a_prompt_that_the_providers_filter_refuses_is_an_unpaid_answer():
    outcomes, _, _ = ask(script(status(400, "filtered", "content_filter")), requests(1))
    assert outcomes["0"].completion.finish is Finish.FILTERED
    assert not outcomes["0"].calls[0].paid


def test_an_error_wrapped_in_a_success_is_judged_by_its_own_code():
    def wrapped(_):
        return completion(choices=None, error={"code": 503, "message": "provider is down"})

    outcomes, _, _ = ask(script(wrapped, fine), requests(1))
    assert [call.outcome for call in outcomes["0"].calls] == ["server_error", "ok"]


# hopeless endpoints


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (status(401, f"Incorrect API key provided: {KEY}"), KeyRejected),
        (status(404, "The model `fake-teacher` does not exist", "model_not_found"), ModelUnknown),
        (status(402, "Insufficient credits"), QuotaExhausted),
        (status(429, "You exceeded your current quota", "insufficient_quota"), QuotaExhausted),
        (status(404, "Not Found"), NotAnOpenAIEndpoint),
    ],
)
def test_a_hopeless_endpoint_ends_the_stream_with_plain_words_and_without_the_key(answer, error):
    outcomes, failure, fake = ask(script(answer), requests(100), width=4)
    assert type(failure) is error and outcomes == {}
    assert fake.base_url in str(failure) and failure.advice and KEY not in str(failure)
    assert len(fake.bodies) <= 8


def test_a_web_page_is_not_an_openai_endpoint():
    from aiohttp import web

    page = script(lambda _: web.Response(text="<html>Welcome</html>", content_type="text/html"))
    _, failure, _ = ask(page, requests(3))
    assert isinstance(failure, NotAnOpenAIEndpoint) and "text/html" in str(failure)


def test_a_refused_option_is_a_missing_feature():
    todo = [ChatRequest("a", ({"role": "user", "content": "x"},), Sampling(), Purpose.REVIEW, {"type": "json_schema"})]
    _, failure, _ = ask(script(status(400, "response_format is not supported")), todo)
    assert isinstance(failure, FeatureMissing)


def test_what_was_paid_is_yielded_before_the_endpoint_is_given_up():
    async def handler(request, body):
        text = body["messages"][0]["content"]
        if "Say 2." in text:
            await asyncio.sleep(0.1)
            return refusal(402, "Insufficient credits")
        await asyncio.sleep(0.5)
        return completion()

    outcomes, failure, fake = ask(handler, requests(50), width=4)
    assert isinstance(failure, QuotaExhausted)
    assert set(outcomes) == {"0", "1", "3"} and len(fake.bodies) == 4


def test_nobody_listening_is_unreachable_after_some_tries():
    async def run():
        async with ChatClient(endpoint("http://127.0.0.1:9/v1"), max_attempts=3) as client:
            async for _ in client.stream(requests(5)):
                pass

    with pytest.raises(EndpointUnreachable) as caught:
        asyncio.run(run())
    assert "http://127.0.0.1:9/v1" in str(caught.value)


def test_a_server_that_only_fails_is_unreachable_in_the_end():
    outcomes, failure, fake = ask(script(status(502)), requests(500), max_attempts=2, width=4)
    assert isinstance(failure, EndpointUnreachable)
    assert len(outcomes) < 10 and len(fake.bodies) < 60


@pytest.mark.parametrize("key", ["sk with blank", "sk-newline\n", "sk-\u00e9"])
def test_a_key_that_cannot_be_a_header_is_rejected_without_quoting_it(key):
    with pytest.raises(KeyRejected) as caught:
        ChatClient(Endpoint("http://127.0.0.1:9/v1", "m", key))
    assert key.strip() not in str(caught.value)


# streaming


def test_outcomes_come_the_moment_they_are_there_not_in_the_order_asked():
    async def handler(request, body):
        await asyncio.sleep(1.0 if "Say 0." in body["messages"][0]["content"] else 0.01)
        return completion()

    outcomes, _, _ = ask(handler, requests(10))
    assert list(outcomes)[-1] == "0" and len(outcomes) == 10


def test_requests_are_pulled_only_when_they_can_be_sent():
    pulled = []

    def lazily():
        for i in range(100):
            pulled.append(i)
            yield request(str(i))

    async def run():
        async with fake_openai(script(fine)) as fake, ChatClient(endpoint(fake.base_url, 4)) as client:
            stream = client.stream(lazily())
            await anext(stream)
            await asyncio.sleep(0.2)
            early = len(pulled)
            await stream.aclose()
            return early, client.limiter.in_flight, client.limiter.parked

    early, in_flight, parked = asyncio.run(run())
    assert early <= 5  # a slow consumer holds calls back, so that a crash never loses more than max_concurrency
    assert (in_flight, parked) == (0, 0)


def test_a_stop_starts_nothing_new_and_yields_what_is_under_way():
    async def handler(request, body):
        await asyncio.sleep(0.2)
        return completion()

    started = []

    def watched():
        for i in range(100):
            started.append(i)
            yield request(str(i))

    outcomes, failure, fake = ask(handler, watched(), width=4, should_stop=lambda: len(started) >= 10)
    assert failure is None
    assert set(outcomes) == {str(i) for i in started} and len(fake.bodies) == len(started) == 10
    assert all(one.completion for one in outcomes.values())


def test_a_stop_does_not_wait_for_a_retry_and_leaves_that_request_open():
    began = time.monotonic()
    handler = script(status(429, headers={"Retry-After": "600"}))
    outcomes, failure, _ = ask(handler, requests(2), should_stop=lambda: time.monotonic() - began > 0.5)
    assert outcomes == {} and failure is None
    assert time.monotonic() - began < GUARD_SECONDS


def test_a_stop_brings_the_bill_of_a_lost_call():
    began = time.monotonic()

    async def handler(request, body):
        if not handler.seen:
            handler.seen.append(1)
            return await broken_off(request, b'{"id', 400)
        return refusal(429, headers={"Retry-After": "600"})

    handler.seen = []
    outcomes, _, _ = ask(handler, requests(1), should_stop=lambda: time.monotonic() - began > 1.0)
    assert isinstance(outcomes["0"].error, CallInterrupted)
    assert [call.paid for call in outcomes["0"].calls] == [True, False]


def test_limits_can_be_changed_while_it_runs():
    async def handler(request, body):
        await asyncio.sleep(0.05)
        return completion()

    async def run():
        async with fake_openai(handler) as fake, ChatClient(endpoint(fake.base_url, 2)) as client:
            seen = []
            async for outcome in client.stream(requests(60)):
                seen.append(outcome)
                if len(seen) == 10:
                    before = fake.most_in_flight
                    client.set_limits(ClientLimits(12))
            return len(seen), before, fake.most_in_flight

    count, before, after = asyncio.run(run())
    assert (count, before) == (60, 2) and 2 < after <= 12


def test_two_streams_of_one_client_share_its_limit():
    async def handler(request, body):
        await asyncio.sleep(0.02)
        return completion()

    async def run():
        async with fake_openai(handler) as fake, ChatClient(endpoint(fake.base_url, 3)) as client:

            async def drain():
                return len([one async for one in client.stream(requests(20))])

            return await asyncio.gather(drain(), drain()), fake.most_in_flight

    assert asyncio.run(run()) == ([20, 20], 3)


def test_an_error_of_the_callers_own_iterator_reaches_the_caller_after_the_outcomes():
    def breaks():
        yield request("0")
        raise LookupError("the rows are gone")

    seen = []

    async def run():
        async with fake_openai(script(fine)) as fake, ChatClient(endpoint(fake.base_url)) as client:
            async for outcome in client.stream(breaks()):
                seen.append(outcome.key)

    with pytest.raises(LookupError):
        asyncio.run(run())
    assert seen == ["0"]


def test_an_error_of_should_stop_reaches_the_caller_too():
    def broken():
        raise LookupError("the database is gone")

    with pytest.raises(LookupError):
        ask(script(fine), requests(5), should_stop=broken)


def test_no_requests_no_outcomes():
    outcomes, failure, fake = ask(script(fine), [])
    assert (outcomes, failure, fake.bodies) == ({}, None, [])


def test_the_key_is_sent_but_never_logged_or_shown(caplog):
    caplog.set_level(logging.DEBUG)
    outcomes, _, fake = ask(script(status(500, f"bad {KEY}"), fine), requests(3), max_attempts=1)
    assert fake.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in caplog.text and KEY not in repr(outcomes)
    assert KEY not in "".join(str(one.error) for one in outcomes.values())


# the shared mock


def run_mock(mock, n, width):
    async def run():
        async with ChatClient(endpoint(mock.base_url, width)) as client:
            return [one async for one in client.stream(requests(n))]

    return asyncio.run(run())


def test_a_faulty_server_loses_nothing_and_is_paid_once_for_each_prompt():
    flags = [
        "--latency-ms",
        "30",
        "--max-concurrent",
        "24",
        "--p-500",
        "0.03",
        "--p-hang",
        "0.01",
        "--retry-after",
        "0.2",
    ]
    flags += ["--p-truncate", "0.03", "--p-empty", "0.03", "--p-length", "0.03", "--truncate-mode", "connection"]
    with mock_openai(*flags) as mock:
        outcomes = run_mock(mock, 400, 32)
        stats = mock.stats()
    assert len({one.key for one in outcomes}) == len(outcomes) == 400
    assert all(one.completion is not None for one in outcomes)
    assert stats["overspend"] == 0 and stats["paid"] == 400
    calls = [call for one in outcomes for call in one.calls]
    assert len(calls) == stats["received"] and sum(call.paid for call in calls) == 400
    for word, name in (
        ("truncated",) * 2,
        ("empty",) * 2,
        ("length",) * 2,
        ("server_error", "e500"),
        ("timeout", "hung"),
    ):
        assert sum(call.outcome == word for call in calls) == stats[name]


def test_the_cap_of_a_server_is_learned():
    with mock_openai(
        "--latency-ms", "20", "--latency-sigma", "0", "--max-concurrent", "10", "--retry-after", "0.1"
    ) as mock:
        outcomes = run_mock(mock, 400, 40)
        stats = mock.stats()
    assert all(one.completion for one in outcomes)
    assert stats["r429"] < 60  # the first burst is 30 over
