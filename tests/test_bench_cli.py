"""`pst bench` as its users meet it, on checkpoints made on the spot."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
import torch
from checkpoints import SENTENCE, VOCABULARY, WIDTH

from pst_cli.bench.peers import load_peers
from pst_cli.bench.peers.openai_whisper import rename
from pst_cli.bench.peers.peer import Setting
from pst_cli.models.kvspn import KVSPN
from pst_cli.models.kvspn_config import KVSPNConfig


@pytest.fixture
def bench(pst):
    from pst_cli import cli
    from pst_cli.commands import bench

    if "bench" not in {command.name for command in cli.app.registered_commands}:
        bench.register(cli.app)
    return lambda *arguments: pst("bench", *arguments)


@pytest.fixture(scope="module")
def drafters(tmp_path_factory):
    """Untrained: a KVSPN and Medusa heads for the small checkpoints."""
    folder = tmp_path_factory.mktemp("drafters")
    torch.manual_seed(0)
    for feed, name in (("token", "parasite"), ("state", "heads")):
        config = KVSPNConfig(WIDTH, 2, 2, VOCABULARY, groups=1, feed=feed, draft_length=2)
        KVSPN(config).save(folder / name)
    return folder


def run(bench, speech, model, *more):
    given = ("--from", "de", "--model", model, "--dtype", "float32", "--rounds", 1, "--no-vad")
    return bench(speech, *given, *more)


def test_every_method_is_measured_and_says_the_same(bench, speech, talking_checkpoint, drafters):
    shown = run(
        bench,
        speech,
        talking_checkpoint,
        *("--drafter", drafters / "parasite", "--drafter", drafters / "heads"),
        *("--draft-model", talking_checkpoint, "--oracle", "--json"),
    )
    assert shown.code == 0, shown.err
    document = json.loads(shown.out)
    names = [row["method"] for row in document["rows"]]
    assert names[:4] == ["plain", "speculative", "kvspn", "medusa"]
    assert names[4:] == [f"oracle-{length}" for length in range(1, 9)]
    for row in document["rows"]:
        assert row["exact_match_windows"] == row["exact_match_tokens"] == 1.0
        assert row["tokens"] == 6
    speculative = document["rows"][1]
    assert speculative["acceptance_rate"] == 1.0
    assert document["windows"] == 1
    assert document["audio_seconds"] == pytest.approx(3, abs=0.1)


def test_beams_are_searched_by_every_method(bench, speech, talking_checkpoint, drafters):
    given = ("--drafter", drafters / "parasite", "--draft-model", talking_checkpoint, "--beams", 3)
    shown = run(bench, speech, talking_checkpoint, *given, "--json")
    assert shown.code == 0, shown.err
    document = json.loads(shown.out)
    assert document["beams"] == 3
    assert [row["method"] for row in document["rows"]] == ["plain", "speculative", "kvspn"]
    assert {row["exact_match_tokens"] for row in document["rows"]} == {1.0}
    assert ", 3 beams" in run(bench, speech, talking_checkpoint, *given).out


def test_tables_are_data_and_stand_on_stdout(bench, speech, talking_checkpoint, tmp_path):
    refs = tmp_path / "refs.txt"
    refs.write_text(SENTENCE + "\n")
    shown = run(
        bench, speech, talking_checkpoint, "--refs", refs, "--draft-model", talking_checkpoint
    )
    assert shown.code == 0, shown.err
    for word in ("ms/token", "plain", "speculative", "+ verify", "tokens/pass", "100.0"):
        assert word in shown.out
    assert "tok:13a" in shown.out
    assert not shown.err


def test_imitated_numbers_are_told_beside_the_table(bench, speech, talking_checkpoint, monkeypatch):
    monkeypatch.setattr("pst_cli.models.device.multiplies_bfloat16", lambda: False)
    shown = run(bench, speech, talking_checkpoint, "--dtype", "bfloat16", "--methods", "plain")
    assert shown.code == 0, shown.err
    assert "--dtype float32 is faster" in shown.err
    assert not run(bench, speech, talking_checkpoint, "--methods", "plain").err


def test_two_drafters_of_a_kind_are_told_apart_by_their_folders(
    bench, speech, talking_checkpoint, drafters, tmp_path
):
    other = tmp_path / "other"
    KVSPN.load(drafters / "parasite").save(other)
    both = ("--drafter", drafters / "parasite", "--drafter", other)
    shown = run(bench, speech, talking_checkpoint, *both, "--json")
    names = [row["method"] for row in json.loads(shown.out)["rows"]]
    assert names == ["plain", "kvspn:parasite", "kvspn:other"]


def test_drafters_in_folders_of_one_name_are_told_apart_by_their_paths(
    bench, speech, talking_checkpoint, drafters, tmp_path
):
    same = [tmp_path / run / "kvspn" for run in ("a", "b")]
    for folder in same:
        KVSPN.load(drafters / "parasite").save(folder)
    both = ("--drafter", same[0], "--drafter", same[1])
    shown = run(bench, speech, talking_checkpoint, *both, "--json")
    names = [row["method"] for row in json.loads(shown.out)["rows"]]
    assert names == ["plain", *(f"kvspn:{folder}" for folder in same)]


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        (("--methods", "speculative"), "needs a model that drafts", "--draft-model"),
        (("--methods", "kvspn"), "no such drafter was given", "--drafter DIR"),
        (("--methods", "medusa"), "no such drafter was given", "--drafter DIR"),
        (("--methods", "magic"), "not a method pst knows", "speculative"),
        (("--drafter", "nowhere"), "no drafter there", "config.json"),
        (("--refs", "nowhere"), "--refs nowhere", ""),
        (("--to", "xx"), "not a language", "one of"),
        (("--beams", 3, "--oracle"), "--oracle goes with greedy", "leave out --beams"),
        (("--beams", 3, "--peers"), "--peers goes with greedy", "leave out --beams"),
        (("--beams", 3, "--top-k", 2), "--top-k goes with greedy", "leave out --beams"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_a_hint(
    bench, speech, talking_checkpoint, arguments, said, hint
):
    shown = bench(speech, "--model", talking_checkpoint, *arguments)
    assert shown.code == 2
    assert said in shown.err
    assert hint in shown.err
    assert not shown.out


def test_a_method_that_no_drafter_given_is_for_is_refused(
    bench, speech, talking_checkpoint, drafters
):
    given = ("--drafter", drafters / "heads", "--methods", "kvspn")
    shown = bench(speech, "--model", talking_checkpoint, *given)
    assert shown.code == 2
    assert "--methods kvspn" in shown.err


def test_the_plot_is_written_where_matplotlib_is(bench, speech, talking_checkpoint, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "bench.png"
    shown = run(bench, speech, talking_checkpoint, "--oracle", "--plot", picture)
    assert shown.code == 0, shown.err
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [("a.txt", 2, "that is no name of a picture"), ("a.png", 1, "a directory has that name")],
)
def test_a_picture_that_cannot_be_is_told_before_anything_is_measured(
    bench, speech, talking_checkpoint, tmp_path, no_host, name, code, said
):
    pytest.importorskip("matplotlib")
    (tmp_path / "a.png").mkdir()
    shown = run(bench, speech, talking_checkpoint, "--plot", tmp_path / name)
    assert (shown.code, shown.out) == (code, "")
    assert said in shown.err


def test_a_plot_without_matplotlib_is_refused_with_what_to_type(
    bench, speech, talking_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    shown = run(bench, speech, talking_checkpoint, "--plot", tmp_path / "bench.png")
    assert shown.code == 2
    assert "pip install 'pst_cli[plot]'" in shown.err


def test_peers_run_on_the_same_weights_and_those_that_cannot_say_why(
    bench, speech, talking_checkpoint, monkeypatch
):
    for package in ("faster_whisper", "whisper"):
        monkeypatch.setitem(sys.modules, package, None)
    shown = run(bench, speech, talking_checkpoint, "--peers", "--json")
    assert shown.code == 0, shown.err
    rows = {row["method"]: row for row in json.loads(shown.out)["rows"]}
    assert rows["transformers"]["failed"] is None
    assert rows["transformers"]["tokens"] > 0
    assert rows["transformers"]["seconds"]["encoder"] > 0
    assert rows["transformers-assisted"]["failed"] == "needs --draft-model NAME"
    for name in ("faster-whisper", "openai-whisper"):
        assert "pst_cli[peers]" in rows[name]["failed"]
        assert rows[name]["speedup"] is None


def test_openai_whisper_runs_the_checkpoints_weights(tmp_path):
    pytest.importorskip("whisper")
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    from pst_cli.bench.peers.openai_whisper import load_openai

    sizes = {"d_model": 16, "encoder_layers": 2, "decoder_layers": 1, "vocab_size": 60}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    inner = {"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "pad_token_id": 0}
    torch.manual_seed(0)
    theirs = WhisperForConditionalGeneration(WhisperConfig(**sizes, **heads, **inner)).eval()
    theirs.save_pretrained(tmp_path)
    ours = load_openai(tmp_path, "cpu")
    sound, tokens = torch.randn(1, 80, 3000), torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        expected = theirs(input_features=sound, decoder_input_ids=tokens).logits
        assert torch.allclose(ours(sound, tokens), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("model.encoder.layers.1.self_attn.q_proj.bias", "encoder.blocks.1.attn.query.bias"),
        ("model.encoder.layer_norm.weight", "encoder.ln_post.weight"),
        (
            "model.decoder.layers.0.encoder_attn.out_proj.weight",
            "decoder.blocks.0.cross_attn.out.weight",
        ),
        (
            "model.decoder.layers.0.encoder_attn_layer_norm.bias",
            "decoder.blocks.0.cross_attn_ln.bias",
        ),
        ("model.decoder.layers.0.final_layer_norm.bias", "decoder.blocks.0.mlp_ln.bias"),
        ("model.decoder.embed_positions.weight", "decoder.positional_embedding"),
        ("model.decoder.embed_tokens.weight", "decoder.token_embedding.weight"),
    ],
)
def test_tensors_are_renamed_for_openai_whisper(theirs, ours):
    assert rename(theirs) == ours


def test_loading_peers_is_never_fatal(tmp_path):
    setting = Setting(
        checkpoint=tmp_path / "nothing",
        draft=None,
        ct2=None,
        device="cpu",
        dtype=torch.float32,
        tokens=None,
    )
    found = load_peers(setting)
    assert not found.peers
    assert all(found.missing.values())


def test_a_drafter_beside_the_models_weights_runs_unasked(
    bench, speech, talking_checkpoint, drafters, tmp_path
):
    model = tmp_path / "model"
    shutil.copytree(talking_checkpoint, model)
    shutil.copytree(drafters / "parasite", model / "kvspn")
    shown = run(bench, speech, model, "--json")
    assert [row["method"] for row in json.loads(shown.out)["rows"]] == ["plain", "kvspn"]
