"""What a run was asked for."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """`quick` cuts the rounds, to see that all works; its figures are not to be quoted."""

    quick: bool
    ours: str
    picture: Path | None = None

    def say(self, line: str) -> None:
        """Tell a person what happened, beside the results and never among them."""
        print(line, file=sys.stderr, flush=True)
