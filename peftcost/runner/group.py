"""Several devices for one job: a group of processes, one a device, started by torch's elastic launcher (Accelerate's).

The executor speaks to one process, as to any worker. That process starts the launcher, hands each job to all ranks, passes on
what the main rank says, and gives one last word for all. A rank that fails or dies ends the group: the others would
wait for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import psutil

from peftcost.core.terminal import leave_to_caller
from peftcost.cost.contention import FAMILY
from peftcost.cost.device import Device
from peftcost.engine.messages import Died, Done, Failed, LastWord, Message, Ready, dict_of, message_of
from peftcost.engine.rank_process import ADDRESS, DEVICES, LOG
from peftcost.engine.worker import environment_of, redirect_output

START_SECONDS = 300.0
"""In this time all ranks have begun, or they never will: it is for slow disks."""
LOOK_SECONDS = 1.0
"""How often to see whether the launcher lives."""
GRACE_SECONDS = 1.0
"""How long the other ranks have to say what they know when one has failed: who died first has said nothing."""
END_SECONDS = 10.0


def run_group(pipe: Connection, devices: Sequence[Mapping[str, Any]], log: str) -> None:
    """What a child process runs that speaks for a group: jobs come through the pipe, and what is said goes back."""
    leave_to_caller()
    redirect_output(log)
    with tempfile.TemporaryDirectory(prefix="peftcost-group-") as folder, contextlib.closing(pipe):
        group = Group.launch([Device(**device) for device in devices], log, Path(folder))
        try:
            if group.has_begun():
                send(pipe, Ready())
                with contextlib.suppress(EOFError, OSError):  # no more jobs, or the runner is gone
                    while group.run_next(pipe):
                        pass
        finally:
            group.end()


def send(pipe: Connection, message: Message) -> None:
    pipe.send_bytes(json.dumps(dict_of(message)).encode())


@dataclass
class Group:
    """ranks: the number and the process id of each, by its pipe."""

    size: int
    launcher: subprocess.Popen[bytes]
    listening: socket.socket
    report: Path
    ranks: dict[Connection, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def launch(cls, devices: Sequence[Device], log: str, folder: Path) -> Group:
        """Start the launcher, which starts a process for each device."""
        address, report = str(folder / "ranks"), folder / "launcher.log"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(address)
        listening.listen(len(devices))
        values = environment_of(*devices) | {
            "OMP_NUM_THREADS": str(devices[0].threads),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            ADDRESS: address,
            DEVICES: json.dumps([device.as_dict() for device in devices]),
            LOG: log,
            FAMILY: str(os.getppid()),
        }
        launch = ["-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={len(devices)}"]
        with report.open("wb") as file:
            launcher = subprocess.Popen(
                [sys.executable, *launch, "-m", "peftcost.engine.rank_process"],
                env={**os.environ, **values},
                stdin=subprocess.PIPE,  # its end is the ranks' sign to end, however this process ended
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        return cls(len(devices), launcher, listening, report)

    def has_begun(self) -> bool:
        """Wait until every rank has imported; False when that fails."""
        ready: set[Connection] = set()
        deadline = time.monotonic() + START_SECONDS
        while len(ready) < self.size and time.monotonic() < deadline and self.launcher.poll() is None:
            for found in wait([self.listening, *self.ranks], LOOK_SECONDS):
                if found is self.listening:
                    self._admit()
                    continue
                assert isinstance(found, Connection)
                if not isinstance(hear(found), Ready):
                    return False
                ready.add(found)
        return len(ready) == self.size

    def _admit(self) -> None:
        """Take in a rank that reports."""
        accepted, _ = self.listening.accept()
        pipe = Connection(accepted.detach())
        told = json.loads(pipe.recv_bytes())
        self.ranks[pipe] = told["rank"], told["pid"]

    def run_next(self, pipe: Connection) -> bool:
        """Run the next job; True when the group can take another. EOFError when there is none."""
        if any(found is not pipe for found in wait([pipe, *self.ranks])):
            return False  # a rank has died at rest; who hands over the next job sees that nobody is there
        job = pipe.recv_bytes()
        for rank in self.ranks:
            with contextlib.suppress(OSError):  # it has died, which is heard next
                rank.send_bytes(job)
        said = self._heard(pipe)
        last = self._last_word(said)
        send(pipe, last)
        return isinstance(last, Done) and last.stays

    def _heard(self, pipe: Connection) -> dict[int, LastWord]:
        """The ranks' last words; of those that know why, once one has failed. The main rank's messages are passed on."""
        said: dict[int, LastWord] = {}
        waiting, deadline = dict(self.ranks), float("inf")
        while waiting and time.monotonic() < deadline:
            for found in wait(list(waiting), min(LOOK_SECONDS, max(0.0, deadline - time.monotonic()))):
                assert isinstance(found, Connection)
                (number, _), message = waiting[found], hear(found)
                if isinstance(message, LastWord):
                    said[number] = message
                    del waiting[found]
                    if not isinstance(message, Done):
                        deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
                elif number == 0:
                    send(pipe, message)
        return said

    def _last_word(self, said: Mapping[int, LastWord]) -> LastWord:
        """What the ranks' last words mean for the job: of several failures that of a rank that died, else the first, since
        the others only tell that they lost it."""
        died = next((number for number, word in said.items() if isinstance(word, Died)), None)
        if died is not None:
            return Died(self._exit_code(died), died)
        failures = [(number, word) for number, word in said.items() if isinstance(word, Failed)]
        if failures:
            number, first = failures[0]
            alike = len(failures) == self.size and len({word.reason for _, word in failures}) == 1
            return first if alike else Failed(f"rank {number} of {self.size}: {first.reason}", first.fault)
        main = said[0]
        assert isinstance(main, Done)
        return Done(main.result, all(isinstance(word, Done) and word.stays for word in said.values()))

    def _exit_code(self, number: int) -> int | None:
        """What the launcher reports of a rank that died, None if it does not say."""
        (pid,) = [pid for at, pid in self.ranks.values() if at == number]
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.launcher.wait(END_SECONDS)
        found = re.search(rf"exitcode\s*:\s*(-?\d+)\s*\(pid: {pid}\)", self.report.read_text(errors="replace"))
        return None if found is None else int(found[1])

    def end(self) -> None:
        """End all of its processes, and put what the launcher said into the log."""
        family = psutil.Process().children(recursive=True)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, END_SECONDS)
        print(self.report.read_text(errors="replace"), end="", flush=True)
        self.listening.close()


def hear(pipe: Connection) -> Message:
    """What a rank says; `Died` when it ended."""
    try:
        return message_of(json.loads(pipe.recv_bytes()))
    except (EOFError, OSError):
        return Died(None)
