"""The pool browser: scope, filters, search, order and pages."""

import pytest

from distill.records import Instruction as Text
from lionweb.models import Approval, Instruction, MemberPool, Membership, MemberSource
from lionweb.selectors import browser
from tests import factories as make

URL = "/instructions/"


@pytest.fixture
def viewer(client, charlie):
    client.force_login(charlie)
    return client


@pytest.fixture
def experiment(alice):
    """One whole iteration: 24 in Train and Cache Pool, 6 held out, 16 generated for iteration 2."""
    experiment = make.make_experiment(alice, pool=make.make_pool("Sample", rows=30))
    make.finish_iteration(experiment)
    return experiment


def add(text, input="", **values):
    content_hash = Text(text, input).content_hash
    return Instruction.objects.create(text=text, input=input, content_hash=content_hash, **values)


def ids(answer):
    return [row.id for row in answer.context["page"].rows]


def texts(answer):
    return [row.text for row in answer.context["page"].rows]


class TestScope:
    def test_all_instructions_stand_in_the_order_of_their_coming(self, viewer):
        made = [add(f"Explain {number}") for number in range(3)]

        assert ids(viewer.get(URL)) == [one.pk for one in made]

    def test_a_pool_is_shown_in_the_files_order(self, viewer):
        pool = make.make_pool(rows=10)
        make.make_pool("Other", rows=10, start=50)
        for entry in pool.entries.all():
            pool.entries.filter(pk=entry.pk).update(position=entry.position + 1000)
        last = pool.entries.order_by("position").last()
        pool.entries.filter(pk=last.pk).update(position=0)

        found = ids(viewer.get(URL, {"pool": pool.pk}))

        assert len(found) == 10
        assert found[0] == last.instruction_id

    @pytest.mark.parametrize(
        ("member", "iteration", "count"),
        [("train", 1, 24), ("cache", 1, 24), ("heldout", 1, 6), ("", 1, 46)],
    )
    def test_the_pools_of_an_experiment(self, viewer, experiment, member, iteration, count):
        answer = viewer.get(URL, {"experiment": experiment.pk, "member": member, "iteration": iteration})

        assert answer.context["page"].count == count

    def test_a_later_iteration_trains_on_the_new_and_compares_on_all(self, viewer, experiment):
        make.make_iteration(experiment, 2)
        where = {"experiment": experiment.pk, "iteration": 2}

        assert viewer.get(URL, where | {"member": "train"}).context["page"].count == 16
        assert viewer.get(URL, where | {"member": "cache"}).context["page"].count == 40

    def test_what_is_not_approved_is_in_no_pool(self, viewer, experiment):
        make.make_iteration(experiment, 2)
        Membership.objects.filter(experiment=experiment, since=2).update(approval=Approval.PENDING)

        answer = viewer.get(URL, {"experiment": experiment.pk, "iteration": 2, "member": "train"})

        assert answer.context["page"].count == 0
        assert "This pool is empty" in answer.content.decode()

    def test_the_last_judged_iteration_is_shown_unless_another_is_chosen(self, viewer, experiment):
        make.make_iteration(experiment, 2)

        assert viewer.get(URL, {"experiment": experiment.pk}).context["scope"].iteration.number == 1

    @pytest.mark.parametrize("query", ["pool=999", "experiment=999", "experiment={}&iteration=77"])
    def test_what_does_not_exist_is_not_found(self, viewer, experiment, query):
        assert viewer.get(f"{URL}?{query.format(experiment.pk)}").status_code == 404

    @pytest.mark.parametrize("query", ["pool=x", "experiment=-1", "iteration=1.5", "pool=99999999999999999999"])
    def test_a_number_that_is_none_is_a_bad_request(self, viewer, query):
        assert viewer.get(f"{URL}?{query}").status_code == 400


