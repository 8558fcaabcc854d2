"""Looks at the machine: devices, memory, libraries, storage, hub, load; then tries to train. Free of torch."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
import time
from pathlib import Path

import psutil

from peftcost.core.versions import LIBRARIES, versions
from peftcost.cost.cgroup import cpu_quota
from peftcost.cost.device import (
    Device,
    choose_devices,
    cpu_cores,
    host_memory,
    machine_gpus,
    torch_is_cpu_build,
    visible_gpus,
)
from peftcost.doctor.advice import BUSY_CORES
from peftcost.doctor.findings import DeviceFacts, Findings, Hub, Load, Memory, Process, Storage
from peftcost.doctor.trials import Say, try_training

HUB_SECONDS = 3.0
LOAD_SECONDS = 1.0
ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "HF_HUB_OFFLINE", "HF_HOME", "PEFTCOST_CACHE")


def examine(say: Say = lambda text: None) -> Findings:
    """Look at everything; takes about half a minute, most of it short trainings."""
    say("looking at the machine")
    runs = Path("runs")
    load, hub, memory = cpu_load(), hub_state(), Memory(*host_memory())
    libraries = versions()
    missing = [name for name in LIBRARIES if name not in libraries]
    device = None if "torch" in missing else choose_devices()[0]
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    precisions, checks = ([], []) if device is None else try_training(device, missing, say)
    return Findings(
        devices=device_facts(device, memory),
        gpus_in_machine=len(machine_gpus()),
        cores=cpu_cores(),
        cpu_quota=cpu_quota(),
        memory=memory,
        storage=storage_state(runs),
        hub=hub,
        load=load,
        environment=environment,
        libraries=libraries,
        missing_libraries=missing,
        precisions=precisions,
        methods=checks,
    )


def device_facts(default: Device | None, memory: Memory) -> list[DeviceFacts]:
    """The GPUs that may be seen and the CPU. default: what would be trained on, None when torch is missing."""
    why_not = "torch is missing" if default is None else "this torch is a CPU build" if torch_is_cpu_build() else None
    found = []
    for gpu in visible_gpus():
        chosen = default is not None and (default.kind, default.cuda_name) == ("cuda", gpu.as_device(1).cuda_name)
        free = gpu.total_bytes - gpu.used_bytes
        found.append(DeviceFacts("cuda", gpu.name, int(gpu.index), cpu_cores(), gpu.total_bytes, free, chosen, why_not))
    cpu = choose_devices("cpu")[0]
    chosen = default is not None and default.kind == "cpu"
    found.append(DeviceFacts("cpu", cpu.name, 0, cpu.threads, memory.total_bytes, memory.free_bytes, chosen))
    return found


def cpu_load(seconds: float = LOAD_SECONDS) -> Load:
    """What others use of the CPU, measured over some seconds while this process sleeps."""
    psutil.cpu_percent()
    before = cpu_seconds_by_process()
    began = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    busy = psutil.cpu_percent() / 100 * (psutil.cpu_count() or 1)
    after = cpu_seconds_by_process()
    used = [Process(pid, name, (t - before[pid, name]) / took) for (pid, name), t in after.items() if (pid, name) in before]
    busiest = sorted(used, key=lambda process: -process.cores)[:3]
    return Load(busy, [process for process in busiest if process.cores >= BUSY_CORES])


def cpu_seconds_by_process() -> dict[tuple[int, str], float]:
    """CPU seconds that each other process has used so far, by (pid, name)."""
    found = {}
    for process in psutil.process_iter(["pid", "name", "cpu_times"]):
        times = process.info["cpu_times"]
        if times is not None and process.info["pid"] != os.getpid():
            found[process.info["pid"], process.info["name"]] = times.user + times.system
    return found


def storage_state(runs: Path) -> Storage:
    """Whether a run's study can be made and locked in `runs`, or in its parent as long as it does not exist."""
    folder = runs if runs.is_dir() else runs.absolute().parent
    free = shutil.disk_usage(folder).free
    try:
        with tempfile.TemporaryDirectory(prefix=".peftcost-doctor-", dir=folder) as scratch:
            why_not = lock_problem(Path(scratch) / "study.db")
    except OSError as error:
        why_not = f"it cannot be written ({error.strerror})"
    return Storage(str(folder), free, why_not)


def lock_problem(path: Path) -> str | None:
    """Why SQLite cannot lock a file at this path against a second writer (network disks without locks), or None."""
    first, second = (sqlite3.connect(path, timeout=0, isolation_level=None) for _ in range(2))
    try:
        first.execute("CREATE TABLE probe (x)")
        first.execute("BEGIN EXCLUSIVE")
        second.execute("INSERT INTO probe VALUES (1)")
    except sqlite3.OperationalError as error:
        return None if "is locked" in str(error) and first.in_transaction else f"SQLite says: {error}"
    finally:
        first.close()
        second.close()
    return "a lock on a SQLite file does not hold (a network disk?)"


def hub_state(seconds: float = HUB_SECONDS) -> Hub:
    """Whether the model hub answers within some seconds, asked with its own client (proxies and all)."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    cached = len(list(cache.glob("models--*")))
    if constants.HF_HUB_OFFLINE:
        return Hub("offline", None, str(cache), cached)
    answers: list[str | None] = []
    # A thread, since looking up a name does not heed the client's time-out.
    asking = threading.Thread(target=lambda: answers.append(hub_problem(constants.ENDPOINT, seconds)), daemon=True)
    asking.start()
    asking.join(seconds)
    why = answers[0] if answers else f"no answer within {seconds:.0f} s"
    return Hub("reachable" if why is None else "unreachable", why, str(cache), cached)


def hub_problem(endpoint: str, seconds: float) -> str | None:
    """Why the hub does not answer, or None."""
    from huggingface_hub import get_session

    try:
        status = get_session().head(endpoint, timeout=seconds).status_code
    except Exception as error:  # whatever the client's HTTP library raises
        return f"{type(error).__name__}: {error}"
    return None if status < 400 else f"it answers with status {status}"
