"""What all recipes are given, and how each ends: weights, curve, card."""

from __future__ import annotations

import platform
import random
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch

from pst_cli import __version__
from pst_cli.errors import UsageError
from pst_cli.models.adapter import DIGITS, read_adapter_config
from pst_cli.models.device import choose_dtype, numbers
from pst_cli.models.prompts import check, untrained
from pst_cli.outputs import write_atomic
from pst_cli.training.card import CARD, CardFacts, card
from pst_cli.training.course import Course
from pst_cli.training.examples import balanced
from pst_cli.training.materials import LAYOUT
from pst_cli.training.own import Own
from pst_cli.training.place import accelerator, part_of
from pst_cli.training.records import CURVE, can_draw, draw, last_step
from pst_cli.weights import link_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pst_cli.models.spelling import Speller
    from pst_cli.training.collate import Ears
    from pst_cli.training.ears import Context
    from pst_cli.training.examples import Example, Spoken
    from pst_cli.training.fit import Outcome, Settings, Told
    from pst_cli.training.materials import Materials
    from pst_cli.training.plan import Balanced
    from pst_cli.types import Progress
    from pst_cli.weights import Checkpoint

CACHE = "cache"
OWN_BATCH = 8  # clips that are heard together, at most
LIBRARIES = ("torch", "transformers", "accelerate", "peft")


