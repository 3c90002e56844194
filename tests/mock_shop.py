"""A shop written from the public documentation of its Admin API: `python -m tests.mock_shop PORT` serves it.

What it does as documented: absolute quantities with compare-and-set, all or nothing a request; `userErrors` that name
the place; a budget of points that is used up and comes back; 429 with Retry-After; orders that lower what is available.
What a real one does besides, now and then, is asked for beneath `/_/`: errors, silence, orders, changes by hand.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from flows.embedded.child import HOST, free_port
from tests.conftest import ROOT
from tests.running import until

TOKEN = "shpat-of-tests"
ITEM = "gid://shopify/InventoryItem/"
LOCATION = "gid://shopify/Location/1"
#: The newest version's rules.
CHANGE_FROM_SINCE = "2026-04"


def stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """What the shop has, and what was done to it."""

    def __init__(self) -> None:
        self.available: dict[str, int] = {}
        self.refused: set[str] = set()
        self.orders: dict[str, str] = {}
        self.history: list[tuple[str, int, int]] = []
        self.requests: list[tuple[str, int]] = []
        self.faults: list[dict[str, Any]] = []
        self.budget, self.most, self.rate, self.at = 2000.0, 2000.0, 1000.0, time.monotonic()

    def spend(self, cost: float) -> dict[str, Any] | None:
        """Take it off the budget; None where there is not enough."""
        now = time.monotonic()
        self.budget = min(self.most, self.budget + self.rate * (now - self.at))
        self.at = now
        enough = self.budget >= cost
        if enough:
            self.budget -= cost
        status = {"maximumAvailable": self.most, "currentlyAvailable": self.budget, "restoreRate": self.rate}
        self.cost = {"requestedQueryCost": cost, "actualQueryCost": cost if enough else None, "throttleStatus": status}
        return self.cost if enough else None

    def set(self, told: Mapping[str, Any], version: str) -> list[dict[str, Any]]:
        """Set all of it or nothing; gives what is wrong."""
        before = "changeFromQuantity" if version >= CHANGE_FROM_SINCE else "compareQuantity"
        assert (told["name"], told["reason"]) == ("available", "correction")
        assert told.get("ignoreCompareQuantity") is (None if version >= CHANGE_FROM_SINCE else False)
        assert 1 <= len(told["quantities"]) <= 250
        errors = []
        for place, one in enumerate(told["quantities"]):
            assert one.keys() == {"inventoryItemId", "locationId", "quantity", before}, one
            assert one["locationId"] == LOCATION
            path = ["input", "quantities", str(place), "inventoryItemId"]
            if one["inventoryItemId"] in self.refused:
                # Some of what is wrong is said of no place.
                errors.append({"code": "INTERNAL", "field": None, "message": "something is wrong"})
            elif one["inventoryItemId"] not in self.available:
                errors.append({"code": "INVALID_INVENTORY_ITEM", "field": path, "message": "no such item"})
            elif self.available[one["inventoryItemId"]] != one[before]:
                code = "CHANGE_FROM_QUANTITY_STALE" if before == "changeFromQuantity" else "COMPARE_QUANTITY_STALE"
                errors.append({"code": code, "field": [*path[:3], before], "message": "it has another quantity"})
        if not errors:
            for one in told["quantities"]:
                item = one["inventoryItemId"]
                self.history.append((item, self.available[item], one["quantity"]))
                self.available[item] = one["quantity"]
        return errors

    def answer(self, query: str, variables: Mapping[str, Any], version: str) -> dict[str, Any]:
        if "inventorySetQuantities" in query:
            assert ("@idempotent" in query) == (version >= CHANGE_FROM_SINCE)
            self.requests.append(("set", len(variables["input"]["quantities"])))
            return {"inventorySetQuantities": {"userErrors": self.set(variables["input"], version)}}
        if "nodes(ids" in query:
            self.requests.append(("levels", len(variables["ids"])))
            return {"nodes": [self.level(one) for one in variables["ids"]]}
        assert "orders(" in query, query
        self.requests.append(("orders", 1))
        since = re.fullmatch(r"updated_at:>='(.+)'", variables["since"])
        assert since is not None
        found = sorted((at, number) for number, at in self.orders.items() if at >= since[1])
        begin = int(variables["after"] or 0)
        nodes = [{"legacyResourceId": number, "updatedAt": at} for at, number in found[begin : begin + 3]]
        info = {"hasNextPage": begin + 3 < len(found), "endCursor": str(begin + 3)}
        return {"orders": {"nodes": nodes, "pageInfo": info}}

    def level(self, item: str) -> dict[str, Any] | None:
        if item not in self.available and item not in self.refused:
            return None
        told = [{"name": "available", "quantity": self.available.get(item, 0)}]
        return {"id": item, "inventoryLevel": {"quantities": told}}


STORE = Store()


async def graphql(request: Request) -> Response:
    """One request of the Admin API."""
    if request.headers.get("x-shopify-access-token") != TOKEN:
        return JSONResponse({"errors": "[API] Invalid API key or access token"}, 401)
    told = await request.json()
    fault = STORE.faults.pop(0) if STORE.faults else {}
    if fault.get("status"):
        return Response(
            "sorry", fault["status"], {"Retry-After": str(fault["retry_after"])} if "retry_after" in fault else {}
        )
    cost = STORE.spend(10.0 + len(told["variables"].get("ids", ())) / 10)
    if cost is None:
        errors = [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]
        return JSONResponse({"errors": errors, "extensions": {"cost": STORE.cost}})
    data = STORE.answer(told["query"], told["variables"], request.path_params["version"])
    if fault.get("silence"):
        await asyncio.sleep(fault["silence"])  # it did it, and does not say so in time
    return JSONResponse({"data": data, "extensions": {"cost": cost}})


async def control(request: Request) -> Response:
    """What a test does to the shop, or sees of it."""
    told = await request.json() if request.method == "POST" else {}
    STORE.available |= {ITEM + name: count for name, count in told.get("available", {}).items()}
    STORE.refused = {ITEM + name for name in told["refused"]} if "refused" in told else STORE.refused
    STORE.faults += told.get("faults", [])
    for name, number in told.get("budget", {}).items():
        setattr(STORE, name, number)
    for name, (item, quantity) in told.get("orders", {}).items():
        STORE.available[ITEM + item] -= quantity
        STORE.orders[name] = stamp()
    short = {name.removeprefix(ITEM): count for name, count in STORE.available.items()}
    history = [[name.removeprefix(ITEM), before, after] for name, before, after in STORE.history]
    return JSONResponse({"available": short, "history": history, "orders": STORE.orders, "requests": STORE.requests})


class MockShop:
    """The shop as a process of its own; a context manager."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process = subprocess.Popen([sys.executable, "-m", "tests.mock_shop", str(self.port)], cwd=ROOT)
        until(self._answers, 300, "the mock shop answers")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait(30)

    def _answers(self) -> bool:
        try:
            return bool(self.tell())
        except OSError:
            return False

    def url(self, version: str = "2026-04") -> str:
        return f"http://{HOST}:{self.port}/admin/api/{version}/graphql.json"

    def tell(self, **told: Any) -> dict[str, Any]:
        """Do something to it; gives what it has."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            connection.request("POST", "/_/", json.dumps(told), {"content-type": "application/json"})
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()

    @property
    def available(self) -> dict[str, int]:
        """What it has by item."""
        found: dict[str, int] = self.tell()["available"]
        return found


if __name__ == "__main__":
    routes = [
        Route("/admin/api/{version}/graphql.json", graphql, methods=["POST"]),
        Route("/_/", control, methods=["GET", "POST"]),
    ]
    uvicorn.run(Starlette(routes=routes), host=HOST, port=int(sys.argv[1]), log_level="warning")
