"""What all pages have at hand: settings, numbers, tables, the engine's answers, who may do what, and the templates."""

from __future__ import annotations

import functools
import time
from importlib.metadata import version
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse

from flows.console import words
from flows.console.access import COOKIE, Access, is_of_another_site
from flows.console.engine import EngineWatch
from flows.console.follower import Follower
from flows.console.numbers import Numbers
from flows.console.tables import Tables
from schemas.settings import Settings

#: A reason and a name fit many times.
FORM_BYTES_MAX: Final = 16_384
QUERY_MAX: Final = 2_000


class Desk:
    """One for the whole console."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.access = Access(settings.console)
        self.numbers = Numbers(settings)
        self.tables = Tables()
        self.follower = Follower(settings, self.tables)
        self.engine = EngineWatch(settings)
        self.version = version("atp-engine")
        self._templates = _templates()

    def start(self) -> None:
        """Begin to read."""
        self.follower.start()
        self.engine.start()

    def close(self) -> None:
        """Read no more."""
        self.follower.close()
        self.engine.close()
        self.numbers.close()

    def page(self, request: Request, template: str, status: int = 200, **facts: Any) -> HTMLResponse:
        """Give a page: its template, filled."""
        session = request.cookies.get(COOKIE)
        common = {
            "path": request.url.path,
            "version": self.version,
            "can_change": self.access.can_change,
            "has_entered": self.access.has_entered(session),
            "form_key": self.access.form_key(session),
            "troubles": self.troubles(),
            "now": words.clock(int(time.time() * 1000)),
            "live": "",
            "shape": "",
        }
        return HTMLResponse(self._templates.get_template(f"{template}.html").render(common | facts), status)

    def troubles(self) -> list[str]:
        """Say what keeps pages from being as of now."""
        told = []
        for away_ms, problem in (
            (self.numbers.away_since_ms, self.numbers.problem),
            (self.follower.away_since_ms, self.follower.problem),
        ):
            if away_ms is not None:
                told.append(f"{problem}. What is shown is what was known at {words.clock(away_ms)} UTC.")
        if self.follower.missing:
            told.append(f"Kafka has no topic {', '.join(self.follower.missing)}: run atp topics create.")
        return told


def desk_of(request: Request) -> Desk:
    """Give the console's desk."""
    desk: Desk = request.app.state.desk
    return desk


def asked(request: Request, *names: str) -> list[str]:
    """Give parameters of a page's address; empty where they are not given, 400 where one is too long."""
    values = [request.query_params.get(name, "").strip() for name in names]
    if any(len(value) > QUERY_MAX for value in values):
        raise HTTPException(400, f"expected at most {QUERY_MAX} characters")
    return values


async def form_of(request: Request, needs_session: bool = True) -> dict[str, str]:
    """Give a form that was sent by a page of ours, by somebody who may; else 403, or 413 for one too large."""
    desk = desk_of(request)
    session = request.cookies.get(COOKIE)
    if is_of_another_site(dict(request.headers), request.headers.get("host", "")):
        raise HTTPException(403, "This form was sent by a page of another site: nothing was done.")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > FORM_BYTES_MAX:
            raise HTTPException(413, f"expected a form of at most {FORM_BYTES_MAX} bytes")
    try:
        form = dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=50, errors="strict"))
    except ValueError:
        raise HTTPException(400, "expected a form, got other text") from None
    if not desk.access.is_form(session, form.get("form_key", "")):
        raise HTTPException(403, "This form is of an earlier session: go back, reload the page, and try again.")
    if needs_session and not desk.access.has_entered(session):
        raise HTTPException(403, "Nothing was done: enter the token first.")
    return form


async def in_thread(work: Any, *arguments: Any) -> Any:
    """Do what waits for Kafka or Redis, and let other pages go on meanwhile."""
    return await run_in_threadpool(functools.partial(work, *arguments))


def address(path: str, **parameters: Any) -> str:
    """Give the address of a page; what is empty is left out."""
    given = {name: value for name, value in parameters.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def asset(name: str) -> bytes:
    """Give a file that is served as it is."""
    return files(__package__).joinpath("assets", name).read_bytes()


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("flows.console"),
        # What anybody named an item, a source or a reason is text, on every page.
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"clock": words.clock, "short": words.short, "age": words.age, "span": words.span}
    environment.filters |= {"rate": words.rate}
    environment.globals |= {"address": address, "quantity": words.quantity, "signed": words.signed}
    return environment
