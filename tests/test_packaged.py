"""Drafting networks that come with pst: known by their host's weights, wherever these lie."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from adapters import write_adapter
from checkpoints import SENTENCE, VOCABULARY, WIDTH

from pst_cli import drafters
from pst_cli.drafters import own_drafters
from pst_cli.methods import Drafting, Wish, choose
from pst_cli.models.adapter import Adapter
from pst_cli.models.kvspn import KVSPN
from pst_cli.models.kvspn_config import KVSPNConfig
from pst_cli.models.pruning.layers import LAYER
from pst_cli.weights import Checkpoint, locate

REALLY = {folder.name: folder for folder in drafters.PACKAGED.glob("[!._]*/")}
NETWORKS = [name for name, folder in REALLY.items() if drafters.network_kind(folder)]
STUDENTS = sorted(REALLY.keys() - NETWORKS)
LARGEST = 12 * 2**20  # bytes; of a network


def resolve(name):
    raise AssertionError(f"{name} was asked for")


@pytest.fixture
def host(talking_checkpoint):
    return locate(str(talking_checkpoint), lambda _: talking_checkpoint).load("cpu", torch.float32)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Where those that come with pst are put."""
    monkeypatch.setattr(drafters, "PACKAGED", tmp_path / "drafters")
    return tmp_path / "drafters"


def put(folder, host, feed="token"):
    KVSPN(KVSPNConfig(WIDTH, 2, 2, VOCABULARY, host=host, groups=1, feed=feed)).save(folder)
    return folder


def test_a_network_in_the_package_drafts_unasked_for_the_weights_it_names(
    package, host, talking_checkpoint
):
    put(package / "other", "f" * 64)
    assert own_drafters(host, talking_checkpoint) == {}
    drafting, own = Drafting(), Checkpoint(talking_checkpoint, talking_checkpoint)
    assert choose(Wish(), host, own, drafting, resolve).name == "plain"
    put(package / "own", host.fingerprint)
    heads = put(package / "heads", host.fingerprint, "state")
    assert own_drafters(host, talking_checkpoint)["medusa"] == heads
    for decoding, name in (("auto", "kvspn"), ("medusa", "medusa"), ("plain", "plain")):
        assert choose(Wish(decoding), host, own, drafting, resolve).name == name


def test_one_beside_the_weights_comes_before_the_packages(
    package, host, talking_checkpoint, tmp_path
):
    put(package / "own", host.fingerprint)
    shutil.copytree(talking_checkpoint, tmp_path / "model")
    beside = put(tmp_path / "model" / "kvspn", host.fingerprint)
    assert own_drafters(host, tmp_path / "model") == {"kvspn": beside}


def test_what_was_adapted_from_a_host_has_its_drafters_until_there_are_nearer_ones(
    package, host, talking_checkpoint, tmp_path
):
    folder = write_adapter(talking_checkpoint, tmp_path / "adapted")
    adapted = Checkpoint(folder, talking_checkpoint).load("cpu", torch.float32)
    assert adapted.lineage == (adapted.fingerprint, host.fingerprint)
    far = put(package / "a", host.fingerprint)
    heads = put(package / "heads", host.fingerprint, "state")
    assert own_drafters(adapted, folder) == {"kvspn": far, "medusa": heads}
    near = put(package / "b", adapted.fingerprint)
    assert own_drafters(adapted, folder) == {"kvspn": near, "medusa": heads}
    assert own_drafters(host, talking_checkpoint) == {"kvspn": far, "medusa": heads}


def test_a_command_uses_it_and_says_so(package, pst, speech, host, talking_checkpoint):
    put(package / "own", host.fingerprint)
    asked = ("translate", speech, "--to", "en", "--model", talking_checkpoint)
    drafted, plain = pst(*asked), pst(*asked, "--decoding", "plain")
    assert (drafted.code, plain.code) == (0, 0)
    assert drafted.out == plain.out
    assert "kvspn" in drafted.err
    assert "kvspn" not in plain.err


