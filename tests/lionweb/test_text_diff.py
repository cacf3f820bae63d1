"""Two texts word by word."""

import pytest

from lionweb.text_diff import MOST_WORDS, diff


def test_the_pieces_make_up_both_texts():
    old, new = "Name three rivers in Europe.", "Name four long rivers, in Europe."

    pieces = diff(old, new)

    assert "".join(piece.text for piece in pieces if piece.kind != "insert") == old
    assert "".join(piece.text for piece in pieces if piece.kind != "delete") == new
    assert ("delete", "three") in [(piece.kind, piece.text) for piece in pieces]


def test_what_only_the_left_has_stands_before_what_took_its_place():
    kinds = [(piece.kind, piece.text) for piece in diff("The cat sat.", "The dog sat.")]

    assert kinds == [("equal", "The "), ("delete", "cat"), ("insert", "dog"), ("equal", " sat.")]


@pytest.mark.parametrize(("old", "new"), [("", ""), ("a", "a")])
def test_equal_texts_have_no_difference(old, new):
    assert [piece.kind for piece in diff(old, new)] == ["equal"] * bool(old)


def test_texts_that_would_take_too_long_are_refused():
    assert diff("," * MOST_WORDS, ".")
    with pytest.raises(ValueError, match="too long"):
        diff("," * (MOST_WORDS + 1), "b")
