"""The page on which the operator's token is entered, and the way out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from flows.console.access import COOKIE, SESSION_S, TooManyWrong
from flows.console.desk import desk_of, form_of


def show_enter(request: Request) -> Response:
    """Answer `/enter?to=`."""
    desk = desk_of(request)
    return desk.page(
        request, "enter", title="Enter the token", to=_inside(request.query_params.get("to", "/")), problem=""
    )


async def enter(request: Request) -> Response:
    """Answer its form: a session for who knows the token."""
    form = await form_of(request, needs_session=False)
    desk = desk_of(request)
    to = _inside(form.get("to", "/"))
    try:
        session = desk.access.enter(form.get("token", ""))
    except TooManyWrong:
        problem = "Too many wrong tokens came within a minute. Wait, and try again."
        return desk.page(request, "enter", 429, title="Enter the token", to=to, problem=problem)
    if session is None:
        problem = "That is not the token."
        return desk.page(request, "enter", 403, title="Enter the token", to=to, problem=problem)
    answer = RedirectResponse(to, 303)
    is_tls = request.url.scheme == "https" or request.headers.get("x-forwarded-proto", "") == "https"
    answer.set_cookie(COOKIE, session, max_age=SESSION_S, httponly=True, samesite="strict", secure=is_tls)
    return answer


async def leave(request: Request) -> Response:
    """End the session."""
    await form_of(request)
    desk_of(request).access.leave(request.cookies.get(COOKIE))
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(COOKIE)
    return answer


def _inside(to: str) -> str:
    """Give an address of this console; nobody is sent elsewhere by a link to it."""
    is_ours = to.startswith("/") and not to.startswith("//") and "\\" not in to and to.isprintable()
    return to if is_ours else "/"
