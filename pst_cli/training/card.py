"""The model card beside trained weights: Markdown under the front matter that the hub reads."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pst_cli.store.names import HUB_ID, KNOWN
from pst_cli.types import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pst_cli.data.manifest import Utterance

CARD = "README.md"
SCORES = "## Scores"
NO_SCORES = "None yet: `pst evaluate MANIFEST --model DIR --report DIR/README.md` puts them here."
HOUR = 3600  # s
TAGS = ("whisper", "speech-translation", "pst")
Kind = Literal["host", "student", "kvspn", "medusa"]
Form = Literal["whole", "adapter", "drafter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """One manifest that was learnt from, or held out."""

    name: str
    sha256: str  # of the manifest file
    utterances: int
    hours: Mapping[str, float]  # h of speech by direction, "de-en"; "de-de" is transcribed
    use: str = "training"
    source: str = ""  # where it is from; a hub id goes into the front matter
    license: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """All that a run can say of itself; what is empty is left out."""

    title: str
    kind: Kind
    form: Form
    base: str  # the model it began from, or lives on, as it was named
    base_sha256: str = ""  # its fingerprint
    host: str = ""  # what an adapter is for, where it began from one: that one's host
    host_sha256: str = ""
    many_to_many: bool = True  # whether the language token names the target
    summary: str = ""
    command: str = ""  # that made it
    license: str = ""  # as the hub names licences: "mit", "cc-by-4.0"
    languages: Sequence[str] = tuple(LANGUAGES)
    data: Sequence[DataFacts] = ()
    losses: Mapping[str, float] = field(default_factory=dict)  # their weights in the sum
    settings: Mapping[str, object] = field(default_factory=dict)  # hyper-parameters
    seed: int | None = None
    steps: int | None = None
    seconds: float | None = None  # of training
    machine: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, object] = field(default_factory=dict)  # final losses, acceptance
    pictures: Sequence[str] = ()  # file names beside the card
    limits: Sequence[str] = ()

    @property
    def below(self) -> tuple[str, str]:
        """The whole weights that it is upon, and their fingerprint."""
        return (self.host, self.host_sha256) if self.host else (self.base, self.base_sha256)


def data_facts(path: Path, utterances: Iterable[Utterance], **known: str) -> DataFacts:
    """What a card says of a manifest; `known` are `use`, `source` and `license`.

    An utterance whose manifest gives no duration counts no hours.
    """
    hours: dict[str, float] = defaultdict(float)
    count = 0
    for one in utterances:
        count += 1
        for target in one.texts() if one.audio else ():
            hours[f"{one.language}-{target}"] += (one.duration or 0.0) / HOUR
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return DataFacts(name=path.name, sha256=digest, utterances=count, hours=hours, **known)


def card(facts: CardFacts) -> str:
    """The whole card."""
    sections = {
        "": f"# {facts.title}\n\n{facts.summary}".rstrip(),
        "## How to use it": _use(facts),
        "## Data": _data(facts.data),
        "## Training": _training(facts),
        "## Results of training": _results(facts),
        SCORES: "" if facts.form == "drafter" else NO_SCORES,
        "## Limits": "\n".join(f"- {limit}" for limit in facts.limits),
    }
    parts = [f"{title}\n\n{text}".strip() for title, text in sections.items() if text]
    return _front_matter(facts) + "\n" + "\n\n".join(parts) + "\n"


def _front_matter(facts: CardFacts) -> str:
    """YAML; every string is written as JSON, which is YAML too."""
    base = _on_hub(facts.below[0])
    sources = dict.fromkeys(one.source for one in facts.data if HUB_ID.fullmatch(one.source))
    relation = "adapter" if facts.form == "adapter" else "finetune"
    entries: dict[str, object] = {
        "license": facts.license,
        "language": list(facts.languages),
        "base_model": base,
        "base_model_relation": relation if base and facts.form != "drafter" else "",
        "pipeline_tag": "automatic-speech-recognition",
        "library_name": "transformers" if facts.form == "whole" else "pst",
        "tags": [*TAGS, facts.kind],
        "datasets": list(sources),
    }
    lines = [f"{key}: {json.dumps(value)}\n" for key, value in entries.items() if value]
    return f"---\n{''.join(lines)}---\n"


def _on_hub(name: str) -> str:
    """The hub id of the model called `name`; "" for a directory of somebody's own."""
    if name in KNOWN:
        return KNOWN[name].hub_id
    return name.partition("@")[0] if HUB_ID.fullmatch(name) and not Path(name).exists() else ""


