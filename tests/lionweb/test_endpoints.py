"""Endpoints: entered and found, their keys, their pages, and the check."""

import json

import pytest

from distill.endpoint_check import EndpointReport
from distill.errors import EndpointError, EndpointUnreachable, KeyRejected
from distill.records import Call
from lionweb.local.home import teacher_state
from lionweb.models import AuditEvent, Endpoint, EndpointSource, ModelCall
from lionweb.services import endpoints
from lionweb.services.errors import Refused
from tests import factories as make
from tests.mock_server import mock_openai

SECRET = "sk-a-key-that-must-not-leak"
FORM = {
    "name": "Ours",
    "base_url": "https://api.example.org/v1/",
    "model": "large-1",
    "api_key": SECRET,
    "max_concurrency": 64,
    "requests_per_minute": 500,
    "tokens_per_minute": 0,
    "input_usd_per_million": 0.15,
    "output_usd_per_million": 0.6,
}
REPORT = EndpointReport(("large-1", "small-1"), True, False, 0.42, (Call("ok", 0.4, True, 9, 3, 0.001),))


@pytest.fixture
def researcher(client, alice):
    client.force_login(alice)
    return client


@pytest.fixture
def saved(alice):
    return endpoints.save_endpoint(actor=alice, **FORM)


@pytest.fixture
def check_gives(monkeypatch):
    """Replaces the engine's check; returns the engine endpoints it was called with."""
    seen = []

    def give(outcome):
        async def check(endpoint, **_):
            seen.append(endpoint)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr("distill.endpoint_check.check_endpoint", check)
        return seen

    return give


class TestKeys:
    def test_the_key_is_encrypted_in_the_database_and_comes_back_for_the_engine(self, saved):
        assert SECRET not in saved.api_key_encrypted
        assert endpoints.engine_endpoint(saved).api_key == SECRET

    def test_the_key_stands_in_no_page_no_audit_and_no_repr(self, researcher, saved):
        pages = [researcher.get(url).content.decode() for url in ("/endpoints/", f"/endpoints/{saved.pk}/")]

        assert not any(SECRET in page for page in pages)
        assert all("not shown" in page for page in pages)
        assert SECRET not in str(list(AuditEvent.objects.values()))
        assert SECRET not in repr(endpoints.engine_endpoint(saved))

    def test_the_key_does_not_come_back_with_a_wrong_form(self, researcher):
        answer = researcher.post("/endpoints/add/", FORM | {"base_url": "nowhere"})

        assert answer.status_code == 422
        assert SECRET not in answer.content.decode()

    def test_an_empty_key_keeps_the_stored_one(self, alice, saved):
        endpoints.save_endpoint(actor=alice, endpoint=saved, **FORM | {"api_key": "", "model": "large-2"})

        saved.refresh_from_db()
        assert (saved.model, endpoints.engine_endpoint(saved).api_key) == ("large-2", SECRET)

    def test_a_new_key_replaces_it(self, alice, saved):
        endpoints.save_endpoint(actor=alice, endpoint=saved, **FORM | {"api_key": "sk-new"})

        saved.refresh_from_db()
        assert endpoints.engine_endpoint(saved).api_key == "sk-new"

    def test_a_stored_key_is_not_sent_to_another_server(self, alice, saved):
        with pytest.raises(Refused, match="belongs to the old URL"):
            endpoints.save_endpoint(
                actor=alice, endpoint=saved, **FORM | {"api_key": "", "base_url": "https://evil.example/v1"}
            )

        saved.refresh_from_db()
        assert saved.base_url == "https://api.example.org/v1"

    def test_after_a_change_of_secret_key_it_says_what_to_do(self, saved, settings):
        settings.SECRET_KEY = "another key of more than forty characters, as is right"

        with pytest.raises(KeyRejected, match="Enter the key again"):
            endpoints.engine_endpoint(saved)


