"""Whose message it is: the signature of the raw bytes, by two secrets while one is replaced, and a signed time."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from operators.adapters.signature import object_to
from schemas.intake_settings import SourceReceiveSettings

BODY = b'{"id":1,"note":"caf\\u00e9 \\/ bar"}'
OLD, NEW = b"old-secret", b"new-secret"
NOW_S = 1_700_000_000
NOW = NOW_S * 1_000_000


def rules(**more: object) -> SourceReceiveSettings:
    return SourceReceiveSettings.model_validate({"signature": "hmac", "secret_variables": ["OLD", "NEW"], **more})


def hexed(secret: bytes, signed: bytes = BODY) -> str:
    return hmac.new(secret, signed, hashlib.sha256).hexdigest()


def reason(given: SourceReceiveSettings, headers: dict[str, str], body: bytes = BODY, now: int = NOW) -> str | None:
    objection = object_to(given, (OLD, NEW), headers, body, now)
    return None if objection is None else objection.reason


@pytest.mark.parametrize("secret", [OLD, NEW])
@pytest.mark.parametrize("form", ["{}", "sha256={}", " {} "])
def test_both_secrets_are_good_while_one_is_replaced(secret: bytes, form: str) -> None:
    assert reason(rules(), {"x-signature": form.format(hexed(secret))}) is None
    assert reason(rules(), {"x-signature": form.format(hexed(secret).upper())}) is None


def test_shopify_signs_in_base64_under_its_own_header() -> None:
    shop = rules(signature="shopify")
    signed = base64.b64encode(hmac.new(NEW, BODY, hashlib.sha256).digest()).decode()
    assert reason(shop, {"x-shopify-hmac-sha256": signed}) is None
    assert reason(shop, {"x-shopify-hmac-sha256": signed[:-4]}) == "forged"
    assert reason(shop, {"x-shopify-hmac-sha256": hexed(NEW)}) == "forged"
    assert reason(shop, {"x-signature": hexed(NEW)}) == "unsigned"


def test_one_byte_less_one_space_more_another_secret_or_none_is_forged() -> None:
    good = {"x-signature": hexed(NEW)}
    for body in (BODY[:-1], BODY + b" ", BODY.replace(b"\\/", b"/"), b""):
        assert reason(rules(), good, body) == "forged"
    for said in (hexed(b"another"), hexed(NEW)[:-1], "0" * 64, "é", "x" * 10_000):
        assert reason(rules(), {"x-signature": said}) == "forged"
    assert object_to(rules(), (), good, BODY, NOW) is not None


def test_a_signed_time_is_good_up_to_the_window_and_no_longer() -> None:
    timed = rules(timestamp_header="x-time", replay_window="5m")

    def at(seconds: int) -> dict[str, str]:
        return {"x-time": str(seconds), "x-signature": hexed(NEW, f"{seconds}.".encode() + BODY)}

    assert reason(timed, at(NOW_S)) is None
    for edge in (NOW_S - 300, NOW_S + 300):
        assert reason(timed, at(edge)) is None
    for beyond in (NOW_S - 301, NOW_S + 301, 0):
        assert reason(timed, at(beyond)) == "stale"


def test_a_time_that_was_changed_or_left_out_is_no_way_around() -> None:
    timed = rules(timestamp_header="x-time")
    old = {"x-time": "1600000000", "x-signature": hexed(NEW, b"1600000000." + BODY)}
    assert reason(timed, {**old, "x-time": str(NOW_S)}) == "forged"
    assert reason(timed, {"x-signature": old["x-signature"]}) == "stale"
    assert reason(timed, {**old, "x-time": "yesterday"}) == "stale"
    assert reason(timed, {"x-time": str(NOW_S), "x-signature": hexed(NEW)}) == "forged"


def test_what_is_said_of_it_tells_no_secret_and_no_signature() -> None:
    objection = object_to(rules(), (OLD, NEW), {"x-signature": "0" * 64}, BODY, NOW)
    assert objection is not None
    for secret in ("old-secret", "new-secret", hexed(OLD), hexed(NEW)):
        assert secret not in objection.sentence


def test_a_source_without_signatures_is_believed() -> None:
    assert object_to(SourceReceiveSettings.model_validate({"signature": "none"}), (), {}, BODY, NOW) is None
