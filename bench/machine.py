"""Description of the machine that measures."""

from __future__ import annotations

import os
import platform
from typing import Any

from bench.measure import cores


def machine() -> dict[str, Any]:
    """Return processor, architecture, cores, memory and system, by name."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": cores(),
        "memory_gb": _memory_gb(),
        "system": platform.system(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, OSError, ValueError):
        return None
