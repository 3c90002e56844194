"""Decides which address is asked next: the next page, or the same from where the last round ended."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

import msgspec

LINK: Final = "link"
_NEXT = re.compile(r"<([^<>]*)>((?:\s*;\s*[A-Za-z*]+\s*=\s*(?:\"[^\"]*\"|[^\s\",;]+))*)")
_REL = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s\",;]+))", re.IGNORECASE)
#: A value that goes into an address.
_VALUE_MAX: Final = 2_000


class Unusable(ValueError):
    """An answer does not say what the settings promise; the text says where."""


def value_at(document: Any, path: str) -> str | None:
    """Give the text or number at a path of names and places with points between; None where nothing stands there.

    A place below 0 counts from the end. A name may have points itself, as OData's `@odata.nextLink` has. Unusable where
    something stands there that is neither.
    """
    found = document
    steps = path.split(".")
    while steps:
        step = steps.pop(0)
        if isinstance(found, Mapping):
            while step not in found and steps:
                step = f"{step}.{steps.pop(0)}"
            found = found.get(step)
        elif isinstance(found, list) and re.fullmatch(r"-?[0-9]{1,9}", step):
            place = int(step)
            found = found[place] if -len(found) <= place < len(found) else None
        else:
            return None
    if found is None or found == "":
        return None
    if isinstance(found, bool) or not isinstance(found, (str, int, float, msgspec.Raw)):
        raise Unusable(f"{path}: expected a text or a number, got another kind of value")
    said = str(found)
    if len(said) > _VALUE_MAX:
        raise Unusable(f"{path}: expected at most {_VALUE_MAX:,} characters, got {len(said):,}")
    return said


def read_page(body: bytes) -> Any:
    """Read an answer as JSON; Unusable if it is none. Numbers keep their digits only as far as a float or int does."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unusable(f"expected JSON, got other text ({error})") from None


def linked(link: str) -> str | None:
    """Give the address that a Link header (RFC 8288) names as `next`."""
    for found in _NEXT.finditer(link[:10_000]):
        rel = _REL.search(found[2])
        if rel is not None and LINK_NEXT in (rel[1] or rel[2] or "").lower().split():
            return found[1]
    return None


LINK_NEXT: Final = "next"


def with_parameter(url: str, name: str, value: str) -> str:
    """Give the address with that parameter set, in place of what it had."""
    parts = urlsplit(url)
    kept = [(key, given) for key, given in parse_qsl(parts.query, keep_blank_values=True) if key != name]
    return urlunsplit(parts._replace(query=urlencode([*kept, (name, value)])))


def next_page(url: str, base: str, said: str | None, cursor_parameter: str | None) -> str | None:
    """Give the address of the next page from what the answer to `url` named; None: that was the last one.

    `base` is the address of the settings. Unusable where the next page is elsewhere: keys are sent along.
    """
    if said is None:
        return None
    if cursor_parameter is not None:
        return with_parameter(base, cursor_parameter, said)
    following = urljoin(url, said)
    there, here = urlsplit(following), urlsplit(base)
    if (there.scheme, there.netloc) != (here.scheme, here.netloc):
        raise Unusable(
            f"next: expected a page at {here.scheme}://{here.netloc}, got one at {there.scheme}://{there.netloc}"
        )
    return following


#: After failures in a row: the first wait, and the longest.
WAIT_MIN_S: Final = 1.0
WAIT_MAX_S: Final = 300.0


def patience(failures: int, draw: random.Random, told_s: float | None = None) -> float:
    """Give the seconds to wait after so many failures in a row, drawn so that many clients do not come at once.

    `told_s`: what the other side asked for (Retry-After), which is the least.
    """
    most = min(WAIT_MAX_S, WAIT_MIN_S * 2.0 ** min(failures - 1, 20))
    drawn = draw.uniform(most / 2, most)
    return drawn if told_s is None else told_s + draw.uniform(0, min(1.0, WAIT_MIN_S))
