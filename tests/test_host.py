"""pst's decoder and loop against transformers' own greedy `generate`, token for token."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from transformers import (
    GenerationConfig,
    GenerationMixin,
    LogitsProcessorList,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    WhisperConfig,
    WhisperForConditionalGeneration,
    WhisperTimeStampLogitsProcessor,
)

from pst_cli.decoding.acceptance import Greedy
from pst_cli.decoding.loop import Strategy, decode
from pst_cli.decoding.protocols import Draft, Plain
from pst_cli.decoding.rules import TokenRules
from pst_cli.methods import PLAIN
from pst_cli.models.cache import BLOCK
from pst_cli.models.decoder import Decoder
from pst_cli.models.device import choose_dtype
from pst_cli.models.session import Session
from pst_cli.types import SpecialTokens

TIMES = 100  # timestamp tokens of the tiny vocabulary
END, START, NO_TIMES = 200, 201, 205
SPECIAL = SpecialTokens(
    start=START,
    end=END,
    transcribe=203,
    translate=202,
    no_speech=204,
    no_timestamps=NO_TIMES,
    timestamp_begin=NO_TIMES + 1,
    languages={},
    suppressed=(5, 6, START, 202, 203, 204),
    suppressed_first=(7, END),
)
VOCABULARY = NO_TIMES + 1 + TIMES


def tiny(seed, mels=80, heads=2, layers=2):
    torch.manual_seed(seed)
    config = WhisperConfig(
        vocab_size=VOCABULARY,
        num_mel_bins=mels,
        d_model=16,
        encoder_layers=1,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_source_positions=50,
        max_target_positions=96,
        init_std=0.6,  # wide, so that greedy choices are clear-cut and outputs vary
        decoder_start_token_id=START,
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=END,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config).eval()
    model.generation_config = GenerationConfig(
        decoder_start_token_id=START,
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=END,
        no_timestamps_token_id=NO_TIMES,
        max_initial_timestamp_index=50,
    )
    return model


def sound(model, rows, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, model.config.num_mel_bins, 100, generator=generator)


def session(model, features):
    config = model.config
    heads = config.decoder_attention_heads
    decoder = Decoder(model.model.decoder.state_dict(), config.decoder_layers, heads)
    with torch.inference_mode():
        return Session(decoder, decoder.open(model.model.encoder(features).last_hidden_state))


def generated(model, features, prompt, timestamps):
    """What transformers' own greedy search says after `prompt`, end token left out.

    Whisper's `generate` wraps that search in seeking through long sound, which no random weights
    survive; its processors are handed to the search itself.
    """
    begin = len(prompt)
    processors = [
        SuppressTokensLogitsProcessor(SPECIAL.suppressed),
        SuppressTokensAtBeginLogitsProcessor(SPECIAL.suppressed_first, begin),
    ]
    if timestamps:
        processors.append(WhisperTimeStampLogitsProcessor(model.generation_config, begin))
    out = GenerationMixin.generate(
        model,
        features,
        decoder_input_ids=torch.tensor([prompt] * len(features)),
        logits_processor=LogitsProcessorList(processors),
        do_sample=False,
        num_beams=1,
        max_length=96,
    )
    rows = [row[begin:] for row in out.tolist()]
    return [row[: row.index(END)] if END in row else row for row in rows]


class Guess:
    """Drafts the same few tokens for ever; the loop must shrug them off."""

    def draft(self, rows, room):
        return [Draft((1, 2, 3)[: max(0, most)]) for most in room]

    def select(self, rows):
        pass


@pytest.mark.parametrize("drafter", [Plain(), Guess()], ids=["plain", "drafted"])
@pytest.mark.parametrize("timestamps", [False, True], ids=["text", "timestamps"])
@pytest.mark.parametrize(
    ("seed", "rows", "mels", "heads", "layers"),
    [(1, 1, 80, 2, 2), (2, 1, 128, 4, 3), (3, 4, 80, 2, 2), (4, 3, 80, 1, 4), (5, 8, 80, 2, 1)],
)
def test_greedy_decoding_says_what_transformers_says(
    seed, rows, mels, heads, layers, timestamps, drafter
):
    model = tiny(seed, mels, heads, layers)
    features = sound(model, rows, seed)
    prompt = [START] if timestamps else [START, NO_TIMES]
    rules = TokenRules(SPECIAL, VOCABULARY, timestamps=timestamps)
    said = decode(
        session(model, features), [prompt] * rows, SPECIAL, Strategy(drafter, Greedy(), rules)
    )
    assert [row.tokens for row in said] == generated(model, features, prompt, timestamps)
    assert max(len(row.tokens) for row in said) > BLOCK, "the cache never grew"


def test_rows_at_different_lengths_score_as_if_each_were_alone():
    model = tiny(7, layers=3)
    features = sound(model, 3, 7)
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(0, END, (1, n), generator=generator) for n in (9, 4, 6)]
    together = session(model, features)
    with torch.inference_mode():
        for row, tokens in enumerate(rows):  # fill each row's memory through the ragged path
            starts = [0, 0, 0]
            fed = torch.zeros(3, tokens.shape[1], dtype=torch.long)
            fed[row] = tokens
            others = [len(rows[i][0]) if i < row else 0 for i in range(3)]
            starts = [0 if i == row else others[i] for i in range(3)]
            together.forward(fed, starts)
        new = torch.tensor([[11, 12], [13, 14], [15, 16]])
        scores = together.logits(together.forward(new, [9, 4, 6]))
        for row, tokens in enumerate(rows):
            full = torch.cat([tokens, new[row : row + 1]], dim=1)
            alone = model(input_features=features[row : row + 1], decoder_input_ids=full).logits
            assert torch.allclose(scores[row], alone[0, -2:], atol=1e-4)


def native_bfloat16():
    return choose_dtype("auto", "cpu") == torch.bfloat16


@pytest.mark.skipif(not native_bfloat16(), reason="kernels of processors that compute bfloat16")
@pytest.mark.parametrize("rows", [1, 3])
def test_in_bfloat16_a_token_has_the_same_bits_alone_and_among_others(rows):
    """Of base's sizes: small ones are computed by other kernels."""
    torch.manual_seed(rows)
    config = WhisperConfig(
        vocab_size=900, d_model=512, decoder_layers=3, decoder_attention_heads=8,
        decoder_ffn_dim=2048, max_target_positions=192, init_std=0.2,
        encoder_attention_heads=8, encoder_layers=1, pad_token_id=0, bos_token_id=0, eos_token_id=0,
        decoder_start_token_id=1, suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config).model.decoder.to(torch.bfloat16)
    decoder = Decoder(model.state_dict(), config.decoder_layers, config.decoder_attention_heads)
    text, end = torch.randint(0, 900, (rows, 150)), 4 + 24 * 6
    assert end > 2 * BLOCK, "the cache never grew"
    with torch.inference_mode():
        encoded = torch.randn(rows, 1500, 512, dtype=torch.bfloat16)
        alone = in_passes(decoder, encoded, text[:, :end], 1)
        for width in (2, 3, 4, 6):
            others = in_passes(decoder, encoded, text[:, :end], width)
            assert torch.equal(others, alone)
            assert torch.equal(decoder.logits(others[:, -4:]), one_by_one(decoder, alone))


