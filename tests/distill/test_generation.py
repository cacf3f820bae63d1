"""Slots and decisions depend on their arguments alone, so a driver may stop anywhere and run through them again."""

import random
from collections import Counter

import pytest

from distill.errors import DistillError, GeneratorDry
from distill.generation import Generation, accept_round, plan_round, share_out
from distill.generator import generate_request, read_candidate
from distill.novelty import NoveltyIndex
from distill.records import Candidate, Completion, Difficulty, Finish, Instruction
from distill.settings import GeneratorSettings

HARD, EASY = Difficulty.HARD, Difficulty.EASY
SEEDS = {HARD: ["h1", "h2", "h3"], EASY: ["e1", "e2"]}
PARENT = Instruction("Name a river.")


def candidate(key, text, difficulty=HARD, rejected=""):
    return Candidate(key, difficulty, PARENT, text, None if rejected else Instruction(text), rejected)


def different(n):
    return f"alpha{n} beta{n} gamma{n} delta{n} epsilon{n}"


def generation(hard=3, easy=2, known=(), seeds=SEEDS, **changes):
    fields = {"seed": 1, "iteration": 1, "max_attempts": 5} | changes
    return Generation(wanted={HARD: hard, EASY: easy}, seeds=seeds, index=NoveltyIndex(0.7, known), **fields)


def run(work, reply):
    """Answer every round with `reply(slot)`: a text, or a reason in capitals."""
    rounds = []
    while slots := work.next_round():
        texts = [reply(slot) for slot in slots]
        rounds.append(
            work.accept(
                candidate(slot.key, text, slot.difficulty, rejected=text.lower() if text.isupper() else "")
                for slot, text in zip(slots, texts, strict=True)
            )
        )
    return rounds


# who gets how many


def test_both_seed_sets_keep_what_the_settings_say():
    shares = share_out({HARD: 5, EASY: 4}, SEEDS)

    assert (shares.wanted, shares.note) == ({HARD: 5, EASY: 4}, "")


@pytest.mark.parametrize(("gone", "kept"), [(HARD, EASY), (EASY, HARD)])
def test_the_share_of_an_empty_seed_set_moves_to_the_other_and_is_said(gone, kept):
    shares = share_out({HARD: 5, EASY: 4}, {gone: [], kept: ["a"]})

    assert shares.wanted == {kept: 9, gone: 0}
    assert f"No instruction was {gone}" in shares.note


def test_an_empty_seed_set_that_has_no_share_is_no_matter():
    assert share_out({HARD: 5, EASY: 0}, {HARD: ["a"]}).note == ""


def test_no_verdict_at_all_is_an_error_with_advice():
    with pytest.raises(DistillError) as error:
        share_out({HARD: 5, EASY: 4}, {})

    assert "nothing to generate from" in error.value.cause
    assert "referee" in error.value.advice


def test_nothing_wanted_of_nothing_is_fine():
    assert share_out({HARD: 0, EASY: 0}, {}).wanted == {HARD: 0, EASY: 0}


# which slots


def plan(seeds=SEEDS, asked=None, missing=None, seed=1, iteration=1):
    return plan_round(seed, iteration, seeds, asked or {}, missing or {HARD: 4, EASY: 4})


def test_a_plan_depends_on_the_set_of_seeds_and_not_on_its_order():
    mixed = {EASY: ["e2", "e1", "e1"], HARD: ("h3", "h1", "h2")}

    assert plan(mixed) == plan()


def test_seed_and_iteration_change_the_plan():
    many = {HARD: [f"h{i}" for i in range(50)], EASY: []}
    plans = [
        [s.parent_hash for s in plan(many, missing={HARD: 50}, seed=seed, iteration=iteration)]
        for seed, iteration in [(1, 1), (2, 1), (1, 2)]
    ]

    assert len({tuple(p) for p in plans}) == 3
    assert all(sorted(p) == sorted(many[HARD]) for p in plans)


def test_every_seed_is_used_once_before_any_is_used_again():
    slots = plan(missing={HARD: 9, EASY: 0})

    for turn in range(3):
        assert sorted(s.parent_hash for s in slots[turn * 3 : turn * 3 + 3]) == SEEDS[HARD]


def test_no_two_slots_ask_the_same_of_a_parent_in_any_iteration():
    asked = Counter((slot.parent_hash, slot.attempt) for iteration in range(4) for slot in plan(iteration=iteration))

    assert set(asked.values()) == {1}


