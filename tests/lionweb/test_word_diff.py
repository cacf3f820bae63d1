import pytest

from lionweb.word_diff import MOST_WORDS, word_diff


def test_the_pieces_make_up_both_texts():
    old, new = "Name three rivers in Europe.", "Name four long rivers, in Europe."

    pieces = word_diff(old, new)

    assert "".join(piece.text for piece in pieces if piece.kind != "new") == old
    assert "".join(piece.text for piece in pieces if piece.kind != "gone") == new
    assert ("gone", "three") in [(piece.kind, piece.text) for piece in pieces]


@pytest.mark.parametrize(("old", "new"), [("", ""), ("a", "a")])
def test_equal_texts_have_no_difference(old, new):
    assert [piece.kind for piece in word_diff(old, new)] == ["same"] * bool(old)


def test_texts_that_would_take_too_long_are_refused():
    with pytest.raises(ValueError, match="too long"):
        word_diff("a " * MOST_WORDS, "b")
