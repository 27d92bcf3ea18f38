"""What every command shares: the host it works on, --plan, --json, and how errors end a process."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from ductwork import DuctworkError, Engine, InvalidArgument, host_from_environment, open_engine
from ductwork.frontends.cli.output import EXIT_CODES, error_value, note, print_json

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Context:
    """The options that stand before or behind any command."""

    netns: str = ""
    host: str = ""
    json: bool = False
    plan: bool = False

    @contextmanager
    def engine(self, *, changes: bool = True) -> Iterator[Engine]:
        """Open the host's engine; a command that changes something tidies up first."""
        with open_engine(host_from_environment(self.netns, self.host)) as engine:
            engine.plan_only = self.plan
            if changes and not self.plan:
                for line in engine.tidy():
                    note(line)
            yield engine
            for line in engine.report.notes:
                note(line)

    def show(self, engine: Engine, value: object, text: str = "") -> None:
        """Print a command's result: the steps with --plan, data with --json, otherwise the text."""
        if self.plan:
            lines = engine.report.lines()
            if self.json:
                print_json({"plan": lines})
            else:
                click.echo("\n".join(lines) or "nothing to do")
        elif self.json:
            print_json(value)
        elif text:
            click.echo(text)


def shared_options(command: F) -> F:
    """Let --json, --plan, --netns and --host stand behind the command as well as before it."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    @click.option("--plan", "plan_only", is_flag=True, help="Print what would be done, and do nothing.")
    @click.option("--netns", "netns", metavar="PATH", default="", help="The namespace that is the host.")
    @click.option("--host", "host_dir", metavar="DIR", default="", help="The folder with the host's state.")
    @click.pass_obj
    @functools.wraps(command)
    def wrapped(
        context: Context,
        /,
        *args: Any,
        as_json: bool,
        plan_only: bool,
        netns: str,
        host_dir: str,
        **kwargs: Any,
    ) -> Any:
        context.json |= as_json
        context.plan |= plan_only
        context.netns = netns or context.netns
        context.host = host_dir or context.host
        return command(context, *args, **kwargs)

    return wrapped  # type: ignore[return-value]


def fail(error: DuctworkError, as_json: bool) -> int:
    """Tell an error and return its exit code."""
    if as_json:
        print_json(error_value(error))
    else:
        sys.stderr.write(f"duct: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"      {error.hint}\n")
    return EXIT_CODES.get(error.kind, 1)


def _misspelt(error: click.ClickException) -> InvalidArgument:
    """Say in our own form what click has against the words."""
    at = getattr(error, "ctx", None)
    path = at.command_path if at is not None else "duct"
    return InvalidArgument(error.format_message().rstrip("."), hint=f"see: {path} --help")


def run(group: click.Group, argv: list[str]) -> int:
    """Run the command line and return the exit code; a person never sees a traceback."""
    context = Context()
    try:
        code = group.main(argv, prog_name="duct", standalone_mode=False, obj=context)
    except DuctworkError as error:
        return fail(error, context.json or "--json" in argv)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return EXIT_CODES["invalid"]
    except click.ClickException as error:
        return fail(_misspelt(error), context.json or "--json" in argv)
    except (click.Abort, KeyboardInterrupt):
        note("interrupted; what was begun is undone or finished by the next command")
        return 130
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123  (Python flushes it at exit)
        return 141
    except Exception as error:  # the last resort before a person
        if os.environ.get("DUCTWORK_DEBUG"):
            raise
        note(
            f"unforeseen: {type(error).__name__}: {error}; set DUCTWORK_DEBUG=1 and run it again to report it"
        )
        return 1
    # Without its standalone mode click returns the code of an Exit, and a command's value otherwise.
    return code if isinstance(code, int) else 0
