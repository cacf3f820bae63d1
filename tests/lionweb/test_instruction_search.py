"""Search of words, phrases, parts of words and misspelt ones, in texts of every script and with markup in them."""

import io
import json

import pytest
from django.db import connection

from distill.records import Instruction as Text
from lionweb.models import Instruction, InstructionWords, NewWords, Word
from lionweb.selectors.instruction_search import alike, matching
from lionweb.services import words as reading
from lionweb.services.pools import import_pool
from lionweb.services.words import read_words, ring_if_new

pytestmark = pytest.mark.django_db
TEXTS = {
    "html": 'Fix <script src="a.js">alert("x")</script> and <b>bold</b> text',
    "path": "Open /usr/local/bin or https://example.org/a-b?c=d and mail me@example.org",
    "either": "Use tabs and/or spaces",
    "cpp": "Explain C++ templates",
    "c": "Explain C pointers",
    "number": "Round 3.14159 to 2 places, -5 to 0",
    "snake": "Rename snake_case and kebab-case names",
    "chinese": "请写一首关于秋天的诗。",
    "thai": "เขียนบทกวีเกี่ยวกับทะเล",
    "japanese": "秋の俳句を書いてください",
    "arabic": "اكتب قصيدة عن البحر",
    "accent": "Décrivez la forêt",
    "quote": "Don't say it's fine",
    "percent": "What is 100% of 5_0?",
}


@pytest.fixture(autouse=True)
def texts(db):
    for name, text in TEXTS.items():
        Instruction.objects.create(text=text, category=name, content_hash=Text(text).content_hash)


def found(words):
    condition = matching(words)
    sql = "SELECT i.category FROM lionweb_instruction i JOIN lionweb_instructionwords w ON w.instruction_id = i.id"
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} WHERE {condition.sql}", condition.values)
        return {row[0] for row in cursor.fetchall()}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("script", {"html"}),
        ("alert", {"html"}),
        ("<script", {"html"}),
        ("</b>", {"html"}),
        ("bold", {"html"}),
        ("usr", {"path"}),
        ("/usr/local", {"path"}),
        ("example.org", {"path"}),
        ("me@example.org", {"path"}),
        ("and/or", {"either"}),
        ("C++", {"cpp"}),
        ("++", {"cpp"}),
        ("explain", {"cpp", "c"}),
        ("explain -C++", {"c"}),
        ("3.14159", {"number"}),
        ("snake_case", {"snake"}),
        ("kebab", {"snake"}),
        ("秋天", {"chinese"}),
        ("秋", {"chinese", "japanese"}),
        ("天秋", set()),
        ("俳句", {"japanese"}),
        ("บทกวี", {"thai"}),
        ("กวีบท", set()),
        ("قصيدة", {"arabic"}),
        ("forêt", {"accent"}),
        ("FORÊT", {"accent"}),
        ("don't", {"quote"}),
        ("100%", {"percent"}),
        ("5_0", {"percent"}),
        ("*plate*", {"cpp"}),
        ("*ternoon", set()),
        ("*ring", set()),
        ('"and/or spaces"', {"either"}),
        ('explain -"C pointers"', {"cpp"}),
        ("秋天 or forêt", {"chinese", "accent"}),
        ("explain or", {"cpp", "c"}),
        ("or", {"either", "path"}),
        ("\\", set()),
        ("':*", set()),
        ("-", {"path", "number", "snake"}),
    ],
)
def test_words_find_what_holds_them(words, names):
    read_words()

    assert found(words) == names


@pytest.mark.parametrize("words", ["", "  ", '"', '""', '-""'])
def test_nothing_asked_is_no_condition(words):
    assert matching(words) is None


def test_parts_and_misspelt_words_need_the_known_words_and_these_come_in_the_background():
    assert not Word.objects.exists()

    read_words()

    assert Word.objects.filter(word="templates").exists()
    assert alike("explan tmplates") == "explain templates"
    assert alike("explain") == ""
    assert alike("expl") == ""  # begins a known one
    assert alike("zzzzqqq") == ""


def test_a_misspelt_word_shows_what_is_alike_and_says_so(client, charlie):
    read_words()
    client.force_login(charlie)

    answer = client.get("/instructions/", {"q": "tmplates"})
    page = answer.content.decode()

    assert "Nothing has" in page
    assert "Explain C++ templates" in page
    assert answer.context["here"] == "q=templates&sort=id"  # what "all that match" and a saved view mean


def test_imports_are_searchable_once_their_words_are_read_and_the_page_says_so(client, charlie, monkeypatch):
    client.force_login(charlie)
    read_words()
    monkeypatch.setattr(reading, "CHUNK", 3)
    rows = "\n".join(json.dumps({"instruction": f"Imported thing {n}"}) for n in range(10)).encode()
    import_pool(stream=io.BytesIO(rows), filename="a.jsonl", name="A", kind="seed", actor=None, keep_good=False)
    assert not Instruction.objects.filter(text__startswith="Imported", searched__isnull=False).exists()
    assert "still being read" in client.get("/instructions/", {"q": "imported"}).content.decode()

    read_words()

    assert "still being read" not in client.get("/instructions/", {"q": "imported"}).content.decode()

    assert InstructionWords.objects.count() == Instruction.objects.count()
    assert not NewWords.objects.exists()
    assert len(found("imported")) == 1  # all of the category ""


def test_workers_are_called_while_words_are_unread(monkeypatch, django_capture_on_commit_callbacks):
    rung = []
    monkeypatch.setattr("lionweb.queue._send", lambda task, args, queue: rung.append(task))
    with django_capture_on_commit_callbacks(execute=True):
        ring_if_new()
    read_words()
    with django_capture_on_commit_callbacks(execute=True):
        ring_if_new()

    assert rung == ["worker.words"]


def test_a_text_of_a_megabyte_is_stored_and_found():
    text = "beginning " + "".join(f"w{n} " for n in range(150_000))
    Instruction.objects.create(text=text, category="long", content_hash="x" * 64)

    assert found("beginning") == {"long"}
