"""Decides whether sealed state is on disk before it is named, whole when it is read, and gone when nobody needs it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows.storage.segments import FileTicket, Segment, SegmentError, SegmentFiles, merge_layers
from operators.ids import WITH_DIGESTS
from operators.ledger import SEPARATOR

encode = msgspec.msgpack.encode
HOUR_1, HOUR_2 = b"1" * 16, b"2" * 16


def layer(items: Any = None, ids: Any = None, wakes: Any = None) -> bytes:
    return encode((items or {}, ids or {}, wakes or {}))


def written(ticket: FileTicket) -> Segment:
    for _ in range(2000):
        segment = ticket.result()
        if segment is not None:
            return segment
        time.sleep(0.005)
    raise AssertionError("a disk slower than ten seconds")


@pytest.fixture
def files(tmp_path: Path) -> SegmentFiles:
    return SegmentFiles(tmp_path, token=7, worker=3)


def on_disk(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# Files


def test_sealed_layers_are_read_as_they_were_written(files: SegmentFiles, tmp_path: Path) -> None:
    layers = [layer({"A": {"y": 1}}), layer({}, {5: HOUR_1})]
    segment = written(files.seal(12, layers))
    assert files.read(12, segment) == layers
    assert on_disk(tmp_path) == ["0012/00000007-03-00000001.seg"]
    assert segment[0] == "00000007-03-00000001.seg"
    assert segment[1] == (tmp_path / "0012" / segment[0]).stat().st_size


def test_no_two_files_have_one_name(files: SegmentFiles, tmp_path: Path) -> None:
    names = [written(files.seal(1, [layer()]))[0] for _ in range(3)]
    for token, worker in ((8, 3), (7, 4)):
        names.append(written(SegmentFiles(tmp_path, token, worker).seal(1, [layer()]))[0])
    assert len(set(names)) == 5 == len(on_disk(tmp_path))


def test_a_segment_is_named_only_when_it_is_safe(files: SegmentFiles) -> None:
    gate = threading.Event()
    files._thread.submit(gate.wait)  # the disk is busy with something else
    ticket = files.seal(1, [layer()])
    assert ticket.result() is None
    gate.set()
    assert files.read(1, written(ticket)) == [layer()]


def test_a_write_that_failed_is_raised_where_it_is_asked_for(files: SegmentFiles, tmp_path: Path) -> None:
    (tmp_path / "0001").write_text("a file where the folder should be")
    ticket = files.seal(1, [layer()])
    with pytest.raises(OSError):
        written(ticket)


@pytest.mark.parametrize("how", ["torn", "longer", "changed", "empty", "missing"])
def test_a_damaged_file_stops_the_start_with_its_name(files: SegmentFiles, tmp_path: Path, how: str) -> None:
    segment = written(files.seal(1, [layer({"A": {"y": 1}})]))
    path = tmp_path / "0001" / segment[0]
    content = path.read_bytes()
    damaged = {
        "torn": content[:-1],
        "longer": content + b"\0",
        "changed": bytes([*content[:-1], content[-1] ^ 1]),
        "empty": b"",
    }
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(damaged[how])
    with pytest.raises(SegmentError, match=r"restore state\.dir from its backup") as caught:
        files.read(1, segment)
    assert str(path) in str(caught.value)
    assert ("cannot be read" if how == "missing" else "is damaged") in str(caught.value)


def test_retired_files_are_gone_and_may_be_retired_again(files: SegmentFiles, tmp_path: Path) -> None:
    first, second = (written(files.seal(1, [layer()])) for _ in range(2))
    files.retire(1, [first])
    files.retire(1, [first])
    assert on_disk(tmp_path) == [f"0001/{second[0]}"]


def test_only_what_the_snapshot_names_is_kept_and_other_shards_are_left_alone(
    files: SegmentFiles, tmp_path: Path
) -> None:
    first, second = (written(files.seal(1, [layer()])) for _ in range(2))
    other = written(files.seal(2, [layer()]))
    (tmp_path / "0001" / "torn.seg.tmp").write_bytes(b"half a file")
    files.keep_only(1, [second])
    assert on_disk(tmp_path) == [f"0001/{second[0]}", f"0002/{other[0]}"]
    files.keep_only(3, [])
    assert first[0] not in on_disk(tmp_path)


def test_merged_files_say_what_they_said_one_after_the_other(files: SegmentFiles) -> None:
    older = written(files.seal(1, [layer({"A": {"y": 1}}), layer({"A": {"y": 2}, "B": {"y": 3}})]))
    newer = written(files.seal(1, [layer({"B": {"y": 4}})]))
    merged = written(files.merge(1, [older, newer], 0, True))
    (one,) = files.read(1, merged)
    assert msgspec.msgpack.decode(one) == [{"A": {"y": 2}, "B": {"y": 4}}, {}, {}]
    assert files.read(1, older) and files.read(1, newer), "the parts stay until they are retired"


def test_a_merge_of_a_damaged_file_fails(files: SegmentFiles, tmp_path: Path) -> None:
    segment = written(files.seal(1, [layer()]))
    (tmp_path / "0001" / segment[0]).write_bytes(b"")
    with pytest.raises(SegmentError):
        written(files.merge(1, [segment], 0, True))


# Layers


def merged(*layers: bytes, floor: int = 0, is_oldest: bool = True) -> Any:
    return msgspec.msgpack.decode(merge_layers(layers, floor, is_oldest), strict=False)


def test_the_newest_record_of_a_key_stands() -> None:
    items, _, _ = merged(layer({"A": {"i": 1, "y": 1}}), layer({"A": {"i": 2}}), layer({"B": {"i": 3}}))
    assert items == {"A": {"i": 2, "y": 1}, "B": {"i": 3}}


def test_journals_are_put_together_and_not_replaced() -> None:
    key = f"m{SEPARATOR}DC1{SEPARATOR}"
    first, second, third = (0, b"a" * 16, 0, b""), (2, b"b" * 16, 0, b"x" * 16), (2, b"c" * 16, 2, b"")
    whole = merged(layer({"A": {key: first}}), layer({"A": {key: second}}), layer({"A": {key: third}}))
    assert whole[0] == {"A": {key: [0, b"a" * 16 + b"c" * 16, 0, b"x" * 16]}}
    upper = merge_layers([layer({"A": {key: second}}), layer({"A": {key: third}})], 0, False)
    assert merged(layer({"A": {key: first}}), upper)[0] == whole[0]


def test_what_is_gone_is_remembered_as_gone_while_something_older_lies_beneath() -> None:
    gone = (layer({"A": {"l": 1, "i": 1}}, wakes={"A": 5}), layer({"A": {"l": None}}, wakes={"A": None}))
    assert merged(*gone, is_oldest=False) == [{"A": {"l": None, "i": 1}}, {}, {"A": None}]
    assert merged(*gone, is_oldest=True) == [{"A": {"i": 1}}, {}, {}]


def test_ids_of_an_hour_are_put_together_and_those_below_the_floor_left_out() -> None:
    layers = (layer(ids={1: HOUR_1, 2: HOUR_1}), layer(ids={2: HOUR_2, 3: HOUR_2}))
    assert merged(*layers)[1] == {1: HOUR_1, 2: HOUR_1 + HOUR_2, 3: HOUR_2}
    assert merged(*layers, floor=2)[1] == {2: HOUR_1 + HOUR_2, 3: HOUR_2}
    assert merged(*layers, floor=3)[1] == {3: HOUR_2}


def test_ids_with_digests_are_put_together_apart_from_those_without_and_forgotten_with_them() -> None:
    told = {hour: hour + WITH_DIGESTS for hour in (1, 2)}
    layers = (
        layer(ids={2: HOUR_1, told[1]: b"t" * 24}),
        layer(ids={told[2]: b"u" * 24}),
        layer(ids={told[2]: b"v" * 24}),
    )
    assert merged(*layers)[1] == {2: HOUR_1, told[1]: b"t" * 24, told[2]: b"u" * 24 + b"v" * 24}
    assert merged(*layers, floor=2)[1] == {2: HOUR_1, told[2]: b"u" * 24 + b"v" * 24}
    assert merged(*layers, floor=3)[1] == {}


def test_the_newest_wake_of_an_item_stands() -> None:
    assert merged(layer(wakes={"A": 5, "B": 6}), layer(wakes={"A": 7}))[2] == {"A": 7, "B": 6}
