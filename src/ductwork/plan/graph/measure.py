"""How wide a text is before any font is known: estimates on the generous side, and text cut to fit."""

from __future__ import annotations

import unicodedata

MONO_EM = 0.61  # the advance of every common monospaced font is 0.60 or just above
_SANS_EM = 0.62
_NARROW_EM, _NARROW = 0.36, frozenset("ijlI.,:;'|!()[] -ftr")
_BROAD_EM, _BROAD = 0.86, frozenset("mwMWQOGD@%")
_BOLD = 1.2


def columns(text: str) -> int:
    """Count the columns a terminal needs: East Asian letters take two, combining ones none."""
    return sum(_columns_of(c) for c in text)


def _columns_of(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def width(text: str, size: float, *, mono: bool = False, bold: bool = False) -> float:
    """Estimate the width of a text in pixels at a font size."""
    ems = sum(_em(char, mono=mono) for char in text)
    return ems * size * (_BOLD if bold and not mono else 1)


def _em(char: str, *, mono: bool) -> float:
    cells = _columns_of(char)
    if mono or cells != 1:
        return cells * MONO_EM
    return _NARROW_EM if char in _NARROW else _BROAD_EM if char in _BROAD else _SANS_EM


def fit(text: str, room: float, size: float, *, mono: bool = False, bold: bool = False) -> str:
    """Cut a text so that it is at most `room` pixels wide, with an ellipsis where it was cut."""
    if width(text, size, mono=mono, bold=bold) <= room:
        return text
    while text and width(text + "…", size, mono=mono, bold=bold) > room:
        text = text[:-1]
    return text + "…"


def fit_columns(text: str, room: int) -> str:
    """Cut a text to a number of terminal columns."""
    if columns(text) <= room:
        return text
    while text and columns(text) + 1 > room:
        text = text[:-1]
    return text + "…" if room > 0 else ""


def pad(text: str, room: int) -> str:
    """Cut or fill a text to exactly a number of terminal columns."""
    short = fit_columns(text, room)
    return short + " " * (room - columns(short))