def test_two_slots_of_one_parent_are_two_prompts():
    slots = plan({HARD: ["h1"]}, missing={HARD: 5})

    prompts = {
        generate_request(s.key, s.difficulty, PARENT, GeneratorSettings(), attempt=s.attempt).messages[0]["content"]
        for s in slots
    }

    assert len(prompts) == 5


def test_a_round_goes_on_where_the_last_one_ended():
    whole = [s for s in plan(missing={HARD: 10}) if s.difficulty == HARD]
    parts = plan(missing={HARD: 4}) + plan(asked={HARD: 4}, missing={HARD: 6})

    assert parts == whole
    assert len({s.key for s in whole}) == 10


def test_hard_and_easy_take_turns():
    assert [s.difficulty for s in plan(missing={HARD: 2, EASY: 3})] == [HARD, EASY, HARD, EASY, EASY]


# what is kept


def test_candidates_are_decided_in_the_order_given_and_shown_their_nearest():
    first, close = "write a poem about the rain in spring", "write a poem about the rain in autumn"

    decided = accept_round([candidate("a", first), candidate("b", close)], NoveltyIndex(0.7), {HARD: 2})

    assert [c.rejected for c in decided] == ["", "near_duplicate"]
    assert decided[1].nearest == first
    assert decided[1].rouge_l == pytest.approx(7 / 8)


def test_hard_and_easy_see_each_other():
    text = different(1)

    decided = accept_round(
        [candidate("a", text, HARD), candidate("b", f"{text} x", EASY)], NoveltyIndex(0.7), {HARD: 1, EASY: 1}
    )

    assert [c.rejected for c in decided] == ["", "near_duplicate"]


def test_a_known_text_is_a_duplicate():
    decided = accept_round([candidate("a", different(1))], NoveltyIndex(0.7, [different(1)]), {HARD: 1})

    assert (decided[0].rejected, decided[0].rouge_l, decided[0].nearest) == ("duplicate", 1.0, different(1))


def test_the_input_counts_as_part_of_the_instruction():
    long = " ".join(f"w{i}" for i in range(20))
    one = Candidate("a", HARD, PARENT, "", Instruction("Sort this.", long))
    other = Candidate("b", HARD, PARENT, "", Instruction("Sort this.", long.replace("w", "v")))

    decided = accept_round([one, other], NoveltyIndex(0.7), {HARD: 2})

    assert [c.rejected for c in decided] == ["", ""]


def test_good_ones_over_the_count_are_surplus_and_do_not_join_the_index():
    index = NoveltyIndex(0.7)
    texts = [different(1), different(2), different(3)]

    decided = accept_round([candidate(t, t) for t in texts], index, {HARD: 2})

    assert [c.rejected for c in decided] == ["", "", "surplus"]
    assert len(index) == 2


def test_a_near_duplicate_leaves_its_place_to_the_next():
    texts = [different(1), different(1) + " x", different(2), different(3)]

    decided = accept_round([candidate(t, t) for t in texts], NoveltyIndex(0.7), {HARD: 2})

    assert [c.rejected for c in decided] == ["", "near_duplicate", "", "surplus"]


def test_unusable_candidates_keep_their_reason():
    decided = accept_round(
        [candidate("a", "", rejected="refusal"), candidate("b", different(1))], NoveltyIndex(0.7), {HARD: 1}
    )

    assert [c.rejected for c in decided] == ["refusal", ""]


def test_bulk_decisions_equal_decisions_one_by_one():
    rng = random.Random(2)
    words = [f"w{i}" for i in range(12)]
    pool = [
        candidate(f"k{i}", " ".join(rng.choices(words, k=rng.randint(3, 9))), rng.choice([HARD, EASY]))
        for i in range(200)
    ]

    together = accept_round(pool, NoveltyIndex(0.6), {HARD: 20, EASY: 10})

    index, left, single = NoveltyIndex(0.6), {HARD: 20, EASY: 10}, []
    for one in pool:
        single += accept_round([one], index, left)
        left[one.difficulty] -= not single[-1].rejected
    assert together == single
    assert Counter(c.rejected for c in together)["surplus"] > 0


# the rounds


