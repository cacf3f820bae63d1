"""The review queue by keyboard in Chromium, and what the database says afterwards."""

from dataclasses import replace

import pytest

from distill.settings import GateSettings
from lionweb.models import AuditEvent, Classification, Decision, Response, StageKind, StageStatus
from tests import factories as make
from tests.browser.axe import violations

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

HOSTILE = """# A heading of the model
| a | b |
|---|---|
| 1 | <img src=x onerror="document.title='owned'"> |

<script>document.title='owned'</script> [x](javascript:document.title='owned') ![p](https://evil.example/p.png)

```python
print("<b>")
```
So \\(x_1 + y_1\\) holds."""
ARABIC = "اكتب قصيدة قصيرة عن البحر في الليل."


@pytest.fixture
def iteration(alice):
    return waiting(alice)


def waiting(alice, count=34, **gates):
    """An iteration at the review gate with so many scored items in the queue."""
    settings = replace(make.SMALL, gates=GateSettings(review="sample", **gates))
    experiment = make.make_experiment(alice, pool=make.make_pool(rows=60), settings=settings)
    iteration = make.make_iteration(experiment, done=4, current=StageStatus.WAITING)
    gaps = [(-1) ** n * n / 20 + 1 for n in range(count)]
    rows = make.classify(iteration, make.make_checkpoint(iteration), make.make_instructions(count), gaps)
    make.queue_up(iteration.classifications.filter(pk__in=[row.pk for row in rows]))
    return iteration


def url(iteration):
    return f"/experiments/{iteration.experiment_id}/iterations/{iteration.number}/review/"


def items(iteration):
    return list(iteration.classifications.filter(for_review=True).order_by("queue_rank"))


class Desk:
    """Presses keys and waits for the next item."""

    def __init__(self, page):
        self.page = page

    @property
    def item(self):
        return int(self.page.get_attribute("#review-work", "data-item"))

    def press(self, key):
        """A key that leads to another item."""
        before = self.item
        self.page.keyboard.press(key)
        self.page.wait_for_function(
            "before => document.getElementById('review-work').dataset.item !== before"
            " && !document.querySelector('.htmx-request, .htmx-settling')",
            arg=str(before),
        )

    def shows(self, selector):
        self.page.wait_for_selector(selector)


