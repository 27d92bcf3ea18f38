"""NftSocket: nftables in one namespace, as `kernel/ports.NftPort` asks for it."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import NoReturn

from ductwork.kernel.enter import Enter
from ductwork.kernel.nft import library, messages
from ductwork.kernel.nft.elements import WireElement, codec, decode, encode
from ductwork.kernel.nft.nfnetlink import NetfilterSocket, Refusal, describe
from ductwork.kernel.nft.transaction import Intent, Part, Transaction
from ductwork.kernel.ports import KernelError, NftChainInfo
from ductwork.model.nft_schema import FAMILY, TABLE
from ductwork.model.objects import NftElement, NsKey, Ruleset, Step

_OWNER = "ductwork host "
_TRIES = 5
_ASK_ONE_BY_ONE = 32  # from about here on reading the whole set of a busy host is no dearer

_GONE = "our nft table is gone (somebody flushed the ruleset)"
_WORDS = {
    errno.EPERM: "not permitted: CAP_NET_ADMIN is missing here, or the table belongs to another process",
    errno.EACCES: "not permitted",
    errno.EEXIST: "it exists already",
    errno.ENOENT: "it does not exist",
    errno.ENOBUFS: "the kernel's answer was lost, so the outcome is unknown",
    errno.EAGAIN: "the kernel did not answer in time, so the outcome is unknown",
    errno.EMSGSIZE: "more elements at once than the socket may send",
}


class NftSocket:
    """Our nft table in one namespace.

    The netfilter socket is opened inside the namespace once; after that only `load` and `run`, which go
    through libnftables, need `enter`. Elements read back in canonical form: protocols as numbers, and in
    interval sets a network of one address as that address.
    """

    def __init__(self, ns: NsKey, enter: Enter) -> None:
        self._ns = ns
        self._enter = enter
        self._socket = NetfilterSocket(enter)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def load(self, ruleset: Ruleset) -> None:
        """Replace our table by this text in one transaction."""
        # Adding first makes the delete succeed where there is no table yet.
        text = f"add table {FAMILY} {TABLE}\ndelete table {FAMILY} {TABLE}\n{ruleset.text}"
        self._run(text, "loading our nft table")

    def delete_table(self) -> None:
        """Delete our table; one that is gone is success."""
        doing = "deleting our nft table"
        try:
            refusals = self._socket.transact([messages.delete_table()])
        except OSError as error:
            raise _lost(error, doing) from error
        if refusals and refusals[0].errno != errno.ENOENT:
            raise KernelError(refusals[0].errno, _words(refusals[0]), doing)

    def owner(self) -> str | None:
        """Return the owner our table was loaded for, None when there is no table."""
        doing = "reading our nft table"
        try:
            answers, refusals = self._socket.ask([messages.get_table()])
        except OSError as error:
            raise _lost(error, doing) from error
        if refusals:
            if refusals[0].errno == errno.ENOENT:
                return None
            raise KernelError(refusals[0].errno, _words(refusals[0]), doing)
        return messages.table_comment(answers[0]).removeprefix(_OWNER) if answers else None

    def rule_count(self) -> int:
        """Count the rules in our table; 0 when there is no table."""
        doing = "reading the rules of our nft table"
        try:
            return sum(map(messages.is_rule, self._socket.dump(messages.dump_rules(), doing)))
        except KernelError as error:
            if error.errno == errno.ENOENT:  # as kernels answer that look for the table first
                return 0
            raise
        except OSError as error:
            raise _lost(error, doing) from error

    def apply(self, steps: Sequence[Step]) -> None:
        """Add and remove elements in one transaction: all or nothing.

        Raises:
            KernelError: nothing was changed, except after ENOBUFS and EAGAIN, when the outcome is unknown.
            InvalidArgument: a step is not about an element of a set of ours; nothing was changed.
        """
        transaction = Transaction(steps)
        for name in transaction.interval_deletes():
            # The kernel would delete whatever range covers the first key of a missing one (tried on 6.18).
            transaction.adjust(name, self._existing(name, transaction.intents_in(name)))
        for attempt in range(_TRIES):
            parts = transaction.parts()
            if not parts:
                return
            refusals = self._send(parts)
            if not refusals:
                return
            fatal = [r for r in refusals if r.place < 0 or not parts[r.place].may_adjust(r)]
            if fatal or attempt == _TRIES - 1 or not self._adjust(transaction, parts, refusals):
                self._refuse(parts, (fatal or refusals)[0])

    def _adjust(self, transaction: Transaction, parts: Sequence[Part], refusals: Sequence[Refusal]) -> bool:
        refused = {parts[refusal.place].set_name for refusal in refusals}
        adjusted = [
            transaction.adjust(name, self._existing(name, transaction.intents_in(name))) for name in refused
        ]
        return any(adjusted)

    def _existing(self, set_name: str, intents: Sequence[Intent]) -> dict[tuple[bytes, bytes], WireElement]:
        """Find which of these elements exist, by key."""
        if len(intents) > _ASK_ONE_BY_ONE:
            found = self._read(set_name, missing_is_empty=True)
        else:
            asked = [messages.question(set_name, encode(intent.wire, with_value=False)) for intent in intents]
            doing = f"reading elements of {set_name}"
            try:
                answers, refusals = self._socket.ask(asked)
            except OSError as error:
                raise _lost(error, doing) from error
            for refusal in refusals:
                if refusal.errno != errno.ENOENT:
                    raise KernelError(refusal.errno, _words(refusal), doing)
            found = list(decode(messages.entries(answers)))
        return {(wire.key, wire.end): wire for wire in found}

    def elements(self, set_name: str) -> list[NftElement]:
        """Return all elements of one of our sets, in the kernel's order.

        Raises:
            KernelError: the set is not there, or somebody put in what we could never have written.
        """
        translate = codec(set_name).element
        found = self._read(set_name)
        try:
            return [translate(wire, self._ns) for wire in found]
        except ValueError as error:
            raise _strange(set_name, error) from error

    def _read(self, set_name: str, missing_is_empty: bool = False) -> list[WireElement]:
        doing = f"reading set {set_name}"
        try:
            answers = self._socket.dump(messages.dump_elements(set_name), doing)
            return list(decode(messages.entries(answers)))
        except KernelError as error:
            if error.errno == errno.ENOENT:
                if missing_is_empty:
                    return []
                raise KernelError(errno.ENOENT, self._what_is_gone(set_name), doing) from error
            raise
        except OSError as error:
            raise _lost(error, doing) from error
        except ValueError as error:
            raise _strange(set_name, error) from error

    def base_chains(self) -> list[NftChainInfo]:
        """Return the base chains of every table in the namespace."""
        doing = "reading the nft chains"
        try:
            answers = self._socket.dump(messages.dump_chains(), doing)
        except OSError as error:
            raise _lost(error, doing) from error
        return [chain for answer in answers if (chain := messages.base_chain(answer))]

    def run(self, text: str) -> str:
        """Run nft commands and return what they print; a text that begins with `-j ` prints JSON."""
        return self._run(text, "running nft commands")

    def _run(self, text: str, doing: str) -> str:
        return self._enter(lambda: library.run_here(text, doing))

    def _send(self, parts: Sequence[Part]) -> list[Refusal]:
        try:
            return self._socket.transact([part.request for part in parts])
        except OSError as error:
            raise _lost(error, _doing(parts)) from error

    def _refuse(self, parts: Sequence[Part], refusal: Refusal) -> NoReturn:
        if refusal.place < 0:
            raise KernelError(refusal.errno, _words(refusal), _doing(parts))
        part = parts[refusal.place]
        text = _words(refusal)
        if refusal.errno == errno.ENOENT:
            text = self._what_is_gone(part.set_name)
        elif refusal.errno == errno.EEXIST and codec(part.set_name).schema.interval:
            text = "it exists already, or a range that overlaps it"
        raise KernelError(refusal.errno, text, _doing([part], part.at_fault(refusal)))

    def _what_is_gone(self, set_name: str) -> str:
        if self.owner() is None:
            return _GONE
        return f"set {set_name}, or a chain its elements name, is missing in our nft table"


def _doing(parts: Sequence[Part], intent: Intent | None = None) -> str:
    """Say what a transaction, or one element's part of it, was about."""
    kinds = {part.deletes for part in parts}
    verb = "changing" if len(kinds) > 1 else "removing" if True in kinds else "adding"
    if intent is not None:
        key = " . ".join(map(str, intent.element.key))
        return f"{verb} {key} in nft set {intent.element.set}"
    sets = sorted({part.set_name for part in parts})
    count = sum(len(part.intents) for part in parts)
    return f"{verb} {count} elements in nft set{'s' if len(sets) > 1 else ''} {', '.join(sets)}"


def _words(refusal: Refusal) -> str:
    words = _WORDS.get(refusal.errno)
    if words is None:
        return describe(refusal)
    return f"{words} ({refusal.text})" if refusal.text else words


def _lost(error: OSError, doing: str) -> KernelError:
    code = error.errno or errno.EIO
    return KernelError(code, _WORDS.get(code, str(error)), doing)


def _strange(set_name: str, error: ValueError) -> KernelError:
    shown = f"nft list {'map' if codec(set_name).schema.is_map else 'set'} {FAMILY} {TABLE} {set_name}"
    text = f"it holds {error}, which Ductwork never writes; look at `{shown}`"
    return KernelError(errno.EINVAL, text, f"reading set {set_name}")
