"""The figures of the referee's health: counted by hand on small iterations, and the page that shows them."""

import math
from dataclasses import replace

import pytest
from django.core.cache import cache

from distill.settings import RefereeSettings
from lionweb.models import Classification, Review
from lionweb.referee_stats import slope
from lionweb.selectors.referee_calibration import calibration
from lionweb.selectors.referee_health import health, trend
from lionweb.selectors.referee_lengths import LN_2, lengths
from lionweb.selectors.referee_sums import referee_of
from lionweb.stages.repeated_reviews import AGAIN, second_name
from tests import factories as make

pytestmark = pytest.mark.django_db


def judged(owner, referee=None, second=None, number=1, experiment=None):
    settings = replace(make.SMALL, referee=referee or RefereeSettings())
    experiment = experiment or make.make_experiment(owner, settings=settings, second_endpoint=second)
    iteration = make.make_iteration(experiment, number=number, done=4)
    return iteration, make.make_checkpoint(iteration)


def pair(iteration, checkpoint, place, first, second, *, lengths=(40, 40), **changes):
    """One pair with the scores (teacher, student) when the teacher stands first, and when the student does."""
    instruction = make.make_instructions(1, start=place)[0]
    teacher = make.make_response(instruction, text="t" * lengths[0])
    student = make.make_response(instruction, checkpoint=checkpoint, text="s" * lengths[1])
    for order, scores in (("teacher_first", first), ("student_first", second)):
        review(iteration, teacher, student, order, scores)
    top, low = ((a + b) / 2 for a, b in zip(first, second, strict=True))
    verdict = "hard" if top - low >= 1 else "easy"
    values = {"score_teacher": top, "score_student": low, "gap": top - low, "referee_verdict": verdict}
    flipped = (first[0] - first[1]) * (second[0] - second[1]) < 0
    return Classification.objects.create(
        iteration=iteration, checkpoint=checkpoint, instruction=instruction, teacher_response=teacher,
        student_response=student, flipped=flipped, **(values | changes),
    )  # fmt: skip


def review(iteration, teacher, student, order, scores, referee=None, attempt=0):
    Review.objects.create(
        teacher_response=teacher,
        student_response=student,
        order=order,
        referee=referee or referee_of(iteration),
        attempt=attempt,
        raw="",
        score_teacher=scores and scores[0],
        score_student=scores and scores[1],
    )


def figures(iteration):
    cache.clear()
    return {one.name: one for one in (*health(iteration).figures, *lengths(iteration))}


@pytest.fixture
def four(alice):
    """Four pairs: one flipped, one tied, two in the teacher's favour; the first place always gets more or the same."""
    iteration, checkpoint = judged(alice)
    pair(iteration, checkpoint, 0, (8, 6), (6, 8))
    pair(iteration, checkpoint, 1, (7, 7), (7, 7))
    pair(iteration, checkpoint, 2, (9, 5), (8, 6))
    pair(iteration, checkpoint, 3, (9, 5), (9, 5))
    return iteration


class TestOrders:
    def test_the_flip_rate_is_of_scored_pairs(self, four):
        flips = figures(four)["flips"]

        assert (flips.estimate.value, flips.estimate.n) == (0.25, 4)
        assert "the better answer changed with the order" in flips.sentence

    def test_the_first_places_advantage_is_a_mean_over_both_orders(self, four):
        # Of the first: +2 and +2; 0 and 0; +4 and -2; +4 and -4: means 2, 0, 1, 0.
        found = figures(four)["position"].estimate

        assert (found.value, found.n) == (pytest.approx(0.75), 4)
        assert found.low < 0 < found.high

    def test_ties_of_one_review_are_no_win_of_either_place(self, four):
        wins = figures(four)["first_wins"].estimate

        # Wins of the first: both reviews of pair 0, one each of pairs 2 and 3; of the second: one each of those.
        assert (wins.value, wins.n) == (pytest.approx(4 / 6), 6)

    def test_ties_are_pairs_of_equal_mean_scores(self, four):
        # The flipped pair has equal means too.
        assert figures(four)["ties"].estimate.value == 0.5

    def test_likelihood_has_no_orders_and_says_so(self, alice):
        iteration, checkpoint = judged(alice, RefereeSettings(mode="likelihood"))
        make.classify(iteration, checkpoint, make.make_instructions(3), [0.5, 1.5, 2.0])

        found = figures(iteration)

        assert found["flips"].estimate is None
        assert "does not apply" in found["position"].sentence
        assert found["flips"].instead == "n/a"
        assert trend(iteration.experiment)[0].flips is None
        assert "always gets the same scores" in found["stability"].sentence


