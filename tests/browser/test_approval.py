"""The approval gate as a person works through it: with the keyboard alone, by a rule, and back again."""

import json

import pytest

from lionweb.models import Approval, AuditEvent, Candidate, Instruction, LeakHit, Membership
from tests import factories as make
from tests.lionweb.approval_cases import candidates, forget_caches, members, state, url, waiting_iteration
from tests.lionweb.leak_cases import know

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def iteration(alice):
    forget_caches()
    made = waiting_iteration(alice)
    known = make.make_instructions(3)
    for row in members(made):
        near = [
            {"id": one.pk, "pool": "cache", "score": row.similarity - place / 50} for place, one in enumerate(known)
        ]
        Candidate.objects.filter(pk=row.candidate_id).update(neighbours={str(row.instruction_id): near})
    item = know([members(made)[9].instruction.text], name="MT-Bench").rows.get()
    LeakHit.objects.create(instruction=members(made)[9].instruction, item=item, kind="exact", score=1)
    return made


def order_of(iteration):
    """The candidates as the page lists them."""
    return [row.candidate for row in members(iteration).order_by("-similarity", "-pk").select_related("candidate")]


def current(page):
    return page.get_attribute(".is-current", "data-item")


def press_until(page, key, text):
    """Press a key that sends something, and wait for the summary to say so."""
    page.keyboard.press(key)
    page.wait_for_function("text => document.getElementById('gate-summary').innerText.includes(text)", arg=text)


def counts(iteration):
    rows = members(iteration)
    return {value: rows.filter(approval=value).count() for value in Approval.values}


def test_the_gate_is_worked_through_with_the_keyboard_alone(sign_in, bob, iteration, shoot):
    page = sign_in(bob)
    page.goto(url(iteration))
    first, second, third, fourth, fifth, sixth, *_ = order_of(iteration)
    assert current(page) == str(first.pk)
    shoot(page, "approval")

    press_until(page, "a", "15 of 16 still open")
    assert current(page) == str(second.pk)
    page.keyboard.press("x")
    shoot(page, "approval-reject")
    press_until(page, "4", "14 of 16 still open")
    page.keyboard.press("x")
    page.keyboard.press("7")
    page.keyboard.type("a, x and z are only letters here?")
    press_until(page, "Enter", "13 of 16 still open")
    page.keyboard.press("e")
    page.keyboard.press("Control+a")
    page.keyboard.type("Describe a lighthouse at night, jazz included.")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#item-{fourth.pk} .message-success")
    assert current(page) == str(fourth.pk)
    shoot(page, "approval-edited")
    press_until(page, "a", "12 of 16 still open")

    assert (state(first)[0], state(second)[1], state(third)[1]) == (Approval.APPROVED, "unsafe", "other")
    assert Membership.objects.filter(candidate=third, rejected_text="a, x and z are only letters here?").count() == 2
    assert Instruction.objects.get(pk=state(fourth)[2]).text == "Describe a lighthouse at night, jazz included."
    page.keyboard.press("d")
    page.wait_for_selector(f"#diff-{fifth.pk} ins")
    shoot(page, "approval-diff")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert current(page) == str(sixth.pk)


def test_undo_works_after_a_reload_and_leads_back_to_the_item(sign_in, bob, iteration):
    page = sign_in(bob)
    page.goto(url(iteration))
    first, second, *_ = order_of(iteration)
    press_until(page, "a", "15 of 16")
    press_until(page, "a", "14 of 16")
    page.reload()

    press_until(page, "z", "15 of 16")
    assert current(page) == str(second.pk)
    press_until(page, "z", "16 of 16")

    assert current(page) == str(first.pk)
    assert counts(iteration) == {"approved": 0, "pending": 16, "rejected": 0}
    assert AuditEvent.objects.filter(action="approval.undo", actor=bob).count() == 2


def test_no_letter_acts_while_someone_types_or_a_dialog_is_open(sign_in, bob, iteration):
    page = sign_in(bob)
    page.goto(url(iteration))
    page.keyboard.press("/")
    page.keyboard.type("axezjk?")
    assert page.input_value("#approval-search") == "axezjk?"
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.wait_for_selector("#help-dialog[open]")
    for key in "axz1":
        page.keyboard.press(key)
    page.keyboard.press("Escape")
    page.keyboard.press("Control+a")
    page.keyboard.press("Backspace")
    page.keyboard.press("5")

    assert page.url.endswith("/approval/")
    assert counts(iteration)["pending"] == 16


def test_a_rule_shows_its_number_is_done_at_once_and_undone_at_once(sign_in, alice, iteration, shoot):
    page = sign_in(alice)
    page.goto(url(iteration))
    page.click("text=Approve by a rule…")
    page.wait_for_selector("#rule-count button")
    assert "15 open instructions match." in page.inner_text("#rule-count")
    page.fill("#dialog-high", "0.41")
    page.wait_for_selector("#rule-count >> text=8 open")
    shoot(page, "approval-rule")

    page.click("text=Approve 8")
    page.wait_for_selector(".messages")
    assert "8 instructions were approved." in page.inner_text(".messages")
    approved = members(iteration).filter(approval=Approval.APPROVED)
    assert {row.similarity <= 0.41 for row in approved} == {True}
    assert counts(iteration) == {"approved": 8, "pending": 8, "rejected": 0}
    press_until(page, "z", "16 of 16")

    assert counts(iteration)["pending"] == 16
    actions = AuditEvent.objects.filter(action__startswith="approval.").order_by("pk").values_list("action", flat=True)
    assert list(actions) == ["approval.many.approve", "approval.undo"]


