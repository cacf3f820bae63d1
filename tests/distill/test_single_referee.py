"""Each response by itself, and the pair put together from both."""

from distill.fingerprints import referee_name
from distill.records import Instruction, Pair
from distill.settings import ExperimentSettings, RefereeSettings
from distill.single_referee import parse_single_review, put_together, single_request

SETTINGS = RefereeSettings(mode="single")
ALONE = Pair("k", Instruction("Why?"), "Scattering.", "Scattering.")


def test_the_referee_sees_one_answer_and_no_other():
    text = single_request("k", ALONE, SETTINGS, structured=False).messages[1]["content"]

    assert text.count("Scattering.") == 1
    assert "Reference" not in text and "its detail fits. Length by itself" in text and "$" not in text
    assert (
        "This is request 2" in single_request("k", ALONE, SETTINGS, structured=True, attempt=1).messages[1]["content"]
    )


def test_a_pair_takes_each_score_from_its_own_review():
    teacher = parse_single_review("t", "Good.\nScore of the Assistant: 9")
    student = parse_single_review("s", '{"explanation": "Short.", "score": 6.5}')

    pair = put_together("p", teacher, student)

    assert (teacher.order, teacher.score_teacher, teacher.score_student, teacher.explanation) == (
        "alone",
        9,
        9,
        "Good.",
    )
    assert (pair.key, pair.order, pair.score_teacher, pair.score_student) == ("p", "single", 9, 6.5)
    assert pair.explanation == "Teacher: Good.\n\nStudent: Short."


def test_an_unreadable_reply_has_no_score():
    assert parse_single_review("t", "80").score_student is None


def test_its_reviews_have_a_name_of_their_own():
    name = referee_name(ExperimentSettings(referee=SETTINGS), "m@u")
    rhymes = RefereeSettings(mode="single", rubric="Only rhyme.")

    assert name.startswith("single:m@u#")
    assert referee_name(ExperimentSettings(referee=rhymes), "m@u") != name