class TestReplies:
    def test_unreadable_and_repeated_replies_are_counted(self, alice):
        iteration, checkpoint = judged(alice)
        one = pair(iteration, checkpoint, 0, (8, 6), (8, 6))
        two = pair(
            iteration,
            checkpoint,
            1,
            (8, 6),
            (8, 6),
            gap=None,
            score_teacher=None,
            score_student=None,
            referee_verdict="unscored",
        )
        for attempt in (1, 2):
            review(iteration, two.teacher_response, two.student_response, "teacher_first", None, attempt=attempt)
        review(iteration, one.teacher_response, one.student_response, "teacher_first", (1, 9), referee="another")

        found = figures(iteration)

        assert found["unparsed"].estimate.value == pytest.approx(2 / 6)
        assert found["reasked"].estimate.value == pytest.approx(2 / 6)
        assert (found["unscored"].estimate.value, found["unscored"].estimate.n) == (0.5, 2)
        assert "people are asked first" in found["unscored"].sentence


class TestLength:
    LENGTHS = ((10, 40), (20, 20), (80, 20), (33, 60), (400, 90))
    GAPS = (-1, 0, 3, -0.5, 2)

    def made(self, alice, referee=None):
        iteration, checkpoint = judged(alice, referee)
        for place, (both, gap) in enumerate(zip(self.LENGTHS, self.GAPS, strict=True)):
            pair(iteration, checkpoint, place, (6 + gap, 6), (6 + gap, 6), lengths=both)
        return iteration

    def test_the_slope_is_in_points_per_doubling(self, alice):
        found = figures(self.made(alice))["length"].estimate

        x = [math.log(teacher / student) for teacher, student in self.LENGTHS]
        mx, my = sum(x) / 5, sum(self.GAPS) / 5
        sxx = sum((one - mx) ** 2 for one in x)
        sxy = sum((one - mx) * (gap - my) for one, gap in zip(x, self.GAPS, strict=True))
        expected = slope(5, sxx, sxy, sum((gap - my) ** 2 for gap in self.GAPS), per=LN_2)
        assert found.value == pytest.approx(expected.value)
        assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))

    def test_both_mean_lengths_stand_beside_it(self, alice):
        found = figures(self.made(alice))

        assert found["teacher_length"].estimate.value == pytest.approx(543 / 5)
        assert found["student_length"].estimate.value == pytest.approx(230 / 5)

    def test_with_the_adjustment_on_it_says_how_many_verdicts_changed(self, alice):
        iteration = self.made(alice, RefereeSettings(length_adjusted=True))
        longest = iteration.classifications.order_by("-gap").first()
        Classification.objects.filter(pk=longest.pk).update(gap=0.4, referee_verdict="easy")

        assert "which changed 1 verdict." in figures(iteration)["length"].sentence


