"""What a bench ran on: the machine, how busy it was, and the versions of what was measured."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = (
    "pst_cli",
    "torch",
    "transformers",
    "sacrebleu",
    "faster-whisper",
    "ctranslate2",
    "openai-whisper",
)
CPUINFO = Path("/proc/cpuinfo")


def machine(device: str) -> dict[str, Any]:
    """Processor, cores, accelerator and load (jobs waiting, one-minute average) of this machine."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "accelerator": torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
        "system": platform.platform(terse=True),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def versions() -> dict[str, str]:
    """Python's version and those of the packages that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def busy(facts: dict[str, Any]) -> str:
    """A word on a machine that was at work when the bench began; "" where it was not."""
    load, cores = facts["load"], facts["cores"]
    if not load or not cores or load < cores / 2:
        return ""
    return f"the machine was at work already ({load} jobs on {cores} cores): figures are too slow"


def _processor() -> str:
    try:
        lines = CPUINFO.read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
