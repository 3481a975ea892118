import os

import psutil
import pytest

from data_setup import resources
from data_setup.resources import MEGABYTE, available_cores, available_memory

GB = 2**30
SLURM = ("SLURM_CPUS_PER_TASK", "SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 64 cores and 100 GB free; returns what writes its cgroups: (path of this process, files)."""
    for name in SLURM:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    memory = psutil.virtual_memory()._replace(available=100 * GB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(resources, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(resources, "MINE", tmp_path / "self")

    def write(mine, **files):
        (tmp_path / "self").write_text(mine)
        for name, content in files.items():
            path = tmp_path / "cgroup" / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")

    return write


def test_without_limits_it_is_the_machine(machine):
    assert (available_cores(), available_memory()) == (64, 100 * GB)
    machine("0::/\n", cpu_dot_max="max 100000", memory_dot_max="max", memory_dot_current=GB)
    assert (available_cores(), available_memory()) == (64, 100 * GB)


def test_affinity_counts(machine, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 4, 9}, raising=False)
    assert available_cores() == 3


@pytest.mark.parametrize(("quota", "cores"), [(400_000, 4), (150_000, 2), (20_000, 1)])
def test_version_2_of_a_container(machine, quota, cores):
    machine("0::/\n", cpu_dot_max=f"{quota} 100000", memory_dot_max=8 * GB, memory_dot_current=5 * GB,
            memory_dot_stat=f"anon 7\ninactive_file {2 * GB}\nactive_file 9")
    assert (available_cores(), available_memory()) == (cores, 5 * GB)      # file cache is given back


def test_version_2_of_a_job_within_groups_the_tightest_of_which_counts(machine):
    machine("0::/slurm/job_7/step_0\n", slurm__cpu_dot_max="800000 100000", slurm__job_7__cpu_dot_max="300000 100000",
            slurm__job_7__step_0__cpu_dot_max="max 100000", slurm__memory_dot_max=9 * GB,
            slurm__memory_dot_current=8 * GB, slurm__job_7__memory_dot_max=4 * GB,
            slurm__job_7__memory_dot_current=GB)
    assert (available_cores(), available_memory()) == (3, GB)


@pytest.mark.parametrize("path", ["/docker/abc", "/not/here/but/on/the/host"])
def test_version_1(machine, path):
    group = "" if "not" in path else "docker__abc__"
    machine(f"4:memory:{path}\n7:cpu,cpuacct:{path}\n1:name=systemd:{path}\n", **{
        f"cpu,cpuacct__{group}cpu_dot_cfs_quota_us": 250_000, f"cpu,cpuacct__{group}cpu_dot_cfs_period_us": 100_000,
        f"memory__{group}memory_dot_limit_in_bytes": 3 * GB, f"memory__{group}memory_dot_usage_in_bytes": GB,
        f"memory__{group}memory_dot_stat": f"total_inactive_file {GB // 2}"})
    assert (available_cores(), available_memory()) == (3, 5 * GB // 2)


def test_version_1_without_a_limit(machine):
    machine("4:memory:/\n7:cpu:/\n", cpu__cpu_dot_cfs_quota_us=-1, cpu__cpu_dot_cfs_period_us=100_000,
            memory__memory_dot_limit_in_bytes=2**63 - 4096, memory__memory_dot_usage_in_bytes=GB)
    assert (available_cores(), available_memory()) == (64, 100 * GB)


def test_slurm(machine, monkeypatch):
    monkeypatch.setattr(resources, "_process_tree_bytes", lambda: 500 * MEGABYTE)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "6")
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "1000")
    assert (available_cores(), available_memory()) == (6, 5500 * MEGABYTE)
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "4000")
    assert available_memory() == 3500 * MEGABYTE
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "400")
    assert available_memory() == 0
    for no_limit in ("0", "", "all"):
        monkeypatch.setenv("SLURM_MEM_PER_NODE", no_limit)
        monkeypatch.delenv("SLURM_MEM_PER_CPU", raising=False)
        assert available_memory() == 100 * GB


def test_this_process_holds_something():
    assert resources._process_tree_bytes() >= psutil.Process().memory_info().rss // 2
