"""What a supervisor hands to a worker arrives as it was, and a worker of another version ends with a sentence."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from flows.processes.errand import VERSION, Errand, UnknownErrand, _Written, read_errand, write_errand
from flows.processes.worker import INCURABLE
from flows.runtime.run import Run
from flows.settings import load_settings, redis_address
from flows.storage.facts import ENGINE
from schemas.settings import Settings, SettingsError

ROOT = Path(__file__).resolve().parents[2]
TOML = """
dedup_window = "36h"
reference_grace = "1500ms"
memory_limit = "1500MB"
workers = 2
[kafka]
option_files = {"ssl.key.password" = "secret"}
[kafka.options]
"security.protocol" = "SASL_SSL"
"sasl.password" = "p√ss"
[redis]
url = "rediss://h:1/0"
username = "atp"
password = "s3cret"
tls_ca_file = "secret"
[state]
dir = "s"
epoch_interval = "1.234ms"
[sources.WMS]
may_send = ["lot_held", "stock_counted"]
locations = ["EAST", "WEST"]
stale_after = "15m"
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text("x")
    (tmp_path / "atp.toml").write_text(TOML.replace("1.234ms", "12.345ms"))
    return load_settings(None, {})


def errand(settings: Settings) -> Errand:
    ids = {"inventory.orders": "a-b"}
    run = Run(settings, 7, 1, 2, True, {"inventory.orders/0": 2**60}, ids, ("x#1/0",), (3, frozenset([1, 63])))
    return Errand(run, ("127.0.0.1:1", "127.0.0.1:2"), 5)


def test_an_errand_arrives_as_it_was_with_every_setting_and_secret(settings: Settings) -> None:
    line = write_errand(errand(settings))
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert read_errand(line) == errand(settings)
    plain = Errand(Run(Settings()), ("127.0.0.1:1",))
    assert read_errand(write_errand(plain)) == plain


def test_a_url_with_its_password_arrives_too() -> None:
    settings = load_settings(None, {"redis.url": "redis://u:p%40ss@h:1/0"})
    arrived = read_errand(write_errand(Errand(Run(settings), ()))).run.settings
    assert redis_address(arrived.redis) == "redis://u:p%40ss@h:1/0"


def test_what_is_handed_to_a_worker_is_known_by_these_names() -> None:
    """Another version for every change: a worker of the next one may be handed it."""
    assert VERSION == 3
    assert " ".join(one.name for one in msgspec.structs.fields(_Written)) == (
        "version settings token worker workers until_caught_up ends topic_ids ended scratch addresses "
        "report_descriptor has_statements engine"
    )


def test_a_worker_of_another_version_runs_nothing_although_it_understands_what_it_is_handed(settings: Settings) -> None:
    ours = json.loads(write_errand(errand(settings)))
    assert ours["engine"] == ENGINE
    for theirs in ("0.0.1", "999.0"):
        with pytest.raises(
            UnknownErrand, match=rf"it is atp-engine {theirs}, and these are {ENGINE}\): start the engine"
        ):
            read_errand(json.dumps({**ours, "engine": theirs}).encode())


def test_a_secret_that_is_gone_is_said_by_its_setting(settings: Settings) -> None:
    line = write_errand(errand(settings))
    Path("secret").unlink()
    with pytest.raises(SettingsError, match=r"tls_ca_file: expected a file that can be read, got secret: no such file"):
        read_errand(line)


@pytest.mark.parametrize(
    "handed",
    [
        pytest.param(pickle.dumps({"run": 1}), id="pickled-as-before-there-were-versions"),
        pytest.param(json.dumps({"version": VERSION + 1, "more": []}).encode() + b"\n", id="newer"),
    ],
)
def test_a_worker_that_is_handed_what_another_version_wrote_ends_for_good_in_one_sentence(handed: bytes) -> None:
    with pytest.raises(UnknownErrand):
        read_errand(handed)
    worker = subprocess.Popen(
        [sys.executable, "-m", "flows.processes.worker"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert worker.stdin is not None and worker.stdout is not None
    try:
        worker.stdin.write(handed)
        worker.stdin.flush()  # and it stays open, as a supervisor leaves it
        assert worker.wait(60) == INCURABLE
        [said] = worker.stdout.read().decode().splitlines()
    finally:
        worker.kill()
        worker.stdin.close()
        worker.stdout.close()
        worker.wait()
    assert "the engine's files were replaced while it ran" in said and "start the engine again" in said
