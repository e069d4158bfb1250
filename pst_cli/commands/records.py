"""Subcommands as records: each field is an option, declared once, with its default."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, replace
from typing import Any, Self, TypeVar, get_type_hints

import typer

from pst_cli.commands import options
from pst_cli.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What every such subcommand takes."""

    offline: options.Offline = False
    quiet: options.Quiet = False
    debug: options.Debug = False  # read where errors are told

    @property
    def command(self) -> str:
        """That was typed."""
        return shlex.join(["pst", *sys.argv[1:]])

    def check(self) -> None:
        """UsageError for words that pst does not know, and for what does not go together."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions(CommonOptions):
    """A model, where it runs, and how its text is searched for."""

    model: options.ModelOrAuto = options.AUTO
    draft_model: options.DraftModel = None
    draft_length: options.DraftLength = None
    draft_confidence: options.DraftConfidence = None
    top_k: options.TopK = 1
    beams: options.Beams = 1
    batch_size: options.BatchSize = 8
    context: options.Context = "auto"
    device: options.Device = "auto"
    dtype: options.Dtype = "auto"

    def check(self) -> None:
        super().check()
        options.known(self.context, options.CONTEXTS, "--context")
        check_greedy(self.beams, {"--top-k": self.top_k > 1})

    def settled(self, directions: Iterable[tuple[str | None, str]]) -> Self:
        """The same, its model named, which the `directions` decide where it is "auto"."""
        return replace(self, model=options.model_for(self.model, directions))


@dataclass(frozen=True, kw_only=True)
class DecodingOptions(ModelOptions):
    """The same, and which way of decoding it is to be."""

    decoding: options.Decoding = "auto"

    def check(self) -> None:
        options.known(self.decoding, options.DECODINGS, "--decoding")
        super().check()


Asked = TypeVar("Asked", bound=CommonOptions)


def command(kind: type[Asked], run: Callable[[Asked], int]) -> Callable[..., None]:
    """A function that Typer reads the fields of `kind` from, and that runs one once it is checked.

    `run` gives the exit code. A record's own fields stand before those that it inherits.
    """

    def call(**given: Any) -> None:
        asked = kind(**given)
        asked.check()
        raise typer.Exit(run(asked))

    hints = get_type_hints(kind, include_extras=True)
    shown = _own_first(kind)
    call.__annotations__ = {one.name: hints[one.name] for one in shown}
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                one.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if one.default is MISSING else one.default,
                annotation=hints[one.name],
            )
            for one in shown
        ]
    )
    return call


def _own_first(kind: type) -> list[Field[Any]]:
    """The fields of a record by the class that first has them, its own before its bases'."""
    homes = {
        name: depth
        for depth, one in enumerate(kind.__mro__)
        for name in inspect.get_annotations(one)
    }
    return sorted(fields(kind), key=lambda one: homes[one.name])


def check_greedy(beams: int, given: Mapping[str, bool]) -> None:
    """UsageError where an option that only greedy decoding has was given, and beams too."""
    option = next((name for name, there in given.items() if there), None)
    if option and beams > 1:
        raise UsageError(f"{option} goes with greedy decoding only", hint="leave out --beams")
