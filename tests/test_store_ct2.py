"""CTranslate2 files become the same network, or a clear error."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pst_cli import store
from pst_cli.errors import StoreError
from pst_cli.store import cards, ct2file, tensorfile

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, HEADS, LAYERS, FFN, MELS, VOCAB = 64, 2, 2, 96, 80, 60
SOURCE_POSITIONS, TARGET_POSITIONS = 50, 32
SPECIALS = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|de|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)
FIRST_SPECIAL = 20
TYPES = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("PST_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def model():
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=VOCAB,
        d_model=WIDTH,
        num_mel_bins=MELS,
        encoder_layers=LAYERS,
        decoder_layers=LAYERS,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=FFN,
        decoder_ffn_dim=FFN,
        max_source_positions=SOURCE_POSITIONS,
        max_target_positions=TARGET_POSITIONS,
        pad_token_id=FIRST_SPECIAL,
        bos_token_id=FIRST_SPECIAL,
        eos_token_id=FIRST_SPECIAL,
        decoder_start_token_id=FIRST_SPECIAL + 1,
        begin_suppress_tokens=None,
    )
    made = WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():  # biases start at zero, which would hide a mix-up
            parameter += 0.1 * torch.randn_like(parameter)
    return made


def ct2_variables(model):
    """The variables a CTranslate2 converter would write, as float32 arrays."""
    state = {k: v.detach().numpy().copy() for k, v in model.model.state_dict().items()}
    found = {f"{side}/num_heads": np.int16(HEADS) for side in ("encoder", "decoder")}
    for side in ("encoder", "decoder"):
        found[f"{side}/position_encodings/encodings"] = state[f"{side}.embed_positions.weight"]
        found |= norm(state, f"{side}.layer_norm", f"{side}/layer_norm")
        for layer in range(LAYERS):
            found |= layer_variables(state, f"{side}.layers.{layer}", f"{side}/layer_{layer}")
    for name in ("conv1", "conv2"):
        found |= linear(state, [f"encoder.{name}"], f"encoder/{name}")
    found["decoder/embeddings/weight"] = state["decoder.embed_tokens.weight"]
    return found


def layer_variables(state, ours, theirs):
    attention, cross = f"{ours}.self_attn", f"{ours}.encoder_attn"
    found = linear(
        state, [f"{attention}.{p}_proj" for p in "qkv"], f"{theirs}/self_attention/linear_0"
    )
    found |= linear(state, [f"{attention}.out_proj"], f"{theirs}/self_attention/linear_1")
    found |= norm(state, f"{ours}.self_attn_layer_norm", f"{theirs}/self_attention/layer_norm")
    if f"{cross}.q_proj.weight" in state:
        found |= linear(state, [f"{cross}.q_proj"], f"{theirs}/attention/linear_0")
        found |= linear(state, [f"{cross}.{p}_proj" for p in "kv"], f"{theirs}/attention/linear_1")
        found |= linear(state, [f"{cross}.out_proj"], f"{theirs}/attention/linear_2")
        found |= norm(state, f"{ours}.encoder_attn_layer_norm", f"{theirs}/attention/layer_norm")
    for place in (0, 1):
        found |= linear(state, [f"{ours}.fc{place + 1}"], f"{theirs}/ffn/linear_{place}")
    return found | norm(state, f"{ours}.final_layer_norm", f"{theirs}/ffn/layer_norm")


def linear(state, ours, theirs):
    biases = [state.get(f"{name}.bias", np.zeros(WIDTH, np.float32)) for name in ours]
    weights = [state[f"{name}.weight"] for name in ours]
    return {f"{theirs}/weight": np.concatenate(weights), f"{theirs}/bias": np.concatenate(biases)}


def norm(state, ours, theirs):
    return {f"{theirs}/gamma": state[f"{ours}.weight"], f"{theirs}/beta": state[f"{ours}.bias"]}


def quantised(variables):
    """int8 with one scale a row where CTranslate2 does so: matrices, not positions."""
    found = {}
    for name, value in variables.items():
        if value.ndim != 2 or "position" in name:
            found[name] = value
            continue
        scale = (127.0 / np.abs(value).max(axis=1)).astype(np.float32)
        found[name] = np.rint(value * scale[:, None]).astype(np.int8)
        found[f"{name}_scale"] = scale
    return found


def halved(variables):
    return {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in variables.items()}


def text(value):
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def ct2_bytes(variables, spec="WhisperSpec", version=6):
    out = struct.pack("<I", version) + text(spec) + struct.pack("<II", 3, len(variables))
    for name, value in sorted(variables.items()):
        out += text(name) + struct.pack("<B", value.ndim)
        out += b"".join(struct.pack("<I", dim) for dim in value.shape)
        out += struct.pack("<BI", TYPES[value.dtype.name], value.nbytes) + value.tobytes()
    alias = ("decoder/projection/weight", "decoder/embeddings/weight")
    return out + struct.pack("<I", 1) + text(alias[0]) + text(alias[1])


def tokenizer_json():
    vocab = {f"w{i}": i for i in range(FIRST_SPECIAL - 1)} | {"Ġ": FIRST_SPECIAL - 1}
    added = [
        {
            "id": FIRST_SPECIAL + i,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, token in enumerate(SPECIALS)
    ]
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    }


def ct2_directory(path: Path, data: bytes) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "model.bin").write_bytes(data)
    (path / "tokenizer.json").write_text(json.dumps(tokenizer_json()), "utf-8")
    theirs = {
        "alignment_heads": [[1, 0]],
        "suppress_ids": [1, 2],
        "suppress_ids_begin": [19, 20],
        "lang_ids": [22, 23],
    }
    (path / "config.json").write_text(json.dumps(theirs))
    return path


@pytest.fixture
def directory(tmp_path, model):
    return ct2_directory(tmp_path / "mine", ct2_bytes(ct2_variables(model)))


def logits(model):
    import torch

    generator = torch.Generator().manual_seed(1)
    features = torch.randn(1, MELS, 2 * SOURCE_POSITIONS, generator=generator)
    with torch.no_grad():
        return model.float()(features, decoder_input_ids=torch.tensor([[21, 22, 25, 3, 4]])).logits


def loaded(path):
    from transformers import WhisperForConditionalGeneration

    made, report = WhisperForConditionalGeneration.from_pretrained(path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    return made.eval()


def test_a_float32_file_gives_exactly_the_logits_of_the_model_it_was_made_from(directory, model):
    import torch

    assert torch.equal(logits(loaded(store.resolve(str(directory)))), logits(model))


def test_a_float16_file_stays_float16_and_gives_the_logits_of_the_rounded_model(tmp_path, model):
    import copy

    import torch

    source = ct2_directory(tmp_path / "half", ct2_bytes(halved(ct2_variables(model))))
    made = loaded(store.resolve(str(source)))
    assert made.dtype == torch.float16
    assert torch.equal(logits(made), logits(copy.deepcopy(model).half()))


def test_an_int8_file_gives_the_logits_of_its_dequantised_weights(tmp_path, model):
    import torch

    variables = quantised(ct2_variables(model))
    source = ct2_directory(tmp_path / "int8", ct2_bytes(variables))
    made = loaded(store.resolve(str(source)))
    name = "decoder/layer_1/ffn/linear_0/weight"
    expected = variables[name].astype(np.float32) / variables[f"{name}_scale"][:, None]
    assert np.array_equal(made.model.decoder.layers[1].fc1.weight.detach().numpy(), expected)
    assert torch.allclose(logits(made), logits(model), atol=0.15)
    assert not torch.equal(logits(made), logits(model))


def test_the_cards_hold_the_tokens_of_the_tokenizer(directory):
    path = store.resolve(str(directory))
    generation = json.loads((path / "generation_config.json").read_bytes())
    assert generation["lang_to_id"] == {"<|en|>": 22, "<|de|>": 23}
    assert generation["task_to_id"] == {"translate": 24, "transcribe": 25}
    assert generation["no_timestamps_token_id"] == 29
    assert generation["decoder_start_token_id"] == 21
    assert generation["eos_token_id"] == 20
    assert generation["suppress_tokens"] == [1, 2]
    assert generation["begin_suppress_tokens"] == [19, 20]
    assert generation["alignment_heads"] == [[1, 0]]
    assert generation["is_multilingual"] is True
    assert generation["max_length"] == 448


def test_an_english_only_vocabulary_has_no_languages_and_no_tasks(directory):
    tokens = cards.read_tokens(directory / "tokenizer.json")
    with ct2file.Ct2File(directory / "model.bin") as file:
        from dataclasses import replace

        from pst_cli.store import whispermap

        shape = replace(whispermap.shape(file), vocab=cards.ENGLISH_ONLY_VOCABULARY)
    card = cards.generation_config(tokens, shape, {})
    assert card["is_multilingual"] is False
    assert "lang_to_id" not in card
    assert card["begin_suppress_tokens"] == [19, 20]


def test_transformers_reads_the_tokenizer_and_the_feature_extractor(directory):
    from transformers import WhisperFeatureExtractor, WhisperTokenizer

    path = store.resolve(str(directory))
    tokenizer = WhisperTokenizer.from_pretrained(path)
    assert tokenizer.convert_tokens_to_ids("<|notimestamps|>") == 29
    assert tokenizer.all_special_ids[-1] == 29  # its decoder takes timestamps to start after it
    assert WhisperFeatureExtractor.from_pretrained(path).feature_size == MELS


def test_a_directory_is_converted_once_even_when_it_moves(directory, tmp_path, monkeypatch):
    first = store.resolve(str(directory))
    moved = tmp_path / "elsewhere"
    shutil.copytree(directory, moved, copy_function=shutil.copy)
    monkeypatch.setattr(tensorfile, "write", None)  # a second conversion would call it
    assert store.resolve(str(directory)) == first
    assert store.resolve(str(moved)) == first
    assert store.path(str(moved)) == first


def test_a_failed_conversion_leaves_nothing_behind(directory, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tensorfile, "write", full)
    with pytest.raises(StoreError, match="no space left"):
        store.resolve(str(directory))
    assert not [path for path in (tmp_path / "home").rglob("*") if path.suffix == ".json"]


def test_changed_weights_are_converted_anew(directory, model):
    first = store.resolve(str(directory))
    ct2_directory(directory, ct2_bytes(halved(ct2_variables(model))))
    assert store.resolve(str(directory)) != first


@pytest.mark.parametrize("keep", [0, 3, 40, 5_000, -1])
def test_a_file_that_ends_early_is_refused(directory, keep):
    weights = directory / "model.bin"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(StoreError, match=r"model\.bin is (cut short|empty)"):
        store.resolve(str(directory))


def test_another_network_is_refused_by_name(directory, model):
    (directory / "model.bin").write_bytes(ct2_bytes(ct2_variables(model), spec="TransformerSpec"))
    with pytest.raises(StoreError, match="TransformerSpec"):
        store.resolve(str(directory))


def test_an_unknown_file_version_is_refused(directory, model):
    (directory / "model.bin").write_bytes(ct2_bytes(ct2_variables(model), version=99))
    with pytest.raises(StoreError, match="version 99"):
        store.resolve(str(directory))


def test_an_unknown_number_format_is_refused_by_the_name_of_its_variable(
    directory, model, monkeypatch
):
    monkeypatch.setitem(TYPES, "float16", 5)  # bfloat16, in CTranslate2
    (directory / "model.bin").write_bytes(ct2_bytes(halved(ct2_variables(model))))
    with pytest.raises(StoreError, match="number format 5"):
        store.resolve(str(directory))


def test_integers_without_a_scale_are_refused(directory, model):
    variables = quantised(ct2_variables(model))
    del variables["encoder/layer_0/ffn/linear_0/weight_scale"]
    (directory / "model.bin").write_bytes(ct2_bytes(variables))
    with pytest.raises(StoreError, match="encoder/layer_0/ffn/linear_0/weight_scale"):
        store.resolve(str(directory))


def test_heads_are_counted_from_the_width_where_the_file_does_not_say(tmp_path, model):
    variables = ct2_variables(model)
    del variables["encoder/num_heads"], variables["decoder/num_heads"]
    path = store.resolve(str(ct2_directory(tmp_path / "old", ct2_bytes(variables))))
    assert json.loads((path / "config.json").read_bytes())["encoder_attention_heads"] == 1


def test_a_missing_tokenizer_is_named(directory):
    (directory / "tokenizer.json").unlink()
    with pytest.raises(StoreError, match=r"no tokenizer\.json"):
        store.resolve(str(directory))


def test_a_twin_in_the_hubs_cache_is_converted_offline(directory, tmp_path, monkeypatch):
    from huggingface_hub import constants

    repository = tmp_path / "cache" / "models--Systran--faster-whisper-base"
    shutil.copytree(directory, repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    path = store.resolve("base", offline=True)
    assert path == tmp_path / "home" / "models" / "base"
    assert json.loads((path / "pst.json").read_bytes())["revision"] == "abc"
    loaded(path)


def test_a_hub_model_in_this_layout_is_fetched_and_converted(directory, tmp_path, monkeypatch):
    from huggingface_hub import constants
    from test_store_hub import MODEL, FakeHub

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    fake = FakeHub({file.name: file.read_bytes() for file in directory.iterdir()})
    monkeypatch.setenv("HF_ENDPOINT", fake.url)
    try:
        path = store.resolve(MODEL)
    finally:
        fake.server.shutdown()
        fake.server.server_close()
    loaded(path)
    assert not list((tmp_path / "home" / "partial").rglob("model.bin"))