def test_thirty_items_by_keyboard_alone(sign_in, bob, iteration, shoot):
    page = sign_in(bob)
    queue = items(iteration)
    page.goto(url(iteration))
    desk = Desk(page)
    assert desk.item == queue[0].pk
    shoot(page, "review-queue")

    desk.press("Enter")
    for key in "123456":
        desk.press(key)
    page.keyboard.press("Backspace")
    desk.press("s")
    desk.press("f")
    page.keyboard.press("c")
    page.keyboard.type("1 s f Enter 2, all typed")
    page.keyboard.press("Escape")
    desk.press("1")
    page.keyboard.press("e")
    page.keyboard.press("Control+A")
    page.keyboard.type("The right answer.")
    page.keyboard.press("Escape")
    desk.press("3")
    assert Decision.objects.count() == 11

    page.keyboard.press("d")
    desk.shows(".review-diff")
    page.keyboard.press("d")
    desk.shows(".pair")
    page.keyboard.press("x")
    desk.shows(".response[aria-label=Student]:first-child")
    page.keyboard.press("r")
    desk.shows(".review-rationale[open]")
    page.keyboard.press("r")
    twelfth = desk.item
    desk.press("j")
    assert desk.item == queue[12].pk
    desk.press("k")
    assert desk.item == twelfth == queue[11].pk
    page.keyboard.press("?")
    desk.shows("#review-help[open]")
    page.keyboard.press("1")
    page.keyboard.press("Escape")
    page.wait_for_selector("#review-help", state="hidden")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"
    page.keyboard.type("12")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    assert (Decision.objects.count(), desk.item) == (11, twelfth)

    page.keyboard.press("c")
    page.keyboard.type("Half a thought")
    page.reload()
    assert desk.item == twelfth
    assert page.input_value("#review-comment") == "Half a thought"
    assert page.locator(".response").first.get_attribute("aria-label") == "Student"
    desk.press("1")
    desk.press("z")
    assert desk.item == twelfth
    assert page.input_value("#review-comment") == "Half a thought"
    desk.press("2")
    for _ in range(18):
        desk.press("Enter")

    live = Decision.objects.filter(undone_at__isnull=True, person=bob)
    kinds = list(live.order_by("classification__queue_rank").values_list("kind", flat=True))
    referee = [item.referee_verdict for item in queue]
    assert len(kinds) == 30
    assert kinds[:12] == [
        *(referee[0], "hard", "easy", "teacher_wrong", "bad_instruction", "duplicate", "unsafe", "skip", "flag"),
        *("hard", "teacher_wrong", "easy"),
    ]
    assert kinds[12:] == referee[12:30]
    assert live.get(classification=queue[9]).comment == "1 s f Enter 2, all typed"
    assert live.get(classification=queue[10]).corrected_response.text == "The right answer."
    assert live.get(classification=queue[11]).comment == "Half a thought"
    assert Decision.objects.filter(undone_at__isnull=False).count() == 1
    assert AuditEvent.objects.filter(action="verdict.decide", actor=bob).count() == 31
    states = Classification.objects.filter(for_review=True)
    assert states.filter(review_state="pending").count() == 4
    assert states.filter(review_state__in=("confirmed", "overridden"), person=bob).count() == 28
    assert all(0 <= one.seconds < 600 for one in live)
    page.wait_for_function("() => document.querySelector('#review-progress dd').textContent === '28'")
    shoot(page, "review-queue-later")


def test_the_same_keys_work_beside_the_list(sign_in, bob, iteration, shoot):
    page = sign_in(bob)
    queue = items(iteration)
    page.goto(url(iteration) + f"?view=list&item={queue[4].pk}")
    desk = Desk(page)
    shoot(page, "review-list")

    desk.press("j")
    desk.press("2")
    desk.press("k")

    assert desk.item == queue[4].pk
    assert "view=list" in page.url
    assert Decision.objects.get().classification_id == queue[5].pk
    assert page.locator(".review-list [aria-current]").count() == 1


def test_browser_keys_are_left_alone(sign_in, bob, iteration):
    page = sign_in(bob)
    page.goto(url(iteration))

    for key in ("Control+1", "Alt+2", "Control+Enter", "Meta+3", "Shift+Tab"):
        page.keyboard.press(key)
    page.keyboard.press("Tab")
    page.wait_for_timeout(200)

    assert not Decision.objects.exists()


def test_enter_on_a_button_that_has_the_focus_presses_that_button(sign_in, bob, iteration):
    page = sign_in(bob)
    page.goto(url(iteration))
    desk = Desk(page)

    page.focus("button[value=unsafe]")
    desk.press("Enter")

    assert Decision.objects.get().kind == "unsafe"


def test_nothing_in_an_answer_is_executed_or_fetched(sign_in, bob, iteration, shoot):
    first, second, *_ = items(iteration)
    Response.objects.filter(pk=first.teacher_response_id).update(text=HOSTILE)
    Response.objects.filter(pk=first.student_response_id).update(text=ARABIC + "\n\n" + HOSTILE)
    page = sign_in(bob)
    asked = []
    page.on("request", lambda request: asked.append(request.url))

    for look in ("", "&raw=1", "&diff=1"):
        page.goto(url(iteration) + f"?item={first.pk}{look}")
        assert "owned" not in page.title()
        assert page.locator("#review-pair").locator("script, img, iframe").count() == 0
        shoot(page, f"review-odd{look.replace('&', '-').replace('=1', '')}")

    page.goto(url(iteration) + f"?item={first.pk}")
    assert page.evaluate("getComputedStyle(document.querySelectorAll('.markdown')[1]).direction") == "rtl"
    assert "\\(x_1 + y_1\\)" in page.inner_text("#review-pair")
    assert not [one for one in asked if "evil" in one or "/x" in one]


