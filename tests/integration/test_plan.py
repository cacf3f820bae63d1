"""The plan against what the shared mock was really asked for: calls and tokens within a tenth."""

import time
import urllib.request
from dataclasses import replace

import pytest

from distill.settings import ExperimentSettings, GeneratorSettings, PoolSettings, StudentSettings, TeacherSettings
from lionweb.models import StageEvent
from lionweb.selectors.plan import plan_of, plan_page
from lionweb.selectors.reuse import saved_by_reuse
from lionweb.services import controls
from tests.factories import make_endpoint, make_experiment, make_pool
from tests.fake_engine import FakeEngine, words_of
from tests.integration.live_worker import LiveWorker, play_the_student
from tests.mock_server import mock_openai

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]

FIRST = ExperimentSettings(
    teacher=TeacherSettings(temperature=0.0),
    student=StudentSettings(base="bundled", max_new_tokens=48),
    pools=PoolSettings(train=24, cache=24, heldout=6),
    generator=GeneratorSettings(hard=8, easy=8),
    iterations=1,
)


@pytest.fixture(scope="module")
def mock():
    with mock_openai("--latency-ms", "10") as running:
        yield running


@pytest.fixture(autouse=True)
def _worker(monkeypatch):
    with LiveWorker() as worker:
        monkeypatch.setattr("lionweb.queue._send", worker.ring)
        play_the_student(monkeypatch)
        monkeypatch.setattr(FakeEngine, "infer", _like_a_student_of_its_own)
        yield


def _like_a_student_of_its_own(engine, part, item):
    """Two trained students do not answer in the very same words, which would be reviewed once."""
    text = f"Student {part.checkpoint.pk} says {words_of(item['text'] + str(part.checkpoint.pk), 20)}"
    return {"key": item["key"], "text": text, "finish": "stop", "prompt_tokens": 12, "completion_tokens": 23}


def run_through(experiment, alice):
    iterations = experiment.settings.iterations
    controls.launch(experiment=experiment, actor=alice, count=iterations)
    deadline = time.monotonic() + 60
    while experiment.iterations.filter(finished_at__isnull=False).count() < iterations:
        assert time.monotonic() < deadline, list(StageEvent.objects.values_list("stage__kind", "message"))
        time.sleep(0.05)


def test_three_iterations_cost_what_was_planned(mock, alice):
    endpoint = make_endpoint("mock", base_url=mock.base_url, model="planned", max_concurrency=8)
    pool = make_pool(rows=100)
    run_through(make_experiment(alice, settings=FIRST, pool=pool, endpoint=endpoint), alice)
    settings = replace(FIRST, iterations=3, seed=1, pools=replace(FIRST.pools, train=30, cache=30, heldout=8))
    plan = plan_of(settings, pool, None, endpoint)
    assert not plan.has_defaults
    assert 0 < plan.counts.answered < plan.counts.to_answer, "some were answered by the first experiment"
    request = urllib.request.Request(f"{mock.base_url.removesuffix('/v1')}/reset", method="POST")
    urllib.request.urlopen(request, timeout=10).close()
    experiment = make_experiment(alice, "planned", settings=settings, pool=pool, endpoint=endpoint)
    run_through(experiment, alice)
    served = mock.stats()

    page = plan_page(experiment)
    assert page.plan == plan, "what came later does not change the plan"
    assert page.total.counted.calls == served["paid"]
    assert served["overspend"] == 0
    assert plan.total.calls.expected == pytest.approx(served["paid"], rel=0.1)
    assert plan.total.prompt_tokens.expected == pytest.approx(page.total.counted.prompt_tokens, rel=0.1)
    assert plan.total.completion_tokens.expected == pytest.approx(page.total.counted.completion_tokens, rel=0.1)
    assert plan.total.usd.expected == pytest.approx(page.total.counted.usd, rel=0.1)
    assert plan.total.usd.low <= page.total.counted.usd <= plan.total.usd.high
    saved = saved_by_reuse(experiment)
    assert saved.answers == plan.counts.answered
    assert saved.reviews == 0
