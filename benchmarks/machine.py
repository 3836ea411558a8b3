"""What the machine says of processes: their CPU time and memory; and what machine it is.

Only the standard library: the peers' interpreters import this too.
"""

import os
import platform
import sqlite3
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """Give a process and all it started that still runs."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            parent = _stat(int(folder.name))[1:2]
            if parent:
                children.setdefault(int(parent[0]), []).append(int(folder.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # it ended meanwhile
        return []
    # The name in parentheses may hold spaces.
    return text.rpartition(")")[2].split()


def cpu_seconds(pid: int) -> float:
    """Give the CPU time of a process tree, children that ended included."""
    ticks = 0
    for one in tree(pid):
        fields = _stat(one)
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICK


def memory(pid: int) -> tuple[float, float]:
    """Give resident and proportional memory of a process tree, in MB."""
    resident = proportional = 0
    for one in tree(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        sizes = {line.split(":")[0]: line.split()[1] for line in lines[1:]}
        resident += int(sizes.get("Rss", 0))
        proportional += int(sizes.get("Pss", 0))
    return resident * 1024 / 1e6, proportional * 1024 / 1e6


def own_memory(kind: str = "VmRSS") -> float:
    """Give this process's memory in MB: VmRSS now, VmHWM at its peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(kind):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def description() -> str:
    """Say what this machine is and how busy."""
    name = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{os.cpu_count()} cores of {name}, {total:.0f} GB, {platform.system()} "
        f"{platform.release().split('-')[0]}, load {os.getloadavg()[0]:.1f} at the start"
    )


def versions() -> str:
    """Say what runs here."""
    return f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