class TestFilters:
    def test_by_category_language_and_both(self, viewer):
        add("One", category="coding", language="en")
        add("Two", category="coding", language="de")
        add("Three", category="poetry", language="de")

        assert texts(viewer.get(URL, {"category": "coding"})) == ["One", "Two"]
        assert texts(viewer.get(URL, {"category": "coding", "language": "de"})) == ["Two"]

    def test_the_choices_are_the_values_there_are(self, viewer):
        for number, category in enumerate(["b", "a", "", "b", "c"]):
            add(f"Say {number}", category=category)

        assert viewer.get(URL).context["choices"].categories == ("a", "b", "c")

    def test_by_verdict(self, viewer, experiment):
        where = {"experiment": experiment.pk, "member": "cache", "iteration": 1}

        counts = {
            name: viewer.get(URL, where | {"verdict": name}).context["page"].count
            for name in ("hard", "easy", "unscored")
        }

        assert counts == {"hard": 9, "easy": 13, "unscored": 2}

    def test_a_persons_verdict_counts(self, viewer, experiment, bob):
        one = experiment.iterations.get().classifications.filter(pool="cache", verdict="hard").first()
        one.person_verdict, one.person = "easy", bob
        one.save()
        where = {"experiment": experiment.pk, "member": "cache", "verdict": "easy"}

        answer = viewer.get(URL, where)

        assert one.instruction_id in ids(answer)
        assert "decided by a person" in answer.content.decode()

    def test_by_source(self, viewer, experiment):
        make.make_iteration(experiment, 2)
        where = {"experiment": experiment.pk, "member": "cache", "iteration": 2}

        rows = viewer.get(URL, where | {"source": "hard"}).context["page"].rows

        assert len(rows) == 8
        assert {row.source for row in rows} == {MemberSource.HARD.value}

    def test_without_an_experiment_verdict_and_source_are_passed_over(self, viewer):
        add("One")

        assert texts(viewer.get(URL, {"verdict": "hard", "source": "easy", "sort": "gap"})) == ["One"]


class TestSearch:
    @pytest.fixture(autouse=True)
    def _instructions(self, db):
        add("Name the colours of the rainbow")
        add("Name a river", input="The river must be in Europe")
        add("请写一首关于秋天的诗。")
        add("اكتب قصيدة عن البحر")
        add("Fix <script>alert(1)</script> in C++")

    @pytest.mark.parametrize(
        ("words", "found"),
        [
            ("rainbow", 1),
            ("RAINBOW", 1),
            ("colour", 1),  # goes on
            ("name", 2),
            ("name river", 1),
            ("river rainbow", 0),
            ("europe", 1),  # in the input
            ('"the rainbow"', 1),
            ('"rainbow the"', 0),
            ("name -river", 1),
            ("rainbow or europe", 2),
            ("秋天", 1),
            ("قصيدة", 1),
            ("C++", 1),
            ("<script>", 1),
            ("++", 1),
            ("'; DROP TABLE x; --", 0),
            ("zz & b | ! ( :*", 0),
            ("\x00", 5),
            ("   ", 5),
            ("%", 0),
            ("_", 0),
            ("x" * 5000, 0),
        ],
    )
    def test_words_find_what_holds_them(self, viewer, words, found):
        assert viewer.get(URL, {"q": words}).context["page"].count == found

    def test_nothing_found_says_so_and_offers_the_way_back(self, viewer):
        page = viewer.get(URL, {"q": "zebra", "sort": "length"}).content.decode()

        assert "No instruction fits" in page
        assert 'href="/instructions/?sort=length"' in page


