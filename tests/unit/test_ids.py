"""Decides whether an applied unit is known again for exactly as long as it could be repeated (contract section 3)."""

from __future__ import annotations

import tracemalloc
from array import array

import pytest

from operators.ids import (
    BUCKET_MAX,
    HOUR,
    MASK_60,
    PAIR,
    SPLIT,
    TRIPLE,
    WITH_DIGESTS,
    RememberedIds,
    bucket_of,
    content_fingerprint,
    own_bucket,
    unit_fingerprint,
)
from operators.rules import native
from operators.rules.admission import CONFLICT, DUPLICATE, NEW

TEN = 10 * HOUR
PICK, SHIP = 1001, 1002
SAID, OTHER = 77, 78
DIGEST = 74687366433


def known(*units: tuple[int, int, int]) -> RememberedIds:
    ids = RememberedIds()
    for unit, content, until in units:
        ids.remember(unit, content, until)
    return ids


def test_a_unit_is_new_until_it_is_remembered() -> None:
    ids = known()
    assert ids.recognize(PICK, SAID) == NEW
    ids.remember(PICK, SAID, TEN)
    assert ids.recognize(PICK, SAID) == DUPLICATE
    assert ids.recognize(SHIP, SAID) == NEW


def test_judging_remembers_nothing() -> None:
    ids = known()
    ids.recognize(PICK, SAID)
    assert (len(ids), ids.news()) == (0, {})


def test_the_same_unit_with_other_content_is_a_conflict_and_the_first_stands() -> None:
    ids = known((PICK, SAID, TEN))
    assert ids.recognize(PICK, OTHER) == CONFLICT
    assert ids.recognize(PICK, SAID) == DUPLICATE


def test_a_repeat_is_found_in_whatever_bucket_the_first_is() -> None:
    ids = known((PICK, SAID, TEN), (SHIP, SAID, TEN + 5 * HOUR))
    assert ids.recognize(PICK, OTHER) == CONFLICT
    assert ids.recognize(PICK, OTHER) == CONFLICT
    assert ids.recognize(SHIP, SAID) == DUPLICATE


def test_every_unit_of_a_bucket_is_found_with_its_own_content() -> None:
    ids = known(*((unit, unit * 7, TEN) for unit in range(1, 300)))
    assert len(ids) == 299
    assert all(ids.recognize(unit, unit * 7) == DUPLICATE for unit in range(1, 300))
    assert all(ids.recognize(unit, unit * 7 + 1) == CONFLICT for unit in range(1, 300))


def test_bytes_that_look_like_an_id_but_lie_across_two_are_not_taken_for_it() -> None:
    sought = 0x0102030405060708
    as_content = known((1, sought, TEN), (sought, SAID, TEN))
    assert as_content.recognize(sought, SAID) == DUPLICATE
    across = known(
        (1, int.from_bytes(bytes(4) + sought.to_bytes(8, "little")[:4], "little"), TEN),
        (int.from_bytes(sought.to_bytes(8, "little")[4:] + bytes(4), "little"), 5, TEN),
        (sought, SAID, TEN),
    )
    assert across.recognize(sought, SAID) == DUPLICATE
    assert across.recognize(sought, OTHER) == CONFLICT


def test_a_table_grows_and_finds_what_it_held_before() -> None:
    ids = known(*((unit * 16, unit, TEN) for unit in range(1, 5_000)))
    assert len(ids) == 4_999
    assert all(ids.recognize(unit * 16, unit) == DUPLICATE for unit in range(1, 5_000))
    assert all(ids.recognize(unit * 16 + 1, unit) == NEW for unit in range(1, 5_000))


# Forgetting


@pytest.mark.parametrize(
    ("clock", "is_forgotten"),
    [(TEN, False), (TEN + HOUR - 1, False), (TEN + HOUR, True), (TEN + HOUR + 1, True)],
)
def test_an_id_is_forgotten_when_its_whole_hour_has_passed(clock: int, is_forgotten: bool) -> None:
    ids = known((PICK, SAID, TEN))
    assert ids.forget(clock) is is_forgotten
    assert ids.recognize(PICK, SAID) == (NEW if is_forgotten else DUPLICATE)
    assert len(ids) == (0 if is_forgotten else 1)


@pytest.mark.parametrize("until", [TEN, TEN + 1, TEN + HOUR - 1])
def test_an_id_is_never_forgotten_before_its_time(until: int) -> None:
    ids = known((PICK, SAID, until))
    ids.forget(until)
    assert ids.recognize(PICK, SAID) == DUPLICATE


