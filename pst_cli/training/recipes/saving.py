"""How a host that was taught is written: what changed in it, or every weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pst_cli.export import write_model
from pst_cli.models.adapter import Adapter, AdapterConfig, fingerprint
from pst_cli.models.host import declared
from pst_cli.training.adapting import learnt
from pst_cli.weights import link_name

if TYPE_CHECKING:
    from pst_cli.models.context import Context
    from pst_cli.models.prompts import Ability
    from pst_cli.training.opening import Opened
    from pst_cli.training.recipes.common import Order


def save_host(
    order: Order, opened: Opened, ability: Ability, context: Context, *, whole: bool = False
) -> str:
    """Write what `opened` has learnt to `order.output`; the fingerprint of the host that it makes.

    An adapter, or all weights in float32 as an ordinary checkpoint. `ability` and `context` are
    what it can do now and was taught to hear.
    """
    checkpoint, output, able = order.checkpoint, order.output, declared(ability)
    earlier = Adapter.load(checkpoint.adapter) if checkpoint.adapter else None
    sha256 = earlier.config.sha256 if earlier else checkpoint.fingerprint
    name = link_name(order.model, checkpoint, output)
    layers = earlier.config.layers if earlier else {}
    link = AdapterConfig(name, sha256, able, context, layers)
    adapter = learnt(opened.host.whisper, link)
    if not whole:
        (adapter.upon(earlier, checkpoint.host) if earlier else adapter).save(output)
        return Adapter.load(output).fingerprint
    state = checkpoint.state(torch.float32)
    adapter.apply(state)
    config = checkpoint.config
    config["pst"] = {**config.get("pst", {}), "ability": able, "context": context}
    write_model(output, state, config, checkpoint)
    return fingerprint(state)
