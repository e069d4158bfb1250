"""`pst train`: hosts, students and drafters made from manifests."""

from __future__ import annotations

import typer

from pst_cli.commands.train import context, host, kvspn, student
from pst_cli.commands.train.shared import command

HELP = "Train a many-to-many host, its context, a student of it, or a drafter (KVSPN, Medusa)."


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    group = typer.Typer(help=HELP, no_args_is_help=True)
    group.command("host", help=host.HELP)(command(host.HostOptions))
    group.command("context", help=context.HELP)(command(context.ContextOptions))
    group.command("student", help=student.HELP)(command(student.StudentOptions))
    group.command("kvspn", help=kvspn.HELP)(command(kvspn.KVSPNOptions))
    app.add_typer(group, name="train")
