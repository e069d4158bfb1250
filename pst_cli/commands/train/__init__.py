"""`pst train`: hosts, students and drafters made from manifests."""

from __future__ import annotations

import typer

from pst_cli.commands.records import command
from pst_cli.commands.train import context, host, kvspn, student
from pst_cli.commands.train.shared import TrainOptions

HELP = "Train a many-to-many host, its context, a student of it, or a drafter (KVSPN, Medusa)."


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    group = typer.Typer(help=HELP, no_args_is_help=True)
    group.command("host", help=host.HELP)(command(host.HostOptions, _run))
    group.command("context", help=context.HELP)(command(context.ContextOptions, _run))
    group.command("student", help=student.HELP)(command(student.StudentOptions, _run))
    group.command("kvspn", help=kvspn.HELP)(command(kvspn.KVSPNOptions, _run))
    app.add_typer(group, name="train")


def _run(given: TrainOptions) -> int:
    from pst_cli.commands.train.run import execute  # loads torch

    return execute(given)
