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


def source() -> str:
    """The page with its macros and fonts taken away, near enough."""
    text = re.sub(r"\\f[A-Z]", "", PAGE.read_text("utf-8")).replace("\\-", "-")
    return re.sub(r"^\.[A-Z]+ ?", "", text, flags=re.MULTILINE)


def commands(command, path=("pst",)):
    """Every command of the Typer app with its path, groups included."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


def options() -> set[str]:
    found = {"-h", "--help"}
    for command in COMMANDS.values():
        for parameter in command.params:
            if parameter.param_type_name == "option":
                found |= {*parameter.opts, *parameter.secondary_opts}
    return found


@pytest.mark.parametrize("path", [path for path in COMMANDS if path != ("pst", "models")])
def test_the_page_names_every_command(path):
    assert re.search(rf"\b{' '.join(path)}\b", source())


@pytest.mark.parametrize("option", sorted(options()))
def test_the_page_names_every_option(option):
    assert option in OPTION.findall(source())


def test_the_page_names_no_option_that_does_not_exist():
    assert set(OPTION.findall(source())) <= options()


def test_the_page_names_no_command_that_does_not_exist():
    named = re.findall(r"^pst ([a-z]+)", source(), flags=re.MULTILINE)
    assert set(named) <= {path[1] for path in COMMANDS if len(path) > 1}


@pytest.mark.parametrize("word", [*FORMAT_NAMES, *LANGUAGES, *(set(KNOWN) - {"turbo"})])
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
