"""Ways of decoding: the drafter that runs beside a host, and what it needs loaded."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pst_cli.decoding.draft_model import ModelDrafter
from pst_cli.decoding.kvspn import KVSPNDrafter
from pst_cli.decoding.length import DraftLength, Pace, SharedLength
from pst_cli.decoding.protocols import Drafter, Plain
from pst_cli.drafters import fits, kind_of, learnt_from, network_kind, own_drafters, vocabularies
from pst_cli.errors import ModelError, UsageError
from pst_cli.models.adapter import DIGITS, read_adapter_config
from pst_cli.models.heads import Heads
from pst_cli.models.kvspn import KVSPN
from pst_cli.weights import Checkpoint, locate

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pst_cli.decoding.proposals import Guide, Rows
    from pst_cli.models.host import Host
    from pst_cli.models.session import Session

CONFIDENCE = 0.5  # of a draft, that it holds; below it a further token hardly pays
FREE = 12  # tokens; what a pass on a processor takes along at little cost
AHEAD = 8  # tokens; who fills the memory while it drafts is about as right at the last as before


@dataclass(frozen=True, slots=True)
class Drafting:
    """How drafts are made and judged; None leaves it to the method.

    `top_k` above 1 is lossy: a drafted token passes if it is among the host's k likeliest.
    """

    length: int | None = None
    confidence: float | None = None
    top_k: int = 1


class Method(Protocol):
    """One way of decoding: what its drafter hears of a window, and the drafter itself."""

    @property
    def name(self) -> str:
        """As `--decoding` and the bench know it."""

    def hear(self, log_mel: Tensor, encoded: Tensor) -> Tensor:
        """What the drafter hears of windows; `encoded` itself where it hears what the host does."""

    def start(self, session: Session, heard: Tensor, guide: Guide) -> Drafter:
        """A drafter for rows that the host is about to decode."""


@dataclass(frozen=True)
class PlainMethod:
    """No drafts: one host pass a token."""

    name: str = "plain"

    def hear(self, log_mel: Tensor, encoded: Tensor) -> Tensor:
        del log_mel
        return encoded

    def start(self, session: Session, heard: Tensor, guide: Guide) -> Drafter:
        del session, heard, guide
        return Plain()


PLAIN = PlainMethod()


@dataclass(frozen=True)
class KVSPNMethod:
    """KVSPN, or the Medusa control, on the host's own memory."""

    network: KVSPN
    heads: Heads
    drafting: Drafting
    paces: dict[frozenset[int | None], Pace] = field(default_factory=dict)  # by what is said

    @property
    def name(self) -> str:
        return kind_of(self.network.config)

    def hear(self, log_mel: Tensor, encoded: Tensor) -> Tensor:
        del log_mel
        return encoded

    def start(self, session: Session, heard: Tensor, guide: Guide) -> Drafter:
        length: DraftLength | SharedLength
        longest = AHEAD if self.network.config.fills else self.network.config.draft_length
        if session.rows > len(heard):  # beams: a step holds only where all of a window's do
            longest = 1
        if self.drafting.length or session.cache.keys.device.type != "cpu":
            length = DraftLength(self.drafting.length or longest, fixed=True)
        else:
            length = SharedLength(longest, FREE, self._pace)
        confidence = self.drafting.confidence
        sure = replace(guide, confidence=CONFIDENCE if confidence is None else confidence)
        return KVSPNDrafter(self.network, self.heads, session, heard, sure, length)

    def _pace(self, rows: Rows) -> Pace:
        """That of the languages of `rows`: a KVSPN may be right in one and not in another."""
        return self.paces.setdefault(frozenset(map(self.network.vocabularies.asked, rows)), Pace())


@dataclass(frozen=True)
class SpeculativeMethod:
    """A smaller Whisper drafts; one that has the host's very encoder hears with the host's ears."""

    draft: Host
    heads: Heads
    shares_encoder: bool
    drafting: Drafting
    name: str = "speculative"

    def hear(self, log_mel: Tensor, encoded: Tensor) -> Tensor:
        return encoded if self.shares_encoder else self.draft.encode(log_mel)

    def start(self, session: Session, heard: Tensor, guide: Guide) -> Drafter:
        length = self.drafting.length
        adaptive = DraftLength(length, fixed=True) if length else DraftLength()
        beams = session.rows // len(heard)
        own = self.draft.open(heard, beams, session.cache.cross_mask)
        confidence = self.drafting.confidence
        if confidence is None:  # rows that are drafted together go on until the last of them stops
            confidence = CONFIDENCE if session.rows == 1 else 0.0
        return ModelDrafter(own, self.heads, replace(guide, confidence=confidence), adaptive)


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for; "auto" is a KVSPN where one is beside the host's weights, else plain."""

    decoding: str = "auto"
    draft_model: str | None = None  # a model's name, or a directory of a KVSPN


