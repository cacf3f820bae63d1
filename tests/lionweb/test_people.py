"""Accounts as an admin manages them, one-time passwords, and who can never be removed."""

import threading

import pytest
from django.db import connection

from lionweb.models import AuditEvent, ReviewLock, Role, User
from lionweb.services import people
from lionweb.services.errors import Refused
from lionweb.services.reviews import undo
from tests import review_factories as review


@pytest.fixture
def admin(client, dora):
    client.force_login(dora)
    return client


def reread(person):
    return User.objects.get(pk=person.pk)


class TestInviting:
    def test_the_password_is_shown_once_and_stored_nowhere(self, admin):
        answer = admin.post("/people/invite/", {"name": "eve", "email": "eve@example.org", "role": "annotator"})
        password = answer.context["told"]["password"]

        eve = User.objects.get(username="eve")
        assert (eve.role, eve.email, eve.password_is_temporary) == ("annotator", "eve@example.org", True)
        assert eve.check_password(password)
        assert password in answer.content.decode()
        assert "no-store" in answer["Cache-Control"]
        assert password not in admin.get("/people/").content.decode()
        assert password not in str(list(AuditEvent.objects.values())) + str(dict(admin.session))

    def test_it_is_audited(self, admin, dora):
        admin.post("/people/invite/", {"name": "eve", "role": "researcher"})

        event = AuditEvent.objects.get(action="user.invite")
        assert (event.actor, event.detail) == (dora, {"name": "eve", "role": "researcher"})

    @pytest.mark.parametrize("name", ["dora", "DORA", "", "  ", "x" * 151, "a b", "<script>"])
    def test_a_name_that_is_taken_or_cannot_be_one_is_refused_and_what_was_typed_stays(self, admin, name):
        answer = admin.post("/people/invite/", {"name": name, "email": "e@example.org", "role": "viewer"})

        assert answer.status_code == 422
        assert User.objects.count() == 1
        assert 'value="e@example.org"' in answer.content.decode()

    def test_an_unknown_role_is_a_bad_request(self, admin):
        assert admin.post("/people/invite/", {"name": "eve", "role": "emperor"}).status_code == 400

    def test_a_nul_byte_in_the_name_does_no_harm(self, admin):
        assert admin.post("/people/invite/", {"name": "e\0ve", "role": "viewer"}).status_code == 200
        assert User.objects.filter(username="eve").exists()


class TestOneTimePassword:
    @pytest.fixture
    def eve(self, client, dora):
        eve, password = people.invite(actor=dora, name="eve", role=Role.ANNOTATOR)
        client.post("/sign-in/", {"username": "eve", "password": password})
        return eve, password

    def test_nothing_else_can_be_done_before_another_is_chosen(self, client, eve):
        assert client.get("/experiments/")["Location"] == "/password/"
        assert client.get("/my-reviews/", headers={"HX-Request": "true"})["HX-Redirect"] == "/password/"
        assert "Choose a password" in client.get("/password/").content.decode()

    def test_choosing_another_lets_them_in_and_keeps_them_signed_in(self, client, eve):
        person, password = eve
        new = "a-long-and-new-one"

        client.post("/password/", {"old_password": password, "new_password1": new, "new_password2": new})

        assert client.get("/experiments/").status_code == 200
        assert reread(person).check_password(new)
        assert not reread(person).password_is_temporary
        assert AuditEvent.objects.get(action="user.own_password").actor == person

    @pytest.mark.parametrize(("old", "new"), [("wrong", "a-long-and-new-one"), (None, "short"), (None, "password123")])
    def test_a_wrong_old_or_a_weak_new_password_is_told(self, client, eve, old, new):
        person, password = eve

        answer = client.post(
            "/password/", {"old_password": old or password, "new_password1": new, "new_password2": new}
        )

        assert answer.status_code == 422
        assert reread(person).password_is_temporary

    def test_the_old_one_is_no_new_one(self, client, eve):
        person, password = eve

        answer = client.post(
            "/password/", {"old_password": password, "new_password1": password, "new_password2": password}
        )

        assert answer.status_code == 422
        assert "the password that you have already" in answer.content.decode()
        assert reread(person).password_is_temporary

    def test_they_may_sign_out_instead(self, client, eve):
        assert client.post("/sign-out/")["Location"] == "/sign-in/"

    def test_everyone_may_change_their_own_later(self, client, charlie):
        client.force_login(charlie)
        new = "another-good-one"

        client.post("/password/", {"old_password": "charlie-password", "new_password1": new, "new_password2": new})

        assert reread(charlie).check_password(new)

    def test_an_admin_gives_a_new_one_and_the_old_sessions_end(self, client, dora, bob):
        client.force_login(bob)

        password = people.new_password(actor=dora, person=bob)

        assert reread(bob).check_password(password)
        assert client.get("/experiments/")["Location"].startswith("/sign-in/")


