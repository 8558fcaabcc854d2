"""Starts worker processes: forked from a server that has imported the libraries, or spawned where no fork can be used."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Literal

import psutil

from peftcost.core.terminal import SENT
from peftcost.cost.device import Device
from peftcost.engine.messages import Died, Job, Message, message_of
from peftcost.engine.worker import environment_of, run_jobs, run_spawned
from peftcost.runner.group import run_group

KILL_SECONDS = 10.0
OF_ALL_FORKED = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
"""The environment of the server that children are forked from, whatever their device: it keeps off GPUs, and as models were
resolved before, off the network. Each child sets its own beside that (`worker.configure_process`)."""


@dataclass
class Worker:
    """A child and the pipe that it speaks through. A spawned one imports first; it rests when it waits for a job."""

    process: BaseProcess
    pipe: Connection
    state: Literal["importing", "resting", "busy"]

    @classmethod
    def of(cls, process: BaseProcess, ours: Connection, theirs: Connection, state: Literal["importing", "busy"]) -> Worker:
        """Of a process that was started. theirs: the pipe's other end, which is closed here."""
        theirs.close()
        return cls(process, ours, state)

    def give(self, kind: str, payload: dict[str, Any], log: str) -> None:
        """Hand it a job, which it begins when its imports are done."""
        self.state = "busy"
        with contextlib.suppress(OSError):  # it died this very moment: what it says next is that
            self.pipe.send_bytes(json.dumps(Job(kind, payload, log).as_dict()).encode())

    def hear(self) -> Message:
        """What it says; `Died` when it ended without a last word."""
        try:
            return message_of(json.loads(self.pipe.recv_bytes()))
        except (EOFError, OSError):
            self.process.join(KILL_SECONDS)
            return Died(self.process.exitcode)

    def lives(self) -> bool:
        """Whether a job may be given to it: who rests says nothing, so what can be heard of it is its end."""
        return self.state != "resting" or not self.pipe.poll()

    def join(self) -> None:
        """Wait until it has ended and its memory is free; it is killed if it hangs."""
        self.process.join(KILL_SECONDS)
        if self.process.is_alive():
            self.kill()
        self.pipe.close()

    def kill(self) -> None:
        """End it at once, with what it has started: a group's ranks hold devices."""
        below: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            below = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        for process in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.join(KILL_SECONDS)
        psutil.wait_procs(below, KILL_SECONDS)
        self.pipe.close()


def fork(device: Device, log: str) -> Worker:
    """A child that takes one job. The server that it comes from imports once for all."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["peftcost.engine.preload"])
    ours, theirs = context.Pipe()
    process = context.Process(target=run_jobs, args=(theirs, [device.as_dict()], log, False), daemon=True)
    with environment(OF_ALL_FORKED), without_main_module():
        with out_of_reach_of_ctrl_c():
            forkserver.ensure_running()
        process.start()  # waits until the server has imported; Ctrl-C may end that
    return Worker.of(process, ours, theirs, "busy")


def spawn(device: Device, log: str) -> Worker:
    """A child that begins as a new Python, imports, and then takes jobs as long as each leaves it as it was."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run_spawned, args=(theirs, [device.as_dict()], log), daemon=True)
    with environment(environment_of(device)):
        return start_spawned(process, ours, theirs)


def spawn_group(devices: Sequence[Device], log: str) -> Worker:
    """A child that speaks for a group of processes, one a device, which import and then take jobs like a spawned one."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run_group, args=(theirs, [device.as_dict() for device in devices], log), daemon=True)
    return start_spawned(process, ours, theirs)


def start_spawned(process: BaseProcess, ours: Connection, theirs: Connection) -> Worker:
    with without_main_module(), out_of_reach_of_ctrl_c():
        process.start()
    return Worker.of(process, ours, theirs, "importing")


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, which children inherit, and put back what was there: the caller's process keeps its own."""
    kept = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def out_of_reach_of_ctrl_c() -> Iterator[None]:
    """Processes that are started in this block never see what a terminal sends to them, too: what is importing then would
    print a traceback. It reaches the caller when the block ends."""
    resource_tracker.ensure_running()  # multiprocessing lets SIGINT through again when it starts this
    kept = signal.pthread_sigmask(signal.SIG_BLOCK, SENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, kept)


@contextlib.contextmanager
def without_main_module() -> Iterator[None]:
    """Keep multiprocessing from running the caller's script again in each child: a worker needs nothing of it, and
    a script that calls peftcost.search without a main guard would start itself over."""
    main = sys.modules["__main__"]
    kept = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    try:
        for name in kept:
            setattr(main, name, None)
        yield
    finally:
        for name, value in kept.items():
            setattr(main, name, value)
