"""Writes docs/settings.md from the models: `python -m flows.cli.settings_page > docs/settings.md`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from schemas.setting_values import Read, duration_text
from schemas.settings import Settings
from schemas.source_settings import SourceSettings

HEAD = """\
# Settings

From `atp.toml` (or `--config`, or `ATP_CONFIG`), then the environment, then flags (`--kafka`, `--redis`, `--state-dir`,
`--workers`, or any by `--set name=value`): the later wins. A setting that is wrong or unknown stops the program with
its name, its value, where it came from and what would do. `atp check` tries them on Kafka, Redis and the state folder.

`redis.url` is `url` beneath `[redis]` in the file and `ATP_REDIS__URL` in the environment. Durations are `24h`, `5m`,
`50ms`, `7d` or a number of seconds. This page is made from the program: `python -m flows.cli.settings_page`.
"""
OF_A_SOURCE = """\
## `sources.<name>`: what one source may do

Only in the file, as `[sources.wms]`. A source that is not named is not bound.
"""


def page() -> str:
    """Give the page."""
    general: list[str] = []
    sections: list[str] = []
    for name, field in Settings.model_fields.items():
        if name == "sources":
            continue
        if isinstance(field.default, BaseModel):
            model = type(field.default)
            said = (model.__doc__ or "").strip().rstrip(".")
            rows = [_row(f"{name}.{part}", inner) for part, inner in model.model_fields.items()]
            sections.append("\n".join([f"## `{name}`: {said[0].lower()}{said[1:]}", "", *_HEADING, *rows]) + "\n")
        else:
            general.append(_row(name, field))
    sources = list(_rows_of_source())
    parts = [HEAD, "\n".join(["## General", "", *_HEADING, *general]) + "\n", *sections]
    return "\n".join([*parts, OF_A_SOURCE, "\n".join([*_HEADING, *sources]) + "\n"])


_HEADING = ("| setting | default | takes | |", "|---|---|---|---|")


def _rows_of_source() -> Iterator[str]:
    """Give the rows of what stands by itself, then of what stands in tables of a source."""
    inside = []
    for name, field in SourceSettings.model_fields.items():
        table = next((kind for kind in getattr(field.annotation, "__args__", ()) if _is_section(kind)), None)
        if table is None:
            yield _row(name, field)
        else:
            inside += [_row(f"{name}.{part}", inner) for part, inner in table.model_fields.items()]
    yield from inside


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _row(name: str, field: Any) -> str:
    cells = (f"`{name}`", _default(field), _takes(field), (field.description or "").replace("\n", " "))
    return f"| {' | '.join(cells)} |"


def _default(field: Any) -> str:
    if field.default is None or field.default in ("", {}, ()):
        return ""
    kind = _kind(field)
    value = kind.write(field.default) if kind is not None and kind.write is not None else field.default
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _kind(field: Any) -> Read | None:
    found = [one for one in _metadata(field) if isinstance(one, Read)]
    return found[0] if found else None


def _metadata(field: Any) -> Iterator[Any]:
    yield from field.metadata
    for inner in getattr(field.annotation, "__args__", ()):
        yield from getattr(inner, "__metadata__", ())


def _takes(field: Any) -> str:
    kind = _kind(field)
    schema = kind.schema if kind is not None else {}
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if kind is not None and kind.write is duration_text:
        return f"a duration, {schema['description']}"
    if schema.get("type") == "integer":
        return f"{schema['minimum']} to {schema['maximum']}"
    return {"boolean": "`true`, `false`", "array": "a list", "object": "a table"}.get(str(schema.get("type")), "text")


if __name__ == "__main__":
    print(page(), end="")
