"""Objects by name in the place that `state.remote` names: a folder, or a bucket of S3, Google or Azure.

The place is somebody else's: every question may fail, and is asked again a few times before it counts as failed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flows.errors import PlainError
from schemas.settings import Settings, SettingsError
from schemas.state_settings import is_remote_url

if TYPE_CHECKING:
    from obstore.store import ObjectStore

#: A question that is not answered within this has failed; an upload of a large file takes a while.
TIMEOUT_S = 60
CONNECT_TIMEOUT_S = 5
RETRIES_MAX = 3
#: From this size on a file goes up and down in parts, several at a time.
PARTS_FROM = 16 * 1024 * 1024
HELP = "see whether it is reachable, and whether its address, region and credentials are right: atp check"


class RemoteProblem(PlainError):
    """The remote place does not do what it is asked; the text says what, why and what would do."""


class Missing(RemoteProblem):
    """There is no object of that name (any more)."""


class Objects:
    """Those beneath one address. Any thread may ask."""

    def __init__(self, address: str, store: ObjectStore) -> None:
        self.address, self._store = address, store

    def put(self, name: str, content: bytes) -> None:
        """Write one whole; whoever reads sees all of it or nothing."""
        import obstore

        self._ask("written", name, lambda: obstore.put(self._store, name, content))

    def get(self, name: str) -> bytes:
        """Read one whole; Missing if it is not there."""
        import obstore

        content: bytes = self._ask("read", name, lambda: obstore.get(self._store, name).bytes().to_bytes())
        return content

    def names(self, beneath: str) -> list[str]:
        """List those whose names begin with `beneath`/, in order."""
        import obstore

        names: list[str] = self._ask(
            "listed",
            f"{beneath}/",
            lambda: sorted(one["path"] for some in obstore.list(self._store, beneath) for one in some),
        )
        return names

    def delete(self, names: Iterable[str]) -> None:
        """Remove them; what is not there is no problem."""
        import obstore

        for name in names:
            try:
                self._ask("removed", name, lambda name=name: obstore.delete(self._store, name))
            except Missing:
                continue

    def _ask(self, what: str, name: str, do: Any) -> Any:
        from obstore.exceptions import BaseError, NotFoundError

        try:
            return do()
        except (NotFoundError, FileNotFoundError) as error:
            raise Missing(f"state.remote: {name} is not in {self.address}") from error
        except (BaseError, OSError) as error:
            raise RemoteProblem(
                f"state.remote: {name} in {self.address} cannot be {what} ({_in_short(error)}): {HELP}"
            ) from error


def _in_short(error: Exception) -> str:
    """Give what the library says without what it adds for its own authors."""
    return " ".join(str(error).partition("Debug source")[0].split())[:300]


def open_objects(settings: Settings) -> Objects:
    """Open the place that `state.remote` names; SettingsError where that or its options cannot be used."""
    from obstore.exceptions import BaseError
    from obstore.store import LocalStore, from_url

    address = settings.state.remote
    assert address is not None, "there is no remote place"
    if not is_remote_url(address):
        try:
            return Objects(address, LocalStore(prefix=address, mkdir=True))
        except (BaseError, OSError) as error:
            raise SettingsError(
                f"state.remote: {address} cannot be made or written ({_in_short(error)}): name a "
                "folder that this user may write, or the address of a bucket"
            ) from error
    try:
        store = from_url(  # type: ignore[call-overload]  # the library itself checks the names of options
            address,
            config=dict(settings.state.remote_options),
            client_options={
                "timeout": timedelta(seconds=TIMEOUT_S),
                "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
                "allow_http": True,
            },
            retry_config={"max_retries": RETRIES_MAX, "retry_timeout": timedelta(seconds=TIMEOUT_S)},
        )
    except (BaseError, ValueError, TypeError) as error:
        raise SettingsError(
            f"state.remote: {address} cannot be used with these state.remote_options ("
            f"{_in_short(error)}): their names are those of the bucket's kind, such as endpoint, "
            "region, access_key_id"
        ) from error
    return Objects(address, store)
