"""What pages say about the code without running anything: nothing forgotten, nothing out of date."""

import re
import runpy
from collections.abc import Iterator

import click
import pytest
from tests.docs.blocks import ROOT, Page, pages

from ductwork import errors
from ductwork.drivers.registry import DRIVERS
from ductwork.frontends.cli import duct
from ductwork.frontends.cli.output import EXIT_CODES
from ductwork.model.nft_schema import SCHEMAS
from ductwork.plan.ruleset import render_ruleset

DOCS = ROOT / "docs"
PAGES = pages()


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def in_code(name: str, page: str) -> bool:
    return re.search(rf"`{re.escape(name)}[`= ]", page) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Page) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.path.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_is_reached_from_the_readme() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop().resolve()
        if path in seen or path.suffix != ".md" or not path.exists():
            continue
        seen.add(path)
        found = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
        waiting += [path.parent / target for target in found if "://" not in target]
    assert {page.path.resolve() for page in PAGES} - seen == set()


def test_the_generated_ruleset_is_the_one_that_is_loaded() -> None:
    assert read("generated/ruleset.nft") == render_ruleset("HOST-ID"), "write it anew: ./dev docs"


def test_what_is_generated_is_what_the_generator_knows() -> None:
    generated = runpy.run_path(str(DOCS / "generate.py"))["generated"]()
    assert {path.name for path in generated} == {path.name for path in (DOCS / "generated").iterdir()}


def commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.commands:
            yield from commands(f"{path} {name}", command.commands[name])


# The exact text of a help page is click's and differs between its versions.
@pytest.mark.parametrize(("path", "command"), [pytest.param(*c, id=c[0]) for c in commands("duct", duct)])
def test_every_command_and_option_is_on_the_page_of_commands(path: str, command: click.Command) -> None:
    section = re.search(rf"^## {path}$(.*?)(?=^## |\Z)", read("generated/commands.md"), re.M | re.S)
    assert section is not None, f"{path} is missing: ./dev docs"
    options = [name for p in command.params if isinstance(p, click.Option) for name in p.opts]
    assert [name for name in options if name not in section[1]] == [], "write it anew: ./dev docs"


@pytest.mark.parametrize("kind", DRIVERS)
def test_every_driver_has_a_page_with_its_options(kind: str) -> None:
    page = read(f"drivers/{kind}.md")
    assert [key for key in DRIVERS[kind].option_help if not in_code(key, page)] == []


def test_every_kind_of_error_is_listed_with_its_exit_code() -> None:
    page = read("errors.md")
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.DuctworkError)]
    for kind in kinds:
        if kind is not errors.DuctworkError:
            assert f"| {EXIT_CODES[kind.kind]} | `{kind.__name__}` | `{kind.kind}` |" in page


def test_every_chain_and_set_is_explained() -> None:
    page = read("design/ruleset.md")
    chains = re.findall(r"^ *chain (\S+) ", render_ruleset("x"), re.M)
    assert [name for name in [*chains, *(s.name for s in SCHEMAS)] if not in_code(name, page)] == []


def test_the_priorities_on_the_page_are_those_of_the_rules() -> None:
    page, rules = read("design/ruleset.md"), render_ruleset("x")
    assert "priority -105;" in rules
    assert page.count("nat, -105") == rules.count("priority -105;")