def in_passes(decoder, encoded, text, width):
    """The decoder's states, `width` tokens a pass after a prompt of four."""
    cache, rows = decoder.open(encoded), len(text)
    states = [decoder(text[:, :4], [0] * rows, cache)]
    for start in range(4, text.shape[1], width):
        states.append(decoder(text[:, start : start + width], [start] * rows, cache))
    return torch.cat(states, 1)


def one_by_one(decoder, states):
    """The scores of the last four tokens."""
    return torch.cat([decoder.logits(one) for one in states[:, -4:].split(1, 1)], 1)


def test_what_a_rejected_draft_left_behind_is_never_looked_at():
    model = tiny(8)
    features = sound(model, 1, 8)
    clean, dirty = session(model, features), session(model, features)
    with torch.inference_mode():
        prompt = torch.tensor([[START, 3, 4]])
        clean.forward(prompt, [0])
        dirty.forward(prompt, [0])
        dirty.forward(torch.tensor([[9, 10, 11, 12, 13]]), [3])
        dirty.cache.keys[:, :, :, 3:] = 1e3
        dirty.cache.values[:, :, :, 3:] = -1e3
        for position, token in enumerate((20, 21, 22), 3):
            fed = torch.tensor([[token]])
            assert torch.equal(clean.forward(fed, [position]), dirty.forward(fed, [position]))


