"""What a drafter can say of the rows it drafts for: an output head, and a guide to its scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pst_cli.decoding.proposals import Guide, Rows
    from pst_cli.models.heads import Head, Heads


class Saying:
    """Told by the first rows: others leave and never come, so it fits all that follow."""

    def __init__(self, heads: Heads, guide: Guide) -> None:
        self._heads, self._guide = heads, guide
        self._found: tuple[Head, Guide] | None = None

    def of(self, rows: Rows) -> tuple[Head, Guide]:
        """The head and the guide for `rows`, each a prompt and what was said so far."""
        if self._found is None:
            head = self._heads.of(rows)
            narrowed = self._guide if head.kept is None else self._guide.narrowed(head.kept)
            self._found = head, narrowed
        return self._found