def test_a_generator_that_always_delivers_is_asked_exactly_as_often_as_wanted():
    work = generation()

    rounds = run(work, lambda slot: different(slot.key))

    assert [len(r) for r in rounds] == [5]
    assert work.kept == {HARD: 3, EASY: 2}
    assert work.shortfall() is None


def test_what_is_rejected_is_asked_again_until_all_is_there():
    work = generation()

    rounds = run(work, lambda slot: "REFUSAL" if slot.index % 2 else different(slot.key))

    assert work.kept == {HARD: 3, EASY: 2}
    assert len(rounds) > 1
    assert work.rejected["refusal"] == sum(map(len, rounds)) - 5


def test_next_round_is_the_same_until_it_is_accepted():
    work = generation()

    assert work.next_round() == work.next_round()


def test_decisions_do_not_depend_on_the_order_of_arrival():
    outcomes = []
    for turn in range(5):
        work = generation(hard=20, easy=20, seeds={HARD: ["h"], EASY: ["e"]})
        slots = work.next_round()
        replies = [candidate(s.key, f"tell me a story number {s.index // 3} of the sea", s.difficulty) for s in slots]
        random.Random(turn).shuffle(replies)
        outcomes.append(work.accept(replies))

    assert all(outcome == outcomes[0] for outcome in outcomes)


def test_running_through_stored_replies_again_gives_the_same_slots_and_decisions():
    stored, seen = {}, []

    def reply(slot):
        seen.append(slot)
        return stored.setdefault(
            slot.key, f"a tale of {random.Random(slot.key).choice('abcdefgh') * 3} {slot.index % 4}"
        )

    first = run(generation(hard=8, easy=8, known=["a tale of zzz 1"]), reply)
    asked = list(seen)
    seen.clear()
    mixed = {EASY: ["e2", "e1"], HARD: ["h2", "h3", "h1"]}
    again = run(generation(hard=8, easy=8, known=["a tale of zzz 1"], seeds=mixed), reply)

    assert again == first
    assert seen == asked


def test_a_round_must_be_answered_whole():
    work = generation()
    slot = work.next_round()[0]

    with pytest.raises(ValueError, match="one candidate for each slot"):
        work.accept([candidate(slot.key, different(1))])


def test_a_small_dry_generator_stops_after_its_attempts_and_says_why():
    work = generation(hard=3, easy=0, max_attempts=4)

    rounds = run(work, lambda slot: "REFUSAL" if slot.index else "CUT")

    assert sum(map(len, rounds)) == 12
    error = work.shortfall()
    assert isinstance(error, GeneratorDry)
    assert "0 of 3" in error.cause and "12 attempts" in error.cause
    assert "refusal 11, cut 1" in error.cause
    assert error.advice


def test_a_large_round_without_one_good_reply_is_enough():
    work = generation(hard=100, easy=2, max_attempts=50)

    rounds = run(work, lambda slot: "CUT" if slot.difficulty == HARD else different(slot.key))

    assert sum(map(len, rounds)) == 102
    assert (work.kept[HARD], work.kept[EASY]) == (0, 2)
    assert "token limit" in work.shortfall().advice


def test_failed_calls_do_not_make_a_generator_dry_at_once():
    work = generation(hard=30, easy=0, max_attempts=3)

    run(work, lambda slot: "CALL_FAILED" if slot.index < 30 else different(slot.key))

    assert work.shortfall() is None


def test_a_generator_that_yields_some_keeps_what_it_has():
    work = generation(hard=10, easy=0, max_attempts=2)

    run(work, lambda slot: different(slot.key) if slot.index < 4 else different(0))

    assert work.kept == {HARD: 5}
    assert "5 of 10" in work.shortfall().cause


def test_nothing_wanted_needs_no_round():
    work = generation(hard=0, easy=0)

    assert work.next_round() == []
    assert work.shortfall() is None


def test_the_whole_way_from_reply_to_decision():
    work = generation(hard=2, easy=0, known=["Name a river."])
    slots = work.next_round()
    texts = ["New instruction: Name a mountain in Peru.", "I'm sorry, but I can't help with that."]
    completions = [Completion(text, Finish.STOP, 1, 1, 0.0) for text in texts]

    decided = work.accept(read_candidate(s, PARENT, c) for s, c in zip(slots, completions, strict=True))

    assert decided[0].instruction == Instruction("Name a mountain in Peru.")
    assert [c.rejected for c in decided] == ["", "refusal"]
    assert len(work.next_round()) == 1
