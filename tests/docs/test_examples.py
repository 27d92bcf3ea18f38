"""Every example of README and docs, run in order on a fresh host by somebody who types what is there."""

import subprocess
import sys

import pytest
from tests.docs.blocks import NOT_RUN, ROOT, TEXT, Page, fits, pages, read_page
from tests.docs.reader import Reader
from tests.lab import Lab

PAGES = pages()

# What an example cannot do on a throwaway host: install, and run these very tests.
MAX_NOT_RUN = 4


@pytest.mark.parametrize("page", [p for p in PAGES if p.runs], ids=lambda page: page.name)
def test_the_examples_of_a_page_do_what_it_says(lab: Lab, page: Page) -> None:
    with Reader(lab, page) as reader:
        for block in page.blocks:
            reader.read(block)


def test_the_readme_shows_what_the_demo_prints(machine_untouched: None) -> None:
    shown = next(block for block in read_page(ROOT / "README.md").blocks if block.info == TEXT)
    argv = [sys.executable, str(ROOT / "demo" / "demo.py")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert fits(shown.lines, done.stdout), done.stdout


def test_few_examples_are_excused() -> None:
    excused = [f"{p.name}:{b.number}" for p in PAGES for b in p.blocks if b.info == NOT_RUN]
    assert len(excused) <= MAX_NOT_RUN, excused


@pytest.mark.parametrize(
    ("shown", "printed", "good"),
    [
        (("a", "b"), "a\nb\n", True),
        (("a",), "a\nb\n", False),
        (("a", "…"), "a\nb\nc\n", True),
        (("…", "c"), "a\nb\nc\n", True),
        (("at …/web",), "at /run/netns/web\n", True),
        (("at …/web",), "at /run/netns/db\n", False),
        (("a.c",), "abc\n", False),
        (("a…  b",), "abc     b\n", True),
        (("  a",), "a\n", False),
    ],
)
def test_output_is_compared_loosely_and_not_blindly(shown: tuple[str, ...], printed: str, good: bool) -> None:
    assert fits(shown, printed) is good
