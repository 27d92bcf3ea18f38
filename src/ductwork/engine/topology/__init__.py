"""A topology against a host: what differs, and bringing the host to it.

`compare` reads the host's records once and says what to do as two lists of actions. Removals come first and
are one change that is carried through; all the rest is one change that is done wholly or not at all. What a
topology made carries its name, and only that is ever taken away again. Comparing looks at records, not at
the kernel: what somebody took away there, repair puts back.
"""

from __future__ import annotations

from ductwork.engine.topology.actions import Action, Sign, TopologyPlan
from ductwork.engine.topology.carry_out import plan_steps, rehearse, stage_creations, stage_removals
from ductwork.engine.topology.compare import compare

__all__ = [
    "Action",
    "Sign",
    "TopologyPlan",
    "compare",
    "plan_steps",
    "rehearse",
    "stage_creations",
    "stage_removals",
]
