"""The approval page without JavaScript and with htmx: lists, filters, pages, forms, and who may do what."""

import pytest

from lionweb.models import Approval, ApprovalAction, Candidate, Instruction, LeakHit, Membership, StageKind, StageStatus
from lionweb.services import new_texts
from tests import factories as make
from tests.lionweb.approval_cases import (
    candidates,
    forget_caches,
    gate_of,
    members,
    state,
    url,
    waiting_iteration,
)
from tests.lionweb.leak_cases import know

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def _own_caches():
    forget_caches()


@pytest.fixture
def iteration(alice):
    return waiting_iteration(alice)


@pytest.fixture
def annotator(client, bob):
    client.force_login(bob)
    return client


def shown(client, iteration, query=""):
    return client.get(url(iteration, query=query)).context["gate"]


def text_of(answer):
    return " ".join(answer.content.decode().split())


class TestTheList:
    def test_each_item_shows_text_parent_neighbours_filters_and_size(self, annotator, iteration):
        row = members(iteration).last()
        known = make.make_instructions(1)[0]
        near = {str(row.instruction_id): [{"id": known.pk, "pool": "cache", "score": 0.55}]}
        Candidate.objects.filter(pk=row.candidate_id).update(neighbours=near)

        page = text_of(annotator.get(url(iteration)))

        assert "<strong>16</strong> of 16 still open" in page
        assert row.instruction.text in page
        assert f"{row.instruction.length} characters" in page
        assert "kept, at most 0.70" in page
        assert '<span class="near-score">0.55</span> <span class="tag">Cache Pool</span>' in page
        assert "not a refusal" in page

    @pytest.mark.parametrize(
        ("sort", "key"),
        [
            ("similarity", lambda row: -row.similarity),
            ("newest", lambda row: -row.candidate_id),
            ("longest", lambda row: -row.instruction.length),
            ("shortest", lambda row: row.instruction.length),
        ],
    )
    def test_orders_and_pages_by_keys_both_ways(self, annotator, iteration, sort, key, monkeypatch):
        monkeypatch.setattr("lionweb.selectors.approvals.PAGE_SIZE", 5)
        seen, query, pages = [], f"?sort={sort}", []
        while True:
            page = shown(annotator, iteration, query)
            pages.append([item.candidate.pk for item in page.items])
            seen += [item.row for item in page.items]
            if not page.next:
                break
            query = f"?{page.next}"

        assert [len(one) for one in pages] == [5, 5, 5, 1]
        assert len({row.pk for row in seen}) == 16
        keys = [key(row) for row in seen]
        assert keys == sorted(keys)
        back = shown(annotator, iteration, f"?{page.previous}")
        assert [item.candidate.pk for item in back.items] == pages[2]

    @pytest.mark.parametrize("cursor", ["x", "1:", ":", "1:abc", "9" * 30 + ":1", "1:1e999", "1:nan", "-1:0"])
    def test_a_spoilt_cursor_harms_nothing(self, annotator, iteration, cursor):
        assert annotator.get(url(iteration), {"after": cursor}).status_code == 200

    @pytest.mark.parametrize(
        ("query", "count"),
        [
            ("?show=open", 14),
            ("?show=approved", 1),
            ("?show=rejected", 1),
            ("?show=edited", 1),
            ("?show=all", 16),
            ("?show=nonsense&low=abc&kind=%3Cb%3E&sort=x&shortest=-1", 14),
            ("?show=all&kind=hard", 8),
            ("?show=all&high=0.26", 2),
            ("?show=all&leak=yes", 1),
            ("?show=all&q=NAME%20the%20seven", 1),
            ("?show=all&q=%00", 16),
        ],
    )
    def test_filters_stand_in_the_url(self, annotator, iteration, bob, query, count):
        first, second, third = candidates(iteration)[:3]
        know(["Name the seven hills of the city of Rome"])
        annotator.post(f"/candidates/{first.pk}/approval/", {"decision": "approve"})
        annotator.post(f"/candidates/{second.pk}/approval/", {"decision": "reject", "reason": "unsafe"})
        new_texts.edit(
            stage=gate_of(iteration), candidate=third, actor=bob, text="Name the seven hills of the city of Rome"
        )
        Membership.objects.filter(candidate=third).update(similarity=0.9)

        assert len(shown(annotator, iteration, query).items) == count

    def test_what_the_sample_passed_over_is_not_asked(self, annotator, iteration):
        one = candidates(iteration).first()
        Membership.objects.filter(candidate=one).update(approval=Approval.APPROVED)

        assert shown(annotator, iteration).counts["all"] == 15

    def test_hostile_texts_are_escaped_everywhere(self, annotator, iteration, bob):
        one = candidates(iteration).first()
        evil = "<script>alert(1)</script> \"'><img src=x onerror=alert(2)> name the hills of Rome in order please now"
        know([evil], name="<b>set</b>")
        new_texts.edit(stage=gate_of(iteration), candidate=one, actor=bob, text=evil)
        annotator.post(
            f"/candidates/{one.pk}/approval/", {"decision": "reject", "reason": "other", "text": "<i>why</i>\x00"}
        )
        dropped = iteration.candidates.exclude(rejected="").first()
        Candidate.objects.filter(pk=dropped.pk).update(raw=evil, nearest=evil)

        pages = [
            annotator.get(url(iteration, query=query)).content.decode()
            for query in ("?show=all", "?show=dropped", "?q=%3Cscript%3E")
        ]
        pages.append(annotator.get(f"/candidates/{one.pk}/diff/").content.decode())
        pages.append(annotator.get(f"/instructions/{state(one)[2]}/").content.decode())

        for page in pages:
            assert "<script>alert" not in page
            assert "<img src=x" not in page
            assert "<i>why" not in page
            assert "<b>set" not in page
        assert "overlaps with" in pages[-1]

    def test_the_number_of_queries_is_fixed(self, annotator, iteration, django_assert_max_num_queries):
        with django_assert_max_num_queries(11):
            annotator.get(url(iteration))

    @pytest.mark.parametrize("number", [2, 99])
    def test_an_iteration_that_is_not_there_is_not_found(self, annotator, iteration, number):
        assert annotator.get(f"/experiments/{iteration.experiment_id}/iterations/{number}/approval/").status_code == 404


