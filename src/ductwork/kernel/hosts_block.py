"""Where our lines stand in a hosts file, as bytes in and bytes out."""

from __future__ import annotations

import re
from collections.abc import Sequence

BEGIN = b"# begin ductwork"
END = b"# end ductwork"

# A begin without its end is not taken for a block: what follows it may be anybody's.
_BLOCK = re.compile(rb"^%b[ \t]*\n(?:(?!%b).*\n)*?%b" % (BEGIN, BEGIN, END), re.MULTILINE)


def replace_block(content: bytes, lines: Sequence[str]) -> bytes:
    """Put `lines` in place of our block, or at the end; no lines take the block away.

    Taking away what was put restores the content byte for byte: after a file without a line's end at its end
    our last marker has none either, and the line's end before the block is ours.
    """
    place: int | None = None
    while (match := _BLOCK.search(content)) is not None:
        start, end = match.span()
        if content[end : end + 1] == b"\n":
            end += 1
        elif end == len(content) and start > 0:
            start -= 1
        content = content[:start] + content[end:]
        place = start if place is None else place
    if not lines:
        return content
    place = len(content) if place is None else place
    before, after = content[:place], content[place:]
    block = b"\n".join([BEGIN, *(line.encode() for line in lines), END])
    if before and not before.endswith(b"\n"):
        return before + b"\n" + block + after
    return before + block + b"\n" + after
