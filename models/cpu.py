"""What this processor offers: physical cores for thread counts, bfloat16 arithmetic for the embedder."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

__all__ = ("physical_cores", "supports_bfloat16")


@cache
def physical_cores() -> int:
    """Physical cores that this process may use, at least 1.

    Two hyper-threads of one core share its arithmetic units, so matrix code runs no faster, and often slower, with one
    thread on each.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores: set[tuple[str, str]] = set()
    for cpu in allowed:
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            package = (topology / "physical_package_id").read_text().strip()
            core = (topology / "core_id").read_text().strip()
        except OSError:  # not Linux, or hidden in a container: count logical processors
            return max(1, len(allowed))
        cores.add((package, core))
    return max(1, len(cores))


@cache
def supports_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 matrices itself (AVX512-BF16 or AMX).

    Without those instructions bfloat16 is emulated, and slower than float32.
    """
    try:
        words = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return False
    return "avx512_bf16" in words or "amx_bf16" in words
