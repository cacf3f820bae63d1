"""The page of one instruction: texts, answers, reviews, verdicts and lineage."""

import pytest

from distill.records import Instruction as Text
from lionweb.models import Candidate, Instruction, MemberPool, MemberSource, StageKind, StageStatus
from lionweb.services import reviews
from tests import factories as make


@pytest.fixture
def viewer(client, charlie):
    client.force_login(charlie)
    return client


@pytest.fixture
def experiment(alice):
    experiment = make.make_experiment(alice, pool=make.make_pool("Sample", rows=30))
    make.finish_iteration(experiment)
    return experiment


def add(text, **values):
    return Instruction.objects.create(
        text=text, content_hash=Text(text, values.get("input", "")).content_hash, **values
    )


def see(client, one, **query):
    return client.get(f"/instructions/{one.pk}/", query)


def cached(experiment):
    """The first instruction of the Cache Pool, which was answered, judged and taken as a seed."""
    return make.make_instructions(1)[0]


class TestText:
    def test_text_input_and_facts(self, viewer):
        one = add("Summarise.", input="A long story.", category="summarising", language="en")

        page = see(viewer, one).content.decode()

        assert all(
            word in page for word in ("Summarise.", "A long story.", "summarising", "Nobody has answered this yet")
        )

    def test_hostile_texts_are_shown_as_they_are(self, viewer, alice):
        one = add("<script>alert(1)</script>", input="<img src=x onerror=alert(2)>", category="<b>c</b>")
        make.make_response(one, text="<iframe src=//evil></iframe>\n\n  kept   blanks")

        page = see(viewer, one).content.decode()

        assert not any(tag in page for tag in ("<script>alert", "<img src=x", "<iframe", "<b>c</b>"))
        assert "&lt;iframe src=//evil&gt;&lt;/iframe&gt;\n\n  kept   blanks" in page

    def test_each_text_takes_its_own_direction(self, viewer):
        assert 'dir="auto">اكتب قصيدة' in see(viewer, add("اكتب قصيدة")).content.decode()

    def test_a_very_long_text_is_shown_whole(self, viewer):
        assert "word " * 4000 in see(viewer, add("word " * 4000 + "end")).content.decode()

    def test_an_unknown_instruction_is_not_found(self, viewer):
        assert viewer.get("/instructions/999999/").status_code == 404

    def test_it_links_the_pools_it_was_imported_with(self, viewer, experiment):
        assert f'href="/pools/{experiment.pool_id}/"' in see(viewer, cached(experiment)).content.decode()


class TestResponses:
    def test_teacher_and_student_stand_side_by_side(self, viewer, experiment):
        page = see(viewer, cached(experiment)).context["page"]

        assert page.teacher.author == "teacher-large@https://api.example.org/v1"
        assert page.student.author == "checkpoint 1"

    def test_another_student_can_be_chosen(self, viewer, experiment):
        one = cached(experiment)
        base = make.make_response(one, checkpoint=experiment.checkpoints.get(number=0), text="from the base")

        page = see(viewer, one, response=base.pk).context["page"]

        assert (page.student.author, page.student.response.text) == ("base", "from the base")
        assert page.reviews == ()

    def test_the_students_of_the_experiment_one_comes_from_are_preferred(self, viewer, experiment, alice):
        one = cached(experiment)
        other = make.make_experiment(alice, name="Other", pool=experiment.pool)
        checkpoint = make.make_checkpoint(make.make_iteration(other))
        make.make_response(one, checkpoint=checkpoint)

        assert see(viewer, one).context["page"].student.experiment == "Other"
        assert see(viewer, one, experiment=experiment.pk).context["page"].student.experiment == experiment.name

    def test_the_teacher_shown_is_the_one_the_student_was_judged_against(self, viewer, experiment):
        one = cached(experiment)
        judged = see(viewer, one).context["page"].teacher.response
        make.make_response(one, author="another@https://other.example/v1")

        assert see(viewer, one).context["page"].teacher.response == judged

    @pytest.mark.parametrize(
        ("finish", "note"),
        [("length", "cut at the token limit"), ("truncated", "broke off on its way"), ("empty", "empty")],
    )
    def test_an_incomplete_answer_is_marked(self, viewer, finish, note):
        one = add("Say it.")
        make.make_response(one, finish=finish)

        assert note in see(viewer, one).content.decode()

    def test_a_choice_that_means_nothing_is_passed_over(self, viewer, experiment):
        assert see(viewer, cached(experiment), response="x", experiment="9" * 30).status_code == 200


