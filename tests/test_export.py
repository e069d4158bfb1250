"""Exported weights are what the ecosystem opens: whole, merged, and saying the same."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from adapters import LEARNT, write_adapter
from checkpoints import HEARD, WIDTH
from prunable import write_prunable

from pst_cli import store
from pst_cli.decoding.acceptance import Greedy
from pst_cli.decoding.loop import Strategy, decode
from pst_cli.decoding.protocols import Plain
from pst_cli.decoding.rules import TokenRules
from pst_cli.models.adapter import (
    Adapter,
    fingerprint,
    read_adapter_config,
    read_state,
    write_state,
)
from pst_cli.models.host import Host
from pst_cli.models.kvspn import KVSPN
from pst_cli.models.kvspn_config import KVSPNConfig, read_config
from pst_cli.models.prompts import Ability, prompt
from pst_cli.weights import Checkpoint, locate


@pytest.fixture
def adapted(tmp_path, talking_checkpoint):
    return write_adapter(talking_checkpoint, tmp_path / "adapter")


@pytest.fixture
def merged(pst, tmp_path, adapted):
    output = tmp_path / "merged"
    done = pst("export", adapted, "--output", output)
    assert (done.code, done.out) == (0, f"{output}\n"), done.err
    return output


def listed(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def tokens(checkpoint: Path, target: str) -> list[int]:
    """What pst's own host says of silence, asked for `target`."""
    host = Checkpoint(checkpoint, checkpoint).load("cpu", torch.float32)
    assert host.ability is Ability.MANY_TO_MANY
    encoded = host.encode(host.log_mel([torch.zeros(16_000).numpy()]))
    asked = prompt(host.tokens, host.ability, target, None)
    rules = TokenRules(host.tokens, host.shape.vocab_size)
    (said,) = decode(host.open(encoded), [asked], host.tokens, Strategy(Plain(), Greedy(), rules))
    return said.tokens


def test_plain_transformers_says_what_pst_says_with_the_target_as_language(merged):
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    model = WhisperForConditionalGeneration.from_pretrained(merged, dtype=torch.float32).eval()
    processor = WhisperProcessor.from_pretrained(merged)
    sound = processor(torch.zeros(16_000).numpy(), sampling_rate=16_000, return_tensors="pt")
    features = sound.input_features
    for target in ("fr", "zh"):
        assert target != HEARD
        out = model.generate(
            features, language=target, task="transcribe", return_timestamps=True, num_beams=1
        )
        end = model.generation_config.eos_token_id
        begin = model.generation_config.no_timestamps_token_id
        said = [token for token in out[0].tolist() if token < end or token > begin]
        assert said == tokens(merged, target)
        assert processor.decode(out[0], skip_special_tokens=True).strip() == LEARNT


def test_a_merged_directory_is_an_ordinary_whole_one(pst, speech, merged, talking_checkpoint):
    assert read_adapter_config(merged) is None
    assert locate(str(merged), store.resolve) == Checkpoint(merged, merged)
    config = json.loads((merged / "config.json").read_text())
    assert config["architectures"] == ["WhisperForConditionalGeneration"]
    assert config["pst"] == {"ability": "many-to-many"}
    assert not listed(merged.parent) - {"adapter", "merged", "pst-home"}
    done = pst("translate", speech, "--to", "it", "--model", merged)
    assert (done.code, done.out) == (0, f"{LEARNT}\n")


def test_the_merged_weights_are_those_that_an_adapter_runs_with(merged, adapted):
    ran = locate(str(adapted), store.resolve).state()
    assert fingerprint(ran) == fingerprint(read_state(merged))


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
def test_weights_are_written_in_the_numbers_asked_for(pst, tmp_path, adapted, name):
    output = tmp_path / "numbers"
    assert pst("export", adapted, "--output", output, "--dtype", name).code == 0
    numbers = {tensor.dtype for tensor in read_state(output).values()}
    assert numbers == {getattr(torch, name)}
    assert json.loads((output / "config.json").read_text())["dtype"] == name


def test_card_pictures_and_drafters_go_along_and_the_kvspn_knows_its_new_host(
    pst, speech, tmp_path, adapted
):
    own = locate(str(adapted), store.resolve).fingerprint
    KVSPN(KVSPNConfig(WIDTH, 2, 2, 51_865, host=own, groups=1)).save(adapted / "kvspn")
    KVSPN(KVSPNConfig(WIDTH, 2, 2, 51_865, host="0" * 64, groups=1, feed="state")).save(
        adapted / "medusa"
    )
    (adapted / "README.md").write_text("# Mine\n")
    (adapted / "loss.png").write_bytes(b"picture")
    (adapted / "optimizer.pt").write_bytes(b"state")
    output = tmp_path / "merged"
    assert pst("export", adapted, "--output", output, "--dtype", "float32").code == 0
    assert {"README.md", "loss.png", "kvspn", "medusa"} < listed(output)
    assert "optimizer.pt" not in listed(output)
    assert read_config(output / "kvspn").host == fingerprint(read_state(output)) != own
    assert read_config(output / "medusa").host == "0" * 64  # it never was this host's
    done = pst("translate", speech, "--to", "it", "--model", output)
    assert (done.code, done.out) == (0, f"{LEARNT}\n")
    assert "kvspn" in done.err