def test_a_range_is_chosen_with_shift_and_rejected(sign_in, bob, iteration):
    page = sign_in(bob)
    page.goto(url(iteration))
    boxes = page.locator("[data-select]")
    boxes.nth(1).click()
    boxes.nth(4).click(modifiers=["Shift"])
    assert page.inner_text("[data-selected]") == "4 selected"

    page.select_option(".selection [name=reason]", "duplicate")
    page.click("text=Reject these")
    page.wait_for_selector(".messages")

    rejected = set(members(iteration).filter(rejected_reason="duplicate").values_list("candidate", flat=True))
    assert rejected == {one.pk for one in order_of(iteration)[1:5]}
    page.check("[name=scope][value=matching]")
    page.click("text=Approve these")
    page.wait_for_selector("text=12 instructions were approved.")
    assert counts(iteration) == {"approved": 12, "pending": 0, "rejected": 4}


def test_two_people_meet_on_one_item(sign_in, bob, alice, iteration):
    from lionweb.services import approvals
    from tests.lionweb.approval_cases import gate_of

    page = sign_in(bob)
    page.goto(url(iteration))
    first = order_of(iteration)[0]
    approvals.decide(stage=gate_of(iteration), candidate=first, actor=alice, approve=False, reason="unsafe")

    page.keyboard.press("a")
    page.wait_for_selector(f"#item-{first.pk} [role=alert]")

    assert "Meanwhile alice changed this one; it is rejected now." in page.inner_text(f"#item-{first.pk}")
    assert state(first)[:2] == (Approval.REJECTED, "unsafe")
    page.keyboard.press("a")
    page.wait_for_selector(f"#item-{first.pk}.approval-approved")
    assert state(first)[0] == Approval.APPROVED


def test_dropped_ones_are_taken_in_and_the_gate_is_closed(sign_in, alice, iteration, shoot):
    one = iteration.candidates.exclude(rejected="").order_by("pk").first()
    Candidate.objects.filter(pk=one.pk).update(raw="Compare <b>sonnets</b> & haiku.", nearest="Compare two poems.")
    page = sign_in(alice)
    page.goto(url(iteration, query="?show=dropped"))
    shoot(page, "approval-dropped")
    page.locator("text=Keep anyway").first.click()
    page.wait_for_selector(".messages")
    assert state(one)[0] == Approval.PENDING
    page.goto(url(iteration))

    page.click("text=Close the gate…")
    page.wait_for_url("**/close/")
    assert "17: they stay out of the pools." in page.inner_text("main")
    shoot(page, "approval-close")
    page.click("text=Close and go on")
    page.wait_for_url("**/experiments/*/")
    page.goto(url(iteration))

    assert "closed" in page.inner_text("#gate-summary")
    assert page.locator("button[name=decision]").count() == 0


def test_evaluation_sets_are_uploaded_and_listed(sign_in, alice, shoot):
    page = sign_in(alice)
    page.goto("/evaluations/upload/")
    rows = "\n".join(json.dumps({"question_id": n, "turns": [f"Question {n}?"]}) for n in range(3))
    page.set_input_files("input[type=file]", {"name": "v.jsonl", "mimeType": "text/plain", "buffer": rows.encode()})
    page.fill("[name=name]", "Vicuna")
    shoot(page, "evaluation-upload")
    page.click("main button[type=submit]")
    page.wait_for_url("**/evaluations/")

    assert "3 items were imported as Vicuna" in page.inner_text(".messages")
    shoot(page, "evaluations")


def test_without_javascript_everything_can_be_done(browser, live_server, client, bob, iteration):
    client.force_login(bob)
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
    page = context.new_page()
    first, second, third = order_of(iteration)[:3]
    assert candidates(iteration).count() == 16

    page.goto(url(iteration))
    page.click(f"#item-{first.pk} [data-key=a]")
    page.click(f"#item-{second.pk} [data-opens-by=x] summary")
    page.click(f"#item-{second.pk} [data-digit='1']")
    page.click(f"#item-{third.pk} [data-opens-by=e] summary")
    page.fill(f"#text-{third.pk}", "Describe a harbour.")
    page.click(f"#item-{third.pk} [value=approve] >> text=Save and approve")
    page.click("text=Approve by a rule…")
    page.fill("#rule-high", "0.3")
    page.click("text=Count")
    page.click("text=Approve 4")
    page.click("#undo-form button")

    assert (state(first)[0], state(second)[:2]) == (Approval.APPROVED, (Approval.REJECTED, "off_topic"))
    assert (state(third)[0], counts(iteration)["pending"]) == (Approval.APPROVED, 13)
    context.close()
