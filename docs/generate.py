"""Write the generated part of docs/ anew: `./dev docs`; with `--check` only say what is out of date.

    generated/ruleset.nft   the constant part of our nftables table, as it is loaded
    generated/commands.md   the help of every command

The picture of the demo (images/demo.svg) is not made here, because it takes a kernel: the demo leaves it as
ductwork-demo.svg in the folder for temporary files.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from ductwork.frontends.cli import duct
from ductwork.plan.ruleset import render_ruleset

FOLDER = Path(__file__).resolve().parent / "generated"
HELP_WIDTH = 100


def main(words: Sequence[str]) -> int:
    """Write what is out of date, or name it."""
    if list(words) not in ([], ["--check"]):
        print("usage: ./dev docs [--check]", file=sys.stderr)
        return 2
    stale = [path for path, text in generated().items() if _read(path) != text]
    for path in stale:
        print(path.relative_to(FOLDER.parents[1]))
        if not words:
            path.parent.mkdir(exist_ok=True)
            path.write_text(generated()[path], encoding="utf-8")
    return 1 if words and stale else 0


def generated() -> dict[Path, str]:
    """Make every generated file as text."""
    return {FOLDER / "ruleset.nft": render_ruleset("HOST-ID"), FOLDER / "commands.md": render_commands()}


def render_commands() -> str:
    """Write the help of every command as one page."""
    parts = [
        "# Commands\n",
        "Generated from the commands' own help by `./dev docs`; `--help` says the same.\n",
    ]
    for path, command in _walk("duct", duct):
        context = click.Context(
            command, info_name=path, terminal_width=HELP_WIDTH, help_option_names=["-h", "--help"]
        )
        parts.append(f"## {path}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def _walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _walk(f"{path} {name}", command.commands[name])


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