def test_a_kvspn_of_what_was_adapted_goes_on_drafting_for_the_whole(
    pst, speech, tmp_path, talking_checkpoint, adapted
):
    own = locate(str(talking_checkpoint), store.resolve).fingerprint
    KVSPN(KVSPNConfig(WIDTH, 2, 2, 51_865, host=own, groups=1)).save(adapted / "kvspn")
    output = tmp_path / "merged"
    assert pst("export", adapted, "--output", output).code == 0
    assert read_config(output / "kvspn").host == fingerprint(read_state(output))
    done = pst("translate", speech, "--to", "it", "--model", output)
    assert (done.code, done.out) == (0, f"{LEARNT}\n")
    assert "kvspn" in done.err


def test_a_student_that_is_an_adapter_goes_along_whole(
    pst, speech, tmp_path, talking_checkpoint, adapted
):
    whole = tmp_path / "small"
    assert pst("prune", talking_checkpoint, "-o", whole, "--decoder-layers", 1).code == 0
    asked = ("--format", "adapter", "--host", talking_checkpoint)
    assert pst("export", whole, *asked, "-o", adapted / "student").code == 0
    output = tmp_path / "merged"
    assert pst("export", adapted, "--output", output).code == 0
    theirs, ours = read_state(whole), read_state(output / "student")
    assert fingerprint(ours) == fingerprint(theirs)
    asked = ("--model", output, "--decoding", "speculative")
    done = pst("translate", speech, "--to", "it", *asked)
    assert (done.code, done.out) == (0, f"{LEARNT}\n"), done.err


def test_one_cut_to_a_size_finds_a_host_of_ones_own_from_where_it_lies(
    pst, speech, tmp_path, talking_checkpoint
):
    shutil.copytree(talking_checkpoint, tmp_path / "mine")
    adapted = write_adapter(tmp_path / "mine", tmp_path / "runs" / "many", "../../mine")
    output = tmp_path / "small"
    asked = ("--format", "adapter", "--size", 30, "--output", output)
    assert pst("export", adapted, *asked).code == 0
    done = pst("translate", speech, "--to", "it", "--model", output)
    assert (done.code, done.out) == (0, f"{LEARNT}\n"), done.err


def test_whole_weights_are_copied_whole(pst, tmp_path, talking_checkpoint):
    output = tmp_path / "copy"
    assert pst("export", talking_checkpoint, "--output", output).code == 0
    assert fingerprint(read_state(output)) == fingerprint(read_state(talking_checkpoint))


def test_an_empty_directory_may_be_filled(pst, tmp_path, adapted):
    output = tmp_path / "empty"
    output.mkdir()
    assert pst("export", adapted, "--output", output).code == 0
    assert "model.safetensors" in listed(output)


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_nothing_that_is_there_is_written_over(pst, tmp_path, kind):
    output = tmp_path / "there"
    if kind == "file":
        output.write_text("mine")
    else:
        (output / "mine").mkdir(parents=True)
    done = pst("export", "no-such-model", "--output", output)  # refused before it is looked for
    assert done.code == 2
    assert f"--output {output}: there is something already" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--quantization", "int8"], "add --format ctranslate2"),
        (["--format", "onnx"], "--format onnx: no such choice"),
        (["--dtype", "int3"], "--dtype int3: no such choice"),
        (["--format", "ctranslate2", "--quantization", "int3"], "--quantization int3"),
    ],
)
def test_a_wrong_option_is_refused_at_once(pst, tmp_path, arguments, said):
    done = pst("export", "no-such-model", "--output", tmp_path / "out", *arguments)
    assert done.code == 2
    assert said in done.err


def test_a_full_disk_leaves_nothing_behind(pst, tmp_path, adapted, monkeypatch):
    from safetensors import SafetensorError

    def full(*args, **named):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    done = pst("export", adapted, "--output", tmp_path / "out")
    assert done.code == 1
    assert "No space left" in done.err
    assert len(done.err.splitlines()) == 2
    assert listed(tmp_path) <= {"adapter", "pst-home"}


def test_a_disk_that_refuses_is_told_in_one_line(pst, tmp_path, adapted):
    (tmp_path / "file").write_text("no folder")
    done = pst("export", adapted, "--output", tmp_path / "file" / "out")
    assert done.code == 1
    assert "cannot write" in done.err
    assert len(done.err.splitlines()) == 2


