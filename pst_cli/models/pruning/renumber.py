"""The JSON files of a checkpoint, told in the ids of a trimmed vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pst_cli.models.pruning.vocabulary import sides

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Json = dict[str, Any]  # only here, at the edge, where the files are dicts by nature

ID, IDS, NAMED = "_token_id", ("suppress_tokens", "begin_suppress_tokens"), "_to_id"
FORCED, BAD_WORDS = "forced_decoder_ids", "bad_words_ids"


class Renumbering:
    """From the ids of a full vocabulary to those of the tokens that stayed."""

    def __init__(self, kept: Sequence[int], end: int) -> None:
        """Take the old ids in their new order, and the old id of <|endoftext|>, which stayed."""
        self._new = {old: new for new, old in enumerate(kept)}
        self._end = self._new[end]

    def files(self) -> dict[str, Callable[[Any], Any]]:
        """What to do to the content of each file that holds ids."""
        return {
            "config.json": self.config,
            "generation_config.json": self.config,
            "tokenizer.json": self.tokenizer,
            "tokenizer_config.json": self._tokenizer_config,
            "vocab.json": self._table,
            "added_tokens.json": self._table,
        }

    def config(self, document: Json) -> Json:
        """A config.json or generation_config.json; suppressed tokens that are gone are left out."""
        told = {key: self._setting(key, value) for key, value in document.items()}
        return told | ({"vocab_size": len(self._new)} if "vocab_size" in document else {})

    def _setting(self, key: str, value: Any) -> Any:
        if value is None:
            return None
        if key.endswith(ID):
            return self._boundary(value)
        if key.endswith(NAMED):
            return self._table(value)
        if key in IDS:
            return self._those(value)
        if key == FORCED:  # (position, id) each; no id: the model's own choice
            return [[at, token and self._new.get(token)] for at, token in value]
        if key == BAD_WORDS:
            return [self._those(word) for word in value if set(word) <= self._new.keys()]
        return value

    def _boundary(self, value: Any) -> Any:
        """A text token here, which may be gone, is a default of English-only models left over."""
        if isinstance(value, list):
            return self._those(value) or [self._end]
        return self._new.get(value, self._end)

    def _those(self, tokens: Sequence[int]) -> list[int]:
        return [self._new[token] for token in tokens if token in self._new]

    def _table(self, ids: dict[str, int]) -> dict[str, int]:
        return {name: self._new[token] for name, token in ids.items() if token in self._new}

    def tokenizer(self, document: Json) -> Json:
        """A tokenizer.json."""
        model = document["model"]
        vocabulary = self._table(model["vocab"])
        merges = [merge for merge in model["merges"] if fits(merge, vocabulary)]
        return {
            **document,
            "model": {**model, "vocab": vocabulary, "merges": merges},
            "added_tokens": [
                {**token, "id": self._new[token["id"]]}
                for token in document["added_tokens"]
                if token["id"] in self._new
            ],
            "post_processor": self._processor(document.get("post_processor")),
        }

    def _processor(self, processor: Any) -> Any:
        """What puts special tokens round a text; it knows them by id too."""
        if not processor:
            return processor
        told = dict(processor)
        if "processors" in processor:
            told["processors"] = [self._processor(one) for one in processor["processors"]]
        if "special_tokens" in processor:
            told["special_tokens"] = {
                name: {**token, "ids": self._those(token["ids"])}
                for name, token in processor["special_tokens"].items()
            }
        return told

    def _tokenizer_config(self, document: Json) -> Json:
        named = document.get("added_tokens_decoder")
        if not named:
            return document
        ids = {int(old): token for old, token in named.items() if int(old) in self._new}
        told = {str(self._new[old]): token for old, token in ids.items()}
        return {**document, "added_tokens_decoder": told}


def fits(merge: Any, vocabulary: dict[str, int]) -> bool:
    """Whether both sides of `merge` and what it makes are in `vocabulary`."""
    left, right = sides(merge)
    return {left, right, left + right} <= vocabulary.keys()


def merges_text(text: str, vocabulary: dict[str, int]) -> str:
    """A merges.txt: a line that names the version, then a merge a line."""
    first, *rest = text.splitlines() or [""]
    head = [first] if first.startswith("#version") or fits(first, vocabulary) else []
    return "\n".join([*head, *(line for line in rest if fits(line, vocabulary))]) + "\n"
