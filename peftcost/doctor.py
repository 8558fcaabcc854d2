"""`peftcost doctor`: what this machine has, whether training works on it, and what to do about what is wrong.

The checks gather `Findings`; `advise` is a pure function of them. Nothing here imports torch: what does runs in
worker processes, the same as in a search, so that a crash there is told and not suffered.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from peftcost.core.memory import spell_bytes
from peftcost.core.versions import LIBRARIES, versions
from peftcost.cost.device import (
    IDLE_SHARE,
    Device,
    choose_devices,
    cpu_cores,
    machine_gpus,
    torch_is_cpu_build,
    visible_gpus,
)
from peftcost.methods import Method, methods
from peftcost.searcher.executor import LocalExecutor

TEST_SECONDS = {"cpu": 5.0, "cuda": 3.3, "mps": 5.0}
"""Per precision: about ten seconds in all."""
WAIT_SECONDS = 120.0
"""After this long a worker hangs: the slowest import of torch that we have seen took a minute (network disks)."""
HUB_SECONDS = 3.0
LOAD_SECONDS = 1.0
BUSY_CORES = 0.5
LITTLE_MEMORY = 2 * 10**9
LITTLE_DISK = 5 * 10**9
CLEARLY = 1.1
"""Two speeds closer than this factor count as the same."""
ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "HF_HUB_OFFLINE", "HF_HOME", "PEFTCOST_CACHE")
CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
CGROUP = Path("/sys/fs/cgroup")

Say = Callable[[str], None]


@dataclass(frozen=True)
class DeviceFacts:
    """A device; default: the one that is used when --devices is not given. why_not: why it cannot be used, or None."""

    kind: str
    name: str
    index: int
    threads: int
    total_bytes: int
    free_bytes: int
    default: bool
    why_not: str | None = None


@dataclass(frozen=True)
class Memory:
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Storage:
    """Where runs lie. why_not: why no SQLite file can be made and locked there, or None."""

    folder: str
    free_bytes: int
    why_not: str | None = None


@dataclass(frozen=True)
class Hub:
    """The model hub, and how many models its local cache holds. why: what an unreachable hub's client said."""

    state: Literal["reachable", "unreachable", "offline"]
    why: str | None
    cache: str
    cached_models: int


@dataclass(frozen=True)
class Process:
    pid: int
    name: str
    cores: float


@dataclass(frozen=True)
class Load:
    """What others take of the CPU: cores in use on the whole machine, and the busiest processes among them."""

    busy_cores: float
    processes: list[Process] = field(default_factory=list)


@dataclass(frozen=True)
class SelfTest:
    """A short training in one precision. why_not: why it did not work, or None. device: the kind really used."""

    precision: str
    why_not: str | None = None
    device: str | None = None
    threads: int | None = None
    steps: int = 0
    steps_per_second: float | None = None
    first_loss: float | None = None
    last_loss: float | None = None


@dataclass(frozen=True)
class MethodCheck:
    """Whether a few steps of this method run here; runs is None when it was not tried."""

    name: str
    runs: bool | None
    why_not: str | None = None


@dataclass(frozen=True)
class Findings:
    """gpus_in_machine: before CUDA_VISIBLE_DEVICES. cpu_quota: cores that the container may use, None: no limit."""

    devices: list[DeviceFacts]
    gpus_in_machine: int
    cores: int
    cpu_quota: float | None
    memory: Memory
    storage: Storage
    hub: Hub
    load: Load
    environment: dict[str, str]
    libraries: dict[str, str]
    missing_libraries: list[str]
    precisions: list[SelfTest]
    methods: list[MethodCheck]

    @property
    def obstacle(self) -> str | None:
        """Why nothing can be trained here, or None. fp32 decides: it is what is trained in by default."""
        if self.missing_libraries and "torch" in self.missing_libraries:
            return "torch is not installed"
        for test in self.precisions:
            if test.precision == "fp32" and test.why_not is not None:
                return f"a short training failed: {test.why_not}"
        if self.storage.why_not is not None:
            return f"no run can be stored in {self.storage.folder}: {self.storage.why_not}"
        return None

    def as_dict(self) -> dict[str, Any]:
        """The findings and the advice, as `doctor --json` prints them."""
        advice = [asdict(item) for item in advise(self)]
        return {**asdict(self), "training_works": self.obstacle is None, "obstacle": self.obstacle, "advice": advice}


@dataclass(frozen=True)
class Advice:
    """problem: nothing can be trained. warning: it costs time or quality. note: good to know."""

    level: Literal["problem", "warning", "note"]
    text: str


# -- the examination -----------------------------------------------------------------------------------------------


def examine(say: Say = lambda text: None) -> Findings:
    """Look at everything; takes about half a minute, most of it short trainings."""
    say("looking at the machine")
    runs = Path("runs")
    load, hub, memory = cpu_load(), hub_state(), host_memory()
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
        chosen = default is not None and (default.kind, str(default.index)) == ("cuda", gpu.index)
        free = gpu.total_bytes - gpu.used_bytes
        found.append(DeviceFacts("cuda", gpu.name, int(gpu.index), cpu_cores(), gpu.total_bytes, free, chosen, why_not))
    cpu = choose_devices("cpu")[0]
    chosen = default is not None and default.kind == "cpu"
    found.append(DeviceFacts("cpu", cpu.name, 0, cpu.threads, memory.total_bytes, memory.free_bytes, chosen))
    return found