@dataclass(frozen=True, kw_only=True)
class Order:
    """What every run is told."""

    model: str  # as it was named
    checkpoint: Checkpoint
    manifests: Sequence[Path]
    held_out: Sequence[Path]
    output: Path
    settings: Settings
    size: int  # rows of a batch
    micro: int  # rows that are worked on at once
    longest: float = 28.0  # s; of clips of several utterances
    judged: int = 200  # of the held-out clips; a few tell as much as all, in less time
    command: str = ""  # that gave the order
    license: str = ""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Who is told how it goes, and who may stop it."""

    tell: Callable[[Told], None]
    progress: Progress
    stop: Callable[[], bool]
    say: Callable[[str], None]


def own_of(
    order: Order,
    cache: Path | None,
    context: Context,
    watch: Watch,
    *,
    said: Sequence[Spoken] = (),
    heard: Sequence[Spoken] = (),
) -> Own:
    """What the model says of all to be `said`, and hears of these and of all to be `heard`.

    It is worked out where it is not stored. Raises KeyboardInterrupt where it is stopped; what was
    done by then is kept.
    """
    place = accelerator(order.settings.how.precision, order.settings.device)
    device = str(place.device)
    dtype = choose_dtype("auto", device)
    identity = order.checkpoint.fingerprint, context, numbers(dtype)
    own = Own(cache or order.output / CACHE, *identity)
    missing = own.missing(said, heard)
    place.wait_for_everyone()  # before anybody adds to what the others are looking through
    if missing:
        host = order.checkpoint.load(device, dtype)
        mine = len(missing[place.process_index :: place.num_processes])
        for done in own.add(host, missing, min(OWN_BATCH, order.micro), part_of(place)):
            watch.progress("what the model says of the clips", done, mine)
            if watch.stop():
                raise KeyboardInterrupt
    place.wait_for_everyone()
    return Own(cache or order.output / CACHE, *identity)


def follows_reference(one: Spoken, share: float) -> bool:
    """Whether `one` is taught by its reference, as a share of those that have one are.

    It is the same in every run, and wherever the files lie.
    """
    heard = [(sound.audio.name, sound.start) for sound in one.clip.utterances if sound.audio]
    drawn = random.Random(f"reference {heard} {one.target}").random()
    return drawn < share and one.target in one.clip.texts()


def by_reference(items: Sequence[Spoken], share: float) -> tuple[list[Spoken], list[Spoken]]:
    """`items` taught by their references, and the others, taught by what a model says."""
    found: tuple[list[Spoken], list[Spoken]] = [], []
    for one in items:
        found[not follows_reference(one, share)].append(one)
    return found


def able(items: Sequence[Spoken], order: Order, watch: Watch) -> list[Spoken]:
    """Those of `items` that the model was trained to do; what is left out is told.

    Raises UsageError where that is nothing.
    """
    ability, found = order.checkpoint.ability, []
    for one in items:
        source, target = one.direction
        with suppress(UsageError):
            check(ability, order.model, target, source)
            if not untrained(ability, source, target):
                found.append(one)
    if items and not found:
        check(ability, order.model, items[0].target, items[0].clip.language)
        raise UsageError(
            f"{order.model} was trained for none of the manifests' directions",
            hint="see what they have with: pst data check MANIFEST",
        )
    if len(found) < len(items):
        count = len(items) - len(found)
        watch.say(f"{count} clips in directions that {order.model} was not trained for: left out")
    return found


def fixed_course(
    order: Order,
    speller: Speller,
    source: Balanced[Spoken],
    spell: Callable[[Spoken, random.Random], Example],
    ears: Ears,
) -> Course:
    """A course of clips that are the same in every epoch, and of nothing that is only read."""
    return Course(
        source=source,
        spell=spell,
        ears=ears,
        size=order.size,
        micro=order.micro,
        timestamp_begin=speller.tokens.timestamp_begin,
        pad=speller.tokens.end,
        seed=order.settings.seed,
    )


def judged(items: Sequence[Spoken], order: Order) -> list[Spoken]:
    """At most as many held-out clips as are to be judged, drawn once, the shortest first."""
    if len(items) > order.judged:
        items = balanced(items, 1.0, random.Random("judged"))[: order.judged]
    return sorted(items, key=lambda one: one.clip.seconds)


def identity(
    order: Order, kind: str, plan: object, materials: Sequence[Materials], *, fixed: bool
) -> dict[str, str]:
    """All that makes a run what it is, beside its settings: what it cannot go on without.

    `fixed`: its clips are those of `fixed_clips`.
    """
    own = {
        str(field.name): repr(getattr(plan, field.name))
        for field in fields(plan)  # type: ignore[arg-type]
        if field.name not in ("cache", "student")
    }
    manifests = [
        f"{fact.use} {fact.sha256[:DIGITS]}" for given in materials for fact in given.facts
    ]
    return {
        "kind": kind,
        "model": order.checkpoint.fingerprint[:DIGITS],
        "manifests": ", ".join(manifests),
        "longest": repr(order.longest),
        "judged": repr(order.judged),
        **({"layout": str(LAYOUT)} if fixed else {}),
        **own,
    }


def tell_of(materials: Sequence[Materials], watch: Watch) -> None:
    """Say what of the manifests cannot be used."""
    if count := sum(len(given.left_out) for given in materials):
        first = next(given.left_out[0] for given in materials if given.left_out)
        watch.say(f"{count} utterances longer than 30 s are left out, the first at {first.place}")


def batch_facts(order: Order) -> dict[str, object]:
    """The hyper-parameters that all recipes have."""
    how = asdict(order.settings.how)
    return {"batch size": order.size, **{name.replace("_", " "): how[name] for name in how}}


def finish(order: Order, outcome: Outcome, materials: Sequence[Materials], **facts: Any) -> None:
    """The curve, where it can be drawn, and the card; `facts` are the recipe's own."""
    pictures = []
    if can_draw():
        draw(order.output)
        pictures.append(CURVE)
    held_out = {f"held out: {name}": value for name, value in outcome.held_out.items()}
    figures = outcome.figures or last_step(order.output)
    last = {f"last batch: {name}": value for name, value in figures.items()}
    best = {"best step": outcome.state.best_step} if outcome.held_out else {}
    below = read_adapter_config(order.checkpoint.path)
    metrics = {**best, **held_out, **facts.pop("metrics", {}), **last}
    settings = {**batch_facts(order), **facts.pop("settings", {})}
    made = CardFacts(
        base=order.model,
        base_sha256=order.checkpoint.fingerprint,
        host=link_name(order.model, order.checkpoint, order.output) if below else "",
        host_sha256=below.sha256 if below else "",
        command=order.command,
        license=order.license,
        data=[one for given in materials for one in given.facts],
        settings=settings,
        seed=order.settings.seed,
        steps=outcome.state.step,
        seconds=outcome.state.seconds,
        machine=machine(order.settings.device),
        versions={"pst": __version__, **{name: version(name) for name in LIBRARIES}},
        metrics={name: float(f"{value:.4g}") for name, value in metrics.items()},
        pictures=pictures,
        **facts,
    )
    write_atomic(order.output / CARD, card(made))


def machine(device: str) -> dict[str, object]:
    """Where the run was."""
    if device != "cpu" and torch.cuda.is_available():
        return {"device": torch.cuda.get_device_name(), "count": torch.cuda.device_count()}
    return {
        "device": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
    }
