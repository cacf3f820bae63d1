"""The ledger: sums, filters in the URL, pages by keys, and a CSV that a spreadsheet does not execute."""

import csv
import io

import pytest

from distill.records import Purpose
from lionweb.models import ModelCall, StageKind
from tests import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def viewer(client, charlie):
    client.force_login(charlie)
    return client


@pytest.fixture
def experiment(alice):
    made = make.make_experiment(alice, endpoint=make.make_endpoint("=Paid"))
    iteration = make.make_iteration(made, done=3)
    stages = {stage.kind: stage for stage in iteration.stages.all()}
    make.add_calls(stages[StageKind.ANSWER], 60)
    make.add_calls(stages[StageKind.JUDGE], 10, Purpose.REVIEW, cost_usd=0.001)
    make.add_calls(stages[StageKind.JUDGE], 3, Purpose.REVIEW, outcome="rate_limited", paid=False)
    other = make.make_experiment(alice, "=Other")
    make.add_calls(make.make_iteration(other).stages.get(kind="answer"), 5, cost_usd=0.1)
    return made


def test_without_calls_it_says_so(viewer):
    assert "No call was made yet" in viewer.get("/ledger/").content.decode()


def test_a_viewer_may_read_it_and_finds_it_in_the_navigation(viewer):
    assert 'href="/ledger/"' in viewer.get("/experiments/").content.decode()


def test_sums_by_purpose_and_experiment(viewer, experiment):
    totals = viewer.get("/ledger/").context["totals"]
    assert [(one.title, one.paid_calls, round(one.cost_usd, 6)) for one in totals.purposes] == [
        ("Teacher answers", 65, 0.512),
        ("Reviews", 10, 0.01),
    ]
    assert [(one.title, round(one.cost_usd, 6)) for one in totals.experiments] == [
        ("=Other", 0.5),
        ("Small student", 0.022),
    ]
    assert (totals.all.calls, totals.all.paid_calls) == (78, 75)
    assert totals.all.cost_usd == pytest.approx(sum(ModelCall.objects.values_list("cost_usd", flat=True)))


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("purpose=review", 13),
        ("outcome=rate_limited", 3),
        ("purpose=review&outcome=ok", 10),
        ("since=2100-01-01", 0),
        ("until=2100-01-01", 78),
        ("purpose=nonsense", 0),
    ],
)
def test_filters_stand_in_the_url(viewer, experiment, query, count):
    page = viewer.get(f"/ledger/?{query}")
    assert page.context["totals"].all.calls == count


def test_one_experiment_alone(viewer, experiment):
    page = viewer.get(f"/ledger/?experiment={experiment.pk}&endpoint={experiment.endpoint_id}")
    assert page.context["totals"].all.calls == 73
    assert "What reuse saved" in page.content.decode()


def test_pages_follow_each_other_without_gap_or_repeat(viewer, experiment):
    seen, query = [], ""
    while True:
        page = viewer.get(f"/ledger/?{query}").context["page"]
        seen += [row.pk for row in page.rows]
        if not page.older:
            break
        query = page.older
    assert sorted(seen) == sorted(ModelCall.objects.values_list("pk", flat=True))
    assert len(seen) == len(set(seen))
    back = viewer.get(f"/ledger/?{page.newer}").context["page"]
    assert [row.pk for row in back.rows] == seen[:50]


@pytest.mark.parametrize("query", ["experiment=x", "endpoint=1e9", "since=today", "until=0001-01-01", "experiment=²"])
def test_what_is_no_number_or_day_is_refused(viewer, query):
    assert viewer.get(f"/ledger/?{query}").status_code == 400


@pytest.mark.parametrize("cursor", ["after=x", "after=1:never", "before=%00", "after=9999999999999999999:2026-01-01"])
def test_a_spoilt_cursor_shows_the_first_page(viewer, experiment, cursor):
    assert len(viewer.get(f"/ledger/?{cursor}").context["page"].rows) == 50


def test_the_csv_holds_what_the_filters_let_through_and_no_formula(viewer, experiment):
    answer = viewer.get("/ledger/ledger.csv?purpose=review")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))
    assert len(rows) == 13
    assert {row["endpoint"] for row in rows} == {"'=Paid"}
    assert sum(float(row["cost_usd"]) for row in rows) == pytest.approx(0.01)
    assert {row["stage"] for row in rows} == {"judge"}
