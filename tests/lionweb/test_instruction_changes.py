"""Editing, deleting and restoring one instruction; saved views."""

import pytest

from distill.records import Instruction as Text
from lionweb.models import AuditEvent, Instruction, LeakHit, MemberPool, PoolEntry, SavedView
from lionweb.services.errors import Refused
from lionweb.services.first_pools import first_pools
from lionweb.services.instructions import delete_instruction, edit_instruction, restore_instruction
from lionweb.services.saved_views import save_view
from tests import factories as make
from tests.lionweb.approval_cases import forget_caches
from tests.lionweb.leak_cases import know

pytestmark = pytest.mark.django_db


@pytest.fixture
def one(db):
    return make.make_instructions(1)[0]


def edit(actor, instruction, **changes):
    values = {name: getattr(instruction, name) for name in ("text", "input", "category", "language")}
    return edit_instruction(actor=actor, instruction=instruction, **values | changes)


class TestEdit:
    def test_other_words_make_a_new_row_that_takes_the_old_ones_place_in_pools_alone(self, alice):
        pool = make.make_pool(rows=3)
        experiment = make.make_experiment(alice, pool=pool)
        entry = pool.entries.order_by("position")[1]
        old = entry.instruction
        make.add_members(experiment, MemberPool.CACHE, [old])

        new = edit(alice, old, text="  Say it better.\r\nNow.  ")

        assert (new.text, new.edited_from, new.edited_by) == ("Say it better.\nNow.", old, alice)
        assert new.content_hash == Text("Say it better.\nNow.", old.input).content_hash
        assert PoolEntry.objects.get(pk=entry.pk).instruction == new
        assert PoolEntry.objects.get(pk=entry.pk).position == entry.position
        assert experiment.memberships.get().instruction == old
        assert Instruction.objects.get(pk=old.pk).text == old.text

    def test_labels_are_set_in_place_and_audited(self, alice, one):
        same = edit(alice, one, category="Poems", language="en")

        assert same.pk == one.pk
        assert (same.category, same.text) == ("Poems", one.text)
        event = AuditEvent.objects.get()
        assert (event.action, event.detail["after"]["category"]) == ("instruction.label", "Poems")

    def test_nothing_changed_leaves_no_trace(self, alice, one):
        edit(alice, one)

        assert not AuditEvent.objects.exists()

    def test_words_that_are_known_are_refused_with_their_number(self, alice):
        first, second = make.make_instructions(2)

        with pytest.raises(Refused, match=f"instruction {second.pk} word for word"):
            edit(alice, first, text=second.text, input=second.input)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"text": " "}, "needs a text"),
            ({"text": "x" * 30_000}, "30,000 characters"),
            ({"category": "c" * 101}, "longer than 100"),
        ],
    )
    def test_what_cannot_be_stored_is_refused(self, alice, one, changes, message):
        with pytest.raises(Refused, match=message):
            edit(alice, one, **changes | ({"input": ""} if "text" in changes else {}))

    def test_broken_characters_are_mended(self, alice, one):
        text = edit(alice, one, text="a\x00b\ud800c").text

        assert text.startswith("a\ufffdb")
        assert text.isprintable()


class TestLeaks:
    ITEM = "Name the seven hills on which the city of Rome was built, from north to south"

    @pytest.fixture(autouse=True)
    def _own_caches(self):
        forget_caches()

    def test_an_overlap_that_an_edit_brings_in_is_marked_at_once(self, client, alice, one):
        know([self.ITEM])

        new = edit(alice, one, text=self.ITEM, input="")

        assert LeakHit.objects.get().instruction == new
        client.force_login(alice)
        assert "overlaps with Benchmark" in client.get(f"/instructions/{new.pk}/").content.decode()

    def test_pools_that_were_checked_count_it(self, alice):
        know([self.ITEM])
        checked, unknown = make.make_pool("Checked", rows=2), make.make_pool("Unknown", rows=2)
        type(checked).objects.filter(pk=checked.pk).update(leak_count=0)
        entry = checked.entries.first()

        leaked = edit(alice, entry.instruction, text=self.ITEM, input="")
        checked.refresh_from_db()
        assert checked.leak_count == 1
        edit(alice, leaked, text="Something else.")

        for pool, count in ((checked, 0), (unknown, None)):
            pool.refresh_from_db()
            assert pool.leak_count == count


