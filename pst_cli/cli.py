"""The command line: subcommands put together, and the one place where failures are told."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pst_cli import __version__, console
from pst_cli.commands import (
    average,
    bench,
    check,
    data,
    download,
    evaluate,
    export,
    models,
    prune,
    subtitle,
    train,
    translate,
)
from pst_cli.errors import PstError

app = typer.Typer(
    name="pst",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="Translate speech in any of six languages (en, zh, de, es, fr, it) into any other.",
)
translate.register(app)
subtitle.register(app)
check.register(app)
download.register(app)
models.register(app)
bench.register(app)
evaluate.register(app)
data.register(app)
train.register(app)
prune.register(app)
export.register(app)
average.register(app)


def _version(asked: bool) -> None:
    if asked:
        console.write(f"pst {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Options that stand before any subcommand."""


def main() -> None:
    """Run `pst`; every PstError becomes one line, its hint another, and its exit code."""
    try:
        app(prog_name="pst")
    except PstError as error:
        if console.DEBUG in sys.argv:
            raise
        console.tell_error(error)
        sys.exit(error.exit_code)