def test_a_bucket_of_its_own_is_dropped_before_its_hour_and_no_other() -> None:
    ids = known(*((unit << 40, unit, TEN) for unit in range(1, 100)))
    for unit in range(1_000, 1_500):
        ids.remember_in(unit << 40, unit, own_bucket(TEN, 3))
    for unit in range(2_000, 2_050):
        ids.remember_in(unit << 40, unit, own_bucket(TEN, 4))
    dropped = array("Q", [own_bucket(TEN, 2), own_bucket(TEN, 3)])
    assert ids.drop(dropped)
    assert len(ids) == 149
    stay = [*range(1, 100), *range(2_000, 2_050)]
    assert all(ids.recognize(unit << 40, unit) == DUPLICATE for unit in stay)
    assert all(ids.recognize(unit << 40, unit) == NEW for unit in range(1_000, 1_500))
    assert not ids.drop(dropped)
    ids.forget(TEN + HOUR)
    assert len(ids) == 0


def test_a_snapshot_names_a_bucket_of_its_own_and_what_was_restored_can_be_dropped() -> None:
    ids = known((PICK, SAID, TEN))
    ids.remember_in(SHIP, SAID, own_bucket(TEN, SPLIT - 1))
    kept = ids.news()
    assert {bucket_of(name) for name in kept} == {TEN // HOUR * SPLIT, TEN // HOUR * SPLIT + SPLIT - 1}
    again = RememberedIds()
    for name, entries in kept.items():
        again.restore(name, entries)
    assert (again.recognize(PICK, SAID), again.recognize(SHIP, SAID)) == (DUPLICATE, DUPLICATE)
    assert again.drop(array("Q", [own_bucket(TEN, SPLIT - 1)]))
    assert (again.recognize(PICK, SAID), again.recognize(SHIP, SAID)) == (DUPLICATE, NEW)


def test_only_the_hours_that_passed_are_forgotten() -> None:
    ids = known((PICK, SAID, TEN), (SHIP, SAID, TEN + HOUR))
    assert ids.forget(TEN + HOUR)
    assert (ids.recognize(PICK, SAID), ids.recognize(SHIP, SAID)) == (NEW, DUPLICATE)
    assert not ids.forget(TEN + HOUR)
    assert ids.forget(TEN + 2 * HOUR)
    assert (len(ids), ids.news()) == (0, {})


# What a snapshot keeps


def test_restored_ids_are_known_with_their_content() -> None:
    ids = known((PICK, SAID, TEN), (SHIP, OTHER, TEN), (9, 9, TEN + HOUR))
    again = RememberedIds()
    for hour, pairs in ids.news().items():
        assert len(pairs) % PAIR == 0
        again.restore(hour, bytes(pairs))
    assert len(again) == 3
    assert again.recognize(PICK, SAID) == again.recognize(9, 9) == DUPLICATE
    assert again.recognize(SHIP, SAID) == CONFLICT


def test_parts_of_an_hour_are_put_together() -> None:
    whole = known()
    again = RememberedIds()
    for unit in (PICK, SHIP, PICK + SPLIT):
        whole.remember(unit, SAID, TEN)
    [(number, pairs)] = whole.news().items()
    assert number // SPLIT == 10
    again.restore(number, pairs[:PAIR])
    again.restore(number, pairs[PAIR:])
    assert len(again) == len(whole) == 3
    again.remember(5, 5, TEN)
    assert again.recognize(SHIP, SAID) == again.recognize(5, 5) == DUPLICATE


def test_news_are_told_once() -> None:
    ids = known((PICK, SAID, TEN))
    [(number, pairs)] = ids.news().items()
    assert (number // SPLIT, len(pairs)) == (10, PAIR)
    assert ids.news() == {}
    ids.remember(PICK + SPLIT, SAID, TEN)
    assert [len(pairs) for pairs in ids.news().values()] == [PAIR]
    ids.remember(SHIP, SAID, TEN)
    ids.forget(TEN + HOUR)
    assert ids.news() == {}, "what is forgotten is no news"


# Fingerprints


def test_each_part_of_a_units_name_makes_another_unit() -> None:
    name = ("wms", "e1", "1", "SHOVEL")
    found = {unit_fingerprint(*name)} | {
        unit_fingerprint(*(*name[:part], name[part] + "x", *name[part + 1 :])) for part in range(4)
    }
    found |= {unit_fingerprint("wms", "e11", "", "SHOVEL"), unit_fingerprint("wmse", "1", "1", "SHOVEL")}
    assert len(found) == 7
    assert all(0 <= fingerprint <= MASK_60 == 2**60 - 1 for fingerprint in found)


def test_fingerprints_are_part_of_the_stored_format() -> None:
    assert (HOUR, PAIR, SPLIT) == (3_600_000_000, 16, 16)
    assert unit_fingerprint("wms", "e1", "1", "SHOVEL") == 691444788500124928
    assert content_fingerprint(b"a") == 16629034431890738719


# Digests: which field of a conflict differs


def test_the_digest_of_a_known_unit_is_at_hand() -> None:
    ids = known((PICK, SAID, TEN))
    ids.remember(SHIP, SAID, TEN, (1 << 39) - 1)
    assert (ids.digest(PICK), ids.digest(SHIP), ids.digest(3)) == (0, (1 << 39) - 1, 0)
    assert ids.recognize(SHIP, SAID) == DUPLICATE and ids.recognize(SHIP, OTHER) == CONFLICT, "it decides nothing"


def test_a_digest_does_not_keep_an_id_from_being_forgotten() -> None:
    ids = known()
    ids.remember(PICK, SAID, TEN, 12345)
    assert not ids.forget(TEN)
    assert ids.forget(TEN + HOUR) and len(ids) == 0


def test_digests_are_restored_and_ids_of_before_there_were_any_are_known_without() -> None:
    ids = known((PICK, SAID, TEN))
    ids.remember(SHIP, OTHER, TEN, 99)
    ids.remember(9, 9, TEN + HOUR, 98)
    found = ids.news()
    assert [(bucket_of(name) // SPLIT, name >= WITH_DIGESTS, len(kept)) for name, kept in sorted(found.items())] == [
        (10, False, PAIR),
        (10, True, TRIPLE),
        (11, True, TRIPLE),
    ]
    again = RememberedIds()
    for name, kept in found.items():
        again.restore(name, bytes(kept))
    assert [again.digest(unit) for unit in (PICK, SHIP, 9)] == [0, 99, 98]
    assert [again.recognize(*unit) for unit in ((PICK, SAID), (SHIP, OTHER), (9, 9))] == [DUPLICATE] * 3
    assert again.forget(TEN + HOUR) and len(again) == 1


@pytest.mark.parametrize("name", [(1 << 62) // HOUR * SPLIT, BUCKET_MAX])
def test_what_is_never_forgotten_stays_so_whatever_bucket_it_was_stored_in(name: int) -> None:
    ids = RememberedIds()
    ids.restore(name, array("Q", [PICK, SAID]).tobytes())
    ids.remember(SHIP, SAID, 1 << 62, 7)
    assert not ids.forget(10**6 * HOUR), "a hundred years on"
    assert (ids.recognize(PICK, SAID), ids.recognize(SHIP, SAID), ids.digest(SHIP)) == (DUPLICATE, DUPLICATE, 7)


def test_digests_are_part_of_the_stored_format() -> None:
    assert (TRIPLE, BUCKET_MAX, WITH_DIGESTS, native.DIGEST_BITS) == (24, 2**25 - 1, 2**40, (5, 7, 7, 6, 5, 5, 4))
    said = (1, 10**15, 7, None, "DC1", "L1", "available", "", "SO-1", "", "PO-1", "", 10**15, None, None)
    assert native.digest(*said) == DIGEST
    assert native.digest(*said[:2], -8, *said[3:]) >> 12 == DIGEST >> 12


@pytest.mark.parametrize("count", [5_000, 12_345, 60_000])
def test_an_id_takes_32_to_48_bytes_however_many_there_are(count: int) -> None:
    units = [unit_fingerprint("wms", f"e-{number}", "", "SHOVEL") for number in range(count)]
    tracemalloc.start()
    try:
        ids = RememberedIds()
        for number, unit in enumerate(units):
            ids.remember(unit, SAID, TEN)
            if number % 1000 == 0:
                ids.news()  # an epoch ends
        ids.news()
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 32 <= taken / count < 55  # and the news of an epoch
    assert all(ids.recognize(unit, SAID) == DUPLICATE for unit in units)
    assert all(ids.recognize(unit ^ 1, SAID) == NEW for unit in units)
