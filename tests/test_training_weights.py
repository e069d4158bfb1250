"""The real base model: what training computes is what decoding said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from taught import HEARD

from pst_cli.audio.spans import read_span
from pst_cli.decoding.acceptance import Greedy
from pst_cli.decoding.loop import Strategy, decode
from pst_cli.decoding.protocols import Plain
from pst_cli.decoding.rules import TokenRules
from pst_cli.models.forced import Heard
from pst_cli.models.kvspn import KVSPN
from pst_cli.models.kvspn_config import KVSPNConfig
from pst_cli.training.collate import collate, totals
from pst_cli.training.examples import Direction, Example
from pst_cli.training.lessons.kvspn import KVSPNLesson
from pst_cli.training.opening import open_model
from pst_cli.weights import Checkpoint

ENGLISH = Direction("en", "en")


@pytest.fixture(scope="module")
def base():
    from pst_cli import store

    path = store.resolve("base")
    return Checkpoint(path, path)


@pytest.mark.weights
def test_a_forced_pass_chooses_what_decoding_chose(base, clips):
    host = base.load("cpu", torch.float32)
    sound = read_span(clips / "jfk.flac")
    encoded = host.encode(host.log_mel([sound]))
    asked = [host.tokens.start, host.tokens.languages["en"], host.tokens.transcribe]
    strategy = Strategy(Plain(), Greedy(), TokenRules(host.tokens, host.shape.vocab_size))
    (said,) = decode(host.open(encoded), [asked], host.tokens, strategy)

    opened = open_model(base)
    heard = opened.host.hear(opened.log_mel([sound]))
    np.testing.assert_allclose(heard.detach(), encoded, atol=2e-3)
    tokens = (*said.prompt, *said.tokens, host.tokens.end)
    row = Example(tokens, 3, (), ENGLISH, HEARD)
    batch = collate([row], totals([row], host.tokens.timestamp_begin), Heard(heard), 0)
    network = KVSPN(KVSPNConfig(512, 8, 6, 51_865, groups=1, cross="host", normed=True))
    lesson = KVSPNLesson(opened.host, network, host.tokens)
    forced, _ = lesson.memory(batch)
    choices = lesson._labels(batch, forced)[0, 2:-1]
    assert choices.tolist() == [*said.tokens, host.tokens.end]


@pytest.mark.weights
def test_base_is_known_by_its_hash_in_any_numbers(base):
    from pst_cli.models.adapter import fingerprint

    assert base.fingerprint == fingerprint(base.state(torch.float32))
    assert base.fingerprint.startswith("48855293bccd")
