import random

from distill.patience import ENOUGH, Patience


def seen(patience, rows):
    for i, (latency, tokens) in enumerate(rows):
        patience.replied(float(i), latency, tokens)


def test_before_enough_replies_it_waits_for_the_ceiling():
    patience = Patience(600)
    seen(patience, [(0.3, 20)] * (ENOUGH - 1))
    assert patience.allowed_seconds(100) == 600


def test_a_hung_call_on_a_fast_server_costs_seconds():
    rng = random.Random(1)
    patience = Patience(600)
    seen(patience, [(rng.lognormvariate(-1.2, 0.25), rng.randint(20, 100)) for _ in range(500)])
    assert patience.allowed_seconds(1024) < 10


def test_a_long_generation_gets_the_time_its_tokens_take():
    rng = random.Random(1)
    patience = Patience(6000)
    seen(patience, [(0.5 + 0.05 * n, n) for n in (rng.randint(20, 300) for _ in range(200))])
    assert patience.allowed_seconds(4096) > 0.05 * 4096


def test_widely_spread_latencies_are_almost_never_abandoned():
    rng = random.Random(2)
    patience = Patience(600)
    late = 0
    for i in range(5000):
        latency = min(60.0, rng.lognormvariate(1.5, 0.9))  # 1 to 60 s, without any relation to the length
        late += i > ENOUGH and latency > patience.allowed_seconds(512)
        patience.replied(float(i), latency, rng.randint(10, 400))
    assert late <= 2


def test_each_time_out_of_a_request_doubles_its_time():
    patience = Patience(600)
    seen(patience, [(1.0, 50)] * 100)
    assert patience.allowed_seconds(50, timeouts=1) == 2 * patience.allowed_seconds(50)


def test_many_time_outs_make_it_more_patient():
    patience = Patience(600)
    seen(patience, [(1.0, 50)] * 100)
    before = patience.allowed_seconds(50)
    for _ in range(30):
        patience.timed_out()
    assert patience.allowed_seconds(50) > 5 * before


def test_a_call_is_given_up_when_many_later_ones_were_answered():
    patience = Patience(600)
    seen(patience, [(1.0, 50)] * 100)  # started at 0 to 99
    assert patience.hopeless(10.0, 30.0, 50, 0, in_flight=64, limit=64)


def test_a_stalled_server_is_given_more_time():
    patience = Patience(600)
    seen(patience, [(1.0, 50)] * 100)
    assert not patience.hopeless(100.0, 110.0, 50, 0, in_flight=64, limit=64)
    assert patience.hopeless(100.0, 110.0, 50, 0, in_flight=3, limit=64)
    assert patience.hopeless(100.0, 140.0, 50, 0, in_flight=64, limit=64)
