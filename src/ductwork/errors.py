"""Every error Ductwork raises, sorted by what the caller should do about it.

    DuctworkError
    ├── InvalidArgument      the request can never work: change it
    ├── NotFound             the named thing does not exist
    ├── Conflict             something else has it: choose another or free it
    ├── FailedPrecondition   the system is not in the needed state: do what the hint says first
    ├── Exhausted            a pool or a limit is full
    ├── Denied               permission is missing
    ├── Unavailable          try again later
    └── Internal             a defect of ours, or a kernel answer nobody foresaw

A message reads "what was being done: why"; the hint says what to do. Front ends map the class to an exit
code, an HTTP status or a CNI code through one table each.
"""

from __future__ import annotations


class DuctworkError(Exception):
    """Base of all errors with a message for a person: what and why, and a hint that says what to do."""

    kind = "internal"

    def __init__(self, message: str, *, hint: str = "", subject: str = "", name: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.subject = subject
        self.name = name

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class InvalidArgument(DuctworkError):
    """The request can never work as it is."""

    kind = "invalid"


class NotFound(DuctworkError):
    """The named thing does not exist."""

    kind = "not-found"


class Conflict(DuctworkError):
    """Somebody else already has the name, address, port or subnet."""

    kind = "conflict"


class FailedPrecondition(DuctworkError):
    """The system is not in the state this needs."""

    kind = "precondition"


class Exhausted(DuctworkError):
    """A pool or a limit is full."""

    kind = "exhausted"


class Denied(DuctworkError):
    """The caller lacks a permission."""

    kind = "denied"


class Unavailable(DuctworkError):
    """It may work when tried again."""

    kind = "unavailable"


class Internal(DuctworkError):
    """A defect of ours or an answer nobody foresaw."""

    kind = "internal"


class TeardownErrors(Internal):
    """Teardown went on past failures and tells all of them at the end."""

    def __init__(self, message: str, causes: list[DuctworkError]) -> None:
        super().__init__(f"{message}: " + "; ".join(cause.message for cause in causes))
        self.causes = tuple(causes)
