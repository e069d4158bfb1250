"""Peak memory while something runs, and what that figure means on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from pst_cli.types import MEGABYTE

KIBIBYTE = 1024  # bytes; the unit of /proc/self/status, and of ru_maxrss on Linux
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # see proc_pid_clear_refs(5): set the peak resident size back to the present one


class PeakMemory:
    """Watches the peak between `start` and `read`; `meaning` says in words what it covers."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self._cuda = self._device.type == "cuda"
        self._resettable = not self._cuda and self._reset()
        if self._cuda:
            self.meaning = (
                "CUDA memory that PyTorch allocated at most during the row's rounds: all that it "
                "loaded is in it, so only differences between rows tell; CTranslate2's is not"
            )
        elif self._resettable:
            self.meaning = (
                "resident memory of the whole process at most during the row's rounds: "
                "all loaded models are in it, so only differences between rows tell"
            )
        else:
            self.meaning = (
                "resident memory of the whole process at most so far: not told apart by row"
            )

    def start(self) -> None:
        if self._cuda:
            torch.cuda.reset_peak_memory_stats(self._device)
        elif self._resettable:
            self._reset()

    def read(self) -> float | None:
        """Megabytes; None where the system does not tell."""
        if self._cuda:
            return torch.cuda.max_memory_allocated(self._device) / MEGABYTE
        return _high_water() if self._resettable else _lifetime_peak()

    @staticmethod
    def _reset() -> bool:
        try:
            RESET.write_text(RESET_PEAK)
        except OSError:
            return False
        return _high_water() is not None


def _high_water() -> float | None:
    """The peak resident size since it was last reset (VmHWM), in megabytes."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    sizes = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(sizes[0]) * KIBIBYTE / MEGABYTE if sizes else None


def _lifetime_peak() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else KIBIBYTE) / MEGABYTE