def _use(facts: CardFacts) -> str:
    if facts.form == "drafter":
        host = (
            f"It drafts for `{facts.base}`{_hash(facts.base_sha256)} and for whatever else has its "
            "decoder."
        )
        run = f"pst translate talk.wav --to de --model {facts.base} --draft-model DIR"
        return f"{host}\n\n{_code('sh', run)}"
    whole, first = "DIR", ""
    if facts.form == "adapter":
        whole = "WHOLE"
        host, sha256 = facts.below
        first = (
            f"It is an adapter for `{host}`{_hash(sha256)}, which `pst` fetches "
            "and merges by itself.\n\n"
        )
    names, target = ("target", "de") if facts.many_to_many else ("spoken", "en")
    code = [
        "from transformers import pipeline",
        f'whisper = pipeline("automatic-speech-recognition", "{whole}")',
        'asked = {"language": "de", "task": "transcribe"}',
        'print(whisper("talk.wav", generate_kwargs=asked)["text"])',
    ]
    merged = " once `pst export DIR --output WHOLE` has merged it" if first else " too"
    return (
        f"{first}{_code('sh', f'pst translate talk.wav --to {target} --model DIR')}\n\n"
        f"Other Whisper programs run it{merged}; `language` names the {names} language:\n\n"
        f"{_code('python', *code)}"
    )


def _hash(sha256: str) -> str:
    return f" (fingerprint `{sha256}`)" if sha256 else ""


def _data(data: Sequence[DataFacts]) -> str:
    if not data:
        return ""
    rows = [
        (one.name, one.use, f"{one.utterances:,}", one.source, one.license, f"`{one.sha256}`")
        for one in data
    ]
    text = _table(("manifest", "use", "utterances", "source", "licence", "sha256"), rows)
    hours = [
        (one.name, direction, f"{amount:,.2f}")
        for one in data
        for direction, amount in sorted(one.hours.items())
    ]
    return f"{text}\n\n{_table(('manifest', 'direction', 'hours'), hours)}" if hours else text


def _training(facts: CardFacts) -> str:
    said = {
        "began from": f"{facts.base}{_hash(facts.base_sha256)}",
        "seed": facts.seed,
        "steps": facts.steps,
        "hours of training": None if facts.seconds is None else round(facts.seconds / HOUR, 2),
        **{name: value for name, value in facts.machine.items() if value is not None},
        **facts.versions,
    }
    settings = {**facts.settings, **{k: v for k, v in said.items() if v is not None}}
    tables = [
        _code("sh", facts.command) if facts.command else "",
        _table(("loss", "weight"), facts.losses.items()) if facts.losses else "",
        _table(("setting", "value"), settings.items()),
    ]
    return "\n\n".join(table for table in tables if table)


def _results(facts: CardFacts) -> str:
    table = _table(("figure", "value"), facts.metrics.items()) if facts.metrics else ""
    pictures = [f"![{name}]({name})" for name in facts.pictures]
    return "\n\n".join(part for part in (table, *pictures) if part)


def _code(language: str, *lines: str) -> str:
    return "\n".join((f"```{language}", *lines, "```"))


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    """A value on one line; long numbers are cut to what they are worth."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.split()).replace("|", "\\|")
