"""Reads from Redis what order lines claim of an item: whose the reserved and the allocated units are."""

from __future__ import annotations

import json
import sys
from typing import Any

from flows.errors import PlainError
from flows.inspection.lookup import hashes
from flows.readable import readable
from schemas.outputs import Claim
from schemas.settings import Settings

HEADS = ("order", "line", "channel", "location", "reserved", "soft", "since", "requested", "expires")


class NoClaims(PlainError):
    """What order lines claim is not published; the text says what would do."""


def show_claims(settings: Settings, items: list[str], channel: str | None, as_json: bool) -> int:
    """Print the claims on items, oldest first; exit code 1 where nothing is published of one.

    Of two names the second is a channel if nothing is published of it as an item.
    """
    if not settings.updates.claims:
        raise NoClaims("updates.claims: expected true, for what order lines claim is published only then, got false")
    answers = hashes(settings, [f"{kind}:{item}" for item in items for kind in ("claims", "position", "atp")])
    if channel is None and len(items) == 2 and any(answers[:3]) and not any(answers[3:]):
        items, channel, answers = items[:1], items[1], answers[:3]
    missing = 0
    for item, found, position, promises in zip(items, answers[::3], answers[1::3], answers[2::3], strict=True):
        claims = [claim for claim in claims_in(found) if channel is None or claim.get("channel") == channel]
        is_known = bool(found or position or promises)
        missing += not is_known
        if as_json:
            print(json.dumps({"item": item, "claims": claims}))
        elif claims:
            _print_table(item, claims, int(promises.get("_scale", "0")))
        elif is_known:
            print(f"no order line claims any of {item}" + (f" for {channel}" if channel is not None else ""))
        if not is_known:
            print(readable(f"atp: nothing is published of {item}"), file=sys.stderr)
    return 1 if missing else 0


def claims_in(fields: dict[str, str]) -> list[dict[str, Any]]:
    """Give what a hash `claims:<item>` says, oldest first."""
    claims = []
    for name, text in fields.items():
        order_id, _, line_id = name.partition(" ")
        try:
            claims.append(
                {
                    "order_id": order_id,
                    "line_id": line_id,
                    **Claim.model_validate_json(text).model_dump(exclude_none=True),
                }
            )
        except ValueError:
            print(f"atp: field {name!r} is none of the engine's, and left out", file=sys.stderr)
    return sorted(claims, key=lambda claim: (claim["since"], claim["order_id"], claim["line_id"]))


def _print_table(item: str, claims: list[dict[str, Any]], scale: int) -> None:
    """A row for each location at which a line has something, and one for what it claims softly."""
    from rich.console import Console

    from flows.tables import table

    rows = []
    for claim in claims:
        soft_at = claim.get("location", "")
        places = {location: (quantity, 0) for location, quantity in sorted(claim["hard"].items())}
        if claim["soft"]:
            places[soft_at] = (places.get(soft_at, (0, 0))[0], claim["soft"])
        for location, (hard, soft) in places.items():
            rows.append(
                (
                    *(claim["order_id"], claim["line_id"], claim.get("channel", ""), location or "any"),
                    *(str(hard) if hard else "", str(soft) if soft else ""),
                    *(_short(claim["since"]), claim.get("requested_day", ""), _short(claim.get("expires_at", ""))),
                )
            )
    console = Console(highlight=False)
    note = f" (quantities x 10^{scale})" if scale else ""
    console.print(table(console, HEADS, rows, f"{item}: claims{note}", keeps=(0, 1, 4, 5)))


def _short(moment: str) -> str:
    """Give a moment to the second."""
    return f"{moment[:19].replace('T', ' ')}Z" if moment else ""
