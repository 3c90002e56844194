"""Writes JSON as a sender might: integers of any length too, which orjson refuses."""

from __future__ import annotations

import json
from typing import Any


def written(document: Any) -> bytes:
    """Give a document's bytes."""
    return json.dumps(document).encode()
