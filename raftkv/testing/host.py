"""The process that a ``LocalCluster`` lives in: a launcher, until its stdin ends.

Of its own, because node processes are spawned, which would run an unguarded script a second time; and
because the end of a pipe reaches it however the test process ends, so nothing is left behind.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from raftkv.testing.cluster import READY


def main(data: str, nodes: str, base_port: str) -> None:
    from raftkv.cluster.launcher import Launcher
    from raftkv.errors import RaftkvError

    try:
        launcher = Launcher(Path(data), nodes=int(nodes), base_port=int(base_port))

        def await_end() -> None:
            sys.stdin.buffer.read()
            launcher.stop()

        def say_ready() -> None:
            launcher.ready.wait()
            print(READY, flush=True)

        for target in (await_end, say_ready):
            threading.Thread(target=target, daemon=True).start()
        launcher.run()
    except (RaftkvError, OSError) as error:
        print(error, flush=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main(*sys.argv[1:])
