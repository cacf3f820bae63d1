"""The answer task asks the instruction as it stands, and its fingerprint tells answers apart that are not the same."""

from dataclasses import replace

import pytest

from distill.records import Instruction, Purpose, Sampling
from distill.settings import TeacherSettings
from distill.teacher import answer_fingerprint, answer_request

SORT = Instruction("Sort the numbers.", "3, 1, 2")


def test_instruction_and_input_are_both_asked():
    request = answer_request("k1", SORT, TeacherSettings())

    assert request.key == "k1"
    assert request.purpose is Purpose.ANSWER
    assert request.messages == ({"role": "user", "content": "Sort the numbers.\n\n3, 1, 2"},)
    assert request.response_format is None


def test_an_instruction_without_input_is_asked_alone():
    request = answer_request("k1", Instruction("写一首诗。"), TeacherSettings())

    assert request.messages[-1]["content"] == "写一首诗。"


def test_a_system_prompt_comes_first():
    request = answer_request("k1", SORT, TeacherSettings(system_prompt="Be brief."))

    assert [m["role"] for m in request.messages] == ["system", "user"]
    assert request.messages[0]["content"] == "Be brief."


def test_text_that_looks_like_a_template_is_asked_unchanged():
    text = "Explain ${HOME}, {braces} and %s."

    assert answer_request("k1", Instruction(text), TeacherSettings()).messages[0]["content"] == text


def test_the_settings_decide_the_sampling():
    request = answer_request("k1", SORT, TeacherSettings(temperature=0, top_p=0.5, max_tokens=96))

    assert request.sampling == Sampling(0, 0.5, 96)


def test_equal_settings_have_equal_fingerprints():
    assert answer_fingerprint(TeacherSettings()) == answer_fingerprint(TeacherSettings())


@pytest.mark.parametrize(
    "change", [{"system_prompt": "Be brief."}, {"temperature": 0.0}, {"top_p": 0.9}, {"max_tokens": 512}]
)
def test_every_setting_changes_the_fingerprint(change):
    assert answer_fingerprint(replace(TeacherSettings(), **change)) != answer_fingerprint(TeacherSettings())
