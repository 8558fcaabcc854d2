"""What Linux allows this process of the machine: the limits of a container, a SLURM job or a systemd slice. They are set on
its control group or on one above it, and the tightest holds (cgroups(7)); of memory in versions 1 and 2, of time in 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Files:
    """What the kernel calls a group's memory limit, its use, and in memory.stat the file cache that it gives up at once."""

    limit: str
    usage: str
    cache: str


V1 = Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = Files("memory.max", "memory.current", "inactive_file")


def memory_allowance() -> list[tuple[int, int]]:
    """(total, free) bytes of each group that has a limit; empty without one."""
    found = []
    for files, controller in ((V2, ""), (V1, "memory")):
        for group in own_groups(controller):
            try:
                limit, usage = (int((group / name).read_text()) for name in (files.limit, files.usage))
                stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                found.append((limit, max(0, limit - usage + int(stat[files.cache]))))
            except (OSError, ValueError, KeyError):  # this group has no such controller, or its limit is "max"
                continue
    return found


def cpu_quota() -> float | None:
    """Cores' worth of time that this process may use (docker --cpus, Kubernetes limits), None without a limit."""
    quotas = []
    for group in own_groups(""):
        try:
            quota, period = (group / "cpu.max").read_text().split()
            quotas.append(int(quota) / int(period))
        except (OSError, ValueError):
            continue
    return min(quotas, default=None)


def own_groups(controller: str) -> Iterator[Path]:
    """The folders of this process's group and of those above it. controller: as version 1 names it, "" for version 2.

    Inside a container the folders often begin at its own group, so that the path from the machine's root leads nowhere; the
    mounted root is its group then.
    """
    try:
        lines = [line.split(":", 2) for line in OWN.read_text(encoding="utf-8").splitlines()]
    except OSError:  # no Linux
        return
    root = ROOT / controller
    for _, controllers, path in lines:
        if controller in controllers.split(","):
            group = root / path.lstrip("/")
            yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(root))
