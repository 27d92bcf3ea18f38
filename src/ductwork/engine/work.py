"""What a use case has at hand: the change it is building, the kernel to look at, and the way to targets."""

from __future__ import annotations

from dataclasses import dataclass

from ductwork.engine.change import Change
from ductwork.engine.state import State
from ductwork.engine.targets import Binder, Targets
from ductwork.kernel.ports import Kernel
from ductwork.model.host import Host


@dataclass(slots=True)
class Work:
    """One use case at work. The kernel is for looking only; changing it is the change's business."""

    host: Host
    host_id: str
    kernel: Kernel
    binder: Binder
    targets: Targets
    change: Change

    @property
    def state(self) -> State:
        """The records as they will be after the change."""
        return self.change.state
