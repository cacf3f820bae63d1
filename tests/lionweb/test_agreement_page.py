"""Agreement of an iteration: counted by hand, and who may see whose figures."""

import pytest

from lionweb.agreement import cohen_kappa, fleiss_kappa
from lionweb.models import DecisionKind
from lionweb.selectors.agreement import agreement_page
from lionweb.services.conflicts import live_opinions, resolve, version_of
from lionweb.services.reviews import undo
from tests import review_factories as review


@pytest.fixture
def eve(db):
    return review.annotators("eve")[0]


@pytest.fixture
def iteration(alice):
    return review.waiting_iteration(alice, reviewers_per_item=2)


@pytest.fixture
def judged(iteration, bob, eve):
    """bob and eve on six items: alike on four. The referee says hard, easy, hard, easy and so on."""
    said = [
        ("hard", "hard"),
        ("hard", "easy"),
        ("easy", "easy"),
        ("easy", "easy"),
        ("hard", "hard"),
        ("unsafe", "hard"),
    ]
    for item, kinds in zip(review.items_of(iteration), said, strict=False):
        review.disagree(item, bob, eve, kinds, seconds=10)
    return iteration


def url(iteration):
    return f"/experiments/{iteration.experiment_id}/iterations/1/agreement/"


def fact(client, iteration):
    return " ".join(client.get(url(iteration)).content.decode().split())


class TestFigures:
    def test_two_people_are_compared_by_cohens_kappa(self, judged, alice):
        page = agreement_page(judged, alice)

        table = {("hard", "hard"): 2, ("hard", "easy"): 1, ("easy", "easy"): 2, ("unsafe", "hard"): 1}
        assert page.raw.value == pytest.approx(4 / 6)
        assert page.cohen == cohen_kappa(table)
        assert (page.opinions, page.people, page.items) == (12, 2, 6)

    def test_three_people_by_fleiss_with_as_many_as_each_item_has(self, judged, alice, bob, eve):
        first, second, *_ = review.items_of(judged)
        review.say(first, alice, "hard")
        review.say(second, alice, "hard")

        page = agreement_page(judged, alice)

        patterns = {
            ("hard", "hard", "hard"): 1, ("easy", "hard", "hard"): 1, ("easy", "easy"): 2, ("hard", "hard"): 1,
            ("hard", "unsafe"): 1,
        }  # fmt: skip
        assert page.cohen is None
        assert page.fleiss.value == pytest.approx(fleiss_kappa(patterns).value)
        assert page.raw.value == pytest.approx((1 + 1 / 3 + 1 + 1 + 1 + 0) / 6)
        assert {(pair.one, pair.other): pair.raw.n for pair in page.pairs} == {
            ("alice", "bob"): 2, ("alice", "eve"): 2, ("bob", "eve"): 6,
        }  # fmt: skip

    def test_what_was_taken_back_skipped_flagged_or_resolved_does_not_count(self, judged, alice, bob, eve):
        conflict = review.items_of(judged)[1]
        resolve(classification=conflict, person=alice, kind=DecisionKind.HARD, seen=version_of(live_opinions(conflict)))
        undo(person=bob, decision=review.items_of(judged)[0].decisions.get(person=bob))
        review.say(review.items_of(judged)[6], bob, "skip")
        review.say(review.items_of(judged)[7], bob, "flag")

        page = agreement_page(judged, alice)

        assert (page.items, page.opinions) == (5, 11)
        assert [one.name for one in page.reviewers] == ["eve", "bob"]

    def test_the_confusion_matrix_counts_final_decisions_by_the_referees_verdict(self, judged, alice):
        page = agreement_page(judged, alice)

        rows = {row.verdict: {cell.kind: cell.count for cell in row.cells if cell.count} for row in page.confusion}
        assert rows == {"hard": {"hard": 2, "easy": 1}, "easy": {"easy": 1}, "unscored": {}}
        hard = page.confusion[0]
        assert (hard.total, hard.overridden.value) == (3, pytest.approx(1 / 3))
        assert [cell.agrees for cell in hard.cells if cell.kind == "hard"] == [True]

    def test_each_reviewers_figures(self, judged, alice, bob, eve):
        first, second, *_ = review.items_of(judged)
        review.say(second, alice, "hard", seconds=40)
        review.say(review.items_of(judged)[6], bob, "flag")

        bobs = next(one for one in agreement_page(judged, alice).reviewers if one.name == "bob")

        assert (bobs.opinions, bobs.flags, bobs.median_seconds) == (6, 1, 10)
        # bob against the referee: second, third and sixth item.
        assert bobs.overridden.value == pytest.approx(3 / 6)
        # The others of the second item are of two minds; of the rest bob is with eve on four of five.
        assert (bobs.with_majority.value, bobs.with_majority.n) == (pytest.approx(4 / 5), 5)

    def test_without_scores_there_is_nothing_to_override(self, judged, alice):
        second = review.items_of(judged)[2]
        type(second).objects.filter(pk=second.pk).update(referee_verdict="unscored")

        page = agreement_page(judged, alice)

        unscored = page.confusion[-1]
        assert (unscored.total, unscored.overridden.value) == (1, None)
        bobs = next(one for one in page.reviewers if one.name == "bob")
        # The third item left out, bob is against the referee on the second and the sixth of five.
        assert (bobs.overridden.value, bobs.overridden.n, bobs.opinions) == (pytest.approx(2 / 5), 5, 6)

    def test_another_iteration_is_another_matter(self, judged, alice):
        other = review.waiting_iteration(alice, name="Second", start=20)

        assert agreement_page(other, alice).opinions == 0

    def test_it_costs_a_fixed_number_of_queries(self, judged, alice, django_assert_max_num_queries):
        with django_assert_max_num_queries(4):
            agreement_page(judged, alice)


