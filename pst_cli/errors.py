"""Every failure a user can meet: what is wrong, what to type next, and the exit code it earns."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class PstError(Exception):
    """A failure that is explained in one line; `hint` names the next command to type."""

    exit_code = EXIT_FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def at(self, place: str) -> Self:
        """The same, its place named if its message does not name it."""
        if place in self.message:
            return self
        named = type(self)(f"{place}: {self.message}", hint=self.hint)
        return named.with_traceback(self.__traceback__)


class UsageError(PstError):
    """What was asked for cannot be done as asked; nothing was started."""

    exit_code = EXIT_USAGE


class AudioError(PstError):
    """An input cannot be read as sound."""


class ModelError(PstError):
    """Weights are missing, damaged, or cannot do what is asked."""


class StoreError(ModelError):
    """Weights could not be found, fetched, verified or written."""


class OutputError(PstError):
    """A result cannot be written."""


class DataError(PstError):
    """A manifest, or what it names, cannot be used as it is."""


class TrainingError(PstError):
    """A training run cannot go on; its last checkpoint is whole."""
