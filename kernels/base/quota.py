"""The share of the machine that a process may use: the CPU quota of its cgroups on Linux."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

_GROUPS, _MOUNTS = Path("/proc/self/cgroup"), Path("/proc/self/mountinfo")


@cache
def cores() -> int:
    """Return how many whole cores the quota is worth, at least 1; a large number if there is none.

    A thread more than that would be stopped for a part of each period of 0.1 s, and the others
    would wait for it.
    """
    try:
        quotas = [quota for folder in _folders() if (quota := _quota(folder)) is not None]
    except (OSError, ValueError):  # another system, or none of this kind of files
        quotas = []
    return max(1, int(min(quotas, default=1e6)))


def _folders() -> Iterator[Path]:
    """Yield the folders of this process's groups that may limit its time, and of their parents."""
    roots = dict(_mounts())
    for line in _GROUPS.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        root = roots.get("cpu" if "cpu" in controllers.split(",") else controllers)
        if root is None:
            continue
        inside = PurePosixPath(path).relative_to("/")
        for part in (inside, *inside.parents):
            yield root / part


def _mounts() -> Iterator[tuple[str, Path]]:
    """Yield "cpu" and the folder of that controller, or "" and that of all controllers (v2)."""
    for line in _MOUNTS.read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2":
            yield "", Path(before.split(" ")[4])
        elif kind == "cgroup" and "cpu" in options.split(","):
            yield "cpu", Path(before.split(" ")[4])


def _quota(folder: Path) -> float | None:
    """Return the cores that a group may use, or None if it has no limit."""
    try:
        limit, period = (folder / "cpu.max").read_text().split()
    except OSError:
        try:
            limit = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    return None if limit in {"max", "-1"} else int(limit) / int(period)
