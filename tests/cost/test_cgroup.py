"""Limits of control groups, as files of the kernel's form."""

from __future__ import annotations

from pathlib import Path

import pytest

from peftcost.cost import cgroup, device

GB = 10**9


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cgroup, "ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(cgroup, "OWN", tmp_path / "own")
    return tmp_path / "cgroup"


def group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_a_slurm_job_is_held_by_the_group_above_its_step(root: Path) -> None:
    cgroup.OWN.write_text("0::/system.slice/job_7/step_0\n")
    group(
        root / "system.slice/job_7",
        memory__max=16 * GB,
        memory__current=3 * GB,
        memory__stat=f"anon {GB}\ninactive_file {2 * GB}",
    )
    group(
        root / "system.slice/job_7/step_0",
        memory__max="max",
        memory__current=GB,
        memory__stat="inactive_file 0",
        cpu__max="max 100000",
    )
    group(root / "system.slice/job_7", cpu__max="150000 100000")
    assert cgroup.memory_allowance() == [(16 * GB, 15 * GB)]
    assert cgroup.cpu_quota() == 1.5
    assert device.host_memory()[0] <= 16 * GB


def test_in_a_container_the_mounted_root_is_its_own_group(root: Path) -> None:
    cgroup.OWN.write_text("5:cpu,cpuacct:/docker/4f\n4:memory:/docker/4f\n0::/\n")
    limits = {"memory__limit_in_bytes": 2 * GB, "memory__usage_in_bytes": 3 * GB // 2}
    group(root / "memory", **limits, memory__stat=f"cache {GB}\ntotal_inactive_file {GB // 2}")
    assert cgroup.memory_allowance() == [(2 * GB, GB)]
    assert cgroup.cpu_quota() is None


def test_without_control_groups_there_is_no_limit(root: Path) -> None:
    assert cgroup.memory_allowance() == []
    assert cgroup.cpu_quota() is None