class TestWhoSeesWhom:
    def test_the_owner_and_admins_see_everyone(self, judged, alice, dora):
        for reader in (alice, dora):
            page = agreement_page(judged, reader)
            assert {one.name for one in page.reviewers} == {"bob", "eve"}
            assert len(page.pairs) == 1

    def test_an_annotator_sees_themselves_alone(self, judged, bob):
        page = agreement_page(judged, bob)

        assert [one.name for one in page.reviewers] == ["bob"]
        assert not page.sees_everyone

    def test_others_see_no_person_but_all_totals(self, client, judged, charlie):
        client.force_login(charlie)

        page = fact(client, judged)

        assert "<bdi>bob</bdi>" not in page
        assert "<bdi>eve</bdi>" not in page
        assert "Cohen's kappa" in page

    def test_another_researcher_is_no_owner(self, judged, db):
        other = review.annotators("mallory")[0]
        other.role = "researcher"
        other.save()

        assert agreement_page(judged, other).reviewers == ()

    def test_pairs_are_seen_by_their_two_people_only(self, judged, alice, bob, eve):
        first, *_ = review.items_of(judged)
        review.say(first, alice, "hard")

        names = {tuple(sorted((pair.one, pair.other))) for pair in agreement_page(judged, bob).pairs}

        assert names == {("alice", "bob"), ("bob", "eve")}


class TestPage:
    def test_it_says_what_a_kappa_means(self, client, judged, alice):
        client.force_login(alice)

        page = fact(client, judged)

        assert "so few items also fit with mere chance" in page
        assert "66.7 %" in page
        assert "Items with a single opinion are left out" in page

    def test_cells_lead_to_their_items(self, client, judged, alice):
        client.force_login(alice)

        link = f"/experiments/{judged.experiment_id}/iterations/1/review/?show=all&amp;view=list&amp;verdict=hard&amp;decision=easy"
        assert link in fact(client, judged)
        rows = client.get(link.replace("&amp;", "&")).context["rows"]
        assert [row.pk for row, _ in rows] == [review.items_of(judged)[2].pk]

    def test_with_single_opinions_there_is_no_agreement_and_it_says_so(self, client, alice, bob):
        iteration = review.waiting_iteration(alice)
        review.say(review.items_of(iteration)[0], bob, "hard")
        client.force_login(alice)

        page = fact(client, iteration)

        assert "Each item has one opinion so far" in page
        assert "Reviewer by reviewer" not in page

    def test_cohens_kappa_is_of_two_reviewers_whoever_else_judged_alone(self, client, judged, alice):
        review.say(review.items_of(judged)[6], alice, "hard")
        client.force_login(alice)

        assert "two reviewers" in fact(client, judged)

    def test_everyone_alike_on_one_kind_gives_no_kappa(self, client, iteration, alice, bob, eve):
        review.disagree(review.items_of(iteration)[0], bob, eve, ("hard", "hard"))
        client.force_login(alice)

        assert "nothing can be said beyond chance" in fact(client, iteration)

    def test_with_nothing_decided_it_leads_to_the_queue(self, client, iteration, alice):
        client.force_login(alice)

        page = fact(client, iteration)

        assert "Nobody has decided anything yet" in page
        assert f'href="/experiments/{iteration.experiment_id}/iterations/1/review/"' in page

    def test_hostile_names_are_escaped(self, client, judged, alice, bob):
        bob.username = "<script>x"
        bob.save()
        client.force_login(alice)

        assert "<script>x" not in fact(client, judged)

    def test_an_unknown_iteration_is_not_found(self, client, alice):
        client.force_login(alice)

        assert client.get("/experiments/1/iterations/9/agreement/").status_code == 404
