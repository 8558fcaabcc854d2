"""What the launcher starts once for each device of a group: a worker that is one of the group's ranks.

`python -m peftcost.engine.rank_process`, with the variables that `runner.group` sets. It ends when the process that
speaks for the group does, which holds the other end of the launcher's standard input.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from multiprocessing.connection import Connection

from peftcost.engine.worker import run_spawned

ADDRESS, DEVICES, LOG = "PEFTCOST_GROUP", "PEFTCOST_GROUP_DEVICES", "PEFTCOST_GROUP_LOG"
"""Environment variables: the socket that ranks report to, the group's devices by rank, and the file for their prints."""


def main() -> None:
    """Report to the group's process and take jobs from it."""
    threading.Thread(target=end_with_group, daemon=True).start()
    pipe = connect(os.environ[ADDRESS])
    pipe.send_bytes(json.dumps({"rank": int(os.environ["RANK"]), "pid": os.getpid()}).encode())
    run_spawned(pipe, json.loads(os.environ[DEVICES]), os.environ[LOG])
    os._exit(0)  # nothing is left to be said; to leave the process group in order could wait for a rank that has died


def connect(address: str) -> Connection:
    """A pipe to who listens at this socket."""
    ours = socket.socket(socket.AF_UNIX)
    ours.connect(address)
    return Connection(ours.detach())


def end_with_group() -> None:
    """Wait until standard input ends, then end this process, whatever it is doing."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
