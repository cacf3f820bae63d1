import asyncio

from distill.concurrency import ClientLimits, ConcurrencyLimiter, MinuteBudget


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def started(limiter, count):
    """Ask for `count` turns; how many were granted at once."""
    return sum(limiter.turn().done() for _ in range(count))


def reject(limiter, clock, count):
    """The server refuses `count` calls of one burst, a millisecond after each other."""
    started_at = clock.now
    for _ in range(count):
        clock.now += 0.001
        limiter.leave()
        limiter.rejected(started_at, 1.0)


def in_a_loop(check):
    async def run():
        check()

    asyncio.run(run())


def test_it_grants_as_many_turns_as_the_limit_allows():
    def check():
        limiter = ConcurrencyLimiter(ClientLimits(3), Clock())
        assert started(limiter, 10) == 3
        limiter.leave()
        assert limiter.in_flight == 3

    in_a_loop(check)


def test_an_urgent_turn_goes_before_those_that_waited_longer():
    def check():
        limiter = ConcurrencyLimiter(ClientLimits(1), Clock())
        limiter.turn()
        patient, urgent = limiter.turn(), limiter.turn(urgent=True)
        limiter.leave()
        assert urgent.done() and not patient.done()

    in_a_loop(check)


def test_a_turn_that_was_given_up_is_not_granted():
    def check():
        limiter = ConcurrencyLimiter(ClientLimits(1), Clock())
        limiter.turn()
        given_up, patient = limiter.turn(), limiter.turn()
        given_up.set_result(False)
        limiter.leave()
        assert patient.done() and limiter.in_flight == 1

    in_a_loop(check)


def test_a_burst_of_64_against_a_cap_of_48_leaves_48():
    def check():
        clock = Clock()
        limiter = ConcurrencyLimiter(ClientLimits(64), clock)
        started(limiter, 64)
        reject(limiter, clock, 16)
        assert limiter.limit == 48
        assert started(limiter, 5) == 0
        limiter.leave()
        assert limiter.in_flight == 48

    in_a_loop(check)


def test_above_a_learned_cap_it_probes_seldom_and_ever_less_often():
    def check():
        clock = Clock()
        limiter = ConcurrencyLimiter(ClientLimits(64), clock)
        started(limiter, 64)
        reject(limiter, clock, 16)
        started(limiter, 10_000)
        rejected = 0
        for _ in range(4000):
            clock.now += 0.006
            if limiter.in_flight > 48:
                limiter.leave()
                limiter.rejected(clock.now, 1.0)
                rejected += 1
            else:
                limiter.accepted(clock.now)
                limiter.leave()
        assert 1 <= rejected <= 8
        assert 47 <= limiter.limit <= 49

    in_a_loop(check)


def test_three_fresh_rejections_in_a_row_hold_everything_back():
    def check():
        clock = Clock()
        limiter = ConcurrencyLimiter(ClientLimits(8), clock)
        started(limiter, 8)
        for _ in range(3):
            clock.now += 0.1
            limiter.leave()
            limiter.rejected(clock.now, 20.0)
        while limiter.in_flight:
            limiter.leave()
        assert started(limiter, 1) == 0
        clock.now += 20.1
        assert started(limiter, 5) == 1 and limiter.in_flight == 2  # the one that waited, and half the places at most

    in_a_loop(check)


def test_replies_that_nobody_stored_take_up_places():
    def check():
        limiter = ConcurrencyLimiter(ClientLimits(4), Clock())
        limiter.park(3)
        assert started(limiter, 4) == 1
        limiter.park(-2)
        assert limiter.in_flight == 3

    in_a_loop(check)


def test_limits_change_while_it_runs():
    def check():
        limiter = ConcurrencyLimiter(ClientLimits(2), Clock())
        started(limiter, 10)
        limiter.set_limits(ClientLimits(5))
        assert limiter.in_flight == 5
        limiter.set_limits(ClientLimits(0))
        limiter.leave()
        assert limiter.in_flight == 4
        limiter.set_limits(ClientLimits(5))
        assert limiter.in_flight == 5

    in_a_loop(check)


def test_a_learned_cap_outlives_a_change_of_limits():
    def check():
        clock = Clock()
        limiter = ConcurrencyLimiter(ClientLimits(64), clock)
        started(limiter, 64)
        reject(limiter, clock, 44)
        limiter.set_limits(ClientLimits(50))
        assert limiter.limit == 20

    in_a_loop(check)


def test_requests_per_minute_are_kept():
    def check():
        clock = Clock()
        limiter = ConcurrencyLimiter(ClientLimits(1000, requests_per_minute=60), clock)
        granted = 0
        for _ in range(600):
            granted += started(limiter, 1)
            clock.now += 0.1
            limiter.set_limits(ClientLimits(1000, requests_per_minute=60))
        assert 58 <= limiter.in_flight <= 62

    in_a_loop(check)


def test_an_unused_turn_costs_no_request():
    def check():
        limiter = ConcurrencyLimiter(ClientLimits(10, requests_per_minute=30), Clock())
        assert started(limiter, 2) == 1
        limiter.leave(unused=True)
        assert limiter.in_flight == 1

    in_a_loop(check)


def test_a_budget_in_debt_waits_until_it_is_paid_off():
    clock = Clock()
    budget = MinuteBudget(6000, clock)
    budget.spend(1200)
    assert 10 <= budget.wait_seconds() <= 10.1
    budget.spend(-500)
    assert budget.wait_seconds() < 6
    clock.now += 6
    assert budget.wait_seconds() == 0


def test_no_rate_means_no_wait():
    budget = MinuteBudget(0, Clock())
    budget.spend(1e9)
    assert budget.wait_seconds() == 0
