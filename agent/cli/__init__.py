"""The command line. Each command is one thin module; what it does is elsewhere."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """The ``fixbug`` command. Exit status: 0 a verified fix, 1 no fix, 2 wrong usage, 3 the environment."""
    from agent.cli.app import app
    from agent.errors import FixbugError

    try:
        app()
    except FixbugError as error:
        _complain(error.problem, error.cure)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        _complain(
            "stopped", "nothing was left running; a run that had begun can go on with fixbug --resume RUN"
        )
        sys.exit(INTERRUPTED)
    except OSError as error:
        _complain(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), "")
        sys.exit(FixbugError.exit_status)


def _complain(problem: str, cure: str) -> None:
    print(f"fixbug: {problem}", file=sys.stderr)
    if cure:
        print(f"  → {cure}", file=sys.stderr)
