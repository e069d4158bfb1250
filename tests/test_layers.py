"""The layer table is true: imports point down, and each outside library has one home."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import pst_cli

ROOT = Path(pst_cli.__file__).parent
LAYERS = {  # first name below pst_cli -> layer
    "types": 0,
    "errors": 0,
    "console": 0,
    "paths": 0,
    "language": 1,
    "models": 1,
    "store": 1,
    "audio": 1,
    "vad": 1,
    "subtitles": 1,
    "outputs": 1,
    "data": 1,
    "decoding": 2,
    "pipeline": 3,
    "translator": 3,
    "batch": 3,
    "files": 3,
    "methods": 3,
    "drafters": 3,
    "weights": 3,
    "export": 3,
    "average": 3,
    "pruning": 3,
    "bench": 3,
    "evaluate": 3,
    "training": 3,
    "corpus": 3,
    "commands": 4,
    "cli": 4,
    "__main__": 4,
    "__init__": 0,
}
HOMES = {  # outside library -> who may import it
    "typer": {"cli", "commands"},
    "rich": {"console", "commands"},
    "torch": {
        "models",
        "decoding",
        "vad",
        "translator",
        "methods",
        "weights",
        "bench",
        "evaluate",
        "training",
        "export",
        "average",
        "pruning",
    },
    "transformers": {"models", "bench"},  # bench: as a peer to be measured
    "safetensors": {"store", "models", "bench"},
    "tokenizers": {"store", "models"},
    "huggingface_hub": {"store"},
    "filelock": {"store"},
    "platformdirs": {"store"},
    "soundfile": {"audio"},
    "av": {"audio"},
    "soxr": {"audio"},
    "silero_vad": {"vad"},
    "numba": {"models"},
    "numpy": {"types", "audio", "vad", "store", "models"},
    "sacrebleu": {"evaluate"},
    "matplotlib": {"bench", "training"},
    "faster_whisper": {"bench"},
    "ctranslate2": {"bench", "export"},
    "jiwer": {"evaluate"},
    "py3langid": {"language"},
    "accelerate": {"training"},
    "peft": {"training"},
    "pysubs2": {"subtitles"},
    "rjieba": {"subtitles"},
    "whisper": {"bench"},
}
FILES = sorted(ROOT.rglob("*.py"))


def part(path: Path) -> str:
    """The name below pst_cli that a file belongs to."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at its top, inside functions or for types only."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module
            found |= (
                {f"pst_cli.{alias.name}" for alias in node.names if alias.name[0] != "_"}
                if node.module == "pst_cli"
                else {node.module}
            )
    return found


def inner(path: Path) -> set[str]:
    """The parts of pst that a file imports."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("pst_cli.")}


def outer(path: Path) -> set[str]:
    """The outside libraries that a file imports."""
    tops = {name.split(".")[0] for name in imported(path)}
    return tops - set(sys.stdlib_module_names) - {"pst_cli"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_module_stands_in_the_layer_table(path):
    assert part(path) in LAYERS


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_point_down_only(path):
    own = part(path)
    upward = {other for other in inner(path) - {own} if LAYERS[other] > LAYERS[own]}
    assert not upward


@pytest.mark.parametrize("path", [p for p in FILES if LAYERS.get(part(p)) == 1], ids=name)
def test_parts_never_know_each_other(path):
    assert all(LAYERS[other] == 0 for other in inner(path) - {part(path)})


INTIMATE = {"kvspn", "draft_model", "saying"}  # drafters that live on a model, or are one


@pytest.mark.parametrize("path", [p for p in FILES if part(p) == "decoding"], ids=name)
def test_the_engine_knows_the_host_by_its_protocol_alone(path):
    known = {"decoding", "types", "errors", "language"}
    if path.stem in INTIMATE:
        known |= {"models"}
    assert inner(path) <= known


@pytest.mark.parametrize("path", FILES, ids=name)
def test_each_outside_library_stays_in_its_home(path):
    strangers = {library for library in outer(path) if part(path) not in HOMES.get(library, ())}
    assert not strangers


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nothing_prints_past_the_console(path):
    calls = [
        node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    ]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]


def test_the_walk_sees_imports_inside_functions():
    assert "commands" in inner(ROOT / "commands" / "translate.py")
    assert "transformers" in outer(ROOT / "models" / "modules.py")