def test_a_megabyte_is_cut_and_then_shown_as_a_whole(sign_in, bob, iteration):
    first = items(iteration)[0]
    Response.objects.filter(pk=first.student_response_id).update(text="<b>word</b> " * 90_000 + "the end")
    page = sign_in(bob)
    page.goto(url(iteration))
    assert len(page.content()) < 300_000

    page.click("text=Show all")
    page.wait_for_function("() => document.querySelectorAll('[data-whole]')[1].textContent.endsWith('the end')")

    assert page.locator("[data-whole] >> nth=1").locator("b").count() == 0
    Desk(page).press("2")
    assert Decision.objects.count() == 1


def test_what_changed_meanwhile_is_said_and_the_text_stays(sign_in, bob, alice, iteration):
    from lionweb.services import reviews

    first = items(iteration)[0]
    page = sign_in(bob)
    page.goto(url(iteration))
    first.locks.all().delete()
    reviews.decide(classification=first, person=alice, kind="unsafe")
    page.keyboard.press("c")
    page.keyboard.type("My reasons")
    page.keyboard.press("Escape")

    page.keyboard.press("1")
    page.wait_for_selector(".message-error:visible")

    assert "alice decided it: unsafe" in page.inner_text(".message-error:visible")
    assert page.input_value("#review-comment") == "My reasons"
    assert Decision.objects.count() == 1


def test_a_lost_connection_loses_no_text(sign_in, bob, iteration):
    page = sign_in(bob)
    page.goto(url(iteration))
    page.keyboard.press("c")
    page.keyboard.type("My reasons")
    page.keyboard.press("Escape")
    page.route("**/decide/", lambda route: route.abort())

    page.keyboard.press("1")
    page.wait_for_selector("#review-note:visible")
    assert "Not saved" in page.inner_text("#review-note")
    assert page.input_value("#review-comment") == "My reasons"
    page.unroute("**/decide/")
    Desk(page).press("1")

    assert Decision.objects.get().comment == "My reasons"
    page.complaints.clear()  # the browser notes the request that was cut


def test_blind_review_by_keyboard(sign_in, bob, alice, shoot):
    iteration = waiting(alice, blind_review=True)
    page = sign_in(bob)
    page.goto(url(iteration))
    desk = Desk(page)
    shoot(page, "review-blind")

    page.keyboard.press("Enter")
    for key in "120":
        desk.press(key)

    kinds = list(Decision.objects.order_by("pk").values_list("kind", flat=True))
    assert len(kinds) == 3
    assert kinds[2] == "easy"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("query", ["", "?view=list", "?diff=1", "?show=conflict", "?show=confirmed"])
def test_no_accessibility_violation(sign_in, alice, bob, iteration, theme, query):
    from lionweb.services import reviews

    done = items(iteration)[-1]
    reviews.decide(classification=done, person=bob, kind=done.referee_verdict, comment="A comment")
    reviews.decide(classification=items(iteration)[0], person=bob, kind="teacher_wrong", corrected="Mine")
    Response.objects.filter(pk=items(iteration)[1].student_response_id).update(text=HOSTILE)
    page = sign_in(alice)
    page.emulate_media(color_scheme=theme)
    page.goto(url(iteration) + query)
    for summary in page.locator("#review-work summary").all():
        summary.click()

    assert violations(page) == []


def test_closing_page_and_its_accessibility(sign_in, alice, iteration, shoot):
    page = sign_in(alice)
    page.goto(url(iteration))
    page.click("text=Close review")
    page.wait_for_url("**/close/")
    shoot(page, "review-close")
    assert violations(page) == []

    page.click("text=Close with 34 open")
    page.wait_for_selector(".messages")

    assert iteration.stages.get(kind=StageKind.REVIEW).status == StageStatus.SUCCEEDED
