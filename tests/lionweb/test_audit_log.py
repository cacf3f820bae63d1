"""The audit log: filters in the URL, pages by keys, sentences, and an export that is safe to open."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from lionweb.audit_words import SENTENCES, sentence
from lionweb.formula_safe import formula_safe
from lionweb.models import AuditEvent
from lionweb.services import audit, controls
from tests import factories as make
from tests import review_factories as review


@pytest.fixture
def researcher(client, alice):
    client.force_login(alice)
    return client


def event(actor=None, action="experiment.pause", target_type="experiment", target_id="1", at=None, **values):
    made = AuditEvent.objects.create(actor=actor, action=action, target_type=target_type, target_id=target_id, **values)
    if at:
        AuditEvent.objects.filter(pk=made.pk).update(at=at)
    return made


def shown(client, query=""):
    return [row.event.pk for row in client.get(f"/audit/{query}").context["page"].rows]


class TestRecording:
    def test_the_experiment_is_found_from_whatever_was_changed(self, alice, bob):
        iteration = review.waiting_iteration(alice)
        item = review.items_of(iteration)[0]
        decision = review.say(item, bob, "hard")
        candidates = make.add_candidates(iteration, make.make_instructions(2), accepted=1)
        targets = [
            iteration.experiment,
            iteration,
            iteration.stages.first(),
            item,
            decision,
            iteration.candidates.first(),
            iteration.checkpoint,
        ]

        found = [audit.experiment_of(target) for target in targets]

        assert found == [iteration.experiment_id] * len(targets)
        assert audit.experiment_of(candidates[0]) is None
        assert audit.experiment_of(iteration.experiment.endpoint) is None

    def test_a_verdict_is_filed_under_its_experiment(self, alice, bob):
        iteration = review.waiting_iteration(alice)
        review.say(review.items_of(iteration)[0], bob, "hard")

        assert AuditEvent.objects.get().experiment == iteration.experiment


class TestFilters:
    def test_each_narrows_and_they_combine(self, researcher, alice, bob):
        experiment = make.make_experiment(alice)
        AuditEvent.objects.all().delete()
        old = timezone.now() - timedelta(days=10)
        one = event(alice, "pool.import", "pool", "7", at=old).pk
        two = event(bob, "verdict.decide", "classification", "9", experiment=experiment).pk
        three = event(None, "endpoint.sync", "endpoint", "7").pk
        day = timezone.localdate()

        assert shown(researcher) == [three, two, one]
        assert shown(researcher, f"?actor={bob.pk}") == [two]
        assert shown(researcher, "?action=endpoint.sync") == [three]
        assert shown(researcher, "?target_type=pool") == [one]
        assert shown(researcher, "?target=7") == [three, one]
        assert shown(researcher, "?target_type=pool&target=7") == [one]
        assert shown(researcher, f"?experiment={experiment.pk}") == [two]
        assert shown(researcher, f"?since={day - timedelta(days=2)}") == [three, two]
        assert shown(researcher, f"?until={day - timedelta(days=2)}") == [one]
        assert shown(researcher, f"?since={day}&until={day}&target=7") == [three]

    def test_days_are_whole_days_of_the_installations_time(self, researcher):
        late = event(at=datetime(2026, 3, 4, 23, 59, 59, tzinfo=UTC)).pk
        event(at=datetime(2026, 3, 5, 0, 0, 0, tzinfo=UTC))

        assert shown(researcher, "?since=2026-03-04&until=2026-03-04") == [late]

    @pytest.mark.parametrize(
        "query", ["?actor=x", "?experiment=1e3", "?since=yesterday", "?until=2026-02-30", "?actor=" + "9" * 12, "?since=9999-12-31"]
    )  # fmt: skip
    def test_what_means_nothing_is_a_bad_request(self, researcher, query):
        assert researcher.get(f"/audit/{query}").status_code == 400

    def test_nul_bytes_and_spoilt_cursors_do_no_harm(self, researcher):
        pk = event().pk

        assert shown(researcher, "?action=experiment.pause%00") == [pk]
        for cursor in ("x", "1:", "1:yesterday", "1:2026-01-01T00:00:00", "9" * 30 + ":2026-01-01T00:00:00+00:00"):
            assert shown(researcher, f"?after={cursor}".replace("+", "%2B")) == [pk]

    def test_the_form_shows_what_is_filtered(self, researcher, alice):
        page = researcher.get(f"/audit/?actor={alice.pk}&since=2026-01-02").content.decode()

        assert f'<option value="{alice.pk}" selected>' in page
        assert 'value="2026-01-02"' in page
        assert "Nothing fits" in page


class TestPages:
    def test_stepping_to_the_end_and_back_shows_every_event_once(self, researcher):
        same = timezone.now()
        made = [event(target_id=str(n), at=same).pk for n in range(120)]

        seen, query, pages = [], "", []
        while True:
            page = researcher.get(f"/audit/?{query}").context["page"]
            pages.append([row.event.pk for row in page.rows])
            seen += pages[-1]
            if not page.older:
                break
            query = page.older
        assert seen == made[::-1]
        assert [len(one) for one in pages] == [50, 50, 20]

        back = researcher.get(f"/audit/?{page.newer}").context["page"]
        assert [row.event.pk for row in back.rows] == pages[1]
        assert shown(researcher, f"?{back.newer}") == pages[0]
        assert researcher.get(f"/audit/?{back.newer}").context["page"].newer == ""

    def test_filters_stay_while_stepping(self, researcher, alice):
        for n in range(60):
            event(alice if n % 2 else None, target_id=str(n))
        for n in range(60):
            event(alice, target_id=str(n))

        page = researcher.get(f"/audit/?actor={alice.pk}").context["page"]

        assert f"actor={alice.pk}" in page.older
        assert len(shown(researcher, f"?{page.older}")) == 40

    def test_the_number_of_queries_is_fixed(self, researcher, alice, django_assert_max_num_queries):
        experiment = make.make_experiment(alice)
        for n in range(60):
            event(alice, target_id=str(n), experiment=experiment)

        with django_assert_max_num_queries(6):
            researcher.get("/audit/")

    @pytest.mark.parametrize(
        ("query", "index"),
        [
            ("", "audit_by_time"),
            ("?since=2020-01-02&until=2020-01-05", "audit_by_time"),
            ("?actor={alice}", "audit_of_actor"),
            ("?action=rare.one", "audit_of_action"),
            ("?experiment={experiment}", "audit_of_experiment"),
            ("?target_type=stage&target=77", "audit_of_target"),
        ],
    )
    def test_each_filter_is_answered_by_an_index(self, researcher, alice, query, index):
        experiment = make.make_experiment(alice)
        with connection.cursor() as cursor:
            cursor.execute(
                """INSERT INTO lionweb_auditevent (at, actor_id, action, target_type, target_id, detail, experiment_id)
                   SELECT timestamptz '2020-01-01' + n * interval '1 minute', CASE WHEN n %% 500 = 0 THEN %s END,
                          CASE WHEN n %% 500 = 1 THEN 'rare.one' ELSE 'verdict.decide' END, 'stage', (n %% 9000)::text,
                          '{}', CASE WHEN n %% 500 = 2 THEN %s::bigint END FROM generate_series(1, 20000) n""",
                [alice.pk, experiment.pk],
            )
            cursor.execute("ANALYZE lionweb_auditevent")
        with connection.execute_wrapper(explained := _Explained()):
            researcher.get("/audit/" + query.format(alice=alice.pk, experiment=experiment.pk))

        assert index in explained.plans[0]
        assert "Seq Scan on lionweb_auditevent" not in explained.plans[0]


class _Explained:
    """Asks for the plan of each query on the audit log before it runs."""

    def __init__(self):
        self.plans = []

    def __call__(self, execute, sql, params, many, context):
        if 'FROM "lionweb_auditevent"' in sql and not sql.startswith("EXPLAIN"):
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN {sql}", params)
                self.plans.append("\n".join(row[0] for row in cursor.fetchall()))
        return execute(sql, params, many, context)


class TestSentences:
    def test_every_audited_action_of_the_code_has_one(self):
        root = Path(__file__).resolve().parents[2]
        source = "".join(path.read_text() for folder in ("lionweb", "worker") for path in (root / folder).rglob("*.py"))
        named = set(re.findall(r'action="([a-z_]+\.[a-z_.]+)"', source))

        assert named
        assert named <= set(SENTENCES)

    def test_the_detail_is_filled_in(self):
        assert sentence("gate.review.close", {"left_open": 1234}) == "closed the review gate with 1,234 open"
        assert sentence("verdict.decide", {"after": "teacher_wrong"}) == "decided teacher wrong"

    def test_a_missing_detail_is_a_gap_and_an_unknown_action_is_spelt_out(self):
        assert sentence("experiment.launch", {}) == "launched iterations: …"
        assert sentence("garden.water_all", {}) == "garden: water all"

    def test_the_detail_is_no_format_and_no_markup(self, researcher, alice):
        event(alice, "experiment.create", detail={"name": "<script>x</script> {0.__class__}"})

        page = researcher.get("/audit/").content.decode()

        assert "&lt;script&gt;x&lt;/script&gt; {0.__class__}" in page
        assert "<script>x" not in page

    def test_a_line_names_actor_target_and_experiment(self, researcher, alice):
        experiment = make.make_experiment(alice, "Ours", planned=1)
        controls.launch(experiment=experiment, actor=alice, count=2)

        page = " ".join(researcher.get("/audit/").content.decode().split())

        assert "launched iterations: 2" in page
        assert f'<a href="/experiments/{experiment.pk}/">experiment {experiment.pk}</a>' in page

    def test_an_empty_log_says_what_will_stand_there(self, researcher):
        AuditEvent.objects.all().delete()

        assert "Nothing has happened yet" in researcher.get("/audit/").content.decode()


class TestExport:
    def rows(self, client, query=""):
        answer = client.get(f"/audit/export.csv{query}")
        text = b"".join(answer.streaming_content).decode("utf-8-sig")
        return list(csv.DictReader(io.StringIO(text)))

    def test_it_holds_what_the_filters_let_through_newest_first(self, researcher, alice, bob):
        for n in range(120):
            event(alice if n % 2 else bob, target_id=str(n), detail={"n": n})

        rows = self.rows(researcher, f"?actor={bob.pk}")

        assert [row["target_id"] for row in rows] == [str(n) for n in range(118, -1, -2)]
        assert rows[0]["actor"] == "bob"
        assert rows[0]["detail"] == '{"n": 118}'

    def test_it_is_streamed(self, researcher):
        for n in range(30):
            event(target_id=str(n))

        answer = researcher.get("/audit/export.csv")

        assert answer.streaming
        assert "attachment" in answer["Content-Disposition"]
        assert len(list(answer.streaming_content)) == 31

    def test_no_cell_begins_a_formula(self, researcher, alice):
        alice.username = "=HYPERLINK(1)"
        alice.save()
        event(alice, "@SUM(A1)", "+1", "-2")

        (row,) = self.rows(researcher)

        assert (row["actor"], row["action"]) == ("'=HYPERLINK(1)", "'@SUM(A1)")
        assert (row["target_type"], row["target_id"]) == ("'+1", "'-2")

    @pytest.mark.parametrize("value", ["=1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "  =1", "\uff1d1"])
    def test_formulas_of_every_kind_are_defused(self, value):
        assert formula_safe(value) == f"'{value}"

    @pytest.mark.parametrize("value", ["", "plain", "a=1", 7, -7, None])
    def test_the_rest_stays_as_it_is(self, value):
        assert formula_safe(value) == value


@pytest.mark.parametrize("path", ["/audit/", "/audit/export.csv"])
def test_annotators_and_viewers_do_not_see_it(client, bob, charlie, path):
    for person in (bob, charlie):
        client.force_login(person)
        assert client.get(path).status_code == 403
