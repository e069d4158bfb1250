"""What reads a checkpoint and hears with it, against transformers' own."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_host import tiny
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from pst_cli.errors import ModelError
from pst_cli.models.encoder import Encoder
from pst_cli.models.features import HOP, LogMel, mel_filters
from pst_cli.models.host import Host
from pst_cli.models.whisper import Shape
from pst_cli.types import SAMPLE_RATE

LONGEST = 2.0  # s
MELS = pytest.mark.parametrize("mels", [80, 128])


def noise(seconds: float, seed: int, loud: float = 0.1) -> np.ndarray:
    made = np.random.default_rng(seed).normal(scale=loud, size=round(seconds * SAMPLE_RATE))
    return made.astype(np.float32)


@MELS
def test_mel_filters_are_those_of_transformers(mels):
    theirs = torch.from_numpy(WhisperFeatureExtractor(feature_size=mels).mel_filters.T).float()
    torch.testing.assert_close(mel_filters(mels), theirs, rtol=1e-5, atol=1e-9)


@MELS
def test_spectrograms_are_those_of_transformers_at_any_length_and_loudness(mels):
    """A row that is too long is cut; a faint one keeps its own loudest; silence is level."""
    rows = [
        noise(0.7, 1),
        noise(LONGEST + 1, 2),
        noise(LONGEST, 3, 1e-4),
        np.zeros(800, np.float32),
    ]
    expected = WhisperFeatureExtractor(feature_size=mels)(
        rows,
        sampling_rate=SAMPLE_RATE,
        padding="max_length",
        max_length=round(LONGEST * SAMPLE_RATE),
        truncation=True,
        return_tensors="pt",
    ).input_features
    found = LogMel(mels)(rows, LONGEST)
    assert found.shape == (4, mels, round(LONGEST * SAMPLE_RATE / HOP))
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("mels", [80, 128])
@pytest.mark.parametrize("heads", [1, 2])
def test_a_window_is_heard_as_transformers_hears_it(mels, heads):
    model = tiny(3, mels=mels, heads=heads)
    log_mel = torch.randn(3, mels, 100, generator=torch.Generator().manual_seed(4))
    encoder = Encoder(model.model.encoder.state_dict(), 1, heads)
    with torch.inference_mode():
        expected = model.model.encoder(log_mel).last_hidden_state
        torch.testing.assert_close(encoder(log_mel), expected, rtol=1e-4, atol=1e-5)
        shorter = encoder(log_mel[..., :60])
        assert shorter.shape == (3, 30, 16)
        # It hears no silence that is not there.
        assert not torch.allclose(shorter, expected[:, :30])


def test_half_precision_is_cut_off_where_transformers_cuts_it():
    encoder = Encoder(tiny(3).half().model.encoder.state_dict(), 1, 2)
    layer = encoder.layers[0]
    layer.ffn_out = lambda states: torch.full_like(states[..., :16], float("inf"))
    most = torch.finfo(torch.float16).max
    heard = layer(torch.zeros(1, 4, 16, dtype=torch.float16))
    assert heard.isfinite().all()
    assert heard.max() < most


def test_whole_checkpoints_are_heard_and_spelled_as_transformers_does(tiny_checkpoint):
    host = Host.load(tiny_checkpoint, "cpu", torch.float32)
    model = WhisperForConditionalGeneration.from_pretrained(tiny_checkpoint, dtype=torch.float32)
    log_mel = host.log_mel([noise(1.0, 5)])
    with torch.inference_mode():
        expected = model.eval().model.encoder(log_mel).last_hidden_state
    torch.testing.assert_close(host.encode(log_mel), expected, rtol=1e-4, atol=1e-4)
    from transformers import WhisperTokenizerFast

    theirs = WhisperTokenizerFast.from_pretrained(tiny_checkpoint)
    words = [*range(0, 50_257, 977), host.tokens.end, host.tokens.timestamp_begin + 7]
    plain = [word for word in words if word < host.tokens.end]
    assert host.text(words) == theirs.decode(plain, clean_up_tokenization_spaces=False)
    assert host.words() == {
        word: index for word, index in theirs.get_vocab().items() if index < host.tokens.end
    }
    assert host.shape == Shape.of(model.config.to_dict())


@pytest.fixture
def broken(tiny_checkpoint, tmp_path):
    return shutil.copytree(tiny_checkpoint, tmp_path / "broken")


def without(name: str, key: str):
    def change(folder):
        document = json.loads((folder / name).read_text())
        del document[key]
        (folder / name).write_text(json.dumps(document))

    return change


def other_size(folder):
    document = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(document | {"vocab_size": 7}))


def other_names(folder):
    """As a bare WhisperModel is saved."""
    state = load_file(folder / "model.safetensors")
    bare = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    save_file(bare, folder / "model.safetensors")


def more_layers(folder):
    document = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(document | {"decoder_layers": 3}))


def no_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{}")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without("config.json", "num_mel_bins"), "config.json has no 'num_mel_bins'"),
        (other_size, "its weights have 51865 tokens of 16, config.json says 7 tokens of 16"),
        (other_names, "it lacks 'model.decoder.embed_tokens.weight'"),
        (more_layers, "it lacks 'layers.2"),
        (no_tokenizer, "tokenizer.json: "),
    ],
)
def test_what_is_no_whole_whisper_is_told_in_one_line(broken, change, told):
    change(broken)
    with pytest.raises(ModelError, match=f"does not load as Whisper: {told}") as caught:
        Host.load(broken, "cpu", torch.float32)
    assert "pst models verify" in caught.value.hint
