"""`pst prune`: fewer layers or tokens, an ordinary checkpoint out, and a true report."""

from __future__ import annotations

import errno
import itertools
import json
import lzma
import shutil

import pytest
import torch
from checkpoints import SENTENCE
from hypothesis import given
from hypothesis import strategies as st
from prunable import TEXTS, write_prunable
from transformers import WhisperForConditionalGeneration, WhisperTokenizerFast

from pst_cli.models.adapter import Adapter, AdapterConfig, fingerprint, read_state
from pst_cli.models.host import Host, ability
from pst_cli.models.prompts import Ability
from pst_cli.models.pruning.layers import evenly, keep_heads, kept_layers
from pst_cli.models.pruning.vocabulary import count_tokens, read_kept
from pst_cli.pruning.texts import read_texts

LAYER = "model.decoder.layers.{}.fc1.weight"
EMBEDDING = "model.decoder.embed_tokens.weight"


@pytest.fixture(scope="module")
def prunable(tmp_path_factory):
    return write_prunable(tmp_path_factory.mktemp("prunable") / "checkpoint")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "lines.txt"
    path.write_text("\n".join(TEXTS), "utf-8")
    return path


@given(layers=st.integers(1, 48), data=st.data())
def test_first_and_last_layer_stay_and_the_others_go_evenly(layers, data):
    kept = data.draw(st.integers(1, layers))
    chosen = evenly(layers, kept)
    assert len(chosen) == kept
    assert chosen[-1] == layers - 1
    assert kept == 1 or chosen[0] == 0
    steps = [after - before for before, after in itertools.pairwise(chosen)]
    assert not steps or max(steps) - min(steps) <= 1
    assert min(steps, default=1) >= 1


def test_the_layers_are_those_that_distil_whisper_would_keep():
    assert evenly(32, 2) == [0, 31]
    assert evenly(24, 12) == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 23]
    assert evenly(6, 1) == [5]
    assert evenly(6, 6) == [0, 1, 2, 3, 4, 5]


def test_alignment_heads_move_with_their_layers():
    told = {"alignment_heads": [[3, 1], [4, 2], [5, 7]], "max_length": 448}
    assert keep_heads(told, [0, 3, 5]) == {"alignment_heads": [[1, 1], [2, 7]], "max_length": 448}
    assert keep_heads(told, [0, 1]) == {"max_length": 448}


def config(folder, name="config.json"):
    return json.loads((folder / name).read_text("utf-8"))


def test_dropping_layers_leaves_an_ordinary_checkpoint(pst, prunable, tmp_path):
    output = tmp_path / "small"
    done = pst("prune", prunable, "-o", output, "--decoder-layers", 2, "--encoder-layers", 2)
    assert done.code == 0, done.err
    assert "decoder layers kept, from 0: 0, 3" in done.out
    before, after = read_state(prunable), read_state(output)
    assert torch.equal(after[LAYER.format(1)], before[LAYER.format(3)])
    assert torch.equal(after[EMBEDDING], before[EMBEDDING])
    assert LAYER.format(2) not in after
    assert {tensor.dtype for tensor in after.values()} == {torch.float16}
    model, told = WhisperForConditionalGeneration.from_pretrained(output, output_loading_info=True)
    assert not any(told.values())
    assert len(model.model.encoder.layers) == len(model.model.decoder.layers) == 2
    assert model.generation_config.alignment_heads == [[1, 0], [1, 1]]
    made = config(output)
    assert made["pst"]["pruned"] == {
        "source": prunable.name,
        "encoder_layers": [0, 2],
        "decoder_layers": [0, 3],
        "vocabulary": made["vocab_size"],
    }
    assert config(output, "tokenizer.json") == config(prunable, "tokenizer.json")
    assert read_kept(output) is None
    Host.load(output, "cpu", torch.float32)