class TestDeciding:
    def test_without_javascript_it_goes_back_to_the_filtered_list(self, annotator, iteration):
        one = candidates(iteration).first()
        sent = {"decision": "approve", "seen": "0", "next": url(iteration, query="?show=all")}

        answer = annotator.post(f"/candidates/{one.pk}/approval/", sent)

        assert state(one)[0] == Approval.APPROVED
        assert answer["Location"] == url(iteration, query=f"?show=all#item-{one.pk}")

    def test_the_way_back_leads_nowhere_else(self, annotator, iteration):
        one = candidates(iteration).first()
        for away in ("https://evil.example/", "//evil.example", "/sign-out/", "javascript:alert(1)"):
            answer = annotator.post(f"/candidates/{one.pk}/approval/", {"decision": "approve", "next": away})
            assert answer["Location"] == url(iteration, query=f"#item-{one.pk}")

    def test_with_htmx_the_item_and_the_summary_are_swapped(self, annotator, iteration):
        one = candidates(iteration).first()

        page = text_of(
            annotator.post(
                f"/candidates/{one.pk}/approval/",
                {
                    "decision": "reject",
                    "reason": "poor_language",
                    "seen": "0",
                    "next": url(iteration, query="?show=all"),
                },
                headers=HTMX,
            )
        )

        assert "<strong>rejected</strong> it: poor language" in page
        assert 'id="gate-summary" data-open="15" hx-swap-oob="true"' in page
        assert 'href="?show=all" aria-current="true">All <span>16</span>' in page
        assert 'href="?show=open">Open <span>15</span>' in page

    def test_a_stale_form_shows_how_it_stands_now(self, annotator, iteration, alice):
        one = candidates(iteration).first()
        annotator.post(f"/candidates/{one.pk}/approval/", {"decision": "approve", "seen": "0"})

        page = text_of(
            annotator.post(
                f"/candidates/{one.pk}/approval/",
                {"decision": "reject", "reason": "unsafe", "seen": "0"},
                headers=HTMX,
            )
        )

        assert "Meanwhile bob changed this one; it is approved now." in page
        assert f'name="seen" value="{ApprovalAction.objects.get().pk}"' in page
        assert state(one)[0] == Approval.APPROVED

    def test_a_late_click_says_that_the_gate_is_closed(self, annotator, iteration):
        one = candidates(iteration).first()
        iteration.stages.filter(kind=StageKind.APPROVE).update(status=StageStatus.SUCCEEDED)

        page = text_of(annotator.post(f"/candidates/{one.pk}/approval/", {"decision": "approve"}, headers=HTMX))

        assert "has moved on" in page
        assert 'value="approve"' not in page

    @pytest.mark.parametrize("decision", ["", "perhaps", "APPROVE"])
    def test_an_unknown_decision_is_a_bad_request(self, annotator, iteration, decision):
        one = candidates(iteration).first()

        assert annotator.post(f"/candidates/{one.pk}/approval/", {"decision": decision}).status_code == 400
        assert annotator.post(url(iteration, "many/"), {"decision": decision}).status_code == 400

    def test_a_viewer_sees_but_may_change_nothing(self, client, charlie, iteration):
        client.force_login(charlie)
        one = candidates(iteration).first()

        assert 'name="decision"' not in client.get(url(iteration)).content.decode()
        for there in (f"/candidates/{one.pk}/approval/", f"/candidates/{one.pk}/edit/", f"/candidates/{one.pk}/keep/"):
            assert client.post(there, {"decision": "approve"}).status_code == 403
        for end in ("many/", "undo/", "close/"):
            assert client.post(url(iteration, end), {"decision": "approve"}).status_code == 403

    def test_an_edit_says_what_it_found(self, annotator, iteration):
        one, other = candidates(iteration)[:2]

        page = text_of(
            annotator.post(
                f"/candidates/{one.pk}/edit/", {"text": f"{other.instruction.text} today", "seen": "0"}, headers=HTMX
            )
        )

        assert "compared again" in page
        assert "It is closer to another one" in page
        assert state(one)[0] == Approval.PENDING

    def test_an_edit_can_be_approved_at_once(self, annotator, iteration):
        one = candidates(iteration).first()

        annotator.post(f"/candidates/{one.pk}/edit/", {"text": "Describe a harbour.", "then": "approve"})

        assert state(one)[0] == Approval.APPROVED
        assert Instruction.objects.get(pk=state(one)[2]).text == "Describe a harbour."

    def test_the_words_that_differ_are_shown_on_a_page_of_their_own_or_inside(self, annotator, iteration):
        one = candidates(iteration).first()

        whole = annotator.get(f"/candidates/{one.pk}/diff/").content.decode()
        part = annotator.get(f"/candidates/{one.pk}/diff/", headers=HTMX).content.decode()

        assert "<ins>" in part
        assert part.strip() in whole
        assert "<html" not in part