def choose(
    wish: Wish,
    host: Host,
    checkpoint: Checkpoint,
    drafting: Drafting,
    fetch: Callable[[str], Path],
) -> Method:
    """The method wished for, loaded; `checkpoint` is the host's, fetch(name) finds others.

    Raises UsageError where what the method needs was not named.
    """
    if wish.decoding == "plain":
        return PLAIN
    if wish.draft_model is None:
        return _own(wish, host, checkpoint, drafting)
    folder = Path(wish.draft_model)
    kind = network_kind(folder)
    if wish.decoding not in ("auto", kind or "speculative"):
        raise UsageError(
            f"--draft-model {wish.draft_model} is {kind or 'a whole model'}: "
            f"it does not go with --decoding {wish.decoding}",
            hint=f"use --decoding {kind or 'speculative'}",
        )
    if kind:
        return load_kvspn(folder, host, drafting)
    return load_draft_model(locate(wish.draft_model, fetch), host, drafting)


def _own(wish: Wish, host: Host, checkpoint: Checkpoint, drafting: Drafting) -> Method:
    """The host's own drafter of the kind that was asked for."""
    found = own_drafters(host, checkpoint.path)
    name = "kvspn" if wish.decoding == "auto" else wish.decoding
    if name in found:
        return load_own(found[name], host, checkpoint, drafting)
    if wish.decoding == "auto":
        return PLAIN
    if wish.decoding == "speculative":
        hint = "add --draft-model tiny, or another smaller model"
        raise UsageError("--decoding speculative needs a model that drafts", hint=hint)
    hint = "name its directory with --draft-model DIR"
    raise UsageError(f"--decoding {name}: there is none beside the host's weights", hint=hint)


def load_own(folder: Path, host: Host, checkpoint: Checkpoint, drafting: Drafting) -> Method:
    """One of the host's own drafters; an adapter is one of the weights that the host's are of."""
    if network_kind(folder):
        return load_kvspn(folder, host, drafting)
    weights = checkpoint.host if read_adapter_config(folder) else folder
    return load_draft_model(Checkpoint(folder, weights), host, drafting)


def load_kvspn(folder: Path, host: Host, drafting: Drafting) -> KVSPNMethod:
    """The KVSPN in `folder`, for `host`; ModelError where it was made for another."""
    network = KVSPN.load(folder)
    config, own = network.config, host.shape
    other = ""
    if not fits(config, host):
        other = (
            f"it has {config.layers} layers of {config.d_model}, "
            f"this one {own.decoder_layers} of {own.d_model}"
        )
    elif config.host and config.host not in host.lineage:
        other = f"its weights are {config.host[:DIGITS]}, this one's {host.fingerprint[:DIGITS]}"
    if other:
        raise ModelError(
            f"the KVSPN in {folder} is for another host: {other}",
            hint="use the --model it was trained with",
        )
    network = network.to(host.device, host.dtype)
    network.freeze()
    return KVSPNMethod(network, Heads(network.vocabularies, host.decoder), drafting)


def load_draft_model(draft: Checkpoint, host: Host, drafting: Drafting) -> SpeculativeMethod:
    """The model in `draft`, for `host`; raises as `speculative` does."""
    loaded = draft.load(str(host.device), host.dtype, drafts=True)
    return speculative(loaded, host, drafting, hears=learnt_from(draft.path, host))


def speculative(
    draft: Host, host: Host, drafting: Drafting, *, hears: bool = False
) -> SpeculativeMethod:
    """`draft` as drafter for `host`; it `hears` what the host does, or where its encoder is equal.

    Raises UsageError where they do not speak one vocabulary.
    """
    if draft.words() != host.words():
        raise UsageError(
            f"--draft-model: its {draft.shape.vocab_size} tokens are not the host's "
            f"{host.shape.vocab_size}",
            hint="draft for tiny to medium with one of those, for large-v3 with turbo; a model "
            "whose vocabulary is trimmed drafts for its like alone",
        )
    heads = Heads(vocabularies(host.shape.vocab_size), draft.decoder)
    shares = hears or draft.encoder.sums == host.encoder.sums
    return SpeculativeMethod(draft, heads, shares, drafting)
