"""Commands about statements and variances: variances (list, show, decide), statements, reconcile, state."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import (
    FAILED,
    Config,
    Decimal,
    Json,
    Kafka,
    Problems,
    Set,
    Thousands,
    as_text,
    complain,
    load,
    reporting,
)

if TYPE_CHECKING:
    from flows.reconciling.reading import Wanted

variances_app = typer.Typer(
    help="Where statements and the engine differ, and why: look at it, and decide.", no_args_is_help=True
)

Key = Annotated[
    str, typer.Argument(metavar="KEY", help="As `list` gives it: source:item:location:lot:measure.", parser=as_text)
]
Id = Annotated[str, typer.Option("--id", help="The id that you looked at, as `show` gives it.", parser=as_text)]
Reason = Annotated[str | None, typer.Option(help="Why: kept with the decision.", parser=as_text)]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who decides (default: your login).")]
Source = Annotated[str | None, typer.Option(help="Only of this source.")]


@variances_app.command("list")
def list_variances(
    source: Source = None,
    item: Annotated[str | None, typer.Option(help="Only of this item.")] = None,
    location: Annotated[str | None, typer.Option(help="Only at this location, or of this channel.")] = None,
    measure: Annotated[str | None, typer.Option(help="Only of this measure, such as on_hand.")] = None,
    cause: Annotated[str | None, typer.Option(help="Only of this cause, such as missing_there.")] = None,
    state: Annotated[
        list[str] | None, typer.Option(help="Only in this state, or all (default: open and held; repeatable).")
    ] = None,
    statement: Annotated[str | None, typer.Option(metavar="ID", help="Only of this statement.")] = None,
    id: Annotated[str | None, typer.Option("--id", help="Only of the row with this id.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """List variances, the largest difference first."""
    with reporting(is_view=True):
        from flows.cli.variance_output import print_list
        from flows.reconciling.reading import UNSETTLED, Wanted

        _check_words(measure, cause, state)
        states = tuple(state) if state else UNSETTLED
        wanted = Wanted(source, item, location, measure, cause, states, statement, id)
        print_list(load(config, kafka, settings=settings), _all_states(wanted), limit, as_json)


@variances_app.command("show")
def show_variance(
    key: Key,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Show one whole: both figures, the cause and what it means, the events that explain it, what can be done."""
    with reporting(is_view=True):
        from flows.cli.variance_output import print_one

        if not print_one(load(config, kafka, settings=settings), key, as_json):
            complain(f"there is no variance {key}; `atp variances list --state all` names them")
            raise typer.Exit(FAILED)


