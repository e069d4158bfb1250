"""Several rows of one window: its sound is held once, and each says what it would say alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_context import LIMIT, RULES, row, window
from test_host import SPECIAL, START, tiny

from pst_cli.decoding.acceptance import Greedy
from pst_cli.decoding.guards import Guards
from pst_cli.decoding.loop import Strategy, decode
from pst_cli.decoding.protocols import Plain
from pst_cli.models.cache import KVCache
from pst_cli.models.decoder import Decoder, attend_window
from pst_cli.models.encoded import Encoded
from pst_cli.models.host import Host
from pst_cli.models.session import Session
from pst_cli.models.sharing import Sharing
from pst_cli.translator import Options, Translator

LAYERS, HEADS, FRAMES, WIDTH = 2, 2, 5, 4
MODEL = tiny(99)


def said(heard: Encoded, prompts: list[list[int]]) -> list[list[int]]:
    """The tokens of each row, decoded together."""
    config = MODEL.config
    heads = config.decoder_attention_heads
    decoder = Decoder(MODEL.model.decoder.state_dict(), config.decoder_layers, heads)
    with torch.inference_mode():
        cache = decoder.open(heard.host, 1, heard.mask, heard.windows)
        strategy = Strategy(Plain(), Greedy(), RULES, LIMIT)
        rows = decode(Session(decoder, cache), prompts, SPECIAL, strategy)
    return [one.tokens for one in rows]


@st.composite
def shared(draw) -> torch.Tensor:
    """Which window each of some rows hears; every window is heard."""
    windows = draw(st.integers(1, 4))
    more = draw(st.lists(st.integers(0, windows - 1), max_size=6))
    return torch.tensor(draw(st.permutations([*range(windows), *more])))


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(shared(), st.booleans())
def test_rows_hear_their_window_as_if_each_had_a_copy(windows, masked):
    count = int(windows.max()) + 1
    query = random(len(windows), HEADS, 3, WIDTH)
    keys, values = random(2, count, HEADS, FRAMES, WIDTH, seed=1)
    ends = torch.arange(count) % FRAMES + 1
    mask = (torch.arange(FRAMES) < ends[:, None])[:, None, None] if masked else None
    alone = attend_window(
        query, keys[windows], values[windows], None if mask is None else mask[windows]
    )
    together = attend_window(query, keys, values, mask, Sharing.of(windows))
    assert torch.allclose(together, alone, atol=1e-6)


@given(shared(), st.data())
def test_rows_that_leave_take_their_window_along_when_they_are_its_last(windows, data):
    cross = random(2, LAYERS, int(windows.max()) + 1, HEADS, FRAMES, WIDTH)
    cache = KVCache.empty(cross, 8, sharing=Sharing.of(windows))
    cache.keys = random(*cache.keys.shape)
    keys, rows = cache.keys.clone(), torch.arange(len(windows))
    while len(rows) > 1:
        kept = data.draw(st.lists(st.sampled_from(range(len(rows))), min_size=1, unique=True))
        cache.select(torch.tensor(kept))
        rows = rows[kept]
        assert torch.equal(cache.keys, keys[rows])
        assert cache.cross_keys.shape[1] == len(set(windows[rows].tolist()))
        assert cache.sharing is not None
        assert torch.equal(cache.cross_keys[:, cache.sharing.sounds], cross[0][:, windows[rows]])
        if len(kept) == 1:
            break


def heard(seed: int) -> Encoded:
    states = random(1, FRAMES + seed, WIDTH, seed=seed)
    return Encoded(states, states)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.data())
def test_windows_that_are_there_repeatedly_are_held_once(numbers, data):
    parts = [heard(number) for number in range(4)]
    joined = Encoded.join([parts[number] for number in numbers])
    assert len(joined) == len(numbers)
    assert len(joined.host) == len(set(numbers))
    rows = data.draw(st.lists(st.sampled_from(range(len(numbers))), min_size=1, unique=True))
    chosen = joined[rows]
    assert len(chosen) == len(rows)
    assert len(chosen.host) == len({numbers[row] for row in rows})
    apart = chosen.apart()
    for place, chosen_row in enumerate(rows):
        own = parts[numbers[chosen_row]].host[0]
        assert torch.equal(apart.host[place, : len(own)], own)
        assert apart.mask is None or apart.mask[place].sum() == len(own)


@given(shared(), st.booleans())
@settings(max_examples=25)
def test_a_window_in_several_languages_says_what_each_would_say_alone(windows, alike):
    parts = [
        row(MODEL, 20 if alike else 10 + 7 * number, number)
        for number in range(int(windows.max()) + 1)
    ]
    prompts = [[START, 3 + place] for place in range(len(windows))]
    together = said(Encoded.join([parts[number] for number in windows.tolist()]), prompts)
    assert together == [
        said(parts[number], [prompt])[0]
        for number, prompt in zip(windows.tolist(), prompts, strict=True)
    ]


def test_the_tiny_host_says_another_thing_of_each_window_and_after_each_prompt():
    parts = [row(MODEL, 20, number) for number in (0, 0, 1)]
    assert (
        len({tuple(one) for one in said(Encoded.join(parts), [[START, 3], [START, 4], [START, 3]])})
        == 3
    )


@pytest.mark.parametrize("beams", [1, 2])
def test_a_translator_shares_windows_unless_it_searches(tiny_checkpoint, monkeypatch, beams):
    monkeypatch.setattr(Decoder, "limit", 30)
    host, opened = Host.load(tiny_checkpoint, "cpu", torch.float32), []
    original = host.open

    def opening(states, *others):
        opened.append(len(states))
        return original(states, *others)

    monkeypatch.setattr(host, "open", opening)
    options = Options(context="own", guards=Guards(temperatures=(0.0,)), beams=beams)
    translator = Translator(host, options)
    (heard,) = translator.encode([window(0.5, 2)])
    names = ("en", "de", "zh")
    prompts = [
        [host.tokens.start, host.tokens.languages[name], host.tokens.transcribe] for name in names
    ]
    assert len(translator.decode(Encoded.join([heard] * 3), prompts, [None] * 3)) == 3
    assert opened == [1 if beams == 1 else 3]
