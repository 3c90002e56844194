"""Words in, words out: reads flags, hands them to the room that does the work, shows what came of it."""


def main() -> None:
    """Entry point of the `atp` command."""
    from flows.cli import app  # not before: whoever imports a part of this room wants no other

    app.main()
