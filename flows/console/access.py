"""Decides who may ask, and who may change something: names of the console, the operator's token, sessions, forms.

Rule 1: a request under a name that is not the console's is refused, whatever it asks: else a page of another site could
        have its name point here (DNS rebinding) and read what the browser of somebody inside may see.
Rule 2: what changes something needs a session, a form of that session, and a browser that does not say that another
        site sent it. Without a token of the operator there are no sessions.
Rule 3: tokens are compared in constant time, and a few wrong ones make everybody wait.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import deque
from typing import Final

from flows.settings import read_secret
from schemas.console_settings import TOKEN_CHARACTERS_MIN, ConsoleSettings
from schemas.settings import SettingsError

COOKIE: Final = "atp_session"
#: A working day; a session is also over when the console is started again.
SESSION_S: Final = 12 * 3600
SESSIONS_MAX: Final = 1000
#: Wrong tokens within `WRONG_S`, of all together: beyond, nobody's is looked at.
WRONG_MAX: Final = 10
WRONG_S: Final = 60.0
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


class TooManyWrong(Exception):
    """So many wrong tokens came that none is looked at for a while."""


class Access:
    """Who may do what. SettingsError at its making if the token cannot be used."""

    def __init__(self, settings: ConsoleSettings) -> None:
        self._settings = settings
        own = f"[{settings.host}]" if ":" in settings.host else settings.host
        self._names = LOOPBACK | {own.lower()} | set(settings.names)
        self._key = secrets.token_bytes(32)
        self._sessions: dict[str, float] = {}
        self._wrong: deque[float] = deque()
        self._lock = threading.Lock()
        token = self._token()
        if token is not None and len(token) < TOKEN_CHARACTERS_MIN:
            raise SettingsError(
                f"console.token_file: expected a token of at least {TOKEN_CHARACTERS_MIN} characters, got "
                f"{settings.token_file} with a shorter one"
            )

    @property
    def can_change(self) -> bool:
        """Did the operator set a token?"""
        return self._settings.token is not None or self._settings.token_file is not None

    def is_name(self, host: str) -> bool:
        """Is that a name of this console, as a browser's Host header has it (with or without a port)?"""
        name = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
        return name.lower() in self._names

    def enter(self, token: str) -> str | None:
        """Give a new session to who knows the token; None to others. TooManyWrong: it was not even looked at."""
        now = time.monotonic()
        with self._lock:
            while self._wrong and now - self._wrong[0] > WRONG_S:
                self._wrong.popleft()
            if len(self._wrong) >= WRONG_MAX:
                raise TooManyWrong
            ours = self._token()
            # Digests: of equal length whatever was entered.
            if ours is None or not hmac.compare_digest(_digest(ours), _digest(token)):
                self._wrong.append(now)
                return None
            for old in [name for name, ends in self._sessions.items() if ends < now]:
                del self._sessions[old]
            while len(self._sessions) >= SESSIONS_MAX:
                del self._sessions[next(iter(self._sessions))]
            session = secrets.token_urlsafe(32)
            self._sessions[session] = now + SESSION_S
            return session

    def leave(self, session: str | None) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(session or "", None)

    def has_entered(self, session: str | None) -> bool:
        """Is that a session that is not over?"""
        with self._lock:
            return self._sessions.get(session or "", 0.0) > time.monotonic()

    def form_key(self, session: str | None) -> str:
        """Give what every form of a session carries: another site cannot know it."""
        return hmac.new(self._key, (session or "").encode(), hashlib.sha256).hexdigest()

    def is_form(self, session: str | None, key: str) -> bool:
        """Is it a form of that session?"""
        return hmac.compare_digest(self.form_key(session).encode(), key.encode("utf-8", "replace"))

    def _token(self) -> str | None:
        """Give the operator's token as the file says it now: it may be replaced while the console runs."""
        path = self._settings.token_file
        if path is None:
            return self._settings.token
        try:
            return read_secret(path) or None
        except (OSError, UnicodeDecodeError):
            return None


def is_of_another_site(headers: dict[str, str], host: str) -> bool:
    """Does the browser say that another site's page sent this? One that says nothing is no browser of today."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin", "")
    return bool(origin) and origin.partition("://")[2].lower() != host.lower()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