class TestReviewsAndVerdicts:
    def test_both_orders_are_shown_with_scores_and_raw_text(self, viewer, experiment):
        answer = see(viewer, cached(experiment))

        assert [one.order for one in answer.context["page"].reviews] == ["student_first", "teacher_first"]
        page = answer.content.decode()
        assert "student first" in page
        assert "Raw text" in page

    def test_a_review_without_scores_says_so(self, viewer, experiment):
        review = see(viewer, cached(experiment)).context["page"].reviews[0]
        type(review).objects.filter(pk=review.pk).update(score_teacher=None, score_student=None, raw="I cannot decide")

        page = see(viewer, cached(experiment)).content.decode()

        assert "no usable score" in page
        assert "I cannot decide" in page

    def waiting_item(self, experiment, needed=1):
        stage = make.stage_of(experiment.iterations.get(), StageKind.REVIEW)
        type(stage).objects.filter(pk=stage.pk).update(status=StageStatus.WAITING)
        rows = cached(experiment).classifications.filter(pool="cache")
        make.queue_up(rows, opinions_needed=needed)
        return rows.get()

    def test_a_persons_decisions_are_shown_with_their_history(self, viewer, experiment, alice, bob):
        one, item = cached(experiment), self.waiting_item(experiment)
        reviews.decide(classification=item, person=bob, kind="easy", comment="Both are <fine>")
        reviews.undo(person=bob)
        reviews.decide(classification=item, person=alice, kind="hard")

        page = see(viewer, one)

        (judged,) = page.context["page"].judged
        assert judged.person_verdict == "hard"
        assert "Both are &lt;fine&gt;" in page.content.decode()
        assert "took back: easy" in page.content.decode()

    def test_what_others_said_of_an_open_item_waits_for_ones_own_opinion(self, client, experiment, alice, bob, charlie):
        settings = experiment.settings_json
        settings["gates"]["reviewers_per_item"] = 2
        type(experiment).objects.filter(pk=experiment.pk).update(settings_json=settings)
        one, item = cached(experiment), self.waiting_item(experiment, needed=2)
        reviews.decide(
            classification=item, person=bob, kind="teacher_wrong", comment="Wrong year.", corrected="In 1969."
        )
        told = ("Wrong year.", "teacher is wrong", "In 1969.")

        for person in (alice, charlie):
            client.force_login(person)
            page = see(client, one).content.decode()
            assert not any(words in page for words in told)
        reviews.decide(classification=item, person=alice, kind="hard")
        client.force_login(alice)
        page = see(client, one).content.decode()

        assert all(words in page for words in told)

    def test_blind_review_keeps_verdicts_back_until_its_gate_is_closed(self, client, experiment, alice, bob):
        settings = experiment.settings_json
        settings["gates"]["blind_review"] = True
        type(experiment).objects.filter(pk=experiment.pk).update(settings_json=settings)
        one, item = cached(experiment), self.waiting_item(experiment)
        reviews.decide(classification=item, person=alice, kind="teacher_wrong", corrected="In 1969.")
        seen = {}
        for person in (alice, bob):
            client.force_login(person)
            page = see(client, one)
            shown = page.context["page"]
            seen[person.username] = (len(shown.judged), "In 1969." in page.content.decode(), len(shown.reviews))

        assert seen == {"alice": (1, True, 2), "bob": (0, False, 0)}
        stage = make.stage_of(experiment.iterations.get(), StageKind.REVIEW)
        type(stage).objects.filter(pk=stage.pk).update(status=StageStatus.SUCCEEDED)
        assert len(see(client, one).context["page"].judged) == 1


class TestLineage:
    @pytest.fixture
    def family(self, experiment):
        """grandparent -> parent -> child, made for iterations 2 and 3."""
        grandparent, parent, child = add("Grandparent"), add("Parent"), add("Child")
        make.add_members(experiment, MemberPool.CACHE, [grandparent])
        for pool in (MemberPool.CACHE, MemberPool.TRAIN):
            make.add_members(experiment, pool, [parent], since=2, source=MemberSource.HARD, parent=grandparent)
            make.add_members(experiment, pool, [child], since=3, source=MemberSource.EASY, parent=parent)
        return grandparent, parent, child

    def test_the_chain_of_parents_goes_up_to_the_seed(self, viewer, family):
        lineage = see(viewer, family[2]).context["page"].lineage

        assert [one.text for one in lineage.ancestors] == ["Grandparent", "Parent"]
        assert [(one.source, one.since) for one in lineage.ancestors] == [
            ("Generated from hard", 2),
            ("Generated from easy", 3),
        ]

    def test_children_stand_once_though_they_are_in_two_pools(self, viewer, family):
        lineage = see(viewer, family[0]).context["page"].lineage

        assert [(one.text, one.since) for one in lineage.children] == [("Parent", 2)]
        assert lineage.child_count == 1

    def test_a_circle_of_parents_ends(self, viewer, experiment, family):
        grandparent, _, child = family
        make.add_members(experiment, MemberPool.CACHE, [grandparent], since=4, parent=child)

        assert len(see(viewer, family[1]).context["page"].lineage.ancestors) <= 20

    def test_replies_of_the_generator_are_shown_with_what_became_of_them(self, viewer, experiment):
        one = cached(experiment)
        reply = Candidate.objects.filter(parent=one).exclude(rejected="").first()
        Candidate.objects.filter(pk=reply.pk).update(raw="<b>raw</b>")

        page = see(viewer, one).content.decode()

        assert "near duplicate" in page
        assert "&lt;b&gt;raw&lt;/b&gt;" in page

    def test_a_generated_instruction_tells_its_nearest_neighbour(self, viewer, experiment):
        made = Candidate.objects.filter(rejected="").first()
        Candidate.objects.filter(pk=made.pk).update(nearest="A very similar <one>", rouge_l=0.612)

        page = see(viewer, made.instruction).content.decode()

        assert "A very similar &lt;one&gt;" in page
        assert "ROUGE-L 0.61" in page


def test_the_number_of_queries_is_fixed(viewer, experiment, django_assert_max_num_queries):
    with django_assert_max_num_queries(26):
        see(viewer, cached(experiment))
