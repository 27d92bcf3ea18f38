"""Fenced blocks of a page: what a reader would type, and what the page says it prints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ANYTHING = "…"

# What a block may be. The first two are run; a text block right behind Python shows what that printed. Only
# the third may show commands that are not run.
CONSOLE, PYTHON, NOT_RUN, TEXT = "console", "python", "sh (not run)", "text"
_INFOS = {CONSOLE, PYTHON, NOT_RUN, TEXT, "yaml", "json", "nft", "mermaid"}

_FENCE = re.compile(r"^```(.*)$")
_DIRECTIVE = re.compile(r"^<!-- (needs|file): (.+?) -->$")
_GAP = re.compile(r"(?<=\S)[ \t]{2,}")
_PROMPT = re.compile(r"^(?:(outside)[$] |[$] )(.*)$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `file` is the name under which a reader is told to save it."""

    info: str
    lines: tuple[str, ...]
    number: int
    file: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A command of a console block with the output that the page shows for it.

    Attributes:
        where: "" for the page's host, "outside" for the other machine.
        shown: no lines mean that the page says nothing about the output.
    """

    command: str
    shown: tuple[str, ...]
    where: str
    number: int


@dataclass(frozen=True, slots=True)
class Page:
    """A page's blocks in order, and the container engines its examples need."""

    path: Path
    blocks: tuple[Block, ...]
    needs: frozenset[str]

    @property
    def name(self) -> str:
        """The path as it is written in the repository."""
        return str(self.path.relative_to(ROOT))

    @property
    def runs(self) -> bool:
        """Whether there is anything to run."""
        return any(block.info in {CONSOLE, PYTHON} for block in self.blocks)


def pages() -> list[Page]:
    """Read all pages that people are meant to read."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [read_page(path) for path in paths]


def read_page(path: Path) -> Page:
    """Read one page.

    Raises:
        AssertionError: a block is not closed, or of a kind that nobody would check.
    """
    blocks: list[Block] = []
    needs: set[str] = set()
    lines: list[str] = []
    info, start, file = "", 0, ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence, directive = _FENCE.match(line), _DIRECTIVE.match(line)
        if start and fence:
            blocks.append(Block(info, tuple(lines), start, file))
            start, lines, file = 0, [], ""
        elif start:
            lines.append(line)
        elif fence:
            info, start = fence[1].strip(), number
            assert info in _INFOS, f"{path}:{number}: a block must be one of {', '.join(sorted(_INFOS))}"
        elif directive and directive[1] == "needs":
            needs |= set(directive[2].split())
        elif directive:
            file = directive[2]
    assert not start, f"{path}:{start}: the block is not closed"
    return Page(path, tuple(blocks), frozenset(needs))


def steps(block: Block) -> list[Step]:
    """Split a console block into commands, each with the output that follows it."""
    found: list[Step] = []
    unfinished = False
    for number, line in enumerate(block.lines, block.number + 1):
        prompt = _PROMPT.match(line)
        if unfinished:
            last = found[-1]
            found[-1] = Step(f"{last.command}\n{line}", (), last.where, last.number)
        elif prompt:
            found.append(Step(prompt[2], (), prompt[1] or "", number))
        else:
            assert found, f"line {number}: a console block begins with a command"
            last = found[-1]
            found[-1] = Step(last.command, (*last.shown, line), last.where, last.number)
        unfinished = (unfinished or prompt is not None) and line.endswith("\\")
    return found


def fits(shown: tuple[str, ...], printed: str) -> bool:
    """Say whether an output is as shown: `…` stands for any text, on a line of its own for any lines.

    How wide the gap between two columns is depends on what is random in them, so gaps are not measured.
    """
    pattern = ""
    for line in _trimmed(list(shown)):
        if line.strip() == ANYTHING:
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split(ANYTHING)) + r"[ \t]*\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _trimmed(printed.splitlines()))) is not None


def _trimmed(lines: list[str]) -> list[str]:
    lines = [_GAP.sub("  ", line.rstrip()) for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return lines
