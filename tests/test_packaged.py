"""Drafting networks that come with pst: known by their host's weights, wherever these lie."""

from __future__ import annotations

import shutil

import pytest
import torch
from checkpoints import VOCABULARY, WIDTH

from pst_cli import methods
from pst_cli.methods import Drafting, Wish, choose, own_networks
from pst_cli.models.kvspn import KVSPN
from pst_cli.models.kvspn_config import KVSPNConfig
from pst_cli.weights import locate

REALLY = {folder.name: folder for folder in methods.PACKAGED.glob("[!._]*/")}
LARGEST = 12 * 2**20  # bytes


def resolve(name):
    raise AssertionError(f"{name} was asked for")


@pytest.fixture
def host(talking_checkpoint):
    return locate(str(talking_checkpoint), lambda _: talking_checkpoint).load("cpu", torch.float32)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Where those that come with pst are put."""
    monkeypatch.setattr(methods, "PACKAGED", tmp_path / "drafters")
    return tmp_path / "drafters"


def put(folder, host, feed="token"):
    KVSPN(KVSPNConfig(WIDTH, 2, 2, VOCABULARY, host=host, groups=1, feed=feed)).save(folder)
    return folder


def test_a_network_in_the_package_drafts_unasked_for_the_weights_it_names(
    package, host, talking_checkpoint
):
    put(package / "other", "f" * 64)
    assert own_networks(host, talking_checkpoint) == {}
    drafting = Drafting()
    assert choose(Wish(), host, talking_checkpoint, drafting, resolve).name == "plain"
    put(package / "own", host.fingerprint)
    heads = put(package / "heads", host.fingerprint, "state")
    assert own_networks(host, talking_checkpoint)["medusa"] == heads
    for decoding, name in (("auto", "kvspn"), ("medusa", "medusa"), ("plain", "plain")):
        assert choose(Wish(decoding), host, talking_checkpoint, drafting, resolve).name == name


def test_one_beside_the_weights_comes_before_the_packages(
    package, host, talking_checkpoint, tmp_path
):
    put(package / "own", host.fingerprint)
    shutil.copytree(talking_checkpoint, tmp_path / "model")
    beside = put(tmp_path / "model" / "kvspn", host.fingerprint)
    assert own_networks(host, tmp_path / "model") == {"kvspn": beside}


def test_a_command_uses_it_and_says_so(package, pst, speech, host, talking_checkpoint):
    put(package / "own", host.fingerprint)
    asked = ("translate", speech, "--to", "en", "--model", talking_checkpoint)
    drafted, plain = pst(*asked), pst(*asked, "--decoding", "plain")
    assert (drafted.code, plain.code) == (0, 0)
    assert drafted.out == plain.out
    assert "kvspn" in drafted.err
    assert "kvspn" not in plain.err


@pytest.mark.parametrize("name", REALLY)
def test_what_comes_with_pst_is_whole_small_and_has_a_card(name):
    network = KVSPN.load(REALLY[name])
    assert len(network.config.host) == 64
    assert sum(file.stat().st_size for file in REALLY[name].iterdir()) <= LARGEST
    card = (REALLY[name] / "README.md").read_text("utf-8")
    assert network.config.host in card
    assert "license:" in card