def test_layers_dropped_twice_are_named_as_the_first_model_has_them(pst, prunable, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert pst("prune", prunable, "-o", first, "--decoder-layers", 3).code == 0
    assert pst("prune", first, "-o", second, "--decoder-layers", 2).code == 0
    assert config(second)["pst"]["pruned"] == {
        "source": prunable.name,
        "encoder_layers": [0, 1, 2],
        "decoder_layers": [0, 3],
        "vocabulary": config(prunable)["vocab_size"],
    }
    assert kept_layers(config(second), config(prunable)) == {"decoder": [0, 3]}
    assert kept_layers(config(second), config(first)) == {"decoder": [0, 2]}
    assert kept_layers(config(first), config(second)) == {}


def test_dropped_layers_do_not_make_a_model_forget_its_tasks(pst, prunable, tmp_path):
    source = tmp_path / "stock"
    shutil.copytree(prunable, source)
    declared = config(source) | {"pst": {"ability": "many-to-many", "note": "kept"}}
    (source / "config.json").write_text(json.dumps(declared))
    assert pst("prune", source, "-o", tmp_path / "out", "--decoder-layers", 1).code == 0
    assert ability(tmp_path / "out") is Ability.MANY_TO_MANY
    assert config(tmp_path / "out")["pst"]["note"] == "kept"


def test_a_stock_model_with_fewer_decoder_layers_is_no_distilled_one(pst, tmp_path):
    stock = write_prunable(tmp_path / "stock", encoder_layers=2, decoder_layers=2)
    assert pst("prune", stock, "-o", tmp_path / "out", "--decoder-layers", 1).code == 0
    assert ability(tmp_path / "out") is ability(stock) is Ability.STOCK


def test_a_model_whose_layers_add_nothing_says_the_same_without_them(
    pst, talking_checkpoint, speech, tmp_path
):
    output = tmp_path / "small"
    assert pst("prune", talking_checkpoint, "-o", output, "--decoder-layers", 1).code == 0
    done = pst("translate", speech, "--to", "en", "--model", output)
    assert (done.code, done.out) == (0, f"{SENTENCE}\n"), done.err


def test_a_trimmed_vocabulary_is_the_same_in_every_file(pst, prunable, text, tmp_path):
    output = tmp_path / "small"
    done = pst("prune", prunable, "-o", output, "--vocabulary", 300, "--text", text)
    assert done.code == 0, done.err
    kept = read_kept(output)
    made, generation = config(output), config(output, "generation_config.json")
    assert made["vocab_size"] == len(kept) == len(read_state(output)[EMBEDDING])
    assert torch.equal(read_state(output)[EMBEDDING], read_state(prunable)[EMBEDDING][kept])
    assert len([token for token in kept if token < 460]) == 300
    full = WhisperTokenizerFast.from_pretrained(prunable)
    small = WhisperTokenizerFast.from_pretrained(output)
    assert [small.convert_ids_to_tokens(number) for number in range(len(kept))] == (
        full.convert_ids_to_tokens(kept)
    )
    for key in ("eos_token_id", "decoder_start_token_id", "no_timestamps_token_id"):
        assert kept[generation[key]] == config(prunable, "generation_config.json")[key]
    assert generation["lang_to_id"]["<|de|>"] == small.convert_tokens_to_ids("<|de|>")
    assert generation["suppress_tokens"] == [kept.index(token) for token in (1, 2)]
    assert small(TEXTS[0]).input_ids[-1] == generation["eos_token_id"]
    host = Host.load(output, "cpu", torch.float32)
    assert host.tokens.timestamp_begin + 1501 == len(kept)
    assert host.ability is ability(prunable)


def test_trimming_twice_still_leads_back_to_the_first_vocabulary(pst, prunable, text, tmp_path):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    trim = ("--text", text, "--vocabulary")
    assert pst("prune", prunable, "-o", first, *trim, 400).code == 0
    assert pst("prune", first, "-o", second, *trim, 300).code == 0
    assert pst("prune", second, "-o", third, "--decoder-layers", 1).code == 0
    full = read_state(prunable)[EMBEDDING]
    assert len(read_kept(second)) < len(read_kept(first))
    assert torch.equal(read_state(third)[EMBEDDING], full[read_kept(third)])


def test_an_adapter_is_pruned_with_its_host(pst, prunable, tmp_path):
    state = read_state(prunable)
    name = LAYER.format(3)
    link = AdapterConfig(str(prunable), fingerprint(state), "many-to-many")
    Adapter(link, {name: state[name] + 1}, config(prunable)).save(tmp_path / "adapter")
    done = pst("prune", tmp_path / "adapter", "-o", tmp_path / "out", "--decoder-layers", 2)
    assert done.code == 0, done.err
    assert torch.equal(read_state(tmp_path / "out")[LAYER.format(1)], state[name] + 1)
    assert ability(tmp_path / "out") is Ability.MANY_TO_MANY
    assert "adapter" not in config(tmp_path / "out")["pst"]


def test_the_report_counts_what_the_files_hold(pst, prunable, text, tmp_path):
    asked = ("--decoder-layers", 2, "--vocabulary", 300, "--text", text, "--json", "--quiet")
    done = pst("prune", prunable, "-o", tmp_path / "out", *asked)
    assert done.err == ""
    report = json.loads(done.out)
    for when, folder in (("before", prunable), ("after", tmp_path / "out")):
        state = read_state(folder)
        whole = report[when]["all"]
        assert whole["parameters"] == sum(tensor.numel() for tensor in state.values())
        assert whole["bytes"] == sum(tensor.nbytes for tensor in state.values())
        assert report[when]["embedding"]["parameters"] == state[EMBEDDING].numel()
        assert report["vocabulary"][when] == len(state[EMBEDDING])
        parts = ("encoder", "decoder", "embedding")
        assert sum(report[when][part]["bytes"] for part in parts) == whole["bytes"]
    assert report["decoder_layers"] == [0, 3]
    assert report["encoder_layers"] == [0, 1, 2]
    assert report["vocabulary"]["text"] == 300
    counts = count_tokens(prunable, TEXTS, 460)
    kept = set(read_kept(tmp_path / "out"))
    share = sum(counts[token] for token in kept) / counts.total()
    assert 0 < share < 1
    assert report["vocabulary"]["covered"] == pytest.approx(share)


def test_text_is_read_the_same_from_lines_tables_and_manifests(tmp_path):
    lines, table, manifest = (tmp_path / f"text.{kind}" for kind in ("txt", "tsv", "jsonl"))
    lines.write_text("One.\n\nEins. Zwei.\nDrei\n", "utf-8")
    table.write_text("audio\ten\tde\na.wav\tOne.\tEins. Zwei. ||| Drei\nb.wav\t \n", "utf-8")
    utterance = {"audio": "a.wav", "language": "en", "text": "One."}
    translations = {"translations": {"de": "Eins. Zwei.", "it": "Drei"}}
    manifest.write_text(json.dumps(utterance | translations) + "\n", "utf-8")
    said = ["One.", "Eins. Zwei.", "Drei"]
    for path in (lines, table, manifest):
        packed = path.with_name(path.name + ".xz")
        packed.write_bytes(lzma.compress(path.read_bytes()))
        assert list(read_texts([path])) == list(read_texts([packed])) == said


def test_a_table_without_a_header_is_all_text(tmp_path):
    (tmp_path / "t.tsv").write_text("One.\tEins.\nTwo.\tZwei.\n", "utf-8")
    assert list(read_texts([tmp_path / "t.tsv"])) == ["One.", "Eins.", "Two.", "Zwei."]


def refused(done, code, output):
    """The error line and its hint; nothing was written."""
    assert done.code == code
    assert done.out == ""
    assert not output.exists()
    assert not list(output.parent.glob(".*"))
    error, hint = [line for line in done.err.splitlines() if line != "pst: counting tokens"]
    assert hint.startswith("  hint: ")
    return error.removeprefix("pst: error: ")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ((), "nothing to drop"),
        (("--decoder-layers", 5), "--decoder-layers 5: {model} has 4"),
        (("--encoder-layers", 9), "--encoder-layers 9: {model} has 3"),
        (("--vocabulary", 300), "--vocabulary needs text"),
        (("--text", "{text}"), "--text is for trimming the vocabulary"),
        (("--vocabulary", 255, "--text", "{text}"), "bytes alone are 256 text tokens"),
        (("--vocabulary", 461, "--text", "{text}"), "it has 460"),
    ],
)
def test_a_bad_request_gets_one_line(pst, prunable, text, tmp_path, asked, told):
    words = [str(word).format(text=text) for word in asked]
    done = pst("prune", prunable, "-o", tmp_path / "out", *words)
    assert told.format(model=prunable) in refused(done, 2, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("empty.txt", b"\n \n", "no text in"),
        ("latin.txt", b"fine\nstra\xdfe\n", "latin.txt:2: not UTF-8"),
        ("bad.jsonl", b'{"language": "xx"}\n', "bad.jsonl:1: "),
        ("bad.tsv.xz", b"no archive", "does not unpack"),
        ("cut.txt.xz", lzma.compress(b"some text\n")[:-8], "does not unpack"),
        ("gone.txt", None, "cannot be read: No such file"),
    ],
)
def test_text_that_cannot_serve_gets_one_line(pst, prunable, tmp_path, name, content, told):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    asked = ("--vocabulary", 300, "--text", tmp_path / name)
    assert told in refused(
        pst("prune", prunable, "-o", tmp_path / "out", *asked), 1, tmp_path / "out"
    )


