import pytest
import torch

from distill import student
from distill.records import Finish, Instruction
from distill.settings import StudentSettings
from distill.student import StudentEngine
from distill.templates import render_prompt
from distill.weights import load_model
from tests.tiny_models import build_tiny_model

ASKED = [(f"key-{i}", Instruction("Name the river. " * (i % 5) + str(i), "input" if i % 3 else "")) for i in range(14)]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tiny models gain nothing from threads, and lose much to threads that wait for a busy core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = build_tiny_model(tmp_path_factory.mktemp("tiny"))
    return load_model(str(folder), home=folder)


def chosen(**changes):
    return StudentSettings(**{"temperature": 0.0, "max_new_tokens": 16, "batch_size": 4, **changes})


def answers(loaded, asked=ASKED, seed=0, system_prompt="", **changes):
    engine = StudentEngine(loaded, chosen(**changes), seed=seed, system_prompt=system_prompt)
    return {answer.key: answer for answer in engine.answer(asked)}


def test_greedy_answers_are_those_of_generate(loaded):
    got = answers(loaded, system_prompt="Be brief.")

    for key, instruction in ASKED:
        ids = torch.tensor([render_prompt(loaded.tokenizer, instruction, "chat", "Be brief.")])
        out = loaded.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=16, do_sample=False)
        text = loaded.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip()
        assert (got[key].text, got[key].completion_tokens) == (text, out.shape[1] - ids.shape[1])
        assert got[key].prompt_tokens == ids.shape[1]


def test_sampled_answers_do_not_depend_on_the_batch(loaded):
    together = answers(loaded, temperature=1.0, batch_size=14)
    alone = {key: answers(loaded, [(key, asked)], temperature=1.0)[key] for key, asked in ASKED}
    reversed_order = answers(loaded, ASKED[::-1], temperature=1.0, batch_size=3)

    assert together == alone == reversed_order


def test_another_seed_draws_other_answers_and_the_same_seed_the_same(loaded):
    first = answers(loaded, temperature=1.0, seed=1)

    assert first == answers(loaded, temperature=1.0, seed=1)
    assert first != answers(loaded, temperature=1.0, seed=2)


def test_an_answer_cut_at_the_limit_says_so(loaded):
    cut = answers(loaded, max_new_tokens=1)

    assert {answer.finish for answer in cut.values()} <= {Finish.LENGTH, Finish.STOP, Finish.EMPTY}
    assert all(answer.completion_tokens == 1 for answer in cut.values())
    assert any(answer.finish is Finish.LENGTH for answer in cut.values())


def test_an_end_token_ends_the_answer_and_is_not_part_of_it(loaded, monkeypatch):
    free = answers(loaded)["key-0"]
    ids = loaded.tokenizer(free.text, add_special_tokens=False)["input_ids"]
    monkeypatch.setattr(student, "end_token_ids", lambda *_: [ids[3]])

    stopped = answers(loaded)["key-0"]

    assert stopped.finish is Finish.STOP
    assert stopped.completion_tokens < free.completion_tokens
    assert free.text.startswith(stopped.text)


def test_an_answer_without_text_is_empty(loaded, monkeypatch):
    monkeypatch.setattr(student, "pick", lambda logits, *_: torch.full((len(logits),), loaded.tokenizer.eos_token_id))

    assert {(a.finish, a.text) for a in answers(loaded).values()} == {(Finish.EMPTY, "")}


def test_a_prompt_that_fills_the_context_is_cut_off_not_lost(loaded):
    asked = [("long", Instruction("river " * 600)), ("short", Instruction("river"))]

    got = answers(loaded, asked)

    assert (got["long"].text, got["long"].finish, got["long"].completion_tokens) == ("", Finish.LENGTH, 0)
    assert got["short"].text


def test_only_prompts_that_are_too_long_still_get_answers(loaded):
    assert set(answers(loaded, [("long", Instruction("river " * 600))])) == {"long"}


def test_a_model_without_chat_template_and_pad_token_answers_in_alpaca_format(tmp_path):
    folder = build_tiny_model(tmp_path / "plain", chat_template=False, pad_token=False)

    got = answers(load_model(str(folder), home=tmp_path))

    assert set(got) == {key for key, _ in ASKED}


def test_instructions_are_read_lazily(loaded):
    read = []

    def source():
        for i in range(500):
            read.append(i)
            yield str(i), Instruction("river")

    next(StudentEngine(loaded, chosen(batch_size=2)).answer(source()))

    assert len(read) < 100