def host_memory() -> Memory:
    """The machine's memory, or what the container is allowed of it."""
    memory = psutil.virtual_memory()
    total, free = memory.total, memory.available
    try:
        limit = int((CGROUP / "memory.max").read_text())
        total, free = min(total, limit), min(free, limit - int((CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):  # no cgroup v2 here, or its limit is "max"
        pass
    return Memory(total, max(0, free))


def cpu_quota() -> float | None:
    """Cores' worth of time that the container may use (docker --cpus, Kubernetes limits), None without a limit."""
    try:
        quota, period = (CGROUP / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):
        return None


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


# -- short trainings, each in a process of its own -------------------------------------------------------------------


def try_training(device: Device, missing: Sequence[str], say: Say) -> tuple[list[SelfTest], list[MethodCheck]]:
    """A short training in each precision; if fp32 works, a few steps of each method."""
    seconds = TEST_SECONDS[device.kind]
    with (
        tempfile.TemporaryDirectory(prefix="peftcost-doctor-") as scratch,
        LocalExecutor([device], Path(scratch) / "workers.log") as executor,
    ):
        tests = []
        for precision in precisions_of(device.kind):
            say(f"training a small model in {precision}")
            tests.append(test_of(precision, run_alone(executor, "full", precision, seconds)))
        checks = []
        for method in methods().values():
            say(f"trying {method.name}")
            checks.append(check_method(executor, method, missing, tests[0].why_not is None))
    return tests, checks


def precisions_of(kind: str) -> tuple[str, ...]:
    """fp16 needs a GPU: on CPUs it has no fast kernels."""
    return ("fp32", "bf16", "fp16") if kind == "cuda" else ("fp32", "bf16")


def check_method(executor: LocalExecutor, method: Method, missing: Sequence[str], training_works: bool) -> MethodCheck:
    if method.quantization is not None and "bitsandbytes" in missing:
        return MethodCheck(method.name, False, "bitsandbytes is not installed")
    if not training_works:
        return MethodCheck(method.name, None)
    message = run_alone(executor, method.name, "fp32", 0.0)
    return MethodCheck(method.name, message["type"] == "done", problem_of(message))


def run_alone(executor: LocalExecutor, method: str, precision: str, seconds: float) -> dict[str, Any]:
    """The last message of a worker that trains the small model; a worker that hangs is ended."""
    try:
        executor.start(0, "selftest", {"method": method, "precision": precision, "seconds": seconds})
    except (OSError, EOFError):  # the server that forks workers has died while importing
        return {"type": "failed", "reason": "importing torch, transformers, peft or bitsandbytes crashes Python"}
    deadline = time.monotonic() + WAIT_SECONDS + seconds
    while (left := deadline - time.monotonic()) > 0:
        for _, message in executor.poll(left):
            if message["type"] in ("done", "failed", "died"):
                return message
    executor.kill(0)
    return {"type": "failed", "reason": f"it hung, and was ended after {WAIT_SECONDS + seconds:.0f} s"}


def test_of(precision: str, message: dict[str, Any]) -> SelfTest:
    """What a worker's last message says of a precision: it works if the loss is finite and falls."""
    why_not = problem_of(message)
    if why_not is not None:
        return SelfTest(precision, why_not)
    result = message["result"]
    if not result["last_loss"] < result["first_loss"]:
        why_not = f"the loss did not fall ({result['first_loss']:.3f} to {result['last_loss']:.3f})"
    return SelfTest(precision, why_not, **result)


def problem_of(message: dict[str, Any]) -> str | None:
    """Why the worker that sent this last message has not done its work, or None."""
    if message["type"] == "done":
        return None
    if message["type"] == "failed":
        return str(message["reason"])
    code = message["exitcode"]
    if code is not None and code < 0:
        return f"its process was killed by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code}"


# -- advice ----------------------------------------------------------------------------------------------------------


def advise(found: Findings) -> list[Advice]:
    """What to do, the gravest first; [] when there is nothing to say."""
    advice = [
        *problems(found),
        *device_advice(found),
        *room_advice(found),
        *precision_advice(found.precisions),
        *other_advice(found),
    ]
    return sorted(advice, key=lambda item: ("problem", "warning", "note").index(item.level))


def problems(found: Findings) -> list[Advice]:
    advice = []
    if found.missing_libraries:
        names = ", ".join(found.missing_libraries)
        only_bnb = found.missing_libraries == ["bitsandbytes"]
        cost = "the quantized methods cannot run" if only_bnb else "peftcost needs it"
        advice.append(
            Advice("warning" if only_bnb else "problem", f"{names} is not installed: {cost}. pip install {names}")
        )
    for test in found.precisions:
        if test.why_not is not None:
            level: Literal["problem", "warning"] = "problem" if test.precision == "fp32" else "warning"
            advice.append(Advice(level, f"Training in {test.precision} does not work: {test.why_not}."))
    if found.storage.why_not is not None:
        text = f"No run can be stored in {found.storage.folder}: {found.storage.why_not}. Go elsewhere, or give --out."
        advice.append(Advice("problem", text))
    return advice


def device_advice(found: Findings) -> list[Advice]:
    """GPUs that are hidden, unusable or taken."""
    advice = []
    gpus = [device for device in found.devices if device.kind == "cuda"]
    visible = found.environment.get("CUDA_VISIBLE_DEVICES")
    if found.gpus_in_machine and not gpus and visible is not None:
        what = f"is {visible!r}" if visible else "is empty"
        text = f"CUDA_VISIBLE_DEVICES {what} and hides all {found.gpus_in_machine} GPUs of this machine; unset it to use them."
        advice.append(Advice("warning", text))
    if gpus and all(gpu.why_not for gpu in gpus):
        text = "An NVIDIA GPU is here, but this torch is a CPU build and cannot use it; see the README, 'On CUDA'."
        advice.append(Advice("warning", text))
    for gpu in gpus:
        used = gpu.total_bytes - gpu.free_bytes
        if gpu.default and used > IDLE_SHARE * gpu.total_bytes:
            text = f"GPU {gpu.index} is in use: {spell_bytes(used)} of its {spell_bytes(gpu.total_bytes)} are taken."
            advice.append(Advice("warning", text))
        if gpu.default and any(test.device == "cpu" for test in found.precisions):
            text = "torch does not find the GPU that nvidia-smi shows and trains on the CPU; is the driver too old for it?"
            advice.append(Advice("warning", text))
    return advice


def room_advice(found: Findings) -> list[Advice]:
    """Memory, disk, and who else uses the cores."""
    advice = []
    if found.memory.free_bytes < LITTLE_MEMORY:
        free = spell_bytes(found.memory.free_bytes)
        advice.append(Advice("warning", f"Only {free} of memory are free; that is little even for small models."))
    if found.storage.free_bytes < LITTLE_DISK:
        free = spell_bytes(found.storage.free_bytes)
        text = f"Only {free} of disk are free in {found.storage.folder}; artifacts and checkpoints may not fit."
        advice.append(Advice("warning", text))
    advice += load_advice(found)
    if found.cpu_quota is not None and found.cpu_quota < found.cores:
        text = (
            f"This container may use {found.cpu_quota:.1f} cores but sees {found.cores}: as many threads slow each other "
            f"down. Start peftcost with `taskset -c 0-{max(1, int(found.cpu_quota)) - 1}`."
        )
        advice.append(Advice("warning", text))
    return advice


def load_advice(found: Findings) -> list[Advice]:
    """Foreign load makes measured costs wrong, on a CPU above all."""
    if found.load.busy_cores < BUSY_CORES:
        return []
    top = found.load.processes[0] if found.load.processes else None
    who = f"Another process ({top.name}, pid {top.pid}) uses {top.cores:.1f}" if top else "Others use"
    amount = "" if top else f" {found.load.busy_cores:.1f}"
    text = f"{who}{amount} of {found.cores} cores: trainings are slower beside it, and measured costs wrong. Wait, or end it."
    return [Advice("warning", text)]


def precision_advice(tests: Sequence[SelfTest]) -> list[Advice]:
    """How bf16 and fp16 compare with fp32, where both were timed."""
    speed = {test.precision: test.steps_per_second for test in tests if test.why_not is None}
    base = speed.get("fp32")
    advice = []
    for precision in ("bf16", "fp16"):
        other = speed.get(precision)
        if base is None or other is None:
            continue
        if base > CLEARLY * other:
            text = f"{precision} is slower than fp32 here ({other:.1f} against {base:.1f} steps/s): stay with fp32, the default."
            advice.append(Advice("note", text))
        elif other > CLEARLY * base:
            text = (
                f"{precision} is {other / base:.1f} times as fast as fp32 here on a small model; a setup in it may be "
                "cheaper (precision is one of a setup's choices; fp32 is the default)."
            )
            advice.append(Advice("note", text))
    return advice


def other_advice(found: Findings) -> list[Advice]:
    advice = []
    cpu = next((device for device in found.devices if device.kind == "cpu" and device.default), None)
    used = next((test.threads for test in found.precisions if test.threads is not None), None)
    if cpu is not None and used is not None and used < cpu.threads:
        text = f"torch trains with {used} of {cpu.threads} threads."
        advice.append(Advice("warning", text))
    if found.environment.get("OMP_NUM_THREADS") == "1" and found.cores > 1:
        text = (
            "OMP_NUM_THREADS is 1. Trainings set their threads themselves, but the baselines and your own scripts use "
            "one core; unset it if you did not mean that."
        )
        advice.append(Advice("note", text))
    if found.hub.state == "unreachable":
        text = f"The model hub does not answer ({found.hub.why}): cached models, folders and builtin:minilm still work."
        advice.append(Advice("note", text))
    return advice