def test_what_is_there_is_left_alone_but_an_empty_directory_is_used(pst, prunable, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "mine").write_text("precious")
    done = pst("prune", prunable, "-o", output, "--decoder-layers", 1)
    assert done.code == 2
    assert "there is something already" in done.err
    assert [path.name for path in output.iterdir()] == ["mine"]
    (output / "mine").unlink()
    assert pst("prune", prunable, "-o", output, "--decoder-layers", 1).code == 0
    assert (output / "model.safetensors").is_file()
    assert not list(tmp_path.glob(".out*"))


def test_another_kind_of_model_gets_one_line(pst, prunable, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(prunable, other)
    (other / "config.json").write_text('{"model_type": "bert"}')
    done = pst("prune", other, "-o", tmp_path / "out", "--decoder-layers", 1)
    assert "is no Whisper" in refused(done, 1, tmp_path / "out")


def test_a_tokenizer_of_another_kind_gets_one_line(pst, prunable, text, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(prunable, other)
    document = config(other, "tokenizer.json")
    document["model"] = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    (other / "tokenizer.json").write_text(json.dumps(document))
    asked = ("--vocabulary", 300, "--text", text)
    done = pst("prune", other, "-o", tmp_path / "out", *asked)
    assert "is no tokenizer of a Whisper" in refused(done, 1, tmp_path / "out")


def test_a_full_disk_leaves_nothing_behind(pst, prunable, tmp_path, monkeypatch):
    def full(*paths):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pst_cli.export.shutil.copyfile", full)
    done = pst("prune", prunable, "-o", tmp_path / "out", "--decoder-layers", 1)
    assert "no space left on device" in refused(done, 1, tmp_path / "out")
