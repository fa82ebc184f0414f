"""The order of the items: whole passes, the same from any start and on any number of processes."""

from collections import Counter
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from restorekit.train.order import Order


def _batches(length, batch_size, stop, *, start=0, seed=0, rank=0, ranks=1):
    order = Order(length, batch_size=batch_size, start=start, stop=stop, seed=seed, rank=rank, ranks=ranks)
    batches = list(order)
    assert len(batches) == len(order)
    return batches


@given(st.integers(1, 20), st.integers(1, 12), st.integers(1, 15))
def test_every_pass_holds_every_item_once(length, batch_size, steps):
    row = list(chain.from_iterable(_batches(length, batch_size, steps)))
    assert len(row) == steps * batch_size
    for first in range(0, len(row) - length + 1, length):
        assert Counter(row[first : first + length]) == Counter(range(length))


@given(st.integers(1, 20), st.integers(1, 6), st.integers(0, 15))
def test_a_later_start_sees_the_same_batches(length, batch_size, start):
    assert _batches(length, batch_size, 15, start=start) == _batches(length, batch_size, 15)[start:]


@given(st.integers(1, 20), st.integers(1, 4), st.integers(1, 4))
def test_processes_split_what_one_would_see(length, share, ranks):
    parts = [_batches(length, share * ranks, 6, rank=rank, ranks=ranks) for rank in range(ranks)]
    joined = [list(chain.from_iterable(of_one_step)) for of_one_step in zip(*parts, strict=True)]
    assert joined == _batches(length, share * ranks, 6)


def test_seeds_and_passes_shuffle_differently():
    first, second = _batches(50, 50, 2)
    assert first != second
    assert first != sorted(first)
    assert first != _batches(50, 50, 1, seed=1)[0]


def test_nothing_is_left_after_the_end():
    assert _batches(5, 2, 3, start=3) == []


LENGTHS = {2: 5, 3: 7, "noise": 1}


def _keyed(stop, **options):
    return list(Order(LENGTHS, **{"batch_size": 4, "start": 0, "stop": stop, "seed": 0, **options}))


def test_a_batch_of_several_data_sets_is_of_one():
    for batch in _keyed(40):
        assert len({key for key, _ in batch}) == 1


@given(st.integers(0, 2500))
def test_a_later_start_sees_the_same_batches_of_several(start):
    assert _keyed(start + 3, start=start) == _keyed(start + 3)[start:]


def test_each_of_several_is_passed_through_whole():
    rows = {key: [] for key in LENGTHS}
    for batch in _keyed(60):
        rows[batch[0][0]] += [index for _, index in batch]
    for key, row in rows.items():
        for first in range(0, len(row) - LENGTHS[key] + 1, LENGTHS[key]):
            assert Counter(row[first : first + LENGTHS[key]]) == Counter(range(LENGTHS[key]))


def test_several_are_drawn_evenly_and_anew_beyond_the_first_block():
    drawn = [batch[0][0] for batch in _keyed(3000)]
    assert all(850 < count < 1150 for count in Counter(drawn).values())
    assert drawn[:1000] != drawn[1000:2000]


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_parts_and_processes_split_a_batch(share, ranks, parts):
    size = share * ranks * parts
    whole = _keyed(5, batch_size=size)
    split = [_keyed(5, batch_size=size, rank=rank, ranks=ranks, parts=parts) for rank in range(ranks)]
    assert all(len(batches) == 5 * parts for batches in split)
    for step in range(5):
        taken = [split[rank][step * parts + part] for rank in range(ranks) for part in range(parts)]
        assert list(chain.from_iterable(taken)) == whole[step]
