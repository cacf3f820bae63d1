"""The page of the review queue: what it shows, what it hides, and what its forms do without JavaScript and with htmx."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from distill.settings import GateSettings
from lionweb.models import (
    Classification,
    Decision,
    Instruction,
    Response,
    Review,
    ReviewLock,
    StageKind,
    StageStatus,
)
from lionweb.review_filters import ReviewFilters
from lionweb.selectors.review_queue import neighbours, queue
from lionweb.services import reviews
from lionweb.services.review_locks import take
from tests import factories as make

HTMX = {"HX-Request": "true"}


@pytest.fixture
def iteration(alice):
    return waiting(alice)


def waiting(alice, policy="sample", **gates):
    settings = replace(make.SMALL, gates=GateSettings(review=policy, **gates))
    experiment = make.make_experiment(alice, settings=settings)
    iteration = make.finish_iteration(experiment)
    iteration.finished_at = None
    iteration.save()
    iteration.stages.filter(kind=StageKind.REVIEW).update(status=StageStatus.WAITING)
    make.queue_up(iteration.classifications.filter(pool="cache"), opinions_needed=settings.gates.reviewers_per_item)
    return iteration


@pytest.fixture
def annotator(client, bob):
    client.force_login(bob)
    return client


def url(iteration, end=""):
    return f"/experiments/{iteration.experiment_id}/iterations/{iteration.number}/review/{end}"


def items(iteration, **where):
    return list(iteration.classifications.filter(for_review=True, **where).order_by("queue_rank", "pk"))


def shown(answer):
    return answer.context["item"].row


def teacher_is_left(answer):
    seen = answer.context["item"]
    return seen.sides[0].text == Response.objects.get(pk=seen.row.teacher_response_id).text


def decide(client, item, kind="easy", headers=None, **fields):
    return client.post(f"/reviews/{item.pk}/decide/", {"kind": kind, **fields}, headers=headers)


class TestShowing:
    def test_work_goes_on_at_the_first_open_item_and_locks_it(self, annotator, bob, iteration):
        page = annotator.get(url(iteration))

        assert shown(page) == items(iteration)[0]
        assert ReviewLock.objects.get().person == bob
        assert "Yours until" in page.content.decode()

    def test_both_answers_scores_and_rationale_stand_there(self, annotator, iteration):
        page = annotator.get(url(iteration)).content.decode()
        item = items(iteration)[0]

        assert "Teacher&#x27;s answer to" in page or "Teacher's answer to" in page
        assert "58 tokens" in page
        assert "The first answer is more complete." in page
        assert page.count("<tr>") >= 3
        assert f"Accept: {item.referee_verdict}" in page

    @pytest.mark.parametrize("key", ["enter", *"123456", "s", "f", "c", "e", "d", "r", "x", "j", "k", "z", "/", "?"])
    def test_every_key_is_printed_and_bound(self, annotator, iteration, key):
        page = annotator.get(url(iteration), {"item": items(iteration)[1].pk}).content.decode()

        assert f'data-key="{key}"' in page
        assert f"<kbd>{key.title()}</kbd>" in page

    def test_items_are_linked_by_id_and_filters_stay(self, annotator, iteration):
        first, second, third, *_ = items(iteration)

        page = annotator.get(url(iteration), {"item": second.pk, "verdict": "hard", "view": "list"})

        assert shown(page) == second
        assert page.context["next"] == f"{url(iteration)}?item={third.pk}&view=list&verdict=hard"
        assert page.context["previous"] == f"{url(iteration)}?item={first.pk}&view=list&verdict=hard"

    def test_the_list_has_the_same_work_beside_it(self, annotator, alice, iteration):
        first, second, *_ = items(iteration)
        take(classification=first, person=alice)

        page = annotator.get(url(iteration), {"view": "list", "item": second.pk})

        assert [row.pk for row, _ in page.context["rows"]][:3] == [item.pk for item in items(iteration)[:3]]
        assert "<bdi>alice</bdi>" in page.content.decode()
        assert 'id="review-form"' in page.content.decode()

    def test_an_item_that_another_has_open_is_shown_with_name_and_time(self, annotator, alice, iteration):
        first = items(iteration)[0]
        take(classification=first, person=alice)

        page = annotator.get(url(iteration), {"item": first.pk}).content.decode()

        assert "alice (until" in page
        assert "Locked by <bdi>alice</bdi>" in page

    @pytest.mark.parametrize("word", ["0", "-1", "x", "9" * 30, "²"])
    def test_an_item_that_is_not_there_is_not_found(self, annotator, iteration, word):
        assert annotator.get(url(iteration), {"item": word}).status_code == 404

    def test_an_item_of_another_iteration_is_not_found(self, annotator, iteration):
        heldout = iteration.classifications.filter(pool="heldout").first()
        other = make.make_iteration(iteration.experiment, 2)

        assert annotator.get(url(other), {"item": heldout.pk}).status_code == 404

    @pytest.mark.parametrize(
        "query",
        [{"show": "x"}, {"verdict": "x"}, {"only": "x"}, {"q": "\0'\"&|!("}, {"q": "-"}, {"category": "'\ufffd"}],
    )
    def test_odd_addresses_do_no_harm(self, annotator, iteration, query):
        assert annotator.get(url(iteration), query).status_code == 200

    def test_a_lone_surrogate_in_the_address_does_no_harm(self, annotator, iteration):
        assert annotator.get(url(iteration) + "?category=%ED%A0%80&q=%00%ED%A0%80").status_code == 200

    @pytest.mark.parametrize(
        "show", ["open", "pending", "confirmed", "conflict", "skipped", "flagged", "closed", "all"]
    )
    def test_every_state_can_be_looked_at(self, annotator, alice, iteration, show):
        first, second, third, *_ = items(iteration)
        reviews.decide(classification=first, person=alice, kind=first.referee_verdict)

        page = annotator.get(url(iteration), {"show": show})

        wanted = {"open": second, "pending": second, "confirmed": first, "all": first}.get(show)
        assert (page.context["item"].row if page.context["item"] else None) == wanted

    def test_a_search_finds_words_of_the_instruction(self, annotator, iteration):
        item = items(iteration)[5]
        Classification.objects.filter(pk=item.pk).update(
            instruction=Instruction.objects.create(text="Describe a xylophone", content_hash="x" * 64)
        )

        assert shown(annotator.get(url(iteration), {"q": "xylophone"})) == item

    def test_a_viewer_sees_and_locks_nothing(self, client, charlie, iteration):
        client.force_login(charlie)

        page = client.get(url(iteration))

        assert shown(page) == items(iteration)[0]
        assert 'id="review-form"' not in page.content.decode()
        assert not ReviewLock.objects.exists()
        assert decide(client, items(iteration)[0]).status_code == 403

    def test_the_end_says_what_was_skipped(self, annotator, bob, iteration):
        for item in items(iteration):
            reviews.decide(classification=item, person=bob, kind="skip")

        page = annotator.get(url(iteration)).content.decode()

        assert "Nothing waits for you here" in page
        assert "You skipped or flagged 24" in page

    def test_a_closed_iteration_offers_no_decision(self, annotator, iteration):
        iteration.stages.filter(kind=StageKind.REVIEW).update(status=StageStatus.SUCCEEDED)

        page = annotator.get(url(iteration), {"show": "all"}).content.decode()

        assert "has moved on" in page
        assert 'id="review-form"' not in page

    def test_own_progress_counts_opinions_of_today(self, annotator, bob, iteration):
        first, second, third, *_ = items(iteration)
        for item, kind in ((first, "hard"), (second, "skip"), (third, "easy")):
            reviews.decide(classification=item, person=bob, kind=kind)
        Decision.objects.filter(classification=third).update(created_at=timezone.now() - timedelta(days=1))

        progress = annotator.get(url(iteration, "progress/")).context["progress"]

        assert (progress.today, progress.left) == (1, 21)

    def test_the_number_of_queries_is_fixed(self, annotator, iteration, django_assert_max_num_queries):
        annotator.get(url(iteration))
        with django_assert_max_num_queries(24):
            annotator.get(url(iteration))

    def test_and_so_is_what_a_decision_costs(self, annotator, bob, iteration, django_assert_max_num_queries):
        first, second, *_ = items(iteration)
        annotator.get(url(iteration))

        with django_assert_max_num_queries(13):
            reviews.decide(classification=first, person=bob, kind="easy", comment="So.")
        with django_assert_max_num_queries(32):
            decide(annotator, second, headers=HTMX)


class TestText:
    @pytest.fixture
    def page_of(self, annotator, iteration):
        item = items(iteration)[0]

        def see(text, **query):
            Response.objects.filter(pk=item.student_response_id).update(text=text)
            return annotator.get(url(iteration), {"item": item.pk, **query}).content.decode()

        return see

    def test_markdown_is_rendered(self, page_of):
        page = page_of("# Title\n\n| a | b |\n|---|---|\n| 1 | **2** |\n\n```\ncode < 1\n```")

        assert "<strong>2</strong></td>" in page
        assert "<pre><code>code &lt; 1" in page
        assert '<p class="heading">Title</p>' in page

    @pytest.mark.parametrize(
        "formula",
        [
            r"\(a_1 + b_1\)",
            r"\[ x \\ y \]",
            "$a_1 * b_2 * c$",
            "$$\nx_1 = y_1\n$$",
            r"\begin{cases}a_1 \\ b_1\end{cases}",
        ],
    )
    def test_what_looks_like_a_formula_is_left_alone(self, page_of, formula):
        shown_text = re.sub(r"<br ?/?>\n", "\n", page_of(f"So {formula} holds."))

        assert formula in shown_text.replace("&amp;", "&")

    @pytest.mark.parametrize(
        "hostile",
        [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "![x](https://evil.example/pixel.png)",
            "[x](javascript:alert(1))",
            "[x](data:text/html,<script>alert(1)</script>)",
            '<a href="javascript:alert(1)" onclick="alert(1)">x</a>',
            "<style>body{display:none}</style>",
            "<iframe src=//evil.example></iframe>",
            "| <img src=x onerror=alert(1)> |\n|---|",
        ],
    )
    @pytest.mark.parametrize("look", [{}, {"raw": "1"}, {"diff": "1"}])
    def test_hostile_output_is_text(self, page_of, hostile, look):
        page = page_of(hostile, **look)
        left = page[page.index('id="review-pair"') : page.index("</aside>")]

        assert not re.search(r"<(script|img|iframe|style)", left)
        assert not re.search(r"<[^>]*(onerror|onclick)=", left)
        assert not re.search(r"<a [^>]*href=.?(javascript|data):", left)

    def test_raw_text_is_shown_as_it_is(self, page_of):
        assert "**not bold**" in page_of("**not bold**", raw="1")

    def test_a_diff_shows_what_only_one_has(self, annotator, iteration):
        item = items(iteration)[0]
        Response.objects.filter(pk=item.teacher_response_id).update(text="The cat sat.")
        Response.objects.filter(pk=item.student_response_id).update(text="The dog sat.")

        page = annotator.get(url(iteration), {"item": item.pk, "diff": "1"}).content.decode()

        assert "The <del>cat</del><ins>dog</ins> sat." in page

    def test_right_to_left_text_finds_its_direction(self, page_of):
        assert 'class="markdown" dir="auto"' in page_of("اكتب قصيدة")

    def test_a_response_of_a_megabyte_is_cut_and_can_be_had_whole(self, annotator, iteration):
        item = items(iteration)[0]
        Response.objects.filter(pk=item.student_response_id).update(text="word " * 200_000 + "end")
        Response.objects.filter(pk=item.teacher_response_id).update(text="wort " * 200_000 + "ende")

        page = annotator.get(url(iteration), {"item": item.pk})
        whole = annotator.get(f"/reviews/{item.pk}/text/student/")

        assert len(page.content) < 200_000
        assert "The first 20,000 of 1,000,003 characters" in page.content.decode()
        assert whole.content.decode().endswith("word end")
        assert whole["Content-Type"] == "text/plain; charset=utf-8"
        assert page.context["draft"]["corrected"] == ""

    def test_other_sides_are_not_found(self, annotator, iteration):
        for side in ("left", "referee"):
            assert annotator.get(f"/reviews/{items(iteration)[0].pk}/text/{side}/").status_code == 404

    def test_swapping_turns_the_sides_round(self, annotator, iteration):
        item = items(iteration)[0]

        roles = [
            annotator.get(url(iteration), {"item": item.pk, "swap": s}).context["item"].sides[0].role for s in "01"
        ]

        assert roles == ["Teacher", "Student"]


class TestBlind:
    @pytest.fixture
    def blind(self, alice):
        return waiting(alice, blind_review=True)

    def test_neither_models_nor_the_referee_stand_in_the_source(self, annotator, blind):
        Response.objects.update(text="An answer.")
        Classification.objects.filter(for_review=True).update(flipped=True, audit_slice=True)
        allowed = ('value="teacher_wrong"', "Replaces the teacher's in training")

        for query in ({}, {"view": "list"}, {"diff": "1"}, {"verdict": "hard", "only": "flipped"}):
            source = annotator.get(url(blind), query).content.decode()
            work = source[source.index('id="review-work"') :]
            for words in allowed:
                work = work.replace(words, "")
            said = r"teacher|student|checkpoint|accept|gap |flipped|audit|pill-hard|pill-easy|unscored|more complete"
            assert not re.search(said, work, re.I)

    def test_sides_are_drawn_by_item_and_stay(self, annotator, blind):
        sides = [
            [teacher_is_left(annotator.get(url(blind), {"item": item.pk})) for item in items(blind)] for _ in range(2)
        ]

        assert sides[0] == sides[1]
        assert 1 <= sum(sides[0]) <= 23

    @pytest.mark.parametrize("swap", ["", "swap=1"])
    @pytest.mark.parametrize("side", ["left", "right", "equal"])
    def test_the_better_side_becomes_a_verdict(self, annotator, blind, side, swap):
        item = items(blind)[3]
        seen = annotator.get(url(blind) + f"?item={item.pk}&{swap}")

        decide(annotator, item, side, query=swap)

        item.refresh_from_db()
        teacher = side != "equal" and (side == "left") == teacher_is_left(seen)
        assert item.person_verdict == ("hard" if teacher else "easy")

    def test_the_hidden_verdict_cannot_be_accepted(self, annotator, blind):
        page = decide(annotator, items(blind)[0], "accept")

        assert page.status_code == 409
        assert not Decision.objects.exists()

    def test_a_whole_text_is_asked_for_by_side(self, annotator, blind):
        item = items(blind)[0]
        seen = annotator.get(url(blind), {"item": item.pk})

        left = annotator.get(f"/reviews/{item.pk}/text/left/").content.decode()

        assert left == (item.teacher_response if teacher_is_left(seen) else item.student_response).text
        assert annotator.get(f"/reviews/{item.pk}/text/teacher/").status_code == 404

    def test_once_closed_all_is_shown(self, annotator, blind):
        blind.stages.filter(kind=StageKind.REVIEW).update(status=StageStatus.SUCCEEDED)

        assert (
            '<h2 id="review-referee-title">Referee</h2>' in annotator.get(url(blind), {"show": "all"}).content.decode()
        )


class TestDeciding:
    @pytest.mark.parametrize(
        "kind", ["hard", "easy", "teacher_wrong", "bad_instruction", "duplicate", "unsafe", "flag", "skip"]
    )
    def test_a_plain_form_saves_and_leads_to_the_next(self, annotator, bob, iteration, kind):
        first = shown(annotator.get(url(iteration)))

        answer = decide(annotator, first, kind, comment="So.", seconds="2.5", query="view=list")

        made = Decision.objects.get()
        assert (made.kind, made.comment, made.seconds, made.person) == (kind, "So.", 2.5, bob)
        second = items(iteration)[1]
        assert answer["Location"] == f"{url(iteration)}?item={second.pk}&view=list"
        assert ReviewLock.objects.get().classification == second

    def test_enter_accepts_what_the_referee_said(self, annotator, iteration):
        item = items(iteration, referee_verdict="hard")[0]

        decide(annotator, item, "accept")

        item.refresh_from_db()
        assert (item.review_state, item.person_kind) == ("confirmed", "hard")

    def test_an_unscored_item_has_nothing_to_accept(self, annotator, iteration):
        item = items(iteration, referee_verdict="unscored")[0]

        answer = decide(annotator, item, "accept")

        assert "no verdict of the referee to accept" in answer.content.decode()
        assert 'value="accept"' not in annotator.get(url(iteration), {"item": item.pk}).content.decode()

    def test_with_htmx_the_next_item_comes_in_the_same_answer(self, annotator, iteration):
        first, second, *_ = items(iteration)

        answer = decide(annotator, first, headers=HTMX, query="swap=1")

        assert f'data-item="{second.pk}"' in answer.content.decode()
        assert "<html" not in answer.content.decode()
        assert answer["HX-Replace-Url"] == f"{url(iteration)}?item={second.pk}&swap=1"
        assert answer["HX-Trigger"] == "review-saved, review-changed"

    def test_after_the_last_place_the_first_open_one_comes(self, annotator, iteration):
        answer = decide(annotator, items(iteration)[-1])

        assert answer["Location"] == f"{url(iteration)}?item={items(iteration)[0].pk}"

    def test_with_another_filter_the_next_of_it_comes(self, annotator, bob, iteration):
        first, second, *_ = items(iteration)
        for item in (first, second):
            reviews.decide(classification=item, person=bob, kind="skip")

        answer = decide(annotator, first, "hard", query="show=skipped")

        assert answer["Location"] == f"{url(iteration)}?item={second.pk}&show=skipped"

    def test_a_stale_form_says_what_changed_and_keeps_what_was_typed(self, annotator, alice, iteration):
        first = items(iteration)[0]
        seen = annotator.get(url(iteration)).context["item"].version
        ReviewLock.objects.update(expires_at=timezone.now())
        reviews.decide(classification=first, person=alice, kind="easy")

        typed = {"seen": seen, "comment": "My <long> thought", "corrected": "My answer"}
        plain = decide(annotator, first, "hard", **typed)
        htmx = decide(annotator, first, "hard", headers=HTMX, **typed)

        assert (plain.status_code, htmx.status_code) == (409, 200)
        assert "HX-Trigger" not in htmx
        for answer in (plain, htmx):
            page = answer.content.decode()
            assert "alice decided it: easy" in page
            assert "My &lt;long&gt; thought</textarea>" in page
            assert "My answer</textarea>" in page
        assert Decision.objects.count() == 1

    def test_the_fresh_form_can_then_be_sent(self, annotator, alice, iteration):
        first = items(iteration)[0]
        reviews.decide(classification=first, person=alice, kind="easy")
        seen = annotator.get(url(iteration), {"item": first.pk}).context["item"].version

        decide(annotator, first, "hard", seen=seen)

        first.refresh_from_db()
        assert first.review_state == "conflict"

    def test_a_deleted_instruction_is_refused_with_a_sentence(self, annotator, alice, iteration):
        first = shown(annotator.get(url(iteration)))
        Instruction.objects.filter(pk=first.instruction_id).update(deleted_at=timezone.now(), deleted_by=alice)

        assert "deleted by alice meanwhile" in decide(annotator, first, comment="x").content.decode()

    def test_an_item_that_is_gone_is_not_found(self, annotator, iteration):
        first = items(iteration)[0]
        Classification.objects.filter(pk=first.pk).delete()

        assert decide(annotator, first).status_code == 404

    def test_a_late_click_on_a_closed_iteration_says_so(self, annotator, iteration):
        first = shown(annotator.get(url(iteration)))
        iteration.stages.filter(kind=StageKind.REVIEW).update(status=StageStatus.SUCCEEDED)

        answer = decide(annotator, first, headers=HTMX)

        assert "has moved on" in answer.content.decode()
        assert not Decision.objects.exists()

    @pytest.mark.parametrize("kind", ["", "maybe", "HARD", "<b>", "confirmed"])
    def test_an_unknown_kind_is_a_bad_request(self, annotator, iteration, kind):
        assert decide(annotator, items(iteration)[0], kind).status_code == 400

    def test_nul_bytes_and_lone_surrogates_are_mended(self, annotator, iteration):
        body = "kind=hard&comment=a%00b%ED%A0%80&corrected=%00x"

        annotator.post(
            f"/reviews/{items(iteration)[0].pk}/decide/", body, content_type="application/x-www-form-urlencoded"
        )

        made = Decision.objects.get()
        assert made.comment.startswith("a\ufffdb")
        assert made.corrected_response.text == "\ufffdx"

    def test_comments_are_escaped(self, annotator, iteration):
        first = items(iteration)[0]
        decide(annotator, first, comment="</textarea><script>alert(1)</script>")

        assert "<script>alert" not in annotator.get(url(iteration), {"item": first.pk}).content.decode()

    def test_the_way_on_stays_in_the_queue(self, annotator, iteration):
        for away in ("//evil.example", "next=https://evil.example", "item=1&view=//x"):
            assert decide(annotator, items(iteration)[0], query=away)["Location"].startswith(url(iteration))


class TestTakingBack:
    def test_the_last_item_comes_back_with_what_was_typed(self, annotator, iteration):
        first = items(iteration)[0]
        decide(annotator, first, comment="Hm.", corrected="Mine.")

        answer = annotator.post(url(iteration, "undo/"), {"query": "view=list"}, headers=HTMX)

        assert f'data-item="{first.pk}"' in answer.content.decode()
        assert "Hm.</textarea>" in answer.content.decode()
        assert "Mine.</textarea>" in answer.content.decode()
        first.refresh_from_db()
        assert first.review_state == "pending"

    def test_without_htmx_it_leads_there(self, annotator, iteration):
        first = items(iteration)[0]
        decide(annotator, first)

        assert annotator.post(url(iteration, "undo/"))["Location"] == f"{url(iteration)}?item={first.pk}"

    def test_nothing_to_take_back_says_so_beside_the_item(self, annotator, iteration):
        first = items(iteration)[0]

        page = annotator.post(url(iteration, "undo/"), {"item": first.pk}).content.decode()

        assert "no decision of yours" in page
        assert f'data-item="{first.pk}"' in page


class TestOpinionsOfOthers:
    def test_they_are_hidden_until_one_has_decided(self, annotator, alice, bob):
        iteration = waiting(alice, reviewers_per_item=2)
        first = items(iteration)[0]
        reviews.decide(classification=first, person=alice, kind="unsafe", comment="Led astray")

        before = annotator.get(url(iteration), {"item": first.pk}).content.decode()
        reviews.decide(classification=first, person=bob, kind="hard")
        after = annotator.get(url(iteration), {"item": first.pk}).content.decode()

        assert "Led astray" not in before
        assert "Led astray" in after

    def test_the_question_of_a_flag_is_shown(self, annotator, alice, iteration):
        first = items(iteration)[0]
        reviews.decide(classification=first, person=alice, kind="flag", comment="Which unit?")

        assert "Which unit?" in annotator.get(url(iteration), {"item": first.pk}).content.decode()


class TestLocks:
    def test_a_sign_of_life(self, annotator, iteration):
        first = shown(annotator.get(url(iteration)))
        ReviewLock.objects.update(expires_at=timezone.now())

        assert annotator.post(f"/reviews/{first.pk}/keep/").status_code == 204
        assert ReviewLock.objects.get().expires_at > timezone.now()

    def test_a_lost_item_is_told(self, annotator, alice, iteration):
        first = items(iteration)[0]
        take(classification=first, person=alice)

        answer = annotator.post(f"/reviews/{first.pk}/keep/")

        assert (answer.status_code, "alice" in answer.content.decode()) == (409, True)

    def test_it_can_be_put_back(self, annotator, iteration):
        first = shown(annotator.get(url(iteration)))

        annotator.post(f"/reviews/{first.pk}/release/")

        assert not ReviewLock.objects.exists()


class TestClosing:
    @pytest.fixture
    def researcher(self, client, alice):
        client.force_login(alice)
        return client

    def test_it_shows_what_is_open_before(self, researcher, alice, bob, iteration):
        first, second, third, *_ = items(iteration)
        reviews.decide(classification=first, person=bob, kind="flag")
        reviews.decide(classification=second, person=bob, kind="hard")
        for person in (alice, bob):
            reviews.decide(classification=third, person=person, kind="easy" if person == bob else "unsafe")

        page = researcher.get(url(iteration, "close/"))

        assert page.context["closing"].counts == {"Pending": 21, "Flagged": 1, "Conflict": 1}
        assert "Close with 23 open" in page.content.decode()

    def test_what_is_open_is_closed_and_the_iteration_goes_on(self, researcher, bob, iteration):
        first, *rest = items(iteration)
        reviews.decide(classification=first, person=bob, kind=first.referee_verdict)

        answer = researcher.post(url(iteration, "close/"), follow=True)

        assert "goes on" in answer.content.decode()
        assert iteration.stages.get(kind=StageKind.REVIEW).status == StageStatus.SUCCEEDED
        assert [item.review_state for item in items(iteration)] == ["confirmed", *["closed"] * len(rest)]

    def test_the_policy_require_keeps_it_open(self, researcher, alice):
        iteration = waiting(alice, policy="require")

        page = researcher.get(url(iteration, "close/")).content.decode()
        answer = researcher.post(url(iteration, "close/"), follow=True)

        assert "24 items must be decided first" in page
        assert "24 items are still open" in answer.content.decode()
        assert iteration.stages.get(kind=StageKind.REVIEW).status == StageStatus.WAITING

    def test_a_conflict_alone_keeps_it_open_too(self, researcher, alice, bob):
        iteration = waiting(alice, policy="require")
        for item in items(iteration):
            reviews.decide(classification=item, person=bob, kind="hard")
        reviews.decide(classification=items(iteration)[0], person=alice, kind="easy")

        answer = researcher.post(url(iteration, "close/"), follow=True)

        assert "1 item is still open" in answer.content.decode()

    def test_an_annotator_may_not(self, annotator, iteration):
        assert annotator.post(url(iteration, "close/")).status_code == 403

    def test_a_second_click_changes_nothing_and_says_so(self, researcher, iteration):
        researcher.post(url(iteration, "close/"))

        answer = researcher.post(url(iteration, "close/"), follow=True)

        assert "not waiting" in answer.content.decode()


def test_the_last_usable_reply_for_each_order_is_shown(annotator, iteration):
    item = items(iteration)[0]
    review = Review.objects.filter(student_response=item.student_response, order="student_first").get()
    Review.objects.create(
        teacher_response=review.teacher_response,
        student_response=review.student_response,
        order="student_first",
        referee=review.referee,
        attempt=1,
        raw="I cannot say",
    )

    scores = annotator.get(url(iteration), {"item": item.pk}).context["item"].scores

    assert [one.order for one in scores] == ["teacher_first", "student_first"]
    assert scores[1].score_teacher == review.score_teacher


def test_equal_ranks_are_stepped_through_by_id(iteration):
    Classification.objects.filter(for_review=True).update(queue_rank=1.5)
    first, second, third, *_ = items(iteration)

    assert neighbours(second, queue(iteration, ReviewFilters())) == (first.pk, third.pk)
