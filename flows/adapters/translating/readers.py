"""What a source's settings say of reading its messages, as the adapters take it."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from flows.adapters.translating.mappings import load_mapping
from operators.adapters.context import ALIAS_KINDS, Aliases, Context
from operators.adapters.kinds import KINDS, Kind
from schemas.codes import is_code, near_match
from schemas.settings import Settings, SettingsError
from schemas.source_settings import SourceSettings

#: The source of a dry run that names none.
UNNAMED = "dry-run"


@dataclass(frozen=True, slots=True)
class Reader:
    """How messages of a source are read."""

    context: Context
    #: None: the content says what it is
    kind: Kind | None


def kind_named(name: str, where: str) -> Kind:
    """The kind of this name; SettingsError names those that there are."""
    if name not in KINDS:
        raise SettingsError(f"{where}: expected one of {', '.join(KINDS)}, got {name}{near_match(name, KINDS)}")
    return KINDS[name]


def reader_of(
    settings: Settings,
    source: str,
    aliases: Aliases,
    *,
    kind: str | None = None,
    mapping: str | None = None,
    default_mode: str | None = None,
) -> Reader:
    """How this source's messages are read; `kind` and `mapping` go before its settings'.

    `default_mode`: of aliases for which its settings say nothing, in place of the usual ones.
    """
    if not is_code(source):
        raise SettingsError(f"--source: expected a source's code, such as acme, got {source}")
    said = settings.sources.get(source, SourceSettings())
    named = f"sources.{source}"
    chosen = kind_named(kind, "--kind") if kind else kind_named(said.kind, f"{named}.kind") if said.kind else None
    page = None
    # A kind that is asked for by the command is not read by the mapping of another.
    where, name = ("--mapping", mapping) if mapping else (f"{named}.mapping", said.mapping)
    if name:
        of, page = load_mapping(name, where)
        if chosen is not None and chosen is not of:
            if mapping or kind is None:
                raise SettingsError(f"{where}: expected a mapping of {chosen.name}, got one of {of.name}")
            page = None
        else:
            chosen = of
    modes: dict[str, str] = dict.fromkeys(ALIAS_KINDS, default_mode) if default_mode else {}
    context = Context(
        source=source,
        time_zone=ZoneInfo(said.time_zone) if said.time_zone else None,
        time_of_day=said.time_of_day,
        alias_modes=modes | (said.aliases or {}),
        aliases=aliases,
        location=said.location,
        to_location=said.to_location,
        channel=said.channel,
        counted_at=said.counted_at,
        mapping=page,
    )
    return Reader(context, chosen)


def source_of(settings: Settings, named: str | None) -> str:
    """The source that is named, else the only one that the settings have, else none in particular."""
    if named is not None:
        return named
    return next(iter(settings.sources)) if len(settings.sources) == 1 else UNNAMED
