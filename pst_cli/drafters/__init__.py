"""Drafters that belong to a host: beside its weights, or here, among those that come with pst."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pst_cli.errors import ModelError
from pst_cli.models.adapter import CONFIG, read_json
from pst_cli.models.kvspn import KVSPN
from pst_cli.models.kvspn_config import KVSPNConfig, read_config
from pst_cli.models.vocabularies import ANYTHING, Vocabularies

if TYPE_CHECKING:
    from pst_cli.models.host import Host

NETWORKS = ("kvspn", "medusa")  # drafting networks, and their directories' names
STUDENT = "student"  # the directory of a whole model that drafts
PACKAGED = Path(__file__).parent  # tests put another one here


def own_drafters(host: Host, path: Path) -> dict[str, Path]:
    """The drafters that belong to `host`, each under the method of decoding that it is for.

    They lie in directories named after their kind, beside the host's weights in `path`; or in the
    package, where they are known by the fingerprint of the host that they were made for.
    """
    beside = {kind: path / kind for kind in NETWORKS if network_kind(path / kind) == kind}
    if (path / STUDENT / CONFIG).is_file():
        beside["speculative"] = path / STUDENT
    return _packaged(host) | beside


def _packaged(host: Host) -> dict[str, Path]:
    """Those made for `host`, or else for the one that it was adapted from."""
    found: dict[str, tuple[int, Path]] = {}
    for folder in sorted(PACKAGED.glob("[!._]*/")):
        network = read_config(folder)
        if network is None:
            kind, whose = "speculative", teacher(folder, host)
        else:
            kind, whose = kind_of(network), network.host if fits(network, host) else ""
        # The host's fingerprint, for which its weights are read, is asked for last.
        if whose and whose in host.lineage:
            near = host.lineage.index(whose), folder
            found[kind] = min(found.get(kind, near), near)
    return {kind: folder for kind, (_, folder) in found.items()}


def vocabularies(words: int) -> Vocabularies:
    """The draft vocabularies of a KVSPN in the package whose host has so many `words`.

    All Whispers that have as many have the same ones; of another number anything may be drafted.
    """
    for folder in sorted(PACKAGED.glob("[!._]*/")):
        network = read_config(folder)
        if network and network.vocabulary == words and network.vocabularies:
            return KVSPN.load(folder).vocabularies
    return ANYTHING


def learnt_from(folder: Path, host: Host) -> bool:
    """Whether `host` taught the model in `folder`, or the host that it was adapted from did."""
    whose = teacher(folder, host)
    return whose != "" and whose in host.lineage


def teacher(folder: Path, host: Host) -> str:
    """The fingerprint of the host that taught the model in `folder`.

    "" where none did, it is no smaller than `host`, or has another width or other words.
    """
    try:
        model = read_json(folder / CONFIG)
    except ModelError:
        return ""
    alike = all(model.get(name) == getattr(host.shape, name) for name in ("d_model", "vocab_size"))
    smaller = model.get("decoder_layers", 0) < host.shape.decoder_layers
    return str((model.get("pst") or {}).get("teacher", "")) if alike and smaller else ""


def network_kind(folder: Path) -> str | None:
    """ "kvspn" or "medusa" where `folder` holds one of them."""
    config = read_config(folder)
    return None if config is None else kind_of(config)


def kind_of(config: KVSPNConfig) -> str:
    """ "kvspn", or "medusa" for the control."""
    return "medusa" if config.feed == "state" else "kvspn"


def fits(config: KVSPNConfig, host: Host) -> bool:
    """Whether a network of this shape can live on the memory of `host`."""
    own = host.shape
    shape = (own.d_model, own.decoder_layers, own.vocab_size)
    return (config.d_model, config.layers, config.vocabulary) == shape