class TestDelete:
    def test_a_deleted_one_is_hidden_drawn_no_more_and_comes_back(self, client, alice):
        pool = make.make_pool(rows=40)
        experiment = make.make_experiment(alice, pool=pool)
        gone = pool.entries.first().instruction
        client.force_login(alice)

        client.post(f"/instructions/{gone.pk}/delete/")

        assert Instruction.objects.get(pk=gone.pk).deleted_by == alice
        assert f'id="instruction-{gone.pk}"' not in client.get("/instructions/").content.decode()
        first_pools(experiment=experiment)
        assert not experiment.memberships.filter(instruction=gone).exists()
        assert "Restore" in client.get(f"/instructions/{gone.pk}/").content.decode()
        client.post(f"/instructions/{gone.pk}/restore/")
        assert Instruction.objects.get(pk=gone.pk).deleted_at is None

    def test_twice_is_refused(self, alice, one):
        delete_instruction(actor=alice, instruction=one)
        with pytest.raises(Refused, match="deleted already"):
            delete_instruction(actor=alice, instruction=one)
        restore_instruction(actor=alice, instruction=one)
        with pytest.raises(Refused, match="not deleted"):
            restore_instruction(actor=alice, instruction=one)


def test_the_old_and_the_new_one_lead_to_each_other(client, alice, one):
    delete_instruction(actor=alice, instruction=one)
    new = edit(alice, one, text="<b>New</b>")

    client.force_login(alice)
    page = client.get(f"/instructions/{one.pk}/").content.decode()
    assert "Edited since" in page
    assert f"/instructions/{new.pk}/" in page
    assert "wrote it as an edit" in client.get(f"/instructions/{new.pk}/").content.decode()
    assert "an edited one took its place" in client.get("/instructions/?deleted=only").content.decode()


def test_the_form_keeps_what_was_written_when_it_is_refused(client, alice, one):
    client.force_login(alice)

    page = client.post(f"/instructions/{one.pk}/edit/", {"text": "<b>" + "x" * 30_000, "input": ""})

    assert page.status_code == 422
    assert "30,003 characters long" in page.content.decode()
    assert "&lt;b&gt;xxx" in page.content.decode()


class TestSavedViews:
    def test_own_and_shared_ones_are_offered_and_private_ones_are_not(self, client, alice, charlie):
        save_view(actor=alice, name="Mine", query="category=a", shared=False)
        save_view(actor=alice, name="Ours", query="category=b", shared=True)

        client.force_login(charlie)
        page = client.get("/instructions/").content.decode()

        assert "?category=b" in page
        assert "?category=a" not in page

    def test_everyone_may_save_and_the_same_name_is_replaced(self, client, charlie):
        client.force_login(charlie)
        for query in ("category=a", "category=b"):
            answer = client.post("/instructions/views/", {"name": "Mine", "query": query})

        assert answer["Location"] == "/instructions/?category=b"
        assert SavedView.objects.get().query == "category=b"

    def test_only_the_owner_deletes(self, client, alice, charlie):
        view = save_view(actor=alice, name="Ours", query="", shared=True)
        client.force_login(charlie)
        assert client.post(f"/instructions/views/{view.pk}/delete/").status_code == 403

        client.force_login(alice)
        client.post(f"/instructions/views/{view.pk}/delete/")

        assert not SavedView.objects.exists()

    @pytest.mark.parametrize(("name", "query"), [("", "a=b"), ("x" * 81, ""), ("x", "q" * 2001)])
    def test_what_cannot_be_kept_is_refused(self, alice, name, query):
        with pytest.raises(Refused):
            save_view(actor=alice, name=name, query=query, shared=False)

    def test_hostile_names_and_queries_are_escaped(self, client, alice):
        save_view(actor=alice, name="<script>x</script>", query='q="><script>y</script>', shared=True)
        client.force_login(alice)

        page = client.get("/instructions/").content.decode()

        assert "<script>x" not in page
        assert "<script>y" not in page