class TestMany:
    def test_a_rule_says_how_many_before_it_is_done(self, annotator, iteration):
        page = text_of(annotator.get(url(iteration, "many/"), {"high": "0.4", "leak": "no"}))
        assert "<strong>7</strong> open instructions match." in page
        assert not ApprovalAction.objects.exists()

        answer = annotator.post(
            url(iteration, "many/"), {"decision": "approve", "high": "0.4", "leak": "no"}, follow=True
        )

        assert "7 instructions were approved." in answer.content.decode()
        assert members(iteration).filter(approval=Approval.APPROVED).count() == 7

    def test_chosen_ones_are_rejected_together(self, annotator, iteration):
        chosen = [one.pk for one in candidates(iteration)[:3]]

        annotator.post(
            url(iteration, "many/"),
            {"scope": "selected", "candidate": [*chosen, "x"], "decision": "reject", "reason": "duplicate"},
        )

        assert set(members(iteration).filter(approval=Approval.REJECTED).values_list("candidate", flat=True)) == set(
            chosen
        )

    def test_no_choice_is_no_decision(self, annotator, iteration):
        answer = annotator.post(url(iteration, "many/"), {"scope": "selected", "decision": "approve"}, follow=True)

        assert "None of these is open." in answer.content.decode()
        assert "nothing to undo" in annotator.post(url(iteration, "undo/"), follow=True).content.decode()
        assert members(iteration).filter(approval=Approval.PENDING).count() == 16

    def test_undo_leads_back_to_the_item(self, annotator, iteration):
        one = candidates(iteration).first()
        annotator.post(f"/candidates/{one.pk}/approval/", {"decision": "approve"})

        answer = annotator.post(url(iteration, "undo/"), {"next": url(iteration, query="?show=all")})

        assert answer["Location"] == url(iteration, query=f"?show=all#item-{one.pk}")
        assert state(one)[0] == Approval.PENDING

    def test_undo_with_nothing_to_undo_says_so(self, annotator, iteration):
        assert "nothing to undo" in annotator.post(url(iteration, "undo/"), follow=True).content.decode()


