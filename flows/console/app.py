"""The console as an application: which page answers which address, and what is done before and after all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from flows.console import doubts, entering, explain, items, letters, orders, overview
from flows.console.desk import Desk, asset, desk_of
from flows.console.guard import HEADERS, Guard
from flows.console.live import Hub, Picture, TooMany
from flows.console.numbers import Away

ASSETS: Final = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}


def application(desk: Desk) -> Starlette:
    """Give the application; it reads from its start to its end."""
    hub = Hub(lambda names: _look(desk, names))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        desk.start()
        running = asyncio.create_task(hub.run())
        yield
        hub.close()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        desk.close()

    app = Starlette(
        routes=[
            Route("/", overview.show_overview),
            Route("/live", overview.show_live),
            Route("/items", items.show_items),
            Route("/item", items.show_item),
            Route("/order", orders.show_order),
            Route("/explain", explain.show_explanation),
            Route("/why", items.show_standing),
            Route("/exceptions", doubts.show_exceptions),
            Route("/sources", doubts.show_sources),
            Route("/variances", doubts.show_variances),
            Route("/variance", doubts.show_variance),
            Route("/variance/decide", doubts.ask_decision, methods=["GET"]),
            Route("/variance/decide", doubts.decide_variance, methods=["POST"]),
            Route("/letters", letters.show_letters),
            Route("/letter", letters.show_letter),
            Route("/letter/replay", letters.ask_replay, methods=["GET"]),
            Route("/letter/replay", letters.replay, methods=["POST"]),
            Route("/enter", entering.show_enter, methods=["GET"]),
            Route("/enter", entering.enter, methods=["POST"]),
            Route("/leave", entering.leave, methods=["POST"]),
            Route("/stream", stream),
            Route("/assets/{name}", show_asset),
            Route("/healthz", healthy),
        ],
        middleware=[Middleware(Guard, access=desk.access)],
        exception_handlers={HTTPException: _refused, Exception: _failed},
        lifespan=lifespan,
    )
    app.state.desk, app.state.hub = desk, hub
    return app


def _look(desk: Desk, names: Collection[str]) -> dict[str, Picture]:
    """Give what pages watch: all items in one question to Redis, the engine once."""
    found: dict[str, Picture] = {}
    if "engine" in names:
        found["engine"] = overview.picture(desk)
    codes = [name.removeprefix("item ") for name in names if name.startswith("item ")]
    if codes:
        # Without Redis pages keep what they show; the engine's picture and the next page tell of it.
        with suppress(Away):
            found |= {f"item {item.code}": items.picture(desk, item) for item in desk.numbers.items(codes)}
    return found


async def stream(request: Request) -> Response:
    """Answer `/stream?watch=`: server-sent events of what a page shows, as it changes."""
    hub: Hub = request.app.state.hub
    name = request.query_params.get("watch", "")
    if name != "engine" and not (name.startswith("item ") and len(name) <= 100):
        raise HTTPException(404, "There is nothing of that name to be watched.")
    news = hub.watch(name)
    try:
        first = await anext(news)
    except TooMany:
        raise HTTPException(503, "Too many pages are open: this one does not change by itself.") from None

    async def told() -> AsyncIterator[bytes]:
        try:
            yield first
            async for piece in news:
                yield piece
        finally:
            await news.aclose()  # type: ignore[attr-defined]  # a generator

    return StreamingResponse(told(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


def show_asset(request: Request) -> Response:
    """Give a file of ours."""
    name = request.path_params["name"]
    if name not in ASSETS:
        raise HTTPException(404, "There is no such file.")
    return Response(asset(name), media_type=ASSETS[name], headers={"cache-control": "no-cache"})


def healthy(_: Request) -> Response:
    """Say that the console answers; of the engine it says nothing."""
    return PlainTextResponse("ok\n")


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return desk_of(request).page(request, "problem", error.status_code, title="Not done", sentence=error.detail)


def _failed(request: Request, _: Exception) -> Response:
    sentence = "This page failed. The console's log says why; it goes on."
    answer = desk_of(request).page(request, "problem", 500, title="Failed", sentence=sentence)
    answer.headers.update(HEADERS | {"cache-control": "no-store"})  # it is made outside of the guard
    return answer