class TestRoles:
    def test_a_role_is_changed_and_audited(self, admin, bob):
        answer = admin.post(f"/people/{bob.pk}/role/", {"role": "researcher"}, follow=True)

        assert reread(bob).role == "researcher"
        assert "bob is now researcher." in answer.content.decode()
        event = AuditEvent.objects.get(action="user.role")
        assert (event.detail["before"], event.detail["after"]) == ("annotator", "researcher")

    def test_nothing_happens_where_it_is_the_same(self, dora, bob):
        people.change_role(actor=dora, person=bob, role=Role.ANNOTATOR)

        assert not AuditEvent.objects.exists()

    def test_ones_own_role_is_changed_by_somebody_else(self, admin, dora):
        answer = admin.post(f"/people/{dora.pk}/role/", {"role": "viewer"}, follow=True)

        assert "Your own role cannot be changed here." in answer.content.decode()
        assert reread(dora).role == "admin"

    def test_a_superuser_who_is_demoted_is_no_superuser_any_more(self, dora, bob):
        User.objects.filter(pk=bob.pk).update(is_superuser=True)

        people.change_role(actor=dora, person=bob, role=Role.VIEWER)

        assert not reread(bob).may(Role.ANNOTATOR)

    def test_an_admin_who_was_demoted_meanwhile_can_do_nothing_more(self, dora, alice, bob):
        User.objects.filter(pk=alice.pk).update(role="admin")
        admin_once = reread(alice)
        people.change_role(actor=dora, person=alice, role=Role.VIEWER)

        with pytest.raises(Refused, match="no administrator any more"):
            people.change_role(actor=admin_once, person=bob, role=Role.ADMIN)

    @pytest.mark.django_db(transaction=True)
    def test_two_admins_who_remove_each_other_at_once_leave_one(self, dora, alice):
        User.objects.filter(pk=alice.pk).update(role="admin")
        ready, refused = threading.Barrier(2), []

        def remove(actor, person):
            ready.wait(10)
            try:
                people.change_role(actor=actor, person=person, role=Role.VIEWER)
            except Refused as error:
                refused.append(error)
            finally:
                connection.close()

        pairs = [(dora, alice), (alice, dora)]
        threads = [threading.Thread(target=remove, args=pair) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

        assert User.objects.filter(role="admin").count() == 1
        assert len(refused) == 1


class TestDeactivating:
    def test_the_person_is_signed_out_and_what_they_decided_stays(self, client, dora, alice, bob):
        iteration = review.waiting_iteration(alice)
        item, other, *_ = review.items_of(iteration)
        decision = review.say(item, bob, "hard")
        ReviewLock.objects.create(classification=other, person=bob, expires_at="2099-01-01T00:00Z")
        client.force_login(bob)

        people.deactivate(actor=dora, person=bob)

        assert client.get("/experiments/")["Location"].startswith("/sign-in/")
        decision.refresh_from_db()
        assert decision.undone_at is None
        assert not ReviewLock.objects.filter(person=bob).exists()

    def test_and_back(self, admin, bob):
        admin.post(f"/people/{bob.pk}/deactivate/")
        assert not reread(bob).is_active

        admin.post(f"/people/{bob.pk}/reactivate/")

        assert reread(bob).is_active
        assert list(AuditEvent.objects.order_by("pk").values_list("action", flat=True)) == [
            "user.deactivate",
            "user.reactivate",
        ]

    def test_ones_own_account_stays(self, admin, dora):
        admin.post(f"/people/{dora.pk}/deactivate/")

        assert reread(dora).is_active

    def test_an_inactive_admin_does_not_count_as_another_one(self, dora, alice):
        User.objects.filter(pk=alice.pk).update(role="admin", is_active=False)

        with pytest.raises(Refused, match="last administrator"):
            people._refuse_last_admin(dora)


class TestList:
    def test_it_shows_everyone_with_what_they_did(self, admin, alice, bob):
        iteration = review.waiting_iteration(alice)
        first, second, third, *_ = review.items_of(iteration)
        review.say(first, bob, "hard")
        review.say(second, bob, "skip")
        undo(person=bob, decision=review.say(third, bob, "hard"))

        page = admin.get("/people/")

        rows = {row.person.username: row for row in page.context["rows"]}
        assert set(rows) == {"alice", "bob", "dora"}
        assert rows["bob"].decisions == 1
        assert rows["dora"].is_last_admin
        assert "the only one" in page.content.decode()

    def test_the_number_of_queries_does_not_grow_with_the_people(self, admin, django_assert_max_num_queries):
        review.annotators(*[f"person-{n}" for n in range(30)])

        with django_assert_max_num_queries(6):
            admin.get("/people/")

    def test_only_an_admin_sees_it(self, client, alice):
        client.force_login(alice)

        answer = client.get("/people/")

        assert answer.status_code == 403
        assert "needs the role admin" in answer.content.decode()

    def test_the_navigation_shows_each_role_its_sections(self, client, alice, bob, charlie, dora):
        seen = {}
        for person in (charlie, bob, alice, dora):
            client.force_login(person)
            page = client.get("/workers/").content.decode()
            seen[person.username] = [
                word for word in ("My reviews", "People", "Audit") if f"<span>{word}</span>" in page
            ]

        assert seen == {
            "charlie": [],
            "bob": ["My reviews"],
            "alice": ["My reviews", "Audit"],
            "dora": ["My reviews", "People", "Audit"],
        }
