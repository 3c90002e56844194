"""`atp positions`, `exceptions` and `sources` beside a real engine: what they say, and what they say of nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from flows.cli import question_output
from flows.cli.question_output import show_positions
from flows.embedded.child import free_port
from flows.inspection.open_exceptions import Following, Wanted, open_exceptions
from flows.inspection.sources import sources
from flows.inspection.standing import NEVER_SEEN, PARKED, TOMBSTONED, UNPUBLISHED, standing
from tests.integration.test_looking import atp
from tests.running import Engine, until
from tests.shop import clock, event, open_shop, placed, received, take_in, wait_for

pytestmark = pytest.mark.timeout(300)


def answers(world: Any, *arguments: str, **overrides: object) -> list[dict[str, Any]]:
    done = atp(world, *arguments, "--json", **overrides)
    assert "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def watching(world: Any, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on; it has to end with 0 when Ctrl-C comes."""
    with subprocess.Popen(
        world.command(*arguments, "--watch", "--json"),
        env=world.env(),
        cwd=world.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    said: dict[str, Any] = json.loads(process.stdout.readline())
    return said


def test_positions_show_each_figure_and_what_changes(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 20)
    with Engine(world) as engine:
        wait_for(world, 20)
        world.send("inventory.warehouse", received(0, 4, status="quarantined") | {"location": "WEST"})
        world.send("inventory.orders", placed(0, 3))
        wait_for(world, 17)
        [said] = answers(world, "positions", clock(0))
        assert said["item"] == clock(0) and said["unlocated"] == 3
        assert said["locations"]["EAST"]["on_hand"] == 20
        assert said["locations"]["WEST"]["quarantined"] == 4 and said["locations"]["WEST"]["available"] == 0
        shown = atp(world, "positions", clock(0))
        assert shown.returncode == 0 and "WEST" in shown.stdout and "3 claimed from" in shown.stdout
        with watching(world, "positions", clock(0)) as process:
            assert line_of(process)["unlocated"] == 3
            world.send("inventory.orders", placed(0, 5))
            world.flush()
            assert line_of(process)["unlocated"] == 8
        assert engine.stop() == 0, engine.text()


def test_of_an_item_that_is_not_published_it_is_said_why_and_what_may_have_been_meant(world: Any) -> None:
    open_shop(world, items=3)
    world.send("inventory.items", {"item": "GONE"}, key="GONE")
    take_in(world, 0, 1)
    with Engine(world, reference_grace=0) as engine:
        wait_for(world, 1)
        world.send("inventory.items", None, key="GONE")
        world.send("inventory.warehouse", received(0, 1) | {"item": "COMING"})
        world.flush()
        until(lambda: not world.redis.exists(f"{world.redis_prefix}atp:GONE"), 60, "GONE leaves")
        settings = world.settings()
        for item, state in (
            ("GONE", TOMBSTONED),
            ("COMING", PARKED),
            ("RETRO-CLOK", NEVER_SEEN),
            ("<script>alert(1)</script>", NEVER_SEEN),
            ("\x1b[31mred" + "?" * 64, NEVER_SEEN),
        ):
            found = standing(settings, item)
            assert found.state == state, found
            assert "\x1b" not in found.sentence
        assert standing(settings, "RETRO-CLOK").near == (clock(0), clock(1), clock(2))
        unknown = atp(world, "positions", "RETRO-CLOCK-7")
        assert unknown.returncode == 1 and unknown.stdout == ""
        assert "never seen" in unknown.stderr and clock(2) in unknown.stderr
        [said] = answers(world, "positions", "COMING")
        assert said["state"] == PARKED
        assert engine.stop() == 0, engine.text()
    world.send("inventory.items", {"item": "LATER"}, key="LATER")
    world.flush()
    assert standing(world.settings(), "LATER").state == UNPUBLISHED


def test_exceptions_are_listed_while_they_are_open(world: Any) -> None:
    open_shop(world, items=2)
    take_in(world, 0, 3)
    with Engine(world) as engine:
        wait_for(world, 3)
        world.send("inventory.warehouse", event("stock_adjusted", item=clock(0), location="EAST", quantity=-9))
        world.send("inventory.warehouse", event("stock_adjusted", item=clock(1), location="WEST", quantity=-1))
        world.flush()
        settings = world.settings()
        wanted = Wanted(code="negative_on_hand")
        with Following(settings, wanted) as following:
            until(lambda: len(following.look()) == 2, 60, lambda: str(following.look()))
            assert [one["item"] for one in answers(world, "exceptions", "--code", "negative_on_hand")] == [
                one.item for one in following.look()
            ]
            [one] = answers(world, "exceptions", "--item", clock(0), "--code", "negative_on_hand")
            assert one["location"] == "EAST" and one["quantities"]["on_hand"] == -6 and one["age_s"] >= 0
            assert not answers(world, "exceptions", "--location", "NOWHERE")
            assert not answers(world, "exceptions", "--older", "30d")
            table = atp(world, "exceptions")
            assert table.returncode == 0 and "negative_on_hand" in table.stdout
            take_in(world, 0, 10)
            until(lambda: len(following.look()) == 1, 60, lambda: str(following.look()))
        assert [one.item for one in open_exceptions(settings, wanted)] == [clock(1)]
        wrong = atp(world, "exceptions", "--code", "negativ_on_hand")
        assert wrong.returncode == 2 and "negative_on_hand" in wrong.stderr
        with watching(world, "exceptions", "--code", "negative_on_hand") as process:
            assert len(line_of(process)["open"]) == 1
            world.send("inventory.warehouse", received(1, 10) | {"location": "WEST"})
            world.flush()
            assert line_of(process)["open"] == []
        assert engine.stop() == 0, engine.text()


def test_sources_say_their_last_word_what_was_refused_and_whether_they_are_too_quiet(world: Any) -> None:
    port = free_port()
    world.config.write_text('[sources.erp]\nstale_after = "1s"\n')
    open_shop(world)
    with Engine(world, metrics__port=port, reference_grace=0) as engine:
        take_in(world, 0, 5)
        wait_for(world, 5)
        world.send("inventory.warehouse", received(0, 1) | {"item": "NO-SUCH"})
        world.send("inventory.warehouse", received(0, 2) | {"source": "<script>"})
        world.flush()

        def by_name(**more: object) -> dict[str, dict[str, Any]]:
            return {one["name"]: one for one in answers(world, "sources", **more)}

        until(
            lambda: (
                by_name(metrics__port=port).get("wms", {}).get("refused") == {"unknown_item": 1}
                and by_name(metrics__port=port).get("erp", {}).get("is_stale")
            ),
            60,
            lambda: str(by_name(metrics__port=port)),
        )
        found = by_name(metrics__port=port)
        assert found["wms"]["applied"] == 1 and found["wms"]["last_word"] and found["wms"]["is_stale"] is None
        assert found["erp"]["stale_after_s"] == 1 and found["erp"]["last_word"] is None
        shown = atp(world, "sources", metrics__port=port)
        assert shown.returncode == 0 and "STALE" in shown.stdout

        without = by_name()  # as from another machine: by the dead letters
        assert without["wms"]["refused"] == {"unknown_item": 1} and without["wms"]["applied"] is None
        assert without["<script>"]["refused"] == {"bad_value": 1}
        assert without["erp"]["is_stale"] is True
        assert "not known" in atp(world, "sources").stderr + atp(world, "sources").stdout
        assert engine.stop() == 0, engine.text()


#: what somebody types, or another program hands on; the last one is no UTF-8
ODD = ("<script>alert(1)</script>", "\x1b[31mred", "?" * 64, "x" * 5000, "é" * 64, "[/]", "*", "", "a b", b"\xff\xfe")


def test_whatever_is_typed_is_answered_in_words(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 2)
    with Engine(world, "--until-caught-up") as engine:
        assert engine.wait(60) == 0, engine.text()
    moments = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z")
    for odd in (word if isinstance(word, str) else os.fsdecode(word) for word in ODD):
        for question in (
            ("positions", odd),
            ("orders", odd),
            ("explain", odd, "web"),
            ("explain", clock(0), odd),
            ("explain", odd, "web", "--at", "2026-01-01T00:00:00Z"),
            ("diff", odd, "web", *moments),
            ("verify", odd),
            ("get", odd),
        ):
            for more in ((), ("--json",)):
                done = atp(world, *question, *more)
                assert done.returncode == 1 and ((more and done.stdout) or done.stderr.startswith("atp: ")), (
                    question,
                    done,
                )
                assert "\x1b" not in done.stdout + done.stderr, (question, done)
                assert all(isinstance(json.loads(line), dict) for line in done.stdout.splitlines() if more)
        for question in (("exceptions", "--item", odd), ("exceptions", "--location", odd), ("sources", "--json")):
            assert atp(world, *question).returncode == 0, question
    for wrong in (
        ("explain", clock(0), "web", "--day", "-1"),
        ("explain", clock(0), "web", "--day", "9" * 30),
        ("explain", clock(0), "nobody", "--day", "2026-13-01"),
        ("explain", clock(0), "web", "--at", "yesterday"),
        ("explain", clock(0), "web", "--at", "2026-01-01T00:00:00"),
        ("diff", clock(0), "web", "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T00:00:00Z"),
        ("exceptions", "--older", "soon"),
        ("exceptions", "--limit", "0"),
        ("audit", "--sample", "0"),
        ("audit", "--sample", "1", "--all"),
        ("audit", "--rate", "-1"),
    ):
        done = atp(world, *wrong)
        assert done.returncode == 2 and done.stderr and "Traceback" not in done.stderr, (wrong, done)


def test_what_somebody_wrote_into_redis_is_named_and_not_taken_for_a_number(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 2)
    with Engine(world, "--until-caught-up") as engine:
        assert engine.wait(60) == 0, engine.text()
    questions = (("positions", clock(0)), ("explain", clock(0), "web"), ("get", clock(0), "--json"))
    for key, name in ((f"atp:{clock(0)}", "web"), (f"position:{clock(0)}", "EAST:on_hand")):
        before = world.redis.hget(f"{world.redis_prefix}{key}", name)
        for value in ("many", "1.5", "", b"\xff", "9" * 40):
            world.redis.hset(f"{world.redis_prefix}{key}", name, value)
            for question in questions:
                done = atp(world, *question)
                assert done.returncode == 1 and f"{key} in Redis has " in done.stderr, (question, value, done)
                assert f"atp republish --item {clock(0)}" in done.stderr
            found = atp(world, "verify", clock(0))
            assert found.returncode == 1 and "changed_in_redis" in found.stdout, (value, found)
            assert atp(world, "audit", "--all").returncode == 1
        world.redis.hset(f"{world.redis_prefix}{key}", name, before)
    world.redis.rename(f"{world.redis_prefix}atp:{clock(0)}", f"{world.redis_prefix}kept")
    world.redis.set(f"{world.redis_prefix}atp:{clock(0)}", "a key of another kind")
    for question in questions:
        done = atp(world, *question)
        assert done.returncode == 1 and f"atp:{clock(0)} in Redis is no hash" in done.stderr, (question, done)
    for question in (("verify", clock(0)), ("audit", "--all")):
        done = atp(world, *question)
        assert done.returncode == 1 and "changed_in_redis" in done.stdout, (question, done)


def test_a_watch_says_what_changed_and_not_what_grew_older(world: Any) -> None:
    port = free_port()
    world.config.write_text('[sources.erp]\nstale_after = "1h"\n')
    open_shop(world, items=2)
    with Engine(world, metrics__port=port) as engine:
        for number in range(2):
            take_in(world, number, 3)
            world.send("inventory.warehouse", event("stock_adjusted", item=clock(number), location="WEST", quantity=-1))
        world.flush()
        below = ("exceptions", "--code", "negative_on_hand")
        until(lambda: len(answers(world, *below)) == 2, 60, engine.text)
        with watching(world, *below, "--limit", "1") as process:
            said = line_of(process)
            assert len(said["open"]) == 1 and said["of"] == 2
        with watching(world, "positions", "NO-SUCH") as process:
            assert line_of(process)["state"] == NEVER_SEEN
        looked = [*sources(world.settings(metrics__port=port)).sources]
        assert looked and question_output._without_ages(
            sources(world.settings(metrics__port=port))
        ) == question_output._without_ages(sources(world.settings(metrics__port=port)))
        shown = atp(world, "sources", metrics__port=port).stdout
        assert "at the end of what was sent" in shown or "messages behind" in shown
        assert engine.stop() == 0, engine.text()


def test_redis_away_is_said_and_a_watch_goes_on_when_it_is_back(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """`positions --watch` with a server that refuses at first: what is known stays, and it recovers by itself."""
    from flows.cli import question_output, watching

    open_shop(world)
    take_in(world, 0, 2)
    with Engine(world, "--until-caught-up") as engine:
        assert engine.wait(60) == 0, engine.text()
    settings = world.settings()
    away = world.settings(redis__url="redis://127.0.0.1:9/0")
    looks = iter([settings, away, away, settings])

    def real(_: Any, item: str) -> Any:
        at = next(looks, None)
        if at is None:
            raise KeyboardInterrupt
        return asked(at, item)

    asked = question_output.positions
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(question_output, "positions", real)
        patch.setattr(watching, "EVERY_S", 0.01)
        assert show_positions(settings, clock(0), True, True) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 1
    assert told.err.count("last known: 2") == 1 and told.err.count("it answers again") == 1
