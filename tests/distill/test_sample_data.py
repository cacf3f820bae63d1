"""The sample pool and held-out set that the demo runs on: valid rows, a real mix, nothing twice."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist

import distill
from distill.records import Instruction
from distill.tokenisation import tokenise

DATA = Path(distill.__file__).parent / "data"
PREFIXES = {"sample_pool": "pool", "sample_heldout": "heldout"}
FIELDS = ["id", "instruction", "input", "category", "language"]
WITHOUT_SPACES = {"zh", "ja"}
Row = dict[str, str]


@cache
def rows(name: str) -> list[Row]:
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def all_rows() -> list[Row]:
    return [row for name in PREFIXES for row in rows(name)]


def instruction_only(row: Row) -> str:
    return row["instruction"]


def whole_prompt(row: Row) -> str:
    return Instruction(row["instruction"], row["input"]).prompt


def similarities(left: list[str], right: list[str]) -> np.ndarray:
    """ROUGE-L F of every pair: the normalised Indel similarity of the token sequences."""
    codes: dict[str, int] = {}
    encoded = [[[codes.setdefault(t, len(codes)) for t in tokenise(text)] for text in side] for side in (left, right)]
    return cdist(*encoded, scorer=Indel.normalized_similarity, dtype=np.float32)


@pytest.mark.parametrize("name", PREFIXES)
def test_every_line_is_one_row_with_exactly_the_five_text_fields(name):
    for row in rows(name):
        assert list(row) == FIELDS
        assert all(isinstance(value, str) and value == value.strip() for value in row.values())
        assert row["instruction"] and row["category"] and row["language"]


@pytest.mark.parametrize("name, prefix", PREFIXES.items())
def test_ids_count_up_from_one(name, prefix):
    found = [row["id"] for row in rows(name)]

    assert found == [f"{prefix}-{number:03d}" for number in range(1, len(found) + 1)]


@pytest.mark.parametrize("name", PREFIXES)
def test_the_file_ends_with_a_newline_and_is_plain_utf_8(name):
    body = (DATA / f"{name}.jsonl").read_bytes()

    assert body.endswith(b"}\n")
    assert not body.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in body
    assert "\ufffd" not in body.decode("utf-8")


def test_the_pool_is_large_enough_for_the_demo():
    assert len(rows("sample_pool")) >= 260


def test_the_held_out_set_has_sixty_rows():
    assert len(rows("sample_heldout")) == 60


def test_the_pool_has_many_categories_of_similar_size():
    counts = Counter(row["category"] for row in rows("sample_pool"))

    assert len(counts) >= 12
    assert min(counts.values()) >= 15
    assert max(counts.values()) <= 25


def test_the_held_out_set_has_the_categories_of_the_pool():
    counts = Counter(row["category"] for row in rows("sample_heldout"))

    assert set(counts) == {row["category"] for row in rows("sample_pool")}
    assert min(counts.values()) >= 3


def test_category_names_are_machine_names():
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", row["category"]) for row in all_rows())


@pytest.mark.parametrize("name, fewest", [("sample_pool", 60), ("sample_heldout", 12)])
def test_many_rows_have_an_input(name, fewest):
    assert sum(bool(row["input"]) for row in rows(name)) >= fewest


def test_inputs_occur_in_many_categories():
    assert len({row["category"] for row in rows("sample_pool") if row["input"]}) >= 8


@pytest.mark.parametrize("name, fewest", [("sample_pool", 30), ("sample_heldout", 6)])
def test_some_rows_are_not_english_but_most_are(name, fewest):
    foreign = sum(row["language"] != "en" for row in rows(name))

    assert fewest <= foreign <= len(rows(name)) / 4


def test_the_pool_speaks_a_dozen_languages_with_iso_codes():
    languages = {row["language"] for row in rows("sample_pool")}

    assert len(languages) >= 12
    assert all(re.fullmatch(r"[a-z]{2}", language) for language in languages)


@pytest.mark.parametrize(
    "language, letters",
    [
        ("ru", r"[\u0400-\u04ff]"),
        ("zh", r"[\u4e00-\u9fff]"),
        ("ja", r"[\u3040-\u30ff]"),
        ("ko", r"[\uac00-\ud7a3]"),
        ("ar", r"[\u0600-\u06ff]"),
        ("hi", r"[\u0900-\u097f]"),
    ],
)
def test_a_row_in_another_script_is_written_in_it(language, letters):
    found = [row["instruction"] for row in all_rows() if row["language"] == language]

    assert found
    assert all(re.search(letters, text) for text in found)


def test_english_instructions_are_written_in_latin_letters():
    for row in all_rows():
        if row["language"] == "en":
            letters = filter(str.isalpha, row["instruction"])
            assert all(unicodedata.name(letter).startswith("LATIN") for letter in letters), row["id"]


def test_prompts_are_neither_fragments_nor_essays():
    for row in all_rows():
        if row["language"] not in WITHOUT_SPACES:
            assert 8 <= len(whole_prompt(row).split()) <= 60, row["id"]
            assert len(row["instruction"].split()) <= 40, row["id"]


def test_the_rows_do_not_follow_a_few_templates():
    openings = Counter(" ".join(row["instruction"].lower().split()[:3]) for row in all_rows())

    assert openings.most_common(1)[0][1] <= 6


def test_no_row_holds_contact_data_of_a_person():
    for row in all_rows():
        addresses = re.findall(r"\S+@\S+", whole_prompt(row))
        assert all("@example." in address for address in addresses), row["id"]
        assert not re.search(r"\+?\d[\d /-]{8,}\d", whole_prompt(row)), row["id"]


def test_no_two_rows_have_the_same_content_hash():
    hashes = {Instruction(row["instruction"], row["input"]).content_hash for row in all_rows()}

    assert len(hashes) == len(all_rows())


@pytest.mark.parametrize("view", [instruction_only, whole_prompt])
@pytest.mark.parametrize("name", PREFIXES)
def test_no_two_rows_of_a_file_are_near_duplicates(name, view):
    texts = [view(row) for row in rows(name)]
    scores = np.triu(similarities(texts, texts), k=1)

    assert scores.max() <= 0.7, [texts[i] for i in np.argwhere(scores > 0.7).flatten()]


@pytest.mark.parametrize("view", [instruction_only, whole_prompt])
def test_no_held_out_row_is_close_to_a_pool_row(view):
    heldout, pool = ([view(row) for row in rows(name)] for name in ("sample_heldout", "sample_pool"))
    scores = similarities(heldout, pool)

    assert scores.max() <= 0.6, [(heldout[i], pool[j]) for i, j in np.argwhere(scores > 0.6)]


@pytest.mark.parametrize("name", PREFIXES)
def test_the_first_rows_already_hold_the_whole_mix(name):
    first = rows(name)[:32]

    assert {row["category"] for row in first} == {row["category"] for row in rows(name)}
    assert any(row["input"] for row in first)
    assert any(row["language"] != "en" for row in first)


def test_the_readme_names_every_category():
    readme = (DATA / "README.md").read_text(encoding="utf-8")

    assert all(f"`{row['category']}`" in readme for row in all_rows())