@pytest.fixture
def student(pst, tmp_path, talking_checkpoint):
    """An adapter that makes a student of one layer of the talking checkpoint."""
    pruned, output = tmp_path / "pruned", tmp_path / "drafters" / "student"
    assert pst("prune", talking_checkpoint, "-o", pruned, "--decoder-layers", 1).code == 0
    config = json.loads((pruned / "config.json").read_text())
    config["pst"]["teacher"] = locate(str(talking_checkpoint), Path).fingerprint
    (pruned / "config.json").write_text(json.dumps(config))
    asked = ("export", pruned, "--format", "adapter", "--host", talking_checkpoint, "-o", output)
    done = pst(*asked)
    assert done.code == 0, done.err
    return output


def test_a_student_in_the_package_drafts_for_its_teacher_and_for_nobody_else(
    package, student, host, pst, speech, talking_checkpoint, tiny_checkpoint, tmp_path
):
    assert own_drafters(host, talking_checkpoint) == {"speculative": student}
    assert (student / "adapter.safetensors").stat().st_size < 2**20
    elsewhere = Path(shutil.copytree(talking_checkpoint, tmp_path / "moved"))
    asked = ("translate", speech, "--to", "en", "--decoding", "speculative", "--model")
    done = pst(*asked, elsewhere)
    assert (done.code, done.out) == (0, f"{SENTENCE}\n"), done.err
    assert "speculative" in done.err
    done = pst(*asked, tiny_checkpoint)
    assert done.code == 2
    assert "needs a model that drafts" in done.err
    bench = ("bench", speech, "--model", talking_checkpoint, "--rounds", 1, "--no-vad", "--json")
    rows = json.loads(pst(*bench).out)["rows"]
    assert [row["method"] for row in rows] == ["plain", "speculative"]
    assert rows[1]["exact_match_tokens"] == 1.0


def test_a_student_is_of_no_use_to_what_is_as_small(
    package, student, host, talking_checkpoint, tmp_path
):
    twin = Path(shutil.copytree(student, tmp_path / "twin"))
    small = Checkpoint(twin, talking_checkpoint).load("cpu", torch.float32)
    assert host.fingerprint in small.lineage
    assert own_drafters(host, talking_checkpoint) == {"speculative": student}
    assert own_drafters(small, twin) == {}


def test_a_student_beside_the_weights_comes_before_the_packages(
    package, student, host, talking_checkpoint, tmp_path
):
    own = Path(shutil.copytree(talking_checkpoint, tmp_path / "model"))
    beside = Path(shutil.copytree(tmp_path / "pruned", own / "student"))
    assert own_drafters(host, own) == {"speculative": beside}
    wish = Wish("speculative")
    method = choose(wish, host, Checkpoint(own, own), Drafting(), resolve)
    assert method.draft.shape.decoder_layers == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_what_comes_with_pst_is_whole_small_and_has_a_card(name):
    network = KVSPN.load(REALLY[name])
    assert len(network.config.host) == 64
    assert sum(file.stat().st_size for file in REALLY[name].iterdir()) <= LARGEST
    card = (REALLY[name] / "README.md").read_text("utf-8")
    assert network.config.host in card
    assert "license:" in card


@pytest.mark.parametrize("name", STUDENTS)
def test_a_student_that_comes_with_pst_is_an_adapter_of_its_teacher_and_has_a_card(name):
    adapter = Adapter.load(REALLY[name])
    assert adapter.model["pst"]["teacher"] == adapter.config.sha256
    layers = {int(LAYER.search(one)[0]) for one in adapter.tensors if ".layers." in one}
    assert layers == set(range(adapter.model["decoder_layers"]))
    assert all(one.startswith("model.decoder.") for one in adapter.tensors)
    assert sum(file.stat().st_size for file in REALLY[name].iterdir()) <= 2 * LARGEST
    card = (REALLY[name] / "README.md").read_text("utf-8")
    assert adapter.config.sha256 in card
    assert "license:" in card