class TestSaving:
    def test_all_values_reach_the_engine(self, saved):
        engine = endpoints.engine_endpoint(saved)

        assert (engine.base_url, engine.model) == ("https://api.example.org/v1", "large-1")
        assert (engine.max_concurrency, engine.requests_per_minute, engine.tokens_per_minute) == (64, 500, 0)
        assert (engine.input_usd_per_million, engine.output_usd_per_million) == (0.15, 0.6)

    def test_what_changed_is_audited(self, alice, saved):
        endpoints.save_endpoint(actor=alice, endpoint=saved, **FORM | {"api_key": "sk-new", "max_concurrency": 8})

        event = AuditEvent.objects.get(action="endpoint.change")
        assert event.detail == {"max_concurrency": 8, "api_key": "replaced"}

    def test_another_model_must_be_checked_again(self, alice, saved):
        Endpoint.objects.filter(pk=saved.pk).update(supports_json_schema=True, supports_logprobs=True)

        changed = endpoints.save_endpoint(actor=alice, endpoint=saved, **FORM | {"model": "large-2", "api_key": ""})

        assert (changed.supports_json_schema, changed.checked_at) == (None, None)

    def test_a_taken_name_is_refused(self, alice, saved):
        with pytest.raises(Refused, match="there already"):
            endpoints.save_endpoint(actor=alice, **FORM)

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "api.example.org",
            "ftp://x/v1",
            "http://169.254.169.254/v1",
            "https://u:p@x/v1",
            "http://metadata.google.internal/",
        ],
    )
    def test_an_unsafe_url_is_refused(self, alice, url):
        with pytest.raises(EndpointError):
            endpoints.save_endpoint(actor=alice, **FORM | {"base_url": url})


class TestPages:
    def test_without_endpoints_it_says_how_to_begin(self, researcher):
        assert "Add the first endpoint" in researcher.get("/endpoints/").content.decode()

    def test_adding_leads_back_to_the_list(self, researcher):
        answer = researcher.post("/endpoints/add/", FORM, follow=True)

        assert "Ours is saved." in answer.content.decode()
        assert "500 requests/min" in answer.content.decode()

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("base_url", "http://169.254.169.254/v1", "metadata"),
            ("base_url", "https://x/v1?key=1", "query"),
            ("max_concurrency", 0, "greater than or equal to 1"),
            ("max_concurrency", 10**12, "less than or equal to"),
            ("tokens_per_minute", -1, "greater than or equal to 0"),
            ("input_usd_per_million", "nan", "Enter a number"),
            ("api_key", "two words", "neither blanks"),
            ("api_key", "schlüssel", "outside ASCII"),
            ("name", "", "required"),
            ("model", "a\x00b", "Null characters"),
        ],
    )
    def test_a_wrong_value_is_told_beside_its_field_and_the_rest_is_kept(self, researcher, field, value, message):
        answer = researcher.post("/endpoints/add/", FORM | {field: value})

        page = answer.content.decode()
        assert answer.status_code == 422
        assert message in page
        assert "500" in page
        assert not Endpoint.objects.exists()

    def test_editing_keeps_what_was_not_changed(self, researcher, saved):
        shown = researcher.get(f"/endpoints/{saved.pk}/").context["form"]
        values = {one.html_name: "" if one.value() is None else one.value() for one in shown} | {"max_concurrency": 3}

        researcher.post(f"/endpoints/{saved.pk}/", values)

        saved.refresh_from_db()
        assert (saved.max_concurrency, saved.requests_per_minute, saved.input_usd_per_million) == (3, 500, 0.15)
        assert endpoints.engine_endpoint(saved).api_key == SECRET

    @pytest.mark.parametrize("person", ["bob", "charlie"])
    def test_only_researchers_may_change_or_check(self, client, request, saved, person):
        client.force_login(request.getfixturevalue(person))

        page = client.get("/endpoints/").content.decode()

        assert "Ours" in page
        assert "Edit" not in page
        assert client.get("/endpoints/add/").status_code == 403
        assert client.post(f"/endpoints/{saved.pk}/", FORM).status_code == 403
        assert client.post(f"/endpoints/{saved.pk}/check/").status_code == 403

    def test_an_endpoint_of_the_installation_is_not_edited(self, researcher):
        found = make.make_endpoint(source=EndpointSource.BUNDLED)

        assert researcher.get(f"/endpoints/{found.pk}/").status_code == 404
        assert researcher.post(f"/endpoints/{found.pk}/", FORM).status_code == 404

    def test_hostile_names_are_escaped(self, researcher):
        make.make_endpoint("<script>alert(1)</script>", model="<img src=x>")

        page = researcher.get("/endpoints/").content.decode()

        assert "<script>alert" not in page
        assert "<img src=x>" not in page

    def test_the_number_of_queries_does_not_grow(self, researcher, django_assert_max_num_queries):
        for number in range(8):
            make.make_endpoint(f"Endpoint {number}")

        with django_assert_max_num_queries(6):
            researcher.get("/endpoints/")


