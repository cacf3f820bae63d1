import pytest
import torch

from distill.sampling import nucleus, pick, uniforms

LOGITS = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))


def share_of(token, temperature=1.0, top_p=1.0, draws=2000):
    points = torch.linspace(0, 1 - 1e-6, draws)
    chosen = pick(LOGITS.expand(draws, -1), temperature, top_p, points)
    return (chosen == token).float().mean().item()


def test_temperature_zero_takes_the_likeliest():
    assert pick(LOGITS, 0.0, 1.0, torch.tensor([0.99])).tolist() == [0]


def test_tokens_are_drawn_as_often_as_they_are_likely():
    assert [share_of(token) for token in range(4)] == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.01)


def test_a_low_temperature_sharpens():
    expected = 0.25 / (0.25 + 0.09 + 0.0225 + 0.0025)

    assert share_of(0, temperature=0.5) == pytest.approx(expected, abs=0.01)


def test_the_nucleus_keeps_the_fewest_tokens_that_reach_the_mass():
    assert share_of(2, top_p=0.8) == 0
    assert share_of(0, top_p=0.8) == pytest.approx(0.5 / 0.8, abs=0.01)
    assert share_of(0, top_p=0.01) == 1


def test_a_flat_distribution_wider_than_the_guess_is_cut_right():
    flat = torch.full((1, 4000), 1 / 4000) + torch.linspace(0, 1e-6, 4000)
    kept = nucleus(flat / flat.sum(), 0.5)

    assert abs((kept > 0).sum().item() - 2000) < 20


def test_the_edges_of_the_draw_stay_within_the_vocabulary():
    sure = torch.tensor([[0.0, -200.0, -200.0]])

    assert pick(sure, 1.0, 1.0, torch.tensor([0.0])).tolist() == [0]
    assert pick(sure, 1.0, 1.0, torch.tensor([1.0])).tolist() == [0]


def test_a_row_has_its_own_numbers_and_the_first_ones_do_not_depend_on_how_many():
    assert uniforms(1, "a", 3) == uniforms(1, "a", 9)[:3]
    assert uniforms(1, "a", 3) != uniforms(1, "b", 3)
    assert uniforms(1, "a", 3) != uniforms(2, "a", 3)
    assert all(0 <= draw < 1 for draw in uniforms(0, "key", 500))
