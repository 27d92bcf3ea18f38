"""Steps on elements folded into one transaction, and what to leave out when the kernel refuses it.

Removing what is gone must succeed, but one missing element aborts a whole transaction, and a changed value
needs delete and add. So the likely transaction is tried first, without looking; only a refusal costs a look.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ductwork.errors import InvalidArgument
from ductwork.kernel.nft.elements import WireElement, codec, encode
from ductwork.kernel.nft.messages import DELSETELEM, NEWSETELEM, element_lists, entry_at
from ductwork.kernel.nft.nfnetlink import CREATE, EXCL, Refusal, Request
from ductwork.model.objects import Add, Change, KernelObject, NftElement, Remove, Step

# Which of them an element with another value brings depends on the kernel and on the kind of set.
_CLASHES = {errno.EBUSY, errno.EEXIST}


@dataclass(slots=True)
class Intent:
    """What shall become of one key: first perhaps deleted, then perhaps added."""

    element: NftElement
    wire: WireElement
    delete: bool
    add: bool
    exclusive: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """One message of a transaction and the intents its entries stand for."""

    request: Request
    intents: Sequence[Intent]

    @property
    def deletes(self) -> bool:
        """Say which of the two kinds of message it is."""
        return self.request.kind == DELSETELEM

    @property
    def set_name(self) -> str:
        """Name the set all entries are of."""
        return self.intents[0].element.set

    def may_adjust(self, refusal: Refusal) -> bool:
        """Say whether a refusal is one that a look at the set can explain away."""
        if self.deletes:
            return refusal.errno == errno.ENOENT
        return refusal.errno in _CLASHES and not any(intent.exclusive for intent in self.intents)

    def at_fault(self, refusal: Refusal) -> Intent | None:
        """Name the element the kernel stumbled over, if it said so."""
        if len(self.intents) == 1:
            return self.intents[0]
        index = entry_at(self.request, refusal.offset) if refusal.offset else None
        return None if index is None else self.intents[index]


class Transaction:
    """The net effect of steps, per key."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self._intents: dict[tuple[str, bytes, bytes], Intent] = {}
        for step in steps:
            match step:
                case Add(object=made, tolerant=tolerant):
                    self._add(_element(made), exclusive=not tolerant)
                case Remove(object=gone):
                    self._remove(_element(gone))
                case Change(old=old, new=new):
                    self._remove(_element(old))
                    self._add(_element(new), exclusive=False)

    def _add(self, element: NftElement, exclusive: bool) -> None:
        wire = codec(element.set).wire(element)
        place = (element.set, wire.key, wire.end)
        before = self._intents.get(place)
        delete = before is not None and before.delete
        self._intents[place] = Intent(element, wire, delete, add=True, exclusive=exclusive)

    def _remove(self, element: NftElement) -> None:
        wire = codec(element.set).wire(element)
        self._intents[element.set, wire.key, wire.end] = Intent(element, wire, delete=True, add=False)

    def parts(self) -> list[Part]:
        """Write the messages: all deletions before all additions, one run per set."""
        deletes: dict[str, list[Intent]] = {}
        adds: dict[tuple[str, bool], list[Intent]] = {}
        for intent in self._intents.values():
            if intent.delete:
                deletes.setdefault(intent.element.set, []).append(intent)
            if intent.add:
                adds.setdefault((intent.element.set, intent.exclusive), []).append(intent)
        parts: list[Part] = []
        for name, intents in deletes.items():
            parts += _parts(DELSETELEM, 0, name, intents)
        for (name, exclusive), intents in adds.items():
            parts += _parts(NEWSETELEM, CREATE | (EXCL if exclusive else 0), name, intents)
        return parts

    def interval_deletes(self) -> set[str]:
        """Name the interval sets from which something is to be deleted."""
        return {
            intent.element.set
            for intent in self._intents.values()
            if intent.delete and codec(intent.element.set).schema.interval
        }

    def intents_in(self, set_name: str) -> list[Intent]:
        """Return the intents on one set."""
        return [intent for intent in self._intents.values() if intent.element.set == set_name]

    def adjust(self, set_name: str, existing: dict[tuple[bytes, bytes], WireElement]) -> bool:
        """Fit the intents on one set to what exists; say whether that changed anything."""
        changed = False
        for intent in self.intents_in(set_name):
            found = existing.get((intent.wire.key, intent.wire.end))
            if found is None:
                delete = False
            elif intent.add and not intent.exclusive:
                delete = found.value != intent.wire.value
            else:
                continue
            changed = changed or delete != intent.delete
            intent.delete = delete
        return changed


def _parts(kind: int, flags: int, set_name: str, intents: Sequence[Intent]) -> Iterable[Part]:
    entries = [encode(intent.wire, with_value=kind == NEWSETELEM) for intent in intents]
    start = 0
    for request, count in element_lists(kind, flags, set_name, entries):
        yield Part(request, intents[start : start + count])
        start += count


def _element(made: KernelObject) -> NftElement:
    if not isinstance(made, NftElement):
        raise InvalidArgument(f"nft elements: {type(made).__name__} is none")
    return made