def test_a_group_of_layers_is_a_view_of_the_cache():
    model = tiny(9, layers=4)
    cache = session(model, sound(model, 2, 9)).cache
    keys, values = cache.group(1, 3)
    assert keys.shape == values.shape == (2, 2, 2 * cache.slots, 8)
    with torch.inference_mode():
        cache.keys[1, 0, 2, 5] = 7.0
    assert keys[1, 0, cache.slots + 5].eq(7.0).all()


@pytest.fixture(scope="session")
def base():
    from pst_cli import store
    from pst_cli.models.host import Host

    path = store.resolve("base")
    reference = WhisperForConditionalGeneration.from_pretrained(path, dtype=torch.float32)
    return Host.load(path, "cpu", torch.float32), reference.eval()


def clip_names():
    from conftest import CLIPS

    lines = (CLIPS / "manifest.jsonl").read_text("utf-8").splitlines()
    return [(row["audio"], row["language"]) for row in map(json.loads, lines)]


@pytest.mark.weights
@pytest.mark.parametrize(("name", "language"), clip_names())
def test_the_real_base_model_says_what_transformers_says(base, clips, name, language):
    import numpy as np

    from pst_cli.audio import open_audio

    host, reference = base
    with open_audio(clips / name) as audio:
        log_mel = host.log_mel([np.concatenate(list(audio.blocks()))])
    rules = TokenRules(host.tokens, host.shape.vocab_size)
    encoded = host.encode(log_mel)
    for task in ("transcribe", "translate"):
        prompt = [host.tokens.start, host.tokens.languages[language], getattr(host.tokens, task)]
        strategy = Strategy(Plain(), Greedy(), rules)
        (said,) = decode(host.open(encoded), [prompt], host.tokens, strategy)
        out = reference.generate(
            log_mel, language=language, task=task, return_timestamps=True, num_beams=1
        )
        expected = [token for token in out[0].tolist() if token not in (*prompt, host.tokens.end)]
        assert said.tokens == expected


@pytest.fixture(scope="session")
def rounding(base):
    """The real base model in float32, and in bfloat16 where rows have the same bits in any pass."""
    from pst_cli import store
    from pst_cli.models.host import Host

    if not native_bfloat16():
        return [base[0]]
    return [base[0], Host.load(store.resolve("base"), "cpu", torch.bfloat16)]


@pytest.mark.weights
@pytest.mark.parametrize(("name", "language"), clip_names()[::3])
def test_drafts_change_no_token_of_the_real_base_model(rounding, clips, name, language):
    """The KVSPN that comes with pst, and the host as its own draft model, never wrong."""
    import numpy as np

    from pst_cli.audio import open_audio

    with open_audio(clips / name) as audio:
        sound = np.concatenate(list(audio.blocks()))
    for host in rounding:
        same_words(host, sound, language)


def same_words(host, sound, language):
    from conftest import CLIPS

    from pst_cli.decoding.proposals import Guide
    from pst_cli.methods import Drafting, Wish, choose, speculative
    from pst_cli.models.heads import Heads
    from pst_cli.models.vocabularies import ANYTHING
    from pst_cli.weights import Checkpoint

    encoded = host.encode(host.log_mel([sound]))
    rules = TokenRules(host.tokens, host.shape.vocab_size)
    prompt = [host.tokens.start, host.tokens.languages[language], host.tokens.transcribe]
    shipped = choose(Wish(), host, Checkpoint(CLIPS, CLIPS), Drafting(), str)
    brief = speculative(host, host, Drafting(length=4))  # in words that are often said
    assert brief.shares_encoder
    itself = replace(brief, heads=Heads(ANYTHING, host.decoder))
    said = []
    for method in (PLAIN, shipped, brief, itself):
        session = host.open(encoded)
        guide = Guide(rules, len(prompt), host.tokens.end)
        strategy = Strategy(method.start(session, encoded, guide), Greedy(), rules)
        said += decode(session, [prompt], host.tokens, strategy)
    assert all(row.tokens == said[0].tokens for row in said)
    assert sum(said[3].accepted) == said[3].drafted
    assert 0 < sum(said[2].accepted) <= said[2].drafted
    assert said[1].passes < 0.8 * said[0].passes