class TestOrderAndPages:
    @pytest.mark.parametrize("sort", ["id", "-id", "length", "-length", "category", "-category"])
    def test_pages_follow_each_other_without_gap_or_repeat(self, viewer, monkeypatch, sort):
        monkeypatch.setattr(browser, "PAGE_SIZE", 4)
        for number in range(11):
            add(f"Say {number}" + "!" * (number % 3), category="ab"[number % 2])

        seen, url = [], f"{URL}?sort={sort}"
        while url:
            page = viewer.get(url).context["page"]
            seen.append([row.id for row in page.rows])
            url = f"{URL}?{page.next}" if page.next else ""
        back = viewer.get(f"{URL}?{page.previous}").context["page"]

        flat = [pk for part in seen for pk in part]
        assert sorted(flat) == sorted(Instruction.objects.values_list("pk", flat=True))
        assert [len(part) for part in seen] == [4, 4, 3]
        assert [row.id for row in back.rows] == seen[-2]
        key, reverse = sort.removeprefix("-"), sort.startswith("-")
        rows = {one.pk: one for one in Instruction.objects.all()}
        assert flat == sorted(flat, key=lambda pk: (getattr(rows[pk], key), pk), reverse=reverse)

    @pytest.mark.parametrize("sort", ["gap", "-gap"])
    def test_the_gap_orders_too_with_unscored_first_downwards(self, viewer, experiment, monkeypatch, sort):
        monkeypatch.setattr(browser, "PAGE_SIZE", 5)
        url, gaps = f"{URL}?experiment={experiment.pk}&member=cache&iteration=1&sort={sort}", []
        while url:
            page = viewer.get(url).context["page"]
            gaps += [row.gap for row in page.rows]
            url = f"{URL}?{page.next}" if page.next else ""

        scored = [gap for gap in gaps if gap is not None]
        assert len(gaps) == 24
        assert scored == sorted(scored, reverse=sort == "-gap")
        assert [gap is None for gap in gaps].index(True) == (0 if sort == "-gap" else 22)

    def test_the_files_order_has_pages_too(self, viewer, monkeypatch):
        monkeypatch.setattr(browser, "PAGE_SIZE", 4)
        pool, other = make.make_pool(rows=10), make.make_pool("The same, the other way round", rows=0)
        for entry in pool.entries.all():
            other.entries.create(instruction_id=entry.instruction_id, position=100 - entry.position)

        first = viewer.get(URL, {"pool": pool.pk}).context["page"]
        second = viewer.get(f"{URL}?{first.next}").context["page"]

        wanted = list(pool.entries.order_by("position").values_list("instruction", flat=True))
        assert [row.id for row in (*first.rows, *second.rows)] == wanted[:8]

    @pytest.mark.parametrize("after", ["x", "1", ":", "9999999999999999999999:1", "1:x", "\x00", "1:" + "9" * 400])
    def test_a_spoilt_cursor_breaks_nothing(self, viewer, after):
        add("One")

        for sort in ("id", "length", "category"):
            assert viewer.get(URL, {"after": after, "sort": sort}).status_code == 200

    def test_the_count_is_an_estimate_where_it_would_cost_too_much(self, viewer, monkeypatch):
        monkeypatch.setattr(browser, "COUNTED", 5)
        monkeypatch.setattr(browser, "PAGE_SIZE", 4)
        for number in range(8):
            add(f"Say {number}")

        shown = viewer.get(URL)

        assert shown.context["page"].is_about
        assert "About " in shown.content.decode()

    def test_a_few_are_counted_exactly(self, viewer, monkeypatch):
        monkeypatch.setattr(browser, "PAGE_SIZE", 4)
        for number in range(8):
            add(f"Say {number}")

        assert "8 instructions" in viewer.get(URL).content.decode()

    def test_the_number_of_queries_is_fixed(self, viewer, experiment, django_assert_max_num_queries):
        with django_assert_max_num_queries(13):
            viewer.get(URL, {"experiment": experiment.pk, "member": "cache"})


class TestFragments:
    def test_htmx_gets_the_results_alone_and_a_clean_url(self, viewer):
        add("One", category="coding")

        answer = viewer.get(URL, {"q": "", "category": "coding", "pool": ""}, headers={"HX-Request": "true"})

        assert "<html" not in answer.content.decode()
        assert answer["HX-Push-Url"] == "/instructions/?category=coding&sort=id"
        assert "HX-Request" in answer["Vary"]

    def test_a_change_of_scope_brings_the_filters_along(self, viewer, experiment):
        headers = {"HX-Request": "true", "HX-Trigger-Name": "experiment"}

        page = viewer.get(URL, {"experiment": experiment.pk}, headers=headers).content.decode()

        assert 'id="browser-choices" hx-swap-oob="true"' in page
        assert 'name="verdict"' in page

    def test_every_row_is_a_real_link(self, viewer):
        one = add("One")

        assert f'href="/instructions/{one.pk}/"' in viewer.get(URL).content.decode()


class TestTexts:
    def test_hostile_text_is_escaped_everywhere(self, viewer):
        add("<script>alert(1)</script>", input="<img src=x onerror=alert(2)>", category="<i>c</i>", language="<u>")

        page = viewer.get(URL).content.decode()

        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "<i>c</i>" not in page
        assert "&lt;script&gt;alert(1)" in page

    def test_a_page_of_very_long_texts_stays_small(self, viewer):
        for number in range(50):
            add(f"{number} " + "long " * 4000, input="y" * 20_000)

        assert len(viewer.get(URL).content) < 100_000

    def test_texts_take_their_own_direction(self, viewer):
        add("اكتب قصيدة عن البحر")

        assert 'dir="auto">اكتب' in viewer.get(URL).content.decode()


def test_membership_of_several_pools_shows_an_instruction_once(viewer, alice):
    experiment = make.make_experiment(alice)
    make.make_iteration(experiment, 1)
    instructions = make.make_instructions(3)
    for pool in (MemberPool.TRAIN, MemberPool.CACHE):
        make.add_members(experiment, pool, instructions)

    assert len(ids(viewer.get(URL, {"experiment": experiment.pk}))) == 3
