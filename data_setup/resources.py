"""Cores and memory available to this process, which containers and SLURM may limit.

Sources: the CPU affinity; cgroup limits of version 1 and 2 (Docker, Kubernetes, SLURM) of this process and every group
above it; and SLURM's own variables, which apply where the administrator enforces them.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
MINE = Path("/proc/self/cgroup")      # lines of number:controllers:path; of version 2 one line 0::path
MEGABYTE = 2**20


def available_cores() -> int:
    """Cores that this process may use, at least 1."""
    limits = [os.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):          # not on macOS and Windows
        limits.append(len(os.sched_getaffinity(0)))
    for folder in _groups("cpu"):
        version_2 = (_text(folder / "cpu.max") or "").split()
        quota, period = version_2 if len(version_2) == 2 else (_text(folder / "cpu.cfs_quota_us"),
                                                               _text(folder / "cpu.cfs_period_us"))
        if (quota := _number(quota)) and (period := _number(period)):
            limits.append(-(-quota // period))    # half a core is one that runs half the time
    if slurm := _number(os.environ.get("SLURM_CPUS_PER_TASK")):
        limits.append(slurm)
    return max(1, min(limits))


def available_memory() -> int:
    """Bytes that this process can still take before the system or the cluster would kill it, at least 0."""
    free = [psutil.virtual_memory().available]
    for folder in _groups("memory"):
        for limit, used, cache in (("memory.max", "memory.current", "inactive_file"),
                                   ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")):
            if (most := _number(_text(folder / limit))) and (taken := _number(_text(folder / used))) is not None:
                free.append(most - taken + _statistic(folder / "memory.stat", cache))
    if megabytes := _slurm_megabytes():
        free.append(megabytes * MEGABYTE - _process_tree_bytes())
    return max(0, min(free))


def _groups(controller: str) -> Iterator[Path]:
    """The folders of this process's cgroup and of all above it, for a controller, in either version."""
    for line in (_text(MINE) or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            root = CGROUPS
        elif controller in controllers.split(","):
            root = CGROUPS / controllers if (CGROUPS / controllers).is_dir() else CGROUPS / controller
        else:
            continue
        group = Path(path.lstrip("/"))     # inside a container this may be the host's path, which is not there
        yield from (root / part for part in (group, *group.parents) if (root / part).is_dir())


def _slurm_megabytes() -> int | None:
    """The job's memory on this node; SLURM_MEM_PER_NODE=0 means all of it."""
    if node := _number(os.environ.get("SLURM_MEM_PER_NODE")):
        return node
    per_cpu = _number(os.environ.get("SLURM_MEM_PER_CPU"))
    cores = _number(os.environ.get("SLURM_CPUS_ON_NODE")) or _number(os.environ.get("SLURM_CPUS_PER_TASK"))
    return per_cpu * cores if per_cpu and cores else None


def _process_tree_bytes() -> int:
    """What this process and those it started hold."""
    mine = psutil.Process()
    total = mine.memory_info().rss
    for child in mine.children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.Error:                # it has ended meanwhile
            continue
    return total


def _statistic(file: Path, name: str) -> int:
    """One line of memory.stat: file cache that the kernel gives back before it kills."""
    for line in (_text(file) or "").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return _number(value) or 0
    return 0


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):   # not Linux, or not mounted here
        return None


def _number(text: str | None) -> int | None:
    """An integer; None for "max", for -1 (no limit) and where there is nothing."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() else None