class TestCheck:
    def test_what_it_found_is_shown_and_kept(self, researcher, saved, check_gives):
        seen = check_gives(REPORT)

        page = researcher.post(f"/endpoints/{saved.pk}/check/", headers={"HX-Request": "true"}).content.decode()

        saved.refresh_from_db()
        assert (saved.supports_json_schema, saved.supports_logprobs) == (True, False)
        assert saved.checked_at is not None
        assert seen[0].api_key == SECRET
        assert "It answers" in page
        assert "small-1" in page
        assert "no logprobs" in page

    def test_its_calls_stand_in_the_ledger(self, researcher, saved, check_gives):
        check_gives(REPORT)

        researcher.post(f"/endpoints/{saved.pk}/check/")

        call = ModelCall.objects.get()
        assert (call.endpoint, call.purpose, call.paid, call.cost_usd) == (saved, "check", True, 0.001)

    def test_without_javascript_the_list_shows_the_outcome_at_its_endpoint(self, researcher, saved, check_gives):
        check_gives(REPORT)
        make.make_endpoint("Other")

        page = researcher.post(f"/endpoints/{saved.pk}/check/").content.decode()

        assert page.count("It answers") == 1

    def test_a_fault_is_told_with_cause_and_advice(self, researcher, saved, check_gives):
        check_gives(KeyRejected("The server refused the key <x>.", "Enter another key."))

        answer = researcher.post(f"/endpoints/{saved.pk}/check/", headers={"HX-Request": "true"})

        assert answer.status_code == 200
        assert "The server refused the key &lt;x&gt;.</strong> Enter another key." in answer.content.decode()
        saved.refresh_from_db()
        assert saved.checked_at is None

    def test_an_unreachable_server_is_told(self, researcher, alice):
        gone = endpoints.save_endpoint(actor=alice, **FORM | {"base_url": "http://127.0.0.1:9/v1"})

        page = researcher.post(f"/endpoints/{gone.pk}/check/").content.decode()

        assert "http://127.0.0.1:9/v1 cannot be reached" in page

    def test_against_a_server(self, researcher, alice):
        with mock_openai("--latency-ms", "10") as mock:
            found = endpoints.save_endpoint(actor=alice, **FORM | {"base_url": mock.base_url})
            page = researcher.post(f"/endpoints/{found.pk}/check/").content.decode()

        assert "It answers" in page
        assert ModelCall.objects.filter(endpoint=found, purpose="check").exists()


