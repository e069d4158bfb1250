"""Adapters: what training changed is found, kept, tied to its host, and merged wherever loaded."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace

import pytest
import torch
from adapters import LEARNT, tiny, train, write_adapter
from checkpoints import SENTENCE, WIDTH
from hypothesis import given
from hypothesis import strategies as st

from pst_cli.errors import ModelError
from pst_cli.methods import Drafting, load_kvspn
from pst_cli.models.adapter import (
    EMBEDDING,
    TIED,
    Adapter,
    AdapterConfig,
    fingerprint,
    read_adapter_config,
    read_state,
    write_state,
)
from pst_cli.models.host import ability
from pst_cli.models.kvspn import KVSPN
from pst_cli.models.kvspn_config import KVSPNConfig
from pst_cli.models.prompts import Ability
from pst_cli.store import hub, layout, resolve, shelf
from pst_cli.store import path as store_path
from pst_cli.training.adapting import learnt
from pst_cli.weights import locate


@pytest.fixture
def trained():
    """A trained model, the state of its host, and the adapter between them."""
    model = tiny()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train(model)
    config = AdapterConfig("base", fingerprint(state), "many-to-many")
    return model, state, learnt(model, config)


@pytest.fixture
def adapted(tmp_path, talking_checkpoint):
    return write_adapter(talking_checkpoint, tmp_path / "adapter")


def edit(folder, change):
    document = json.loads((folder / "config.json").read_text())
    change(document)
    (folder / "config.json").write_text(json.dumps(document))


def refused(done):
    assert done.code == 1
    assert done.out == ""
    lines = done.err.splitlines()
    assert len(lines) == 2, done.err
    return lines


# What an adapter is


def test_the_merged_host_computes_what_the_trained_model_does(trained):
    model, state, adapter = trained
    adapter.apply(state)
    merged = tiny(seed=1)
    merged.load_state_dict(state)
    sound, tokens = torch.randn(1, 80, 100), torch.tensor([[2, 3, 4]])
    with torch.no_grad():
        wanted = model(input_features=sound, decoder_input_ids=tokens).logits
        found = merged(input_features=sound, decoder_input_ids=tokens).logits
    assert torch.allclose(found, wanted, atol=1e-5)


def test_only_what_was_trained_is_in_it_and_under_the_names_of_the_plain_checkpoint(trained):
    _model, state, adapter = trained
    plain = {name.removesuffix(".lora_A").removesuffix(".lora_B") for name in adapter.tensors}
    assert plain <= set(state) - {TIED}
    assert EMBEDDING in adapter.tensors
    pairs = [name for name in adapter.tensors if name.endswith(".lora_A")]
    assert len(pairs) == 3
    assert all(name.startswith("model.encoder.layers.0.") for name in pairs)
    untouched = [name for name in adapter.tensors if name.startswith("model.encoder.layers.1")]
    assert not untouched


def test_the_tensors_are_copies_of_a_model_that_trains_on(trained):
    model, _, adapter = trained
    before = adapter.fingerprint
    with torch.no_grad():
        model.model.decoder.embed_tokens.weight.add_(1.0)
    assert adapter.fingerprint == before


def test_what_is_saved_is_what_is_loaded(trained, tmp_path):
    _, _, adapter = trained
    adapter.save(tmp_path)
    loaded = Adapter.load(tmp_path)
    assert loaded.config == adapter.config == read_adapter_config(tmp_path)
    assert loaded.fingerprint == adapter.fingerprint  # though the file has half the digits
    assert loaded.model["decoder_layers"] == 2
    assert loaded.model["pst"] == {"ability": "many-to-many"}
    assert {name: tensor.shape for name, tensor in loaded.tensors.items()} == {
        name: tensor.shape for name, tensor in adapter.tensors.items()
    }


def test_a_host_keeps_its_numbers_when_something_is_merged(trained):
    _, state, adapter = trained
    halves = {name: tensor.half() for name, tensor in state.items()}
    adapter.apply(halves)
    assert {tensor.dtype for tensor in halves.values()} == {torch.float16}


def test_a_float32_copy_merges_to_what_the_published_weights_do(trained, tmp_path):
    _, state, adapter = trained
    halves = {name: tensor.half() for name, tensor in state.items() if name != TIED}
    adapter = replace(adapter, config=replace(adapter.config, sha256=fingerprint(halves)))
    merged = []
    for name, copy in (("half", halves), ("float", {k: t.float() for k, t in halves.items()})):
        (tmp_path / name).mkdir()
        write_state(tmp_path / name, copy)
        merged.append(adapter.merged(tmp_path / name))
    first, second = merged
    assert {tensor.dtype for tensor in second.values()} == {torch.float32}
    assert all(torch.equal(first[name].float(), second[name]) for name in first)
    assert any(not torch.equal(first[name], halves[name]) for name in halves)


@pytest.mark.parametrize("fault", ["gone", "narrow", "alone"])
def test_what_does_not_fit_changes_nothing(trained, fault):
    _, state, adapter = trained
    name = next(name for name in adapter.tensors if name.endswith(".lora_B"))
    plain = name.removesuffix(".lora_B")
    if fault == "gone":
        del state[plain]
    elif fault == "narrow":
        state[plain] = state[plain][:-1]
    else:
        tensors = {key: value for key, value in adapter.tensors.items() if key != name}
        adapter = replace(adapter, tensors=tensors)
    before = dict(state)
    with pytest.raises(ModelError, match="does not fit its host") as caught:
        adapter.apply(state)
    assert plain in caught.value.message
    assert all(state[key] is value for key, value in before.items())


# Fingerprints


def test_copies_in_other_numbers_have_one_fingerprint():
    halves = {name: tensor.half() for name, tensor in tiny().state_dict().items()}
    floats = {name: halves[name].float() for name in reversed(halves)}
    assert fingerprint(halves) == fingerprint(floats)
    without = {name: tensor for name, tensor in halves.items() if name != TIED}
    assert fingerprint(without) == fingerprint(halves)


@given(st.data())
def test_another_value_shape_or_name_is_another_host(data):
    state = {"a": torch.arange(6.0), "b": torch.ones(2, 3)}
    other = dict(state)
    change = data.draw(st.sampled_from(["value", "shape", "name", "order"]))
    if change == "value":
        index, value = data.draw(st.integers(0, 5)), data.draw(st.integers(7, 2000))
        other["a"] = state["a"].index_fill(0, torch.tensor([index]), value)
    elif change == "shape":
        other["b"] = torch.ones(data.draw(st.sampled_from([(3, 2), (6,), (1, 6)])))
    elif change == "name":
        other[data.draw(st.text(min_size=1).filter(lambda name: name not in state))] = other.pop(
            data.draw(st.sampled_from(["a", "b"]))
        )
    else:
        other = {"a": state["b"], "b": state["a"]}
    assert fingerprint(other) != fingerprint(state)


def test_the_same_adapter_on_another_host_is_another_host(trained):
    _, _, adapter = trained
    other = replace(adapter, config=replace(adapter.config, sha256="0" * 64))
    assert other.fingerprint != adapter.fingerprint


# Where a model is named


def test_an_adapter_translates_as_what_it_is_merged_into(pst, speech, adapted, talking_checkpoint):
    asked = ("translate", speech, "--to", "fr", "--offline", "--model")
    assert pst(*asked, talking_checkpoint).out == f"{SENTENCE}\n"
    done = pst(*asked, adapted)
    assert (done.code, done.out) == (0, f"{LEARNT}\n")
    assert "not trained" not in done.err  # it declares that it is many to many


def test_a_host_may_be_named_relative_to_its_adapter(
    pst, speech, tmp_path, talking_checkpoint, monkeypatch
):
    shutil.copytree(talking_checkpoint, tmp_path / "hosts" / "mine")
    folder = write_adapter(talking_checkpoint, tmp_path / "adapter", "../hosts/mine")
    monkeypatch.chdir(tmp_path / "hosts")
    done = pst("translate", speech, "--to", "fr", "--model", folder)
    assert (done.code, done.out) == (0, f"{LEARNT}\n")


def test_another_host_is_refused_in_one_line_with_both_names(
    pst, speech, adapted, tiny_checkpoint, talking_checkpoint
):
    edit(adapted, lambda document: document["pst"]["adapter"].update(host=str(tiny_checkpoint)))
    error, hint = refused(pst("translate", speech, "--to", "en", "--model", adapted))
    assert "wrong host for the adapter" in error
    for host in (talking_checkpoint, tiny_checkpoint):
        assert fingerprint(read_state(host))[:12] in error
    assert str(tiny_checkpoint) in error
    assert "config.json" in hint


def test_a_host_that_is_not_there_is_named_with_its_adapter(pst, speech, adapted):
    edit(adapted, lambda document: document["pst"]["adapter"].update(host="/nowhere/host"))
    error, _ = refused(pst("translate", speech, "--to", "en", "--model", adapted))
    assert f"the adapter {adapted} lacks its host: no directory of weights at /nowhere" in error


def test_an_adapter_of_an_adapter_is_refused(pst, speech, adapted, tmp_path):
    outer = tmp_path / "outer"
    shutil.copytree(adapted, outer)
    edit(outer, lambda document: document["pst"]["adapter"].update(host=str(adapted)))
    error, hint = refused(pst("translate", speech, "--to", "en", "--model", outer))
    assert "is an adapter itself" in error
    assert f"pst export {adapted} --output" in hint


def test_a_damaged_adapter_is_named_before_any_decoding(pst, speech, adapted):
    weights = adapted / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    done = pst("translate", speech, "--to", "en", "--model", adapted)
    assert done.code == 1
    assert f"{weights} is damaged" in done.err


def test_an_adapter_of_another_pst_is_refused(pst, speech, adapted):
    edit(adapted, lambda document: document["pst"]["adapter"].update(rank=3))
    done = pst("translate", speech, "--to", "en", "--model", adapted)
    assert done.code == 1
    assert "holds an adapter of another pst" in done.err


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"pst": {"ability": "stock"}}'])
def test_an_adapter_that_names_no_host_is_refused(pst, speech, adapted, text):
    (adapted / "config.json").write_text(text)
    done = pst("translate", speech, "--to", "en", "--model", adapted)
    assert done.code == 1
    assert done.err == f"pst: error: {adapted / 'config.json'} does not name the adapter's host\n"


def test_a_config_that_is_not_json_is_one_line(pst, speech, tmp_path, talking_checkpoint):
    copy = shutil.copytree(talking_checkpoint, tmp_path / "copy")
    (copy / "config.json").write_text("{")
    done = pst("translate", speech, "--to", "en", "--model", copy)
    assert done.code == 1
    assert done.err == f"pst: error: {copy / 'config.json'} cannot be read\n"


def test_an_adapter_drafts_for_its_host(pst, speech, adapted, talking_checkpoint):
    asked = ("translate", speech, "--to", "en", "--model", talking_checkpoint)
    done = pst(*asked, "--draft-model", adapted)
    assert (done.code, done.out) == (0, f"{SENTENCE}\n")
    assert "speculative" in done.err


def test_the_bench_runs_adapters_and_merges_them_for_peers(pst, speech, adapted, monkeypatch):
    for package in ("faster_whisper", "whisper"):
        monkeypatch.setitem(sys.modules, package, None)
    asked = ("bench", speech, "--to", "fr", "--model", adapted, "--rounds", 1, "--json", "--peers")
    done = pst(*asked, "--draft-model", adapted)
    assert done.code == 0, done.err
    rows = {row["method"]: row for row in json.loads(done.out)["rows"]}
    assert rows["transformers"]["failed"] is rows["transformers-assisted"]["failed"] is None
    assert rows["transformers"]["exact_match_tokens"] == 1.0  # of what the adapter says


def test_the_store_takes_an_adapter_for_weights(pst, adapted):
    assert layout.tell(adapted) is layout.Layout.ADAPTER
    assert resolve(str(adapted), offline=True) == store_path(str(adapted)) == adapted
    assert pst("models", "verify", adapted).code == 0
    (adapted / "config.json").unlink()
    done = pst("models", "verify", adapted)
    assert done.code == 1
    assert f"{adapted} has no config.json" in done.err


def test_of_an_adapter_on_the_hub_its_two_files_and_its_drafters_are_fetched():
    there = ("README.md", "adapter.safetensors", "config.json", "optimizer.pt", "student/x.json")
    drafter = ("kvspn/config.json", "kvspn/model.safetensors")
    assert hub.choose("me/adapter", (*there, *drafter)) == (
        "config.json",
        *drafter,
        "adapter.safetensors",
    )


def test_an_adapter_lands_in_the_store_with_its_drafter_and_each_byte_counts(pst, speech, adapted):
    kvspn(adapted / "kvspn", locate(str(adapted), resolve).fingerprint)
    work = shelf.partial("work")
    shutil.copytree(adapted, work)
    landed = shelf.land(work, "me--adapter", shelf.Origin("me/adapter", "a test"))
    asked = ("translate", speech, "--to", "en", "--model", "me/adapter", "--offline")
    done = pst(*asked)
    assert (done.code, done.out) == (0, f"{LEARNT}\n")
    assert "kvspn" in done.err
    weights = landed / "kvspn" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    done = pst("models", "verify", "me/adapter")
    assert done.code == 1
    assert f"{weights} is damaged" in done.err


# Drafters know their host


def kvspn(folder, host):
    config = KVSPNConfig(WIDTH, 2, 2, 51_865, host=host, groups=1)
    KVSPN(config).save(folder)
    return folder


def test_a_kvspn_runs_beside_the_adapter_that_it_was_trained_with(pst, speech, adapted):
    kvspn(adapted / "kvspn", locate(str(adapted), resolve).fingerprint)
    done = pst("translate", speech, "--to", "en", "--model", adapted)
    assert (done.code, done.out) == (0, f"{LEARNT}\n")
    assert "kvspn" in done.err


def test_a_kvspn_of_a_host_drafts_for_what_was_adapted_from_it(
    pst, speech, tmp_path, adapted, talking_checkpoint
):
    own = locate(str(talking_checkpoint), resolve)
    folder = kvspn(tmp_path / "kvspn", own.fingerprint)
    done = pst("translate", speech, "--to", "en", "--draft-model", folder, "--model", adapted)
    assert (done.code, done.out) == (0, f"{LEARNT}\n")
    assert "kvspn" in done.err


def test_a_kvspn_is_refused_by_a_host_of_the_same_shape(
    pst, speech, tmp_path, adapted, talking_checkpoint
):
    above = locate(str(adapted), resolve)
    folder = kvspn(tmp_path / "kvspn", above.fingerprint)
    assert load_kvspn(folder, above.load("cpu", torch.float32), Drafting()).name == "kvspn"
    asked = ("translate", speech, "--to", "en", "--draft-model", folder, "--model")
    assert pst(*asked, adapted).code == 0
    error, hint = refused(pst(*asked, talking_checkpoint))
    assert f"the KVSPN in {folder} is for another host: its weights are " in error
    assert above.fingerprint[:12] in error
    assert "--model" in hint


# What a checkpoint can do


@pytest.mark.parametrize(("declared", "meant"), [(one.name, one) for one in Ability])
def test_what_a_checkpoint_declares_decides(tmp_path, talking_checkpoint, declared, meant):
    shutil.copytree(talking_checkpoint, tmp_path / "copy")
    word = declared.lower().replace("_", "-")
    edit(tmp_path / "copy", lambda document: document.update(pst={"ability": word}))
    assert ability(tmp_path / "copy") is meant


def test_an_ability_that_this_pst_does_not_know_is_told(tmp_path, talking_checkpoint):
    shutil.copytree(talking_checkpoint, tmp_path / "copy")
    edit(tmp_path / "copy", lambda document: document.update(pst={"ability": "singing"}))
    with pytest.raises(ModelError, match="another pst: its ability is singing"):
        ability(tmp_path / "copy")


def test_a_trimmed_vocabulary_is_not_taken_for_an_english_one(tmp_path, talking_checkpoint):
    shutil.copytree(talking_checkpoint, tmp_path / "copy")
    edit(tmp_path / "copy", lambda document: document.update(vocab_size=20_000))
    assert ability(tmp_path / "copy") is Ability.STOCK


def test_what_is_learnt_upon_an_adapter_is_one_adapter_of_the_same_host(
    adapted, talking_checkpoint
):
    earlier = Adapter.load(adapted)
    state = earlier.merged(talking_checkpoint, torch.float32)
    name = next(one for one in state if one.endswith("decoder.layers.0.fc1.weight"))
    later = Adapter(earlier.config, {name: state[name] + 1}, earlier.model)
    both = later.upon(earlier, talking_checkpoint)
    found = both.merged(talking_checkpoint, torch.float32)
    torch.testing.assert_close(found.pop(name), state.pop(name) + 1)
    for other, tensor in state.items():
        torch.testing.assert_close(found[other], tensor)
    host = read_state(talking_checkpoint)
    assert all(not torch.equal(tensor, host[one].float()) for one, tensor in both.tensors.items())
    assert len(both.tensors) < len(host)