@variances_app.command("accept")
def accept(
    key: Key,
    id: Id,
    reason: Reason = None,
    by: By = None,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Known, and left so: ours stands, and the same difference in later statements stays accepted."""
    _decide("accept", key, id, reason, by, load_with=(config, kafka, settings), as_json=as_json)


@variances_app.command("correct")
def correct(
    key: Key,
    id: Id,
    reason: Reason = None,
    by: By = None,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Theirs is right: it is counted as of the statement's moment, and what happened since counts on top."""
    _decide("correct", key, id, reason, by, load_with=(config, kafka, settings), as_json=as_json)


@variances_app.command("reject")
def reject(
    key: Key,
    id: Id,
    reason: Reason = None,
    by: By = None,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Theirs is wrong: ours stands; the next statement that says it again opens it anew."""
    _decide("reject", key, id, reason, by, load_with=(config, kafka, settings), as_json=as_json)


@variances_app.command("undo")
def undo(
    key: Key,
    id: Id,
    reason: Reason = None,
    by: By = None,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Take a correction back: what ours was is counted, a microsecond after the statement's moment."""
    _decide("undo", key, id, reason, by, load_with=(config, kafka, settings), as_json=as_json)


def statements(
    name: Annotated[
        str | None, typer.Argument(metavar="[SOURCE:ID]", help="One statement, whole; without it, a line for each.")
    ] = None,
    source: Source = None,
    verdict: Annotated[str | None, typer.Option(help="Only these: pending, accepted or rejected.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """List statements with verdict, counts and causes, the newest first."""
    with reporting(is_view=True):
        from flows.cli.variance_output import print_statements
        from schemas.variances import VERDICTS

        _check_word("--verdict", verdict, VERDICTS)
        loaded = load(config, kafka, settings=settings)
        if not print_statements(loaded, name, source, verdict, limit, as_json):
            raise typer.Exit(FAILED)


def reconcile(
    file: Annotated[str, typer.Argument(metavar="FILE", help="stock.csv or .jsonl, by item and location or channel.")],
    source: Annotated[str, typer.Option(help="Whose figures they are.")],
    as_of: Annotated[str, typer.Option("--as-of", metavar="TIME", help="When they were true: 2026-03-01T02:00:00Z.")],
    all_items: Annotated[
        bool, typer.Option("--all-items", help="What is in scope and not in the file is stated as 0.")
    ] = False,
    location: Annotated[
        list[str] | None,
        typer.Option(help="The scope: this location and all beneath it (repeatable; default: all).", parser=as_text),
    ] = None,
    statement_id: Annotated[
        str | None, typer.Option("--statement-id", metavar="ID", help="Its id (default: made of file and moment).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is wrong.")] = False,
    decimal: Decimal = None,
    thousands: Thousands = None,
    problems: Problems = 100,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for the verdict.")] = False,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Compare a file of what another system has, as of its moment: where it differs, and why. Counts nothing."""
    with reporting():
        loaded = load(config, kafka, settings=settings)
        from flows.reconciling.run import Wishes, reconcile

        scope = tuple(dict.fromkeys(location)) if location else None
        wishes = Wishes(
            source,
            as_of,
            statement_id,
            all_items,
            scope,
            decimal,
            thousands,
            dry_run,
            problems,
            not no_wait,
            as_json,
        )
        raise typer.Exit(reconcile(loaded, file, wishes))


def state(
    as_of: Annotated[str, typer.Option("--as-of", metavar="TIME", help="The moment: 2026-03-01T02:00:00Z.")],
    location: Annotated[
        list[str] | None, typer.Option(help="Only this location and all beneath it (repeatable).")
    ] = None,
    lots: Annotated[bool, typer.Option("--lots", help="A row for each lot as well.")] = False,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
) -> None:
    """Print as CSV what the engine had at a moment: the same figures that statements are compared with."""
    with reporting():
        loaded = load(config, kafka, settings=settings)
        from flows.reconciling.state import print_state

        print_state(loaded, as_of, tuple(location or ()), lots)


def _decide(
    decision: str,
    key: str,
    id: str,
    reason: str | None,
    by: str | None,
    load_with: tuple[Config, Kafka, Set],
    as_json: bool,
) -> None:
    with reporting():
        config, kafka, settings = load_with
        loaded = load(config, kafka, settings=settings)
        from flows.cli.variance_output import print_decided
        from flows.reconciling.deciding import Wish, decide

        print_decided(key, decide(loaded, Wish(decision, key, id, _name(by), reason)), as_json)


def _name(by: str | None) -> str:
    from schemas.variances import NAME_MAX

    if by is None:
        try:
            by = getpass.getuser()
        except (KeyError, OSError):  # a container's user has no name
            raise typer.BadParameter("--by: expected who decides, for this login has no name") from None
    if not by.strip() or not by.isprintable() or len(by) > NAME_MAX:
        raise typer.BadParameter(f"--by: expected 1 to {NAME_MAX} printable characters, got {by!r}")
    return by


def _check_words(measure: str | None, cause: str | None, states: list[str] | None) -> None:
    from schemas.variances import ALL_MEASURES, STATES, VARIANCE_CAUSES

    _check_word("--measure", measure, ALL_MEASURES)
    _check_word("--cause", cause, VARIANCE_CAUSES)
    for state in states or ():
        _check_word("--state", state, (*STATES, "all"))


def _check_word(option: str, word: str | None, words: tuple[str, ...]) -> None:
    from schemas.codes import near_match

    if word is not None and word not in words:
        expected = ", ".join(words)
        raise typer.BadParameter(f"{option}: expected one of {expected}, got {word}{near_match(word, words)}")


def _all_states(wanted: Wanted) -> Wanted:
    from schemas.variances import STATES

    return wanted._replace(states=STATES) if "all" in wanted.states else wanted
