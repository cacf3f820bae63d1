from distill.first_pools import first_pools
from distill.settings import PoolSettings

POOL = list(range(20))


def test_both_pools_start_from_the_same_instructions_and_the_held_out_set_from_none_of_them():
    drawn = first_pools(POOL, None, PoolSettings(heldout=4), seed=1)
    assert drawn.train == drawn.cache
    assert len(drawn.heldout) == 4
    assert sorted(drawn.train + drawn.heldout) == POOL


def test_sizes_cut_each_pool():
    drawn = first_pools(POOL, None, PoolSettings(train=3, cache=5, heldout=4), seed=1)
    assert (len(drawn.train), len(drawn.cache), len(drawn.heldout)) == (3, 5, 4)
    assert drawn.cache[:3] == drawn.train


def test_no_held_out_set_is_asked_for_with_zero():
    drawn = first_pools(POOL, None, PoolSettings(heldout=0), seed=1)
    assert drawn.heldout == []
    assert sorted(drawn.train) == POOL


def test_a_held_out_set_of_its_own_keeps_its_order_and_its_rows_out_of_the_pools():
    drawn = first_pools(POOL, [30, 7, 31], PoolSettings(heldout=2), seed=1)
    assert drawn.heldout == [30, 7]
    assert sorted(drawn.train) == [n for n in POOL if n != 7]


def test_a_held_out_set_of_its_own_is_taken_whole_with_zero():
    assert first_pools(POOL, [30, 31, 32], PoolSettings(heldout=0), seed=1).heldout == [30, 31, 32]


def test_the_seed_decides():
    draws = [first_pools(POOL, None, PoolSettings(heldout=4), seed=seed) for seed in (1, 1, 2)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
