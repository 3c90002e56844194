"""Decides whether a message that came by HTTP is from whom it says, and new: HMAC-SHA256 of its raw bytes.

Rule 1: the bytes are those that came. Parsed and written again, JSON differs.
Rule 2: every secret is tried, in a time that does not tell which one was nearly right.
Rule 3: a time counts only where it is signed.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from schemas.intake_settings import HMAC, NONE, SourceReceiveSettings

SHOPIFY_HEADER: Final = "x-shopify-hmac-sha256"
#: What Shopify says of a webhook beside its body, and what its translation needs.
SHOPIFY_KEPT: Final = (
    "x-shopify-topic",
    "x-shopify-shop-domain",
    "x-shopify-webhook-id",
    "x-shopify-event-id",
    "x-shopify-triggered-at",
    "x-shopify-api-version",
)
_HEX = re.compile(r"(?:sha256=)?([0-9A-Fa-f]{64})").fullmatch
_SECONDS = re.compile(r"[0-9]{1,12}").fullmatch
SECOND: Final = 1_000_000


class Objection(NamedTuple):
    """Why a message is not taken: a word for metrics, a sentence for people that tells no secret."""

    reason: str
    sentence: str


def object_to(
    rules: SourceReceiveSettings, secrets: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: int
) -> Objection | None:
    """Say what is wrong with a message's signature, or nothing.

    `headers` by lower-case name; `now` in UTC microseconds. Where the source signs no time, a repeat is no objection:
    what was already counted counts once.
    """
    if rules.signature == NONE:
        return None
    if rules.signature == HMAC:
        name, said = rules.signature_header, headers.get(rules.signature_header, "")
        given = bytes.fromhex(found[1]) if (found := _HEX(said.strip())) else b""
    else:
        name, said = SHOPIFY_HEADER, headers.get(SHOPIFY_HEADER, "")
        given = _decoded(said.strip())
    if not said:
        return Objection("unsigned", f"{name}: expected a signature, got none")
    signed, moment = body, ""
    if rules.timestamp_header is not None:
        moment = headers.get(rules.timestamp_header, "").strip()
        if not _SECONDS(moment):
            return Objection("stale", f"{rules.timestamp_header}: expected seconds since 1970, got other text or none")
        signed = moment.encode() + b"." + body
    # All of them, and not until the first that fits.
    fits = [hmac.compare_digest(hmac.digest(secret, signed, "sha256"), given) for secret in secrets]
    if not any(fits):
        return Objection("forged", f"{name}: expected the HMAC-SHA256 of the raw body, got another signature")
    if moment and abs(int(moment) * SECOND - now) > rules.replay_window:
        return Objection(
            "stale",
            f"{rules.timestamp_header}: expected a time at most {rules.replay_window / SECOND:g} s from now, got "
            f"{moment}",
        )
    return None


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""
