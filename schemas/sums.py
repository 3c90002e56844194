"""How sums are written: exact, whatever their size.

A quantity that is sent stays below 2^53, a sum of such quantities has no limit, and MessagePack and orjson end at 64
bits. A thousand lines of an order reach 2^63. Rare and absurd, but data: it must not end the engine, nor be rounded.
The quick writers are tried first; only where they give up is the slower way taken.
"""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

_encode = msgspec.msgpack.Encoder().encode
_LEAST, _MOST = -(1 << 63), (1 << 64) - 1


def pack(value: Any) -> bytes:
    """Give MessagePack; integers beyond 64 bits are text in it, which decoders with `strict=False` read as integers."""
    try:
        return _encode(value)
    except OverflowError:
        return _encode(_spelled(value))


def to_json(value: Any) -> bytes:
    """Give JSON; its integers may have any size. Fragments belong in `msgspec.Raw` where orjson gave up."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return msgspec.json.encode(value)


def _spelled(value: Any) -> Any:
    if isinstance(value, int):
        return value if _LEAST <= value <= _MOST else str(value)
    if isinstance(value, msgspec.Raw):
        return value
    if isinstance(value, msgspec.Struct):  # all of ours are arrays without tags where they are packed
        return [_spelled(getattr(value, name)) for name in value.__struct_fields__]
    if isinstance(value, (list, tuple)):
        return [_spelled(one) for one in value]
    if isinstance(value, dict):
        return {name: _spelled(one) for name, one in value.items()}
    return value
