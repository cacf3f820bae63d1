"""Rubrics: what the referee weighs, under which version, and that the built-in one changes nothing that was paid for."""

import hashlib

import pytest

from distill.errors import SettingsError
from distill.records import Instruction, Pair
from distill.referee import referee_fingerprint, review_request
from distill.rubric import rubric_text, rubric_version
from distill.settings import ExperimentSettings, RefereeSettings

PAIR = Pair("k", Instruction("Why?"), "T", "S")


def prompt(settings, attempt=0):
    request = review_request("k", PAIR, "teacher_first", settings, structured=False, attempt=attempt)
    return request.messages[1]["content"]


def test_with_an_empty_rubric_the_prompt_and_its_name_are_what_they_were_before_rubrics():
    """Digests taken from the prompt as it was when the paragraph still stood in it."""
    digests = [hashlib.sha256(prompt(RefereeSettings(), attempt).encode()).hexdigest()[:16] for attempt in (0, 1)]

    assert digests == ["a901cce5da263f95", "b275a7460b36f212"]
    assert referee_fingerprint(RefereeSettings()) == "13ded75c478ff6a0"


def test_a_rubric_of_ones_own_replaces_the_paragraph_and_changes_the_name():
    own = RefereeSettings(rubric="Weigh only whether $it is true.\r\nNothing else.\n")

    assert "above. Weigh only whether $it is true.\nNothing else. The order of the two answers" in prompt(own)
    assert "its detail fits" not in prompt(own)
    assert referee_fingerprint(own) != referee_fingerprint(RefereeSettings())


def test_the_built_in_words_typed_again_are_the_built_in_rubric():
    typed = RefereeSettings(rubric=rubric_text("") + "\r\n")

    assert referee_fingerprint(typed) == referee_fingerprint(RefereeSettings())
    assert rubric_version(typed.rubric) == rubric_version("")


def test_a_version_follows_the_words_and_not_their_line_ends():
    assert rubric_version("a\r\nb ") == rubric_version("a\nb") != rubric_version("a b")


@pytest.mark.parametrize("rubric", ["x" * 10_001, "a\x00"])
def test_a_rubric_that_cannot_be_kept_is_refused(rubric):
    with pytest.raises(SettingsError, match=r"referee.rubric"):
        RefereeSettings(rubric=rubric)


def test_settings_frozen_before_rubrics_are_read_with_the_built_in_one():
    data = ExperimentSettings().to_json()
    del data["referee"]["rubric"]

    assert ExperimentSettings.from_json(data).referee.rubric == ""
