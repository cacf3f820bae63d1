import json

import pytest

from distill.records import Finish
from distill.replies import parsed, read_reply, salvage, storable


def body(content, **choice):
    message = {"role": "assistant", "content": content, "refusal": None}
    return {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}]}


@pytest.mark.parametrize(
    ("data", "text", "finish"),
    [
        (body("Hello."), "Hello.", Finish.STOP),
        (body("Hello.", finish_reason="length"), "Hello.", Finish.LENGTH),
        (body("Hello.", finish_reason="eos"), "Hello.", Finish.STOP),
        (body("Hello.", finish_reason=None), "Hello.", Finish.STOP),
        (body(""), "", Finish.EMPTY),
        (body(None), "", Finish.EMPTY),
        (body("", finish_reason="length"), "", Finish.EMPTY),
        (body("Hel", finish_reason="content_filter"), "Hel", Finish.FILTERED),
        (body([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]), "Hello.", Finish.STOP),
        (body(None, message={"content": None, "refusal": "I cannot."}), "I cannot.", Finish.FILTERED),
    ],
)
def test_a_whole_completion_is_read(data, text, finish):
    reply = read_reply(data)
    assert (reply.text, reply.finish) == (text, finish)


@pytest.mark.parametrize("data", [None, [], "x", {}, {"choices": []}, {"choices": [{}]}, {"choices": [{"message": 1}]}])
def test_what_is_not_shaped_like_a_completion_is_none(data):
    assert read_reply(data) is None


def test_usage_of_another_shape_counts_as_absent():
    for usage in (None, [], {"prompt_tokens": "3"}, {"prompt_tokens": True}, {"prompt_tokens": -1}):
        assert read_reply(body("x") | {"usage": usage}).prompt_tokens is None


TEXT = 'Zeile 1\nsagt "ja" \\ und 🦁 — 你好 "content": "nein" \t Ende'


@pytest.mark.parametrize("ascii_only", [True, False])
def test_at_whatever_byte_a_body_breaks_off_the_text_up_to_there_is_kept(ascii_only):
    raw = json.dumps(body(TEXT), ensure_ascii=ascii_only).encode()
    lengths = []
    for cut in range(len(raw)):
        assert parsed(raw[:cut]) is None
        reply = salvage(raw[:cut])
        if reply is not None:
            assert reply.finish is Finish.TRUNCATED
            assert TEXT.startswith(reply.text)
        lengths.append(len(reply.text) if reply else 0)
    assert lengths == sorted(lengths) and lengths[-1] == len(TEXT)


def test_a_thought_before_the_text_is_not_taken_for_it():
    message = {"role": "assistant", "reasoning_content": 'the "content": "x"', "content": "Yes, of course"}
    raw = json.dumps({"choices": [{"message": message}]})
    assert salvage(raw[: raw.index("course")].encode()).text == "Yes, of "


@pytest.mark.parametrize(
    "raw", [b"", b"{", b'{"id": "1", "choices": [{"mess', b'{"choices":[{"message":{"content":"', b"<p>"]
)
def test_without_a_character_of_text_there_is_nothing_to_salvage(raw):
    assert salvage(raw) is None


def test_characters_that_no_database_takes_are_replaced():
    assert storable("a\x00b\ud83d c 🦁") == "ab\ufffd c 🦁"
