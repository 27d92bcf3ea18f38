"""The drivers by the name the user types."""

from __future__ import annotations

from ductwork.drivers.base import Driver
from ductwork.drivers.bridge import BridgeDriver
from ductwork.drivers.host import HostDriver
from ductwork.drivers.link import LinkDriver
from ductwork.drivers.none import NoneDriver
from ductwork.errors import InvalidArgument

DRIVERS: dict[str, Driver] = {
    driver.kind: driver for driver in (BridgeDriver(), LinkDriver(), HostDriver(), NoneDriver())
}


def driver_of(kind: str) -> Driver:
    """Return a driver by name.

    Raises:
        InvalidArgument: unknown; the message lists the known ones.
    """
    driver = DRIVERS.get(kind)
    if driver is None:
        raise InvalidArgument(
            f"driver {kind!r} is not known", hint=f"drivers are: {', '.join(sorted(DRIVERS))}"
        )
    return driver