class TestAskedMore:
    def test_what_is_switched_off_says_so(self, four):
        found = figures(four)

        assert found["stability"].estimate is None
        assert "switch it on in the settings" in found["stability"].sentence
        assert "switch it on in the settings" in found["self_preference"].sentence

    def test_stability_is_of_the_pairs_that_were_asked_again_in_both_orders(self, alice):
        iteration, checkpoint = judged(alice, RefereeSettings(stability_percent=50))
        rows = [pair(iteration, checkpoint, place, (8, 6), (8, 6)) for place in range(4)]
        again = [((8, 6), (8, 6)), ((6, 6), (6, 6)), ((8, 6), None)]
        for row, (first, second) in zip(rows, again, strict=False):
            for order, scores in (("teacher_first", first), ("student_first", second)):
                args = (row.teacher_response, row.student_response, order, scores)
                review(iteration, *args, referee=referee_of(iteration) + AGAIN)

        found = figures(iteration)

        # Pairs 0 and 1 count: the gap stays at 2, and moves from 2 to 0.
        assert (found["stability"].estimate.value, found["stability"].estimate.n) == (0.5, 2)
        assert found["moved"].estimate.value == pytest.approx(1.0)

    def test_self_preference_is_the_difference_to_the_second_referees_gap(self, alice):
        make.make_endpoint()
        second = make.make_endpoint("Other", base_url="https://other.example.org/v1", model="other")
        iteration, checkpoint = judged(alice, RefereeSettings(second_referee="sample"), second)
        own, other = [3, 2, 1, 0, -1], [1, 1.5, 0, -1, -1.5]
        for place, (mine, theirs) in enumerate(zip(own, other, strict=True)):
            row = pair(iteration, checkpoint, place, (6 + mine, 6), (6 + mine, 6))
            for order in ("teacher_first", "student_first"):
                args = (row.teacher_response, row.student_response, order, (6 + theirs, 6))
                review(iteration, *args, referee=second_name(iteration.experiment))

        found = figures(iteration)

        # Differences 2, 0.5, 1, 1, 0.5: mean 1; the same sign on the first, second and fifth pair.
        assert found["self_preference"].estimate.value == pytest.approx(1.0)
        assert "It favours itself" in found["self_preference"].sentence
        assert found["same_sign"].estimate.value == pytest.approx(3 / 5)
        # Ranks 5 4 3 2 1 against 4 5 3 2 1: 1 - 6 * 2 / (5 * 24).
        assert found["ranks"].estimate.value == pytest.approx(0.9)


def decide(row, kind, **changes):
    Classification.objects.filter(pk=row.pk).update(person_kind=kind, **changes)


class TestPeople:
    def test_agreement_leaves_out_what_has_no_scores(self, four, alice):
        rows = list(four.classifications.order_by("pk"))
        for row, kind in zip(rows, ("easy", "hard", "hard", "teacher_wrong"), strict=True):
            decide(row, kind)
        decide(rows[0], "easy", referee_verdict="unscored", gap=None, score_teacher=None, score_student=None)

        found = figures(four)["agreement"].estimate

        # Of easy, hard, hard: overridden, left, overridden as teacher wrong.
        assert (found.value, found.n) == (pytest.approx(1 / 3), 3)

    def test_false_rates_are_of_hard_and_easy_decisions(self, four):
        rows = list(four.classifications.order_by("pk"))  # easy, easy, hard, hard
        for row, kind in zip(rows, ("hard", "easy", "easy", "unsafe"), strict=True):
            decide(row, kind)
        decide(rows[1], "easy", audit_slice=True)

        found = calibration(four)

        assert (found.overall.false_hard.value, found.overall.false_hard.n) == (1.0, 1)
        assert (found.overall.false_easy.value, found.overall.false_easy.n) == (0.5, 2)
        assert (found.audit.false_easy.value, found.audit.false_easy.n) == (0.0, 1)
        assert (found.decided, found.other) == (3, 1)
        assert found.suggestion.tau is None
        assert sum(one.decided for one in found.categories) == 3

    def test_the_suggestion_rests_on_the_audit_slice_where_it_is_large_enough(self, alice):
        iteration, checkpoint = judged(alice)
        gaps = [0.2] * 20 + [1.2] * 15 + [2.5] * 15
        rows = make.classify(iteration, checkpoint, make.make_instructions(50), gaps)
        for row in rows:
            decide(row, "hard" if row.gap > 2 else "easy", audit_slice=True)
        more = make.classify(iteration, checkpoint, make.make_instructions(30, start=60), [0.1] * 30)
        for row in more:
            decide(row, "hard")

        found = calibration(iteration)

        assert found.rests_on_audit
        assert (found.suggestion.n, found.suggestion.tau) == (50, pytest.approx(1.85))
        assert found.suggestion.agreement.value == 1.0
        assert found.suggestion.agreement_now.value == pytest.approx(35 / 50)

    def test_drift_is_shown_by_iteration(self, four, alice):
        second, checkpoint = judged(alice, number=2, experiment=four.experiment)
        make.classify(second, checkpoint, make.make_instructions(2, start=10), [2.0, None])

        one, two = trend(four.experiment)

        assert (one.number, one.pairs, one.gap.value) == (1, 4, pytest.approx(1.75))
        assert (two.pairs, two.gap.value, two.gap.low, two.unscored.value) == (2, 2.0, None, 0.5)


