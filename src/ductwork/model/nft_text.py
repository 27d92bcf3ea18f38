"""What our table's text says in numbers, to be held against what the kernel still has of it."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=4)
def count_rules(text: str) -> int:
    """Count the rules of a table written one rule a line, with each chain's braces on lines of their own."""
    count = 0
    in_chain = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("chain ") and line.endswith("{"):
            in_chain = True
        elif line == "}":
            in_chain = False
        elif in_chain and line and not line.startswith(("#", "type ")):
            count += 1
    return count
