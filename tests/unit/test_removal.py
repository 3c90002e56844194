"""Decides what a start from scratch removes from Redis: what older runs said, and nothing of anybody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flows.publishing.removal import Gone, Removal
from flows.readmodel.store import Store

#: of the run that starts from scratch
TOKEN = 7
OLDER, NEWER = (3 << 32) + 5, (TOKEN << 32) + 1


class Held:
    """A read model of hashes."""

    prefix = ""

    def __init__(self, **hashes: dict[bytes, bytes]) -> None:
        self._hashes = {name.replace("__", ":"): fields for name, fields in hashes.items()}

    def add(self, name: str, fields: dict[bytes, bytes]) -> None:
        self._hashes[name] = fields

    def hashes(self, kind: str, _: str) -> tuple[list[str], str]:
        return [name.removeprefix(kind) for name in self._hashes if name.startswith(kind)], "0"

    def values(self, wanted: list[tuple[str, tuple[str, ...]]]) -> list[list[bytes | None]]:
        return [[self._hashes.get(key, {}).get(field.encode()) for field in fields] for key, fields in wanted]

    def all_of_each(self, keys: list[str]) -> list[dict[bytes, bytes]]:
        return [self._hashes[key] for key in keys]


def removed(held: Held) -> dict[str, list[str]]:
    def patiently(ask: Callable[..., Any], *arguments: Any) -> Any:
        return ask(*arguments)

    removal = Removal(TOKEN, lambda _: True, held, patiently, dict, set)  # type: ignore[arg-type]
    steps: list[Gone] = list(removal.steps())
    updates = [update for step in steps for update in step.updates]
    assert removal.items == len([update for update in updates if update.claims is None])
    return {update.item: [*update.fields, *(change.channel for change in update.channels)] for update in updates}


def version(number: int | bytes) -> dict[bytes, bytes]:
    return {b"_version": number if isinstance(number, bytes) else str(number).encode()}


def test_what_an_older_run_said_is_removed_and_what_this_one_said_stays() -> None:
    held = Held(
        position__A={b"EAST:on_hand": b"5", **version(OLDER)},
        position__B={b"EAST:on_hand": b"5", **version(NEWER)},
        atp__C={b"web": b"5", b"web:by_day": b"[5]", **version(OLDER)},
        atp__D={b"web": b"5", **version(NEWER)},
    )
    assert removed(held) == {"A": ["EAST:on_hand", "_version", "_as_of"], "C": ["web"]}


def test_claims_on_an_item_of_which_this_run_said_nothing_go_and_others_hashes_stay() -> None:
    claim = {b"SO-1 1": b'{"soft":1,"hard":{}}'}
    held = Held(
        claims__A=claim,
        claims__B=claim,
        claims__C=claim,
        claims__D={**claim, b"lat": b"52.5"},
        claims__E={b"SO-1 1": b"7"},
        position__A=version(OLDER),
        position__B=version(NEWER),
    )
    assert set(removed(held)) == {"A", "C"}


def test_lines_of_orders_that_no_run_since_said_go_and_others_fields_stay() -> None:
    order = {
        b"1 A": b'{"run":3,"state":"open"}',
        b"1 B": b'{"run":7,"state":"open"}',
        b"1 C": b"7",
        b"\xff": b'{"run":3,"state":"open"}',
    }
    held = Held()
    held.add("order:SO-1", order)
    removal = Removal(TOKEN, lambda _: True, held, lambda ask, *told: ask(*told), dict, set)  # type: ignore[arg-type]
    updates = [update for step in removal.steps() for update in step.updates]
    assert [(update.item, update.claims) for update in updates] == [("A", {"SO-1 1": "\n"})]


@pytest.mark.parametrize("fields", [{}, version(0), version(3), version(-OLDER), version(b"1.2.3"), version(b"\xff")])
@pytest.mark.parametrize("kind", ["position", "atp"])
def test_a_hash_that_says_no_version_of_ours_is_somebody_elses(kind: str, fields: dict[bytes, bytes]) -> None:
    held = Held()
    held.add(f"{kind}:A", {b"lat": b"52.5", b"\xff": b"", **fields})
    assert removed(held) == {}


@pytest.mark.parametrize("name", ["user:17", "", "a b", "x" * 65])
def test_a_hash_that_is_not_named_after_an_item_is_somebody_elses(name: str) -> None:
    held = Held()
    held.add(f"position:{name}", {b"lat": b"52.5", **version(OLDER)})
    assert removed(held) == {}


def test_what_is_left_of_ours_without_its_version_goes_too() -> None:
    held = Held(position__A={b"EAST:on_hand": b"-5"}, atp__B={b"web": b"9", b"web:by_day": b"[9]"})
    held.add("position:C", {b"EAST:on_hand": b"5", b"lat": b"1"})
    held.add("atp:D", {b"web": b"9", b"name": b"somebody"})
    assert removed(held) == {"A": ["EAST:on_hand", "_version", "_as_of"], "B": ["web"]}


@pytest.mark.parametrize(("kind", "said"), [("position", ["web", "_version", "_as_of"]), ("atp", ["web"])])
def test_a_field_that_is_no_text_in_a_hash_of_ours_stops_nothing(kind: str, said: list[str]) -> None:
    held = Held()
    held.add(f"{kind}:A", {b"\xff\xfe": b"5", b"web": b"5", **version(OLDER)})
    assert removed(held) == {"A": said}


def test_a_key_that_is_no_text_is_left_out_where_hashes_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store("redis://127.0.0.1:1", "shop:")
    found = [b"shop:position:A", b"shop:position:\xff\xfe", b"shop:position:B"]
    monkeypatch.setattr(store, "_ask", lambda *_: (b"17", found))
    assert store.hashes("position:", "0") == (["A", "B"], "17")
    store.close()
