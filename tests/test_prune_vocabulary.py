"""Trimming the vocabulary changes nothing that the tokens kept can say."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prunable import LANGUAGES, TEXT_TOKENS, TEXTS, tokenizer, write_prunable
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

from pst_cli.decoding.acceptance import Greedy
from pst_cli.decoding.loop import Strategy, decode
from pst_cli.decoding.protocols import Plain
from pst_cli.decoding.rules import TokenRules
from pst_cli.errors import ModelError
from pst_cli.models.host import Host
from pst_cli.models.pruning.renumber import Renumbering, merges_text
from pst_cli.models.pruning.vocabulary import (
    Vocabulary,
    count_tokens,
    read_kept,
    read_vocabulary,
)
from pst_cli.pruning.cut import Cut, write_pruned
from pst_cli.weights import locate

FULL = tokenizer()
END, ROWS = TEXT_TOKENS, FULL.get_vocab_size()
WORDS = sorted({word for text in TEXTS for word in text.split()})


@pytest.fixture(scope="module")
def prunable(tmp_path_factory):
    return write_prunable(tmp_path_factory.mktemp("prunable") / "checkpoint")


@pytest.fixture(scope="module")
def vocabulary(prunable) -> Vocabulary:
    return read_vocabulary(prunable)


def everything_above(text, rows=ROWS, end=END):
    """Ids that stay: those of `text`, and all that is no text."""
    return [*text, *range(end, rows)]


def trimmed(kept) -> Tokenizer:
    """The full tokenizer without the tokens that are not in `kept`."""
    return Tokenizer.from_str(
        json.dumps(Renumbering(kept, END).tokenizer(json.loads(FULL.to_str())))
    )


texts = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join),
    st.text(max_size=20),
    st.lists(st.sampled_from([*WORDS, "äß", "们的", "…"]), max_size=4).map("".join),
)


@given(text=texts, others=st.lists(st.integers(0, END - 1), max_size=30))
@settings(max_examples=100, deadline=None)
def test_text_is_spelled_as_before_wherever_the_kept_tokens_suffice(vocabulary, text, others):
    spelled = FULL.encode(text, add_special_tokens=False).ids
    counts = Counter(token for token in [*spelled, *others] if token < END)
    kept = everything_above(vocabulary.choose(counts, END))
    again = trimmed(kept).encode(text, add_special_tokens=False).ids
    assert [kept[token] for token in again] == spelled


@given(text=texts, size=st.integers(256, END))
@settings(max_examples=50, deadline=None)
def test_any_text_can_still_be_spelled_and_read_back(vocabulary, text, size):
    counts = Counter(FULL.encode(" ".join(TEXTS)).ids)
    text_tokens = vocabulary.choose({token: counts[token] for token in counts if token < END}, size)
    assert 256 <= len(text_tokens) <= size
    small = trimmed(everything_above(text_tokens))
    assert small.decode(small.encode(text, add_special_tokens=False).ids) == text


def test_a_token_brings_all_that_any_merge_makes_it_of(tmp_path):
    made = json.loads(FULL.to_str())
    letters = sorted(ByteLevel.alphabet())
    names = [*letters, "bc", "ab", "abc", "abca"]
    made["model"]["vocab"] = {name: number for number, name in enumerate(names)}
    made["model"]["merges"] = [["b", "c"], ["a", "b"], ["a", "bc"], ["ab", "c"], ["abc", "a"]]
    made["added_tokens"] = [{"id": len(names), "content": "<|endoftext|>", "special": True}]
    (tmp_path / "tokenizer.json").write_text(json.dumps(made))
    small = read_vocabulary(tmp_path)
    assert {names[one] for one in small.closure(names.index("abca"))} == {
        *("a", "b", "c", "ab", "bc", "abc", "abca")
    }
    old = {**made, "model": {**made["model"], "merges": ["b c", "a b", "a bc", "ab c", "abc a"]}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(old))
    assert read_vocabulary(tmp_path) == small


def test_the_most_frequent_tokens_stay_and_parts_count():
    parts = {300: {1, 2}, 301: {300, 3}, 302: {4, 5}}
    small = Vocabulary(400, frozenset(range(256)), {k: frozenset(v) for k, v in parts.items()})
    counts = {302: 5, 301: 9, 300: 1}
    assert small.choose(counts, 256) == list(range(256))
    assert small.choose(counts, 257) == [*range(256), 302], "301 brings 300 along, and is too much"
    assert small.choose(counts, 258) == [*range(256), 300, 301]
    assert small.choose(counts, 400) == [*range(256), 300, 301, 302]


def test_text_counts_as_whisper_writes_it_after_a_space_but_for_chinese(prunable):
    def spelled(text):
        return Counter(FULL.encode(text, add_special_tokens=False).ids)

    assert count_tokens(prunable, ["ask "], END) == spelled(" ask")
    assert count_tokens(prunable, [" “会议”"], END) == spelled("“会议”")
    assert not count_tokens(prunable, ["<|en|>"], END) - spelled(" ")


def test_every_id_in_a_config_follows_its_token():
    kept = [0, 2, 3, 5, 6, 7, 8]
    told = Renumbering(kept, 5).config(
        {
            "vocab_size": 9,
            "max_length": 5,
            "eos_token_id": 5,
            "pad_token_id": 1,
            "bos_token_id": None,
            "decoder_start_token_id": [6, 1],
            "suppress_tokens": [1, 2, 4, 8],
            "begin_suppress_tokens": None,
            "lang_to_id": {"<|en|>": 7},
            "forced_decoder_ids": [[1, None], [2, 7]],
            "bad_words_ids": [[1, 2], [2, 3]],
        }
    )
    assert told == {
        "vocab_size": 7,
        "max_length": 5,
        "eos_token_id": 3,
        "pad_token_id": 3,  # text that is gone can bound nothing
        "bos_token_id": None,
        "decoder_start_token_id": [4],
        "suppress_tokens": [1, 6],
        "begin_suppress_tokens": None,
        "lang_to_id": {"<|en|>": 5},
        "forced_decoder_ids": [[1, None], [2, 5]],
        "bad_words_ids": [[1, 2]],
    }


def test_older_tokenizer_files_agree_with_the_newer_one():
    kept = everything_above(range(300))
    told = Renumbering(kept, END).files()
    document = json.loads(FULL.to_str())
    small = told["tokenizer.json"](document)
    assert told["vocab.json"](document["model"]["vocab"]) == small["model"]["vocab"]
    added = {token["content"]: token["id"] for token in document["added_tokens"]}
    moved = {token["content"]: token["id"] for token in small["added_tokens"]}
    assert told["added_tokens.json"](added) == moved
    named = {str(number): {"content": name} for name, number in added.items()}
    config = told["tokenizer_config.json"]({"added_tokens_decoder": named, "language": None})
    decoder = config["added_tokens_decoder"]
    assert {entry["content"]: int(number) for number, entry in decoder.items()} == moved
    lines = ["#version: 0.2", *(" ".join(merge) for merge in document["model"]["merges"])]
    text = merges_text("\n".join(lines) + "\n", small["model"]["vocab"])
    assert text.splitlines() == [lines[0], *(" ".join(m) for m in small["model"]["merges"])]
    assert 0 < len(small["model"]["merges"]) < len(document["model"]["merges"])


def said(host, log_mel, prompt, timestamps=False):
    """What the host says to each window, greedily."""
    rules = TokenRules(host.tokens, host.shape.vocab_size, timestamps=timestamps)
    session = host.open(host.encode(log_mel))
    strategy = Strategy(Plain(), Greedy(), rules)
    return [row.tokens for row in decode(session, [prompt] * len(log_mel), host.tokens, strategy)]


def prompt(host, language, task="transcribe", *, times=False):
    tokens = host.tokens
    asked = [tokens.start, tokens.languages[language], getattr(tokens, task)]
    return asked if times else [*asked, tokens.no_timestamps]


@pytest.mark.parametrize("times", [False, True], ids=["text", "timestamps"])
def test_greedy_decoding_is_unchanged_wherever_the_kept_tokens_suffice(
    prunable, vocabulary, tmp_path, times
):
    full = Host.load(prunable, "cpu", torch.float32)
    generator = torch.Generator().manual_seed(3)
    log_mel = torch.randn(len(LANGUAGES), 80, 100, generator=generator)
    before = said(full, log_mel, prompt(full, "de", times=times), times)
    spoken = Counter(token for row in before for token in row if token < END)
    assert len(spoken) > 20, "the random model says too little to show anything"
    text = vocabulary.choose(spoken, TEXT_TOKENS)
    assert len(text) < TEXT_TOKENS, "nothing was dropped"
    kept = everything_above(text)
    checkpoint = locate(str(prunable), lambda _: prunable)
    cut = Cut(range(3), range(4), kept, END)
    write_pruned(checkpoint, "full", tmp_path, cut.apply(checkpoint.state()), cut)
    small = Host.load(tmp_path, "cpu", torch.float32)
    after = said(small, log_mel, prompt(small, "de", times=times), times)
    assert [[kept[token] for token in row] for row in after] == before
    assert [small.text(row) for row in after] == [full.text(row) for row in before]
    assert read_kept(tmp_path) == kept
    assert read_kept(prunable) is None


def test_a_damaged_list_of_kept_tokens_is_told(tmp_path):
    (tmp_path / "kept_tokens.json").write_text('["x"]')
    with pytest.raises(ModelError, match="cannot be read"):
        read_kept(tmp_path)


@pytest.mark.weights
def test_the_real_base_model_says_the_same_with_a_twentieth_of_its_words(clips, tmp_path):
    import numpy as np

    from pst_cli import store
    from pst_cli.audio import open_audio

    path = store.resolve("base")
    full, words = Host.load(path, "cpu", torch.float32), read_vocabulary(path)
    with open_audio(clips / "de-kerstin-0445.ogg") as audio:
        log_mel = full.log_mel([np.concatenate(list(audio.blocks()))])
    before = said(full, log_mel, prompt(full, "de", "translate", times=True), timestamps=True)
    spoken = [token for token in before[0] if token < words.end]
    assert len(spoken) > 8
    text = words.choose(Counter([*range(2500), *spoken, *spoken]), 2500)
    kept = everything_above(text, full.shape.vocab_size, words.end)
    checkpoint = locate("base", lambda _: path)
    cut = Cut(range(6), range(6), kept, words.end)
    write_pruned(checkpoint, "base", tmp_path, cut.apply(checkpoint.state()), cut)
    small = Host.load(tmp_path, "cpu", torch.float32)
    after = said(small, log_mel, prompt(small, "de", "translate", times=True), timestamps=True)
    assert [kept[token] for token in after[0]] == before[0]
    assert small.text(after[0]) == full.text(before[0])
    old, new = (Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (path, tmp_path))
    line = full.text(before[0])
    assert [kept[token] for token in new.encode(line).ids] == old.encode(line).ids
