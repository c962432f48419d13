"""Real processes under random faults, with a recorded history that is then checked.

``nemesis`` (what breaks), ``load`` (users on real sockets), ``run`` (a torture from beginning to
end), ``report`` (what came of it). The users are those of the simulator; what the simulator cannot
show is the kernel, the network stack and the interpreter, and what this cannot show is a loss of
power: ``kill -9`` keeps the page cache.
"""

from raftkv.cluster.torture.nemesis import Fault
from raftkv.cluster.torture.report import Report
from raftkv.cluster.torture.run import Torture, TortureOptions

__all__ = ["Fault", "Report", "Torture", "TortureOptions"]