class TestPage:
    def shown(self, client, iteration, query=""):
        cache.clear()
        return " ".join(client.get(f"/experiments/{iteration.experiment_id}/referee/{query}").content.decode().split())

    def test_it_shows_figures_intervals_and_sentences(self, client, four, alice):
        client.force_login(alice)

        page = self.shown(client, four, "?iteration=1")

        assert "Referee health, iteration 1" in page
        assert "the better answer changed with the order" in page
        assert "not measured" in page.lower()

    def test_the_experiment_links_to_it(self, client, four, alice):
        client.force_login(alice)

        page = client.get(f"/experiments/{four.experiment_id}/").content.decode()

        assert f"/experiments/{four.experiment_id}/referee/" in page

    def test_without_verdicts_it_says_what_is_missing(self, client, alice):
        iteration, _ = judged(alice)
        client.force_login(alice)

        assert "No verdict of this iteration yet" in self.shown(client, iteration)
        draft = make.make_experiment(alice, "Draft")
        assert client.get(f"/experiments/{draft.pk}/referee/").status_code == 200

    def test_a_single_pair_is_shown_without_invented_intervals(self, client, alice):
        iteration, checkpoint = judged(alice)
        pair(iteration, checkpoint, 0, (8, 6), (8, 6))
        client.force_login(alice)

        page = self.shown(client, iteration)

        assert "1 pair judged" in page
        assert "Too few scored pairs of different lengths" in self.shown(client, iteration, "?lengths=1")
        assert "nan" not in page

    def test_lengths_come_afterwards_or_by_the_link(self, client, four, alice):
        client.force_login(alice)
        page = self.shown(client, four)
        address = f"/experiments/{four.experiment_id}/referee/lengths/?iteration=1"

        assert f'hx-get="{address}"' in page
        assert 'href="?iteration=1&amp;lengths=1#lengths"' in page
        assert "Teacher&#x27;s mean length" not in page
        for part in (client.get(address).content.decode(), self.shown(client, four, "?lengths=1")):
            assert "Teacher&#x27;s mean length" in part
            assert "hx-get" not in part.split('id="lengths"')[1].split("</section>")[0]
        draft = make.make_experiment(alice, "Draft")
        assert client.get(f"/experiments/{draft.pk}/referee/lengths/").status_code == 404

    def test_a_better_threshold_is_said_to_be_measured_on_what_chose_it(self, client, alice):
        iteration, checkpoint = judged(alice)
        gaps = [0.2] * 20 + [1.2] * 15 + [2.5] * 15
        for row in make.classify(iteration, checkpoint, make.make_instructions(50), gaps):
            decide(row, "hard" if row.gap > 2 else "easy")
        client.force_login(alice)

        assert "measured on the same decisions that chose the threshold" in self.shown(client, iteration)

    def test_an_unscored_pair_alone_is_no_error(self, client, alice):
        iteration, checkpoint = judged(alice)
        make.classify(iteration, checkpoint, make.make_instructions(1), [None])
        client.force_login(alice)

        assert "No pair is scored yet" in self.shown(client, iteration)

    def test_an_iteration_that_is_not_there_is_not_found(self, client, four, alice):
        client.force_login(alice)

        assert client.get(f"/experiments/{four.experiment_id}/referee/?iteration=9").status_code == 404
        assert client.get("/experiments/999999/referee/").status_code == 404

    def test_it_costs_a_fixed_number_of_queries(self, client, four, alice, django_assert_max_num_queries):
        client.force_login(alice)
        with django_assert_max_num_queries(20):
            self.shown(client, four)
