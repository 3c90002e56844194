"""`atp pick-up`: which files go when and where; ended at any step, nothing is lost and the same goes again."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from flows.adapters.intake import folder as module
from flows.adapters.intake.counts import PICK_UP, Counts
from flows.adapters.intake.folder import Folder, FolderProblem
from flows.adapters.intake.pick_up import PickUp
from flows.adapters.intake.raw import RawMessage
from flows.kafka.sending import SendError
from flows.settings import load_settings

LARGEST = 400


class Killed(BaseException):
    """What stands for a kill: nothing catches it."""


class Desk:
    """A folder and a Kafka that keeps what it is sent."""

    def __init__(self, path: Path, settle_s: float = 0.0) -> None:
        self.path = path
        config = path.parent / "atp.toml"
        config.write_text(f"max_message_bytes = {LARGEST}\n[pick_up]\nfile_bytes_max = 2000\n")
        self.settings = load_settings(config)
        self.settle_s = settle_s
        self.sent: list[RawMessage] = []
        self.before_send: Callable[[], None] = lambda: None
        self.start()

    def start(self) -> None:
        """As a new process: nothing is remembered."""
        self.folder = Folder(self.path, self.settle_s)
        self.worker = PickUp(self.settings, "acme", self.folder, self.send_all, Counts(PICK_UP, ["acme"]))

    def send_all(self, messages: list[RawMessage]) -> None:
        self.before_send()
        self.sent += messages

    def round(self) -> int:
        """One look."""
        with capture_logs() as self.lines:
            return self.worker.round()

    def leave(self, name: str | bytes, content: bytes = b"item,quantity\nLAMP,1\n") -> Path:
        path = Path(os.fsdecode(os.path.join(os.fsencode(self.path), os.fsencode(name))))
        path.write_bytes(content)
        return path

    def names(self, where: str = "") -> list[str]:
        """Name the plain files there."""
        return sorted(
            path.name for path in (self.path / where).iterdir() if path.is_file() and path.name != module.LOCK
        )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    path = tmp_path / "in"
    path.mkdir()
    return Desk(path)


def test_a_file_goes_to_kafka_byte_for_byte_and_then_to_done(desk: Desk) -> None:
    desk.leave("orders.csv", b"item,quantity\r\nLAMP,1\r\n")
    assert desk.round() == 1
    (message,) = desk.sent
    assert (message.source, message.value) == ("acme", b"item,quantity\r\nLAMP,1\r\n")
    headers = dict(message.headers)
    assert headers.pop("received_at").endswith("Z")
    assert headers == {"content_type": "text/csv", "name": "orders.csv"}
    assert (desk.names(), desk.names("done"), desk.names(".taken")) == ([], ["orders.csv"], [])
    assert desk.round() == 0 and len(desk.sent) == 1


@pytest.mark.parametrize(
    ("name", "begin", "kind"),
    [
        ("a.edi", b"ISA*00", "application/edi-x12"),
        ("a", b"\xef\xbb\xbf UNB+", "application/edifact"),
        ("a", b"{}", "application/json"),
        ("a.xml", b"<", "application/xml"),
        ("a", b"\x00", "application/octet-stream"),
    ],
)
def test_what_it_is_stands_in_its_name_or_its_begin(desk: Desk, name: str, begin: bytes, kind: str) -> None:
    desk.leave(name, begin)
    desk.round()
    assert dict(desk.sent[0].headers)["content_type"].replace("text/xml", "application/xml") == kind


def test_a_file_that_is_being_written_waits(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("flows.adapters.intake.pick_up.time.monotonic", lambda: clock[0])
    desk.folder.close()
    desk.settle_s = 5.0
    desk.start()
    path = desk.leave("slow.csv", b"item,quantity\n")
    assert desk.round() == 0
    clock[0] += 4.9
    assert desk.round() == 0
    with path.open("ab") as more:
        more.write(b"LAMP,1\n")
    clock[0] += 4.9
    assert desk.round() == 0, "it grew: its time begins anew"
    clock[0] += 4.9
    assert desk.round() == 0
    clock[0] += 0.2
    assert desk.round() == 1
    assert desk.sent[0].value == b"item,quantity\nLAMP,1\n"


@pytest.mark.parametrize(
    "name", ["a.csv.part", "a.TMP", "a.filepart", ".a.csv", ".in.upload", "a.csv~", "a.csv.crdownload"]
)
def test_a_name_that_says_unfinished_waits_until_it_is_renamed(desk: Desk, name: str) -> None:
    path = desk.leave(name)
    assert desk.round() == 0
    path.rename(desk.path / "a.csv")
    assert desk.round() == 1


def test_what_is_no_plain_file_stays_and_is_said_once(desk: Desk, tmp_path: Path) -> None:
    (desk.path / "folder").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (desk.path / "link.csv").symlink_to(tmp_path / "secret")
    os.mkfifo(desk.path / "pipe.csv")
    assert desk.round() == 0
    assert sorted(line["event"].partition(" ")[0] for line in desk.lines) == ["link.csv", "pipe.csv"]
    assert desk.round() == 0 and not desk.lines and not desk.sent


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty: expected a document, got no bytes"),
        (b"x" * 2001, "too_large: expected at most 2,000 bytes (pick_up.file_bytes_max), got 2,001"),
        (b"<" + b"x" * LARGEST, "too_large: the file has 401 bytes with what has to stand before it"),
    ],
)
def test_what_cannot_be_sent_goes_to_failed_with_its_reason(desk: Desk, content: bytes, told: str) -> None:
    desk.leave("bad.xml", content)
    assert desk.round() == 1
    # What was too large is accounted for by its first bytes; what was empty is no document.
    accounted = [(message.value, dict(message.headers)["refused_place"]) for message in desk.sent]
    assert accounted == ([(content[:LARGEST], "the file")] if content else [])
    assert (desk.path / "failed" / "bad.xml").read_bytes() == content
    assert (desk.path / "failed" / "bad.xml.reason.txt").read_text() == f"bad.xml: {told}\n"
    assert [line["log_level"] for line in desk.lines if line["kind"].startswith("file_")][:1] == ["error"]


def test_good_sets_of_a_file_with_one_that_is_too_large_still_go(desk: Desk) -> None:
    isa = b"ISA*00*          *00*          *ZZ*ACME           *ZZ*US             *261130*0800*U*00401*000000001*0*P*>~"
    sets = [
        b"ST*850*%d~BEG*00*SA*P%d~%sSE*3*%d~" % (one, one, b"N9*" + b"x" * 500 + b"~" if one == 2 else b"", one)
        for one in (1, 2, 3)
    ]
    desk.leave("a.edi", isa + b"".join(sets))
    assert desk.round() == 1
    assert [message.value for message in desk.sent] == [isa + sets[0], isa + sets[2], sets[1][:LARGEST]]
    assert dict(desk.sent[2].headers)["refused_place"] == "set 2 (ST*850*2)"
    assert "set 2 (ST*850*2)" in (desk.path / "failed" / "a.edi.reason.txt").read_text()


def test_a_large_file_goes_in_parts_that_say_what_they_are_parts_of(desk: Desk) -> None:
    raw = b"item,quantity\n" + b"".join(b"LAMP-%d,%d\n" % (row, row) for row in range(100))
    desk.leave("stock.csv", raw)
    desk.round()
    headers = [dict(message.headers) for message in desk.sent]
    assert len(headers) > 2
    assert {one["document"] for one in headers} == {hashlib.sha256(raw).hexdigest()}
    assert [one["part"] for one in headers] == [str(number) for number in range(1, len(headers) + 1)]
    assert {one["parts"] for one in headers} == {str(len(headers))}
    assert (
        b"".join(message.value[int(one["heading"]) :] for message, one in zip(desk.sent, headers, strict=True)) == raw
    )


def test_another_file_of_the_same_name_is_kept_beside_the_first(desk: Desk) -> None:
    for content in (b"first", b"second", b"second"):
        desk.leave("orders.csv", content)
        assert desk.round() == 1
    mark = hashlib.sha256(b"second").hexdigest()[:16]
    assert desk.names("done") == [f"orders-{mark}.csv", "orders.csv"]
    assert (desk.path / "done" / "orders.csv").read_bytes() == b"first"
    assert [message.value for message in desk.sent] == [b"first", b"second", b"second"]


def test_names_of_any_bytes_and_of_any_length(desk: Desk) -> None:
    names = [
        b"caf\xe9.csv",
        "Lager ü.csv".encode(),
        b"a\nb.csv",
        b"n" * 251 + b".csv",
        b"-rf.csv",
        "\u202e.csv".encode(),
    ]
    for name in names:
        for content in (b"1", b"2"):
            desk.leave(name, content)
            assert desk.round() == 1, name
    shown = [dict(message.headers)["name"] for message in desk.sent][::2]
    assert shown == ["caf\\udce9.csv", "Lager ü.csv", "a\\nb.csv", "n" * 251 + ".csv", "-rf.csv", "\\u202e.csv"]
    assert len(desk.names("done")) == 2 * len(names)


def test_a_file_that_is_put_in_its_place_while_it_is_sent_is_a_file_of_its_own(desk: Desk) -> None:
    desk.leave("orders.csv", b"first")
    desk.before_send = lambda: (
        None if (desk.path / "orders.csv").exists() else void(desk.leave("orders.csv", b"second"))
    )
    desk.round()
    desk.before_send = lambda: None
    desk.round()
    assert [message.value for message in desk.sent] == [b"first", b"second"]
    assert len(desk.names("done")) == 2


def void(_: object) -> None:
    """Drop it."""


def test_a_file_that_its_writer_still_writes_to_is_sent_again_as_it_is_then(desk: Desk) -> None:
    writer = desk.leave("orders.csv", b"item\nLAMP\n").open("ab", buffering=0)
    desk.before_send = lambda: void(writer.write(b"TABLE\n")) if not desk.sent else None
    assert desk.round() == 0
    assert desk.names("done") == []
    assert desk.round() == 1
    assert [message.value for message in desk.sent] == [b"item\nLAMP\n", b"item\nLAMP\nTABLE\n"]


def test_when_kafka_does_not_take_it_the_file_waits(desk: Desk) -> None:
    def away() -> None:
        raise SendError("Kafka is away")

    desk.leave("orders.csv")
    desk.before_send = away
    for _ in range(2):
        with pytest.raises(SendError):
            desk.round()
    assert desk.names(".taken") == ["orders.csv"]
    desk.before_send = lambda: None
    assert desk.round() == 1 and len(desk.sent) == 1


@pytest.mark.parametrize("call", ["rename", "replace", "stat", "open"])
def test_killed_at_any_step_the_file_is_in_one_place_and_goes_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    content = b"item,quantity\nLAMP,1\n"
    for before in (True, False):
        desk.leave(f"{call}-{before}.csv", content)
        desk.sent.clear()
        real = getattr(module.os, call)

        def killed(*given: object, **more: object) -> object:
            if not before:  # noqa: B023  # used within the loop's turn alone
                real(*given, **more)  # noqa: B023
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(module.os, call, killed)
            with pytest.raises(Killed):
                desk.worker.round()
        desk.folder.close()
        desk.start()
        there = [
            name for where in ("", ".taken", "done") for name in desk.names(where) if name == f"{call}-{before}.csv"
        ]
        assert len(there) == 1
        while desk.round():
            pass
        assert f"{call}-{before}.csv" in desk.names("done")
        assert desk.sent or not before
        assert {message.value for message in desk.sent} <= {content}
    desk.folder.close()


def test_a_file_that_cannot_be_moved_is_not_sent_again_and_keeps_no_other_waiting(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.leave("a.csv", b"a")
    desk.leave("b.csv", b"b")
    real = os.replace

    def full(source: bytes, target: bytes) -> None:
        if target.endswith(b"a.csv"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "replace", full)
        for _ in range(3):
            with pytest.raises(OSError, match="No space left"):
                desk.round()
    assert desk.names("done") == ["b.csv"]
    assert desk.round() == 1
    assert desk.names("done") == ["a.csv", "b.csv"]
    assert sorted(message.value for message in desk.sent) == [b"a", b"b"]


def test_a_file_that_cannot_be_read_waits_for_the_right_to(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.leave("secret.csv")
    with monkeypatch.context() as patch:  # root may read all
        patch.setattr(module.os, "access", lambda path, mode: not path.endswith(b"secret.csv"))
        assert desk.round() == 0
        assert [line["next"] for line in desk.lines] == ["give this user the right to read it"]
        assert desk.names() == ["secret.csv"]
    assert desk.round() == 1


def test_two_do_not_work_in_one_folder(desk: Desk) -> None:
    with pytest.raises(FolderProblem, match="another atp pick-up works in"):
        Folder(desk.path, 0.0)
    desk.folder.close()
    Folder(desk.path, 0.0).close()


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(FolderProblem, match="expected a folder, got"):
            Folder(path, 0.0)


def test_a_link_in_the_place_of_a_file_that_was_looked_at_is_not_followed(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    taken = desk.path / ".taken" / "orders.csv"
    taken.symlink_to(tmp_path / "secret")
    (desk.path / ".taken" / "folder").mkdir()
    assert desk.round() == 2
    assert desk.sent == []
    assert (desk.path / "failed" / "orders.csv").is_symlink() and (desk.path / "failed" / "folder").is_dir()


def test_it_is_not_through_while_something_is_taken_or_unfinished(desk: Desk) -> None:
    writer = desk.leave("orders.csv", b"item\n").open("ab", buffering=0)
    assert not desk.worker.is_quiet()
    desk.before_send = lambda: void(writer.write(b"LAMP\n")) if not desk.sent else None
    desk.round()
    assert desk.names() == [] and not desk.worker.is_quiet(), "it was written to, and goes again"
    desk.round()
    assert desk.worker.is_quiet()
    desk.leave("more.csv.part")
    assert desk.worker.is_quiet(), "nobody knows whether that will ever be one"


def test_a_file_that_is_stuck_counts_as_waiting(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    seen: list[tuple[int, float]] = []
    monkeypatch.setattr(desk.worker._counts, "files", lambda _, waiting, oldest_s: seen.append((waiting, oldest_s)))
    desk.leave("a.csv")
    with monkeypatch.context() as patch:
        patch.setattr(module.os, "replace", full)
        for _ in range(2):
            with pytest.raises(OSError, match="No space left"):
                desk.round()
    assert [waiting for waiting, _ in seen] == [1, 1, 1] and seen[-1][1] > 0
    desk.round()
    assert seen[-1] == (0, 0.0)