class TestDroppedOnes:
    def test_they_are_listed_by_reason(self, annotator, iteration):
        page = shown(annotator, iteration, "?show=dropped")
        assert page.reasons == (("near_duplicate", 4), ("refusal", 1))
        assert len(page.dropped) == page.counts["dropped"] == 5

        assert len(shown(annotator, iteration, "?show=dropped&reason=refusal").dropped) == 1
        assert len(shown(annotator, iteration, "?show=dropped&reason=%3Cb%3E").dropped) == 0

    def test_one_that_was_wrongly_dropped_is_taken_in(self, annotator, iteration):
        one = iteration.candidates.exclude(rejected="").first()

        answer = annotator.post(f"/candidates/{one.pk}/keep/", follow=True)

        assert "Taken in" in answer.content.decode()
        page = shown(annotator, iteration, "?sort=newest")
        assert (page.counts["open"], page.counts["dropped"]) == (17, 4)
        assert "kept although near duplicate" in text_of(annotator.get(url(iteration)))


class TestClosing:
    def test_it_is_asked_first_with_what_is_open(self, client, alice, iteration):
        client.force_login(alice)

        page = text_of(client.get(url(iteration, "close/")))
        assert '<strong class="worse">16</strong>: they stay out of the pools.' in page
        client.post(url(iteration, "close/"))

        assert iteration.stages.get(kind=StageKind.APPROVE).status == StageStatus.SUCCEEDED

    def test_where_decisions_are_required_there_is_no_button(self, client, alice):
        iteration = waiting_iteration(alice, approval="require")
        client.force_login(alice)

        assert "requires a decision on each" in (page := text_of(client.get(url(iteration, "close/"))))
        assert "Close and go on" not in page
        assert "16 items are still open" in client.post(url(iteration, "close/"), follow=True).content.decode()

    def test_an_annotator_may_not(self, annotator, iteration):
        assert annotator.post(url(iteration, "close/")).status_code == 403


def test_a_pool_with_overlaps_says_so_in_the_list(client, charlie):
    pool = make.make_pool(rows=3)
    type(pool).objects.filter(pk=pool.pk).update(leak_count=2)
    client.force_login(charlie)

    assert "2 overlap with a benchmark" in client.get("/pools/").content.decode()
    assert not LeakHit.objects.exists()
