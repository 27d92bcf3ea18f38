"""The iptables tools as an interface: running the right one of four, and reading what `-S` prints.

A host may have rules in the nft and in the legacy backend at the same time, for each family, and the plain
name `iptables` stands for either. What the rules should say is not decided here.
"""

from __future__ import annotations

import errno
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ductwork.errors import FailedPrecondition
from ductwork.kernel.ports import KernelError

_NOT_FOUND = 127  # what shells and nsenter return for a tool that is not installed
_WAIT_S = "5"  # for the lock that all users of the legacy backend share
_ENDINGS = frozenset({"ACCEPT", "DROP", "REJECT", "RETURN"})
_DROPS = frozenset({"DROP", "REJECT"})
_GONE = ("does a matching rule exist", "No chain/target/match by that name", "does not exist")
_ERRNOS = (
    ("No chain/target/match by that name", errno.ENOENT),
    ("does not exist", errno.ENOENT),
    ("Permission denied", errno.EPERM),
    ("Operation not permitted", errno.EPERM),
    ("xtables lock", errno.EBUSY),
    ("Index of insertion too big", errno.EAGAIN),
    ("Resource temporarily unavailable", errno.EAGAIN),
)


class Run(Protocol):
    """Runs a tool in the host's namespace; `kernel.Kernel.run` bound to the host's key is one.

    A tool that is not installed is a FailedPrecondition, a FileNotFoundError or exit code 127.
    """

    def __call__(self, argv: Sequence[str], stdin: str = "", /) -> tuple[int, str]:
        """Run it and return its exit code and what it printed."""
        ...


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a chain: `words` as -A takes them; an unconditional one hits every packet that gets to it."""

    words: tuple[str, ...]
    target: str
    unconditional: bool


@dataclass(frozen=True, slots=True)
class Chains:
    """The chains of one table, in the order of their rules; `policies` is there for the built-in ones."""

    policies: dict[str, str]
    rules: dict[str, list[Rule]]

    def drops(self, chain: str) -> bool:
        """Say whether a packet that no condition matches is dropped or rejected."""
        return (self._ending(chain, frozenset()) or self.policies.get(chain, "")) in _DROPS

    def _ending(self, chain: str, entered: frozenset[str]) -> str:
        for rule in self.rules.get(chain, []):
            if not rule.unconditional:
                continue
            if rule.target == "RETURN":
                return ""
            if rule.target in _ENDINGS:
                return rule.target
            if rule.target in self.rules and rule.target not in entered:
                ending = self._ending(rule.target, entered | {chain})
                if ending or "-g" in rule.words:
                    return ending
        return ""

    def passes(self, chain: str, through: str) -> bool:
        """Say whether every packet in `chain` visits the chain `through`."""
        for rule in self.rules.get(chain, []):
            if rule.unconditional and rule.target == through:
                return through in self.rules
            if rule.unconditional and rule.target in _ENDINGS:
                return False
        return False

    def sent_out_to(self, target: str) -> frozenset[str]:
        """Return the interfaces of which all that goes out is sent to a chain."""
        every = (rule.words for rules in self.rules.values() for rule in rules)
        return frozenset(w[1] for w in every if len(w) == 4 and (w[0], *w[2:]) == ("-o", "-j", target))

    def place_before_end(self, chain: str) -> int:
        """Return the number a new rule must get to be the last that still has an effect."""
        rules = self.rules.get(chain, [])
        for number, rule in enumerate(rules, 1):
            if rule.unconditional and rule.target in _ENDINGS:
                return number
        return len(rules) + 1


def parse_chains(text: str) -> Chains:
    """Read what `iptables -S` prints."""
    chains = Chains({}, {})
    for line in text.splitlines():
        words = _split(line)
        if len(words) < 2 or not words[0].startswith("-"):  # warnings of the tool begin with "#"
            continue
        rules = chains.rules.setdefault(words[1], [])
        if words[0] == "-P":
            chains.policies[words[1]] = words[2]
        elif words[0] == "-A":
            rules.append(_parse_rule(words[2:]))
    return chains


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # -S quotes comments, but not an interface's name that holds a quote
        return line.split()


def _parse_rule(words: list[str]) -> Rule:
    target, at = "", len(words)
    for place, word in enumerate(words[:-1]):
        # A comment may hold any word; its text follows --comment.
        if word in {"-j", "-g"} and (place == 0 or words[place - 1] != "--comment"):
            target, at = words[place + 1], place
            break
    conditions = words[:at]
    only_comment = len(conditions) == 4 and conditions[:3] == ["-m", "comment", "--comment"]
    return Rule(tuple(words), target, bool(target) and (not conditions or only_comment))


class Iptables:
    """One dialect: "iptables" and "ip6tables" mean the nft backend here, "…-legacy" the old one."""

    def __init__(self, firewall: str, run: Run, table: str = "filter") -> None:
        self._firewall = firewall
        self._table = table
        self._run = run
        self._tool = ""

    def chains(self, chain: str = "") -> Chains | None:
        """Read the table or one chain of it; None when it is not iptables' doing and cannot be read so."""
        doing = f"reading {self._firewall} table {self._table}"
        code, output = self._call(["-S", *([chain] if chain else [])])
        if code == 0:
            return parse_chains(output)
        if "is incompatible" in output:
            return None
        raise _refused(code, output, doing)

    def has(self, chain: str, rule: Sequence[str]) -> bool:
        """Say whether exactly this rule stands in the chain."""
        return self._done_or_gone(["-C", chain, *rule], f"looking for a rule in {self._name(chain)}")

    def insert(self, chain: str, place: int, rule: Sequence[str]) -> None:
        """Put a rule in, so that it becomes number `place`."""
        code, output = self._call(["-I", chain, str(place), *rule])
        if code != 0:
            raise _refused(code, output, f"adding a rule to {self._name(chain)}")

    def delete(self, chain: str, rule: Sequence[str]) -> bool:
        """Take one such rule away; False says that there was none, or no such chain."""
        return self._done_or_gone(["-D", chain, *rule], f"removing a rule from {self._name(chain)}")

    def _name(self, chain: str) -> str:
        return f"{self._firewall} chain {self._table} {chain}"

    def _done_or_gone(self, args: Sequence[str], doing: str) -> bool:
        code, output = self._call(args)
        if code == 0:
            return True
        if any(words in output for words in _GONE):
            return False
        raise _refused(code, output, doing)

    def _call(self, args: Sequence[str]) -> tuple[int, str]:
        tail = ["-w", _WAIT_S, "-t", self._table, *args]
        if self._tool:
            return self._run([self._tool, *tail])
        exact = self._firewall if self._firewall.endswith("-legacy") else f"{self._firewall}-nft"
        answer = self._try(exact, tail)
        if answer is None:
            self._tool = self._plain_tool()
            return self._run([self._tool, *tail])
        self._tool = exact
        return answer

    def _try(self, tool: str, args: Sequence[str]) -> tuple[int, str] | None:
        try:
            code, output = self._run([tool, *args])
        except (FileNotFoundError, FailedPrecondition):
            return None
        return None if code == _NOT_FOUND else (code, output)

    def _plain_tool(self) -> str:
        """Find out whether the plain name stands for the backend we need."""
        legacy = self._firewall.endswith("-legacy")
        plain = self._firewall.removesuffix("-legacy")
        answer = self._try(plain, ["--version"])
        # Before 1.8 there was one backend, and no word about it in the version.
        if answer is not None and ("nf_tables" not in answer[1]) is legacy:
            return plain
        raise FailedPrecondition(
            f"opening {self._firewall} for our bridges: its rules are in force here, "
            f"but the tool {plain} for this backend is not installed",
            hint="install the package iptables (on Fedora and RHEL: iptables-nft or iptables-legacy)",
            subject="package",
            name="iptables",
        )


def _refused(code: int, output: str, doing: str) -> KernelError:
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("#")]
    number = next((number for words, number in _ERRNOS if words in output), errno.EINVAL)
    return KernelError(number, " ".join(lines[:2]) or f"exit code {code} without a reason", doing)