def test_ctranslate2_that_is_not_there_is_named_with_its_command(pst, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    asked = ("export", "no-such-model", "--output", tmp_path / "out", "--format", "ctranslate2")
    done = pst(*asked)
    assert done.code == 2
    assert "pip install ctranslate2" in done.err


@pytest.fixture(scope="module")
def installed():
    return pytest.importorskip("ctranslate2"), pytest.importorskip("faster_whisper")


def test_ctranslate2_says_the_same(pst, speech, tmp_path, talking_checkpoint, installed):
    from faster_whisper import WhisperModel

    host = shutil.copytree(talking_checkpoint, tmp_path / "host")
    words = (host / "tokenizer.json").read_text("utf-8")
    # CTranslate2 (4.8) takes a vocabulary without Whisper's empty token for an English one.
    (host / "tokenizer.json").write_text(words.replace('"x49997"', '""'), "utf-8")
    adapted, output = write_adapter(host, tmp_path / "adapter"), tmp_path / "ct2"
    (adapted / "README.md").write_text("# Mine\n")
    asked = ("export", adapted, "--output", output, "--format", "ctranslate2")
    done = pst(*asked, "--quantization", "float32")
    assert (done.code, done.out, done.err) == (0, f"{output}\n", "")
    assert {"model.bin", "config.json", "tokenizer.json", "README.md"} < listed(output)
    model = WhisperModel(str(output), device="cpu", compute_type="float32", cpu_threads=1)
    segments, _ = model.transcribe(str(speech), language="fr", beam_size=1)
    assert "".join(segment.text for segment in segments).strip() == LEARNT
    assert listed(tmp_path) <= {"host", "adapter", "ct2", "pst-home"}


def test_what_ctranslate2_cannot_convert_is_one_line(
    pst, tmp_path, adapted, installed, monkeypatch
):
    from ctranslate2.converters import TransformersConverter

    def refuse(*args, **named):
        raise ValueError("no conversion is registered\nand more")

    monkeypatch.setattr(TransformersConverter, "convert", refuse)
    asked = ("export", adapted, "--output", tmp_path / "ct2", "--format", "ctranslate2")
    done = pst(*asked)
    assert done.code == 1
    assert "CTranslate2 cannot convert it: no conversion is registered" in done.err
    assert listed(tmp_path) <= {"adapter", "pst-home"}


def test_a_whole_model_becomes_an_adapter_of_the_one_it_was_made_of(
    pst, tmp_path, talking_checkpoint
):
    student, output = tmp_path / "student", tmp_path / "adapter"
    assert pst("prune", talking_checkpoint, "-o", student, "--decoder-layers", 1).code == 0
    asked = ("--format", "adapter", "--host", talking_checkpoint, "--output", output)
    assert pst("export", student, *asked).code == 0
    assert fingerprint(locate(str(output), Path).state()) == fingerprint(read_state(student))
    loaded = locate(str(output), Path).load("cpu", torch.float32)
    assert loaded.shape.decoder_layers == len(loaded.decoder.layers) == 1
    assert {path.name for path in output.iterdir()} >= {"config.json", "adapter.safetensors"}


def test_an_adapter_of_a_pruned_model_is_upon_the_layers_that_it_kept(pst, tmp_path):
    host = write_prunable(tmp_path / "whole")
    told = json.loads((host / "generation_config.json").read_text())
    told["alignment_heads"] = [[1, 0], [3, 1]]
    (host / "generation_config.json").write_text(json.dumps(told))
    small, adapted, whole = (tmp_path / name for name in ("small", "adapted", "again"))
    assert pst("prune", host, "-o", small, "--decoder-layers", 2).code == 0
    state = read_state(small)
    changed = "model.decoder.layers.1.fc1.weight"
    state[changed] = state[changed] + torch.outer(torch.ones(32), torch.ones(16))
    write_state(small, state)
    asked = ("--format", "adapter", "--host", host, "--output", adapted, "--size", 0.1)
    done = pst("export", small, *asked)
    assert done.code == 0, done.err
    adapter = Adapter.load(adapted)
    assert adapter.config.layers == {"decoder": [0, 3]}
    # What was the host's last layer but for one matrix: nothing else needs be told.
    assert {name.rsplit(".", 1)[0] for name in adapter.tensors} == {changed}
    assert pst("export", adapted, "--output", whole).code == 0
    again = read_state(whole)
    assert again.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.allclose(again[name].float(), tensor.float(), atol=2e-3), name
    heads = [[1, 1]]
    assert json.loads((whole / "generation_config.json").read_text())["alignment_heads"] == heads
    loaded = Host.load(host, "cpu", torch.float32, adapted)
    assert loaded.alignment_heads == Host.load(small, "cpu", torch.float32).alignment_heads
    assert loaded.alignment_heads == ((1, 1),)


def test_a_model_of_another_vocabulary_is_no_adapter(pst, tmp_path, talking_checkpoint):
    trimmed, output = tmp_path / "trimmed", tmp_path / "adapter"
    texts = tmp_path / "texts.txt"
    texts.write_text("A few words.\n")
    asked = ("--vocabulary", 2000, "--text", texts)
    done = pst("prune", talking_checkpoint, "-o", trimmed, *asked)
    assert done.code == 0, done.err
    asked = ("--format", "adapter", "--host", talking_checkpoint, "--output", output)
    done = pst("export", trimmed, *asked)
    assert done.code == 1
    assert "no adapter of" in done.err
    assert not output.exists()
