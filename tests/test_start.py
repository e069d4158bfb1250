"""Starting costs little: help and version answer without any of the heavy libraries."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "transformers",
    "numba",
    "numpy",
    "av",
    "soundfile",
    "soxr",
    "silero_vad",
    "safetensors",
    "pysubs2",
)
HEAVY += (
    "huggingface_hub",
    "tokenizers",
    "sacrebleu",
    "jiwer",
    "accelerate",
    "peft",
    "ctranslate2",
)
COMMANDS = ((), ("translate",), ("subtitle",), ("check",), ("download",), ("models",), ("bench",))
COMMANDS += tuple(("models", name) for name in ("list", "path", "verify", "rm"))
COMMANDS += (("evaluate",), ("prune",), ("export",), ("average",), ("data",), ("train",))
COMMANDS += tuple(("data", name) for name in ("check", "import", "build", "label"))
COMMANDS += tuple(("train", name) for name in ("host", "student", "kvspn"))


def python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_importing_the_command_line_loads_nothing_heavy():
    code = "import sys, pst_cli.cli; print(*sys.modules)"
    loaded = {name.split(".")[0] for name in python(code).stdout.split()}
    assert "typer" in loaded
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize(
    ("command", "told"),
    [("translate", "--to"), ("train", "kvspn"), ("train host", "--steps")],
)
def test_help_in_a_process_of_its_own_loads_nothing_heavy(command, told):
    code = (
        "import sys, atexit; atexit.register(lambda: print('loaded', *sys.modules));"
        f"sys.argv = ['pst', *{command.split()}, '--help'];"
        "from pst_cli.cli import main; main()"
    )
    shown = python(code)
    assert shown.returncode == 0
    assert told in shown.stdout
    assert not set(shown.stdout.splitlines()[-1].split()) & set(HEAVY)


def test_a_wrong_flag_value_is_refused_before_anything_heavy_is_loaded():
    code = (
        "import sys, atexit; atexit.register(lambda: print('loaded', *sys.modules));"
        "sys.argv = ['pst', 'translate', 'x', '--to', 'xx']; from pst_cli.cli import main; main()"
    )
    shown = python(code)
    assert shown.returncode == 2
    assert not set(shown.stdout.splitlines()[-1].split()) & set(HEAVY)


@pytest.mark.parametrize("command", ["translate", "subtitle"])
def test_work_on_a_clip_does_without_transformers_and_numba(
    command, talking_checkpoint, speech, tmp_path
):
    """Nor a compiler: importing either takes longer than it could spare a short clip."""
    arguments = [str(speech), "--to", "en", "--model", str(talking_checkpoint), "--output", "-"]
    code = (
        "import sys, atexit; atexit.register(lambda: print('loaded', *sys.modules));"
        f"sys.argv = ['pst', {command!r}, *{arguments!r}];"
        "from pst_cli.cli import main; main()"
    )
    shown = python(code)
    assert "The parasite speaks." in shown.stdout, shown.stderr
    loaded = {name.split(".")[0] for name in shown.stdout.splitlines()[-1].split()}
    assert "torch" in loaded
    assert not loaded & {"transformers", "numba", "huggingface_hub", "accelerate", "peft"}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_explains_itself(pst, command, flag):
    shown = pst(*command, flag)
    assert shown.code == 0
    assert "Usage: pst" in shown.out
    assert not shown.err


def test_version_is_the_packages_own(pst):
    from pst_cli import __version__

    assert pst("--version").out == f"pst {__version__}\n"


def test_the_module_runs_as_the_command_does():
    shown = subprocess.run([sys.executable, "-m", "pst_cli", "--version"], capture_output=True)
    assert shown.returncode == 0
    assert shown.stdout.startswith(b"pst ")
