"""What a run wrote down on its way: metrics as JSONL, and their curves as a picture."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pst_cli.outputs import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

METRICS, CURVE = "metrics.jsonl", "curve.png"
HELD_OUT = "dev "  # what the names of held-out figures begin with


class Records:
    """The figures of one run, a line each time there are some."""

    def __init__(self, folder: Path, step: int) -> None:
        """Go on after `step`: lines of later steps are those of a run that was broken off."""
        self.path = folder / METRICS
        kept = [line for line in read_metrics(self.path) if line["step"] <= step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path, text)

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        line = {"step": step, **{name: float(f"{value:.6g}") for name, value in figures.items()}}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def read_metrics(path: Path) -> list[dict[str, float]]:
    """All lines of a metrics file, a torn last one left out; [] where there is none."""
    found = []
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def last_step(folder: Path) -> dict[str, float]:
    """The figures of the last batch that was written down; {} where there is none."""
    steps = [line for line in read_metrics(folder / METRICS) if "loss" in line]
    return {name: value for name, value in steps[-1].items() if name != "step"} if steps else {}


def can_draw() -> bool:
    """Whether matplotlib is there."""
    return find_spec("matplotlib") is not None


def draw(folder: Path) -> Path:
    """Losses above, acceptance and accuracy below, over steps: `curve.png` in `folder`."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    lines = read_metrics(folder / METRICS)
    names = list(dict.fromkeys(name for line in lines for name in line))
    shares = [name for name in names if any(part in name for part in ("accept", "accura", "agree"))]
    losses = [name for name in names if name.removeprefix(HELD_OUT).split()[0] in LOSSES]
    figure, axes = pyplot.subplots(2, 1, sharex=True, figsize=(8, 8), layout="constrained")
    for axis, chosen, title in zip(axes, (losses, shares), ("loss (nats)", "share"), strict=True):
        plain = list(dict.fromkeys(name.removeprefix(HELD_OUT) for name in chosen))
        for name in chosen:
            points = [(line["step"], line[name]) for line in lines if name in line]
            held, colour = name.startswith(HELD_OUT), f"C{plain.index(name.removeprefix(HELD_OUT))}"
            style = {"marker": "o"} if held else {"alpha": 0.4, "lw": 1}
            axis.plot(*zip(*points, strict=True), label=name, color=colour, **style)
        axis.set_ylabel(title)
        axis.grid(alpha=0.3)
        if chosen:
            axis.legend(fontsize="small")
    axes[-1].set_xlabel("step")
    path = folder / CURVE
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


LOSSES = {"loss", "st", "mt", "kl", "labels", "host", "draft"}
