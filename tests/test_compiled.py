"""What is compiled says what PyTorch makes of the same weights, and is loaded when that pays."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch
from test_drafters import STAND_INS, drafted, encode, first_draft, network, plain
from test_host import END, SPECIAL, START, VOCABULARY, sound, tiny

from pst_cli.decoding.acceptance import Greedy
from pst_cli.decoding.draft_model import ModelDrafter
from pst_cli.decoding.length import DraftLength
from pst_cli.decoding.loop import Strategy, decode
from pst_cli.decoding.proposals import Guide
from pst_cli.decoding.rules import TokenRules
from pst_cli.models.compiled import FEW, CompiledStack, CompiledSteps, product
from pst_cli.models.decoder import Decoder
from pst_cli.models.heads import Heads
from pst_cli.models.products import approximate, rounded
from pst_cli.models.session import Session
from pst_cli.models.vocabularies import ANYTHING

ONLY_THE_END = replace(SPECIAL, suppressed=(END,), suppressed_first=())
CLOSE = {"atol": 1e-3, "rtol": 1e-3}
HALVED = {"atol": 0.05, "rtol": 0.05}  # what is remembered is rounded to the 8 bits of bfloat16


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(CompiledStack, "worth", 1)


def decoders(model):
    """One whose layers PyTorch runs and one that drafts, of the same weights of 8 bits."""
    config, state = model.config, dict(model.model.decoder.state_dict())
    for name, weight in state.items():
        if weight.ndim == 2 and name != "embed_positions.weight":
            whole, scale = rounded(weight)
            state[name] = (whole * scale[:, None]).to(weight.dtype)
    shape = config.decoder_layers, config.decoder_attention_heads
    return Decoder(state, *shape), Decoder(state, *shape, approximate)


def opened(slow, quick, heard, mask=None, **rows):
    """A cache for each, of the same sound, its frames in numbers that 8 bits hold."""
    caches = [one.open(heard, mask=mask, **rows) for one in (slow, quick)]
    for name in ("cross_keys", "cross_values"):
        states = getattr(caches[0], name)
        whole, scale = rounded(states.flatten(0, -2))
        for cache in caches:
            setattr(cache, name, (whole * scale[:, None]).view(states.shape))
    return caches


WINDOWS = {
    "one row": {"windows": [0]},
    "a row a window": {"windows": [0, 1, 2]},
    "beams": {"beams": 2},
    "rows that share": {"windows": [1, 0, 1, 0]},
}


@pytest.mark.parametrize("rows", WINDOWS.values(), ids=WINDOWS.keys())
@pytest.mark.parametrize("padded", [False, True])
def test_a_decoder_that_drafts_scores_as_pytorch_does_with_its_weights(rows, padded):
    model = tiny(21, layers=3)
    count = 1 + max(rows.get("windows", [1]))
    heard = encode(model, sound(model, count, 21))
    mask = torch.arange(heard.shape[1]) < torch.tensor([[30], [50], [11]])[:count]
    passes = [([0], 3), ([3], 1), ([4, 3, 4, 2], 1), ([2, 4, 3, 5], 1), ([63], 1)]
    generator = torch.Generator().manual_seed(21)
    with torch.inference_mode():
        slow, quick = decoders(model)
        caches = opened(slow, quick, heard, mask if padded else None, **rows)
        held = caches[0].rows
        steps, head = CompiledSteps(quick.compiled, quick, caches[1]), product(quick.head)
        for starts, width in passes:
            width = min(width, FEW // held)
            tokens = torch.randint(0, END, (held, width), generator=generator)
            starts = (starts * held)[:held]
            one = slow.logits(slow(tokens, starts, caches[0])[:, -1:])
            assert steps.takes(held * width)
            other = steps(tokens.tolist(), starts, head)
            assert torch.allclose(other, one, **CLOSE)
            assert not torch.equal(other, one)
            for name in ("keys", "values"):
                assert torch.allclose(getattr(caches[1], name), getattr(caches[0], name), **CLOSE)
        assert slow.compiled is None


def test_rows_that_leave_are_no_longer_heard_for():
    model = tiny(24, layers=2)
    heard = encode(model, sound(model, 3, 24))
    with torch.inference_mode():
        slow, quick = decoders(model)
        caches = opened(slow, quick, heard)
        steps, head = CompiledSteps(quick.compiled, quick, caches[1]), product(quick.head)
        assert steps.takes(3)
        for rows in ([0, 1, 2], [0, 2], [1]):
            for cache in caches:
                cache.select(torch.tensor(rows))
            tokens, starts = torch.tensor([[20]] * len(rows)), [0] * len(rows)
            one = slow.logits(slow(tokens, starts, caches[0]))
            assert torch.allclose(steps(tokens.tolist(), starts, head), one, **CLOSE)


def test_a_decoder_in_bfloat16_is_compiled_over_its_own_memory():
    model = tiny(21, layers=3).bfloat16()
    exact, quick = decoders(copy.deepcopy(model).float())[0], decoders(model)[1]
    heard = encode(model, sound(model, 1, 21).bfloat16())
    with torch.inference_mode():
        one, other = exact.open(heard.float()), quick.open(heard)
        steps, head = CompiledSteps(quick.compiled, quick, other), product(quick.head)
        for start, tokens in enumerate([[20], [31], [22], [40]]):
            wanted = exact.logits(exact(torch.tensor([tokens]), [start], one))
            assert steps.takes(1)
            found = steps([tokens], [start], head)
            assert (found - wanted).norm() / wanted.norm() < 0.05
            for name in ("keys", "values"):
                mine = getattr(other, name)
                assert mine.dtype == torch.bfloat16
                assert torch.allclose(mine.float(), getattr(one, name), **HALVED)


@pytest.mark.parametrize("form", STAND_INS.values(), ids=STAND_INS.keys())
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_a_compiled_kvspn_drafts_as_before_and_changes_no_token(form, rows, dtype):
    model = tiny(11, layers=3).to(dtype)
    features, net = sound(model, rows, 11).to(dtype), network(model, **form).to(dtype)
    before = first_draft(model, features[:1], net)
    frozen = copy.deepcopy(net)
    frozen.freeze()
    after = first_draft(model, features[:1], frozen)
    assert (after - before).norm() / before.norm() < 0.05
    spoken = drafted(model, features, frozen)
    assert (frozen.compiled is not None) is (net.config.feed == "token")
    assert not frozen.compiled or frozen.compiled.stack
    assert [row.tokens for row in spoken] == [row.tokens for row in plain(model, features)]
    assert sum(row.drafted for row in spoken) > 0


def test_a_compiled_kvspn_reads_no_memory_at_or_beyond_the_last_token():
    model = tiny(12, layers=3)
    features, net = sound(model, 1, 12), network(model, **STAND_INS["two"])
    net.freeze()

    def spoil(cache):
        cache.keys[:, :, :, 5:] = 1e3
        cache.values[:, :, :, 5:] = -1e3

    assert torch.equal(first_draft(model, features, net), first_draft(model, features, net, spoil))


def test_a_draft_model_with_the_hosts_own_weights_is_as_right_compiled():
    model = tiny(22)
    heard = encode(model, sound(model, 2, 22))
    slow, quick = decoders(model)
    rules = TokenRules(ONLY_THE_END, VOCABULARY, timestamps=False)
    guide = Guide(rules, 1, END)
    with torch.inference_mode():
        host, own = (Session(one, one.open(heard)) for one in (slow, quick))
        drafter = ModelDrafter(own, Heads(ANYTHING, quick), guide, DraftLength(3, fixed=True))
        strategy = Strategy(drafter, Greedy(), rules, limit=40)
        spoken = decode(host, [[START]] * 2, SPECIAL, strategy)
    assert quick.compiled.stack
    assert sum(map(len, (row.tokens for row in spoken))) > 20
    assert sum(sum(row.accepted) for row in spoken) > 0.9 * sum(row.drafted for row in spoken)


def test_the_compiler_is_loaded_after_as_many_calls_as_it_is_worth(monkeypatch):
    monkeypatch.setattr(CompiledStack, "worth", 3)
    stack = decoders(tiny(23))[1].compiled
    assert [stack.takes(one) for one in (FEW, FEW, FEW, FEW + 1, FEW)] == [
        False,
        False,
        True,
        False,
        True,
    ]


def nowhere(**_):
    raise RuntimeError("cannot cache function: no locator available for file kernels.py")


NOWHERE = SimpleNamespace(njit=nowhere, float32=float)


@pytest.mark.parametrize(("numba", "reason"), [(None, ImportError), (NOWHERE, RuntimeError)])
def test_pytorch_goes_on_where_numba_is_not_or_can_keep_nothing(numba, reason, monkeypatch):
    import_module("pst_cli.models.bits")  # of Numba too, but it keeps nothing
    monkeypatch.setitem(sys.modules, "numba", numba)
    monkeypatch.delitem(sys.modules, "pst_cli.models.kernels", raising=False)
    monkeypatch.delattr("pst_cli.models.kernels", raising=False)
    with pytest.raises(reason):
        import_module("pst_cli.models.kernels")
    model = tiny(11, layers=3)
    features, net = sound(model, 1, 11), network(model, **STAND_INS["stand-in"])
    net.freeze()
    spoken = drafted(model, features, net)
    assert net.compiled.stack is None
    assert [row.tokens for row in spoken] == [row.tokens for row in plain(model, features)]


def test_numbers_that_no_host_computes_in_on_a_processor_are_not_compiled():
    net = network(tiny(11, layers=3), **STAND_INS["stand-in"]).to(torch.float64)
    net.freeze()
    assert net.compiled is None