class TestInstallation:
    @pytest.fixture(autouse=True)
    def _own_home(self, settings, tmp_path):
        settings.LIONWEB_HOME = tmp_path
        (tmp_path / "run").mkdir()
        settings.TEACHER_BASE_URL = settings.TEACHER_MODEL = settings.TEACHER_API_KEY = ""

    def bundled(self):
        return make.make_endpoint("Bundled teacher", source=EndpointSource.BUNDLED, model="smollm2-135m-instruct")

    def test_the_bundled_teacher_is_found_where_it_runs_now(self, db, settings):
        state = {"base_url": "http://127.0.0.1:45678/v1", "model": "smollm2-135m-instruct"}
        teacher_state(settings.LIONWEB_HOME).write_text(json.dumps(state))

        assert endpoints.engine_endpoint(self.bundled()).base_url == "http://127.0.0.1:45678/v1"

    @pytest.mark.parametrize("state", [None, "", "{", "[]", '{"base_url": 7}', "{}"])
    def test_where_it_does_not_run_that_is_said(self, db, settings, state):
        if state is not None:
            teacher_state(settings.LIONWEB_HOME).write_text(state)

        with pytest.raises(EndpointUnreachable, match="does not run on this machine"):
            endpoints.engine_endpoint(self.bundled())

    def test_its_check_says_so_on_the_page(self, researcher):
        page = researcher.post(f"/endpoints/{self.bundled().pk}/check/").content.decode()

        assert "does not run on this machine" in page

    def test_it_stands_in_the_list_where_the_package_is_there(self, db, monkeypatch):
        monkeypatch.setattr(endpoints, "find_spec", lambda name: object())

        endpoints.sync_environment_endpoints()
        endpoints.sync_environment_endpoints()

        found = Endpoint.objects.get()
        assert (found.name, found.model, found.max_concurrency) == ("Bundled teacher", "smollm2-135m-instruct", 16)
        assert AuditEvent.objects.filter(action="endpoint.sync").count() == 1

    def test_without_the_package_it_does_not(self, db, monkeypatch):
        monkeypatch.setattr(endpoints, "find_spec", lambda name: None)

        endpoints.sync_environment_endpoints()

        assert not Endpoint.objects.exists()

    @pytest.fixture
    def environment(self, db, settings, monkeypatch):
        monkeypatch.setattr(endpoints, "find_spec", lambda name: None)
        settings.TEACHER_BASE_URL, settings.TEACHER_MODEL = "https://api.example.org/v1", "large-1"
        settings.TEACHER_API_KEY, settings.TEACHER_REQUESTS_PER_MINUTE = SECRET, 77
        endpoints.sync_environment_endpoints()
        return Endpoint.objects.get()

    def test_the_environments_endpoint_keeps_its_key_out_of_the_database(self, environment):
        assert (environment.name, environment.source) == ("Environment: large-1", "environment")
        assert environment.requests_per_minute == 77
        assert environment.api_key_encrypted == ""
        assert endpoints.engine_endpoint(environment).api_key == SECRET

    def test_a_changed_limit_is_taken_over(self, environment, settings):
        settings.TEACHER_REQUESTS_PER_MINUTE = 99

        endpoints.sync_environment_endpoints()

        environment.refresh_from_db()
        assert environment.requests_per_minute == 99

    def test_an_endpoint_of_an_earlier_environment_gets_no_key_of_today(self, environment, settings):
        settings.TEACHER_BASE_URL = "https://other.example/v1"

        assert endpoints.engine_endpoint(environment).api_key == ""

    def test_a_name_that_a_person_took_first_stays_the_persons(self, alice, settings, monkeypatch):
        mine = endpoints.save_endpoint(actor=alice, **FORM | {"name": "Environment: large-1"})
        monkeypatch.setattr(endpoints, "find_spec", lambda name: None)
        settings.TEACHER_BASE_URL, settings.TEACHER_MODEL = "https://other.example/v1", "large-1"

        endpoints.sync_environment_endpoints()

        mine.refresh_from_db()
        assert (mine.source, mine.base_url) == ("person", "https://api.example.org/v1")

    def test_a_missing_model_is_told(self, db, settings):
        settings.TEACHER_BASE_URL = "https://api.example.org/v1"

        with pytest.raises(Refused, match="TEACHER_MODEL"):
            endpoints.sync_environment_endpoints()

    def test_an_endpoint_of_the_installation_cannot_be_saved_over(self, alice):
        with pytest.raises(Refused, match="cannot be edited"):
            endpoints.save_endpoint(actor=alice, endpoint=self.bundled(), **FORM)


class TestBatchPrices:
    def test_they_are_optional_saved_and_audited(self, researcher, saved):
        prices = {"batch_input_usd_per_million": "0.075", "batch_output_usd_per_million": "0.3"}
        assert saved.batch_input_usd_per_million is None
        researcher.post(f"/endpoints/{saved.pk}/", FORM | prices)
        saved.refresh_from_db()
        assert (saved.batch_input_usd_per_million, saved.batch_output_usd_per_million) == (0.075, 0.3)
        assert AuditEvent.objects.get(action="endpoint.change").detail["batch_input_usd_per_million"] == 0.075
        assert "$0.30 out" in researcher.get("/endpoints/").content.decode()

    def test_one_of_them_alone_is_refused(self, researcher, saved):
        answer = researcher.post(f"/endpoints/{saved.pk}/", FORM | {"batch_input_usd_per_million": "0.075"})
        assert answer.status_code == 422
        assert answer.context["form"].errors["batch_output_usd_per_million"] == [
            "Give both batch prices, or leave both empty."
        ]

    def test_a_changed_price_is_kept_with_what_it_became(self, researcher, saved):
        researcher.post(f"/endpoints/{saved.pk}/", FORM | {"output_usd_per_million": "2.5"})
        saved.refresh_from_db()
        assert saved.output_usd_per_million == 2.5
        assert AuditEvent.objects.get(action="endpoint.change").detail["output_usd_per_million"] == 2.5
