import pytest
from django.urls import reverse

from lionweb.models import Role


def test_a_page_asks_a_stranger_to_sign_in_and_remembers_where_they_were_going(client, db):
    answer = client.get("/experiments/?status=failed")
    assert answer.status_code == 302
    assert answer["Location"] == "/sign-in/?next=/experiments/%3Fstatus%3Dfailed"


def test_signing_in_leads_on_to_the_page_that_was_asked_for(client, alice):
    form = {"username": "alice", "password": "alice-password", "next": "/experiments/?status=failed"}
    assert client.post("/sign-in/", form)["Location"] == "/experiments/?status=failed"


def test_signing_in_never_leads_to_another_site(client, alice):
    form = {"username": "alice", "password": "alice-password", "next": "https://example.org/"}
    assert client.post("/sign-in/", form)["Location"] == reverse("experiments")


def test_a_wrong_password_is_said_plainly_and_the_name_is_kept(client, alice):
    answer = client.post("/sign-in/", {"username": "alice", "password": "no"})
    assert answer.status_code == 200
    assert b"do not fit together" in answer.content
    assert b'value="alice"' in answer.content


def test_signing_out_takes_a_post_and_leads_back_to_sign_in(client, alice):
    client.force_login(alice)
    assert client.get("/sign-out/").status_code == 405
    assert client.post("/sign-out/")["Location"] == reverse("sign-in")
    assert client.get("/experiments/").status_code == 302


def test_a_signed_in_person_does_not_see_the_form_again(client, alice):
    client.force_login(alice)
    assert client.get("/sign-in/")["Location"] == reverse("experiments")


@pytest.mark.parametrize(
    ("role", "create"), [("viewer", False), ("annotator", False), ("researcher", True), ("admin", True)]
)
def test_roles_include_those_below_them(django_user_model, db, role, create):
    person = django_user_model.objects.create_user("dora", role=role)
    assert person.may(Role.RESEARCHER) is create
    assert person.may(Role.VIEWER)


def test_pages_load_nothing_from_elsewhere_and_no_inline_script(client, db):
    answer = client.get("/sign-in/")
    page = answer.content.decode()
    assert "script-src" not in answer["Content-Security-Policy"] or "unsafe" not in answer["Content-Security-Policy"]
    assert "//" not in page.replace("http://www.w3.org", "").replace("<!doctype", "")
    assert page.count("<script ") == page.count("<script src=")
    assert "onclick" not in page
