"""A whole host in memory, for tests of the engine: no privilege, no clean-up, and errors on demand.

It answers as Linux does where the engine could notice: errno values, what vanishes with what, which sysctl
drags others along. It moves no packets, reads no nft rules (only the sets and maps of our table and the
headers of base chains), and gives no link-local addresses. The contract tests run it side by side with the
real kernel.
"""

from ductwork.kernel.fake.faults import Faults, Killed
from ductwork.kernel.fake.host import FakeKernel
from ductwork.kernel.fake.namespace import FakeLink, FakeNamespace
from ductwork.kernel.fake.traffic import FakeFlow

__all__ = ["FakeFlow", "FakeKernel", "FakeLink", "FakeNamespace", "Faults", "Killed"]
