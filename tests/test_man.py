"""The manual page says what the command line does: every command and option, and no other."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from pst_cli import errors
from pst_cli.cli import app
from pst_cli.commands.options import FORMAT_NAMES
from pst_cli.store.names import KNOWN
from pst_cli.types import LANGUAGES

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "man" / "pst.1"
OPTION = re.compile(r"(?<![\w./-])--?[a-z][a-z0-9-]*")
TORCHRUN = {"-m", "--nproc-per-node"}  # options of its own, where several GPUs are explained


def source() -> str:
    """The page with its macros and fonts taken away, near enough."""
    return plain(PAGE.read_text("utf-8"))


def plain(text: str) -> str:
    text = re.sub(r"\\f[A-Z]", "", text).replace("\\-", "-")
    return re.sub(r"^\.[A-Z]+ ?", "", text, flags=re.MULTILINE)


def commands(command, path=("pst",)):
    """Every command of the Typer app with its path, groups included."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


def of(command) -> set[str]:
    """The options of one command."""
    asked = [one for one in command.params if one.param_type_name == "option"]
    return {name for one in asked for name in (*one.opts, *one.secondary_opts)}


COMMANDS = dict(commands(typer.main.get_command(app)))


WITH_OPTIONS = [path for path, command in COMMANDS.items() if len(path) > 1 and of(command)]


def options() -> set[str]:
    return {"-h", "--help"}.union(*map(of, COMMANDS.values()))


def sections() -> dict[str, str]:
    """What stands below each heading of the page, by heading."""
    _, *parts = re.split(r"^\.SH ", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    texts = (part.partition("\n") for part in parts)
    return {title: plain(text) for title, _, text in texts}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_page_names_every_command(path):
    assert re.search(rf"\b{' '.join(path)}\b", source())


@pytest.mark.parametrize("option", sorted(options()))
def test_the_page_names_every_option(option):
    assert option in OPTION.findall(source())


def test_the_page_names_no_option_that_does_not_exist():
    assert set(OPTION.findall(source())) <= options() | TORCHRUN


@pytest.mark.parametrize("path", WITH_OPTIONS, ids=" ".join)
def test_what_the_page_says_of_a_command_names_each_of_its_options(path):
    told = "".join(text for title, text in sections().items() if path[1].upper() in title.split())
    told += "".join(text for title, text in sections().items() if title == "OTHER OPTIONS")
    long = {name for name in of(COMMANDS[path]) if name.startswith("--")}
    assert not long - set(OPTION.findall(told))


def test_the_page_names_no_command_that_does_not_exist():
    named = re.findall(r"^pst ([a-z]+)(?: ([a-z]+))?", source(), flags=re.MULTILINE)
    assert {name for name, _ in named} <= {path[1] for path in COMMANDS if len(path) > 1}
    groups = {path[1] for path in COMMANDS if len(path) > 2}
    assert {pair for pair in named if pair[0] in groups and pair[1]} <= {p[1:] for p in COMMANDS}


@pytest.mark.parametrize("word", [*FORMAT_NAMES, *LANGUAGES, *sorted(set(KNOWN) - {"turbo"})])
def test_the_page_names_every_value_that_an_option_takes(word):
    assert re.search(rf"\b{word}\b", source())


def test_the_page_and_the_readme_name_every_exit_code():
    codes = {getattr(errors, name) for name in dir(errors) if name.startswith("EXIT_")}
    status = source().split("EXIT STATUS")[1].split("ENVIRONMENT")[0]
    assert {int(code) for code in re.findall(r"^\d+$", status, flags=re.MULTILINE)} == codes
    table = (ROOT / "README.md").read_text("utf-8").split("### Exit codes")[1].split("\n\n")[1]
    assert {int(code) for code in re.findall(r"^\| (\d+)", table, flags=re.MULTILINE)} == codes


def test_the_readme_names_no_option_that_does_not_exist():
    text = (ROOT / "README.md").read_text("utf-8")
    lines = [line.split("#")[0] for line in text.splitlines() if line.startswith("pst ")]
    assert {option for line in lines for option in OPTION.findall(line)} <= options()


def test_the_page_renders_without_a_warning():
    if shutil.which("mandoc"):
        command = ["mandoc", "-Tlint", "-Wwarning", str(PAGE)]
    elif shutil.which("groff"):
        command = ["groff", "-man", "-ww", "-Tutf8", "-z", str(PAGE)]
    else:
        pytest.skip("neither mandoc nor groff is here")
    shown = subprocess.run(command, capture_output=True, text=True)
    assert shown.returncode == 0
    assert not shown.stdout + shown.stderr


@pytest.mark.parametrize("name", ["run", "test"])
def test_the_readme_has_one_line_for_ci_to_run(name):
    text = (ROOT / "README.md").read_text("utf-8")
    marked = re.findall(rf"^<!-- ci: {name} -->\n```sh\n(.+)\n```$", text, flags=re.MULTILINE)
    assert len(marked) == 1
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
