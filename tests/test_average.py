"""The mean of several models: each weight lies between theirs, and nothing else is made up."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from adapters import LEARNT, write_adapter

from pst_cli import store
from pst_cli.models.adapter import read_state, write_state
from pst_cli.weights import locate

MOVED = "model.decoder.layers.0.fc1.weight"


@pytest.fixture
def adapted(tmp_path, talking_checkpoint):
    return write_adapter(talking_checkpoint, tmp_path / "adapter")


@pytest.fixture
def other(tmp_path, talking_checkpoint):
    """The host, with one matrix moved by 3."""
    folder = shutil.copytree(talking_checkpoint, tmp_path / "other")
    state = read_state(folder)
    state[MOVED] = state[MOVED] + 3.0
    write_state(folder, state)
    return folder


def test_every_weight_is_the_mean_and_numbers_stay(pst, tmp_path, talking_checkpoint, other):
    output = tmp_path / "mean"
    done = pst("average", talking_checkpoint, other, other, "--output", output)
    assert (done.code, done.out) == (0, f"{output}\n"), done.err
    before, after = read_state(talking_checkpoint), read_state(output)
    assert before.keys() == after.keys()
    for name in before.keys() - {MOVED}:
        torch.testing.assert_close(after[name], before[name])
    torch.testing.assert_close(after[MOVED], before[MOVED] + 2.0)
    assert {name: one.dtype for name, one in before.items()} == {
        name: one.dtype for name, one in after.items()
    }


def test_an_adapter_is_averaged_as_merged_and_lends_its_ability(
    pst, speech, tmp_path, adapted, talking_checkpoint
):
    output = tmp_path / "mean"
    (adapted / "README.md").write_text("# The card of one of them\n")
    (adapted / "kvspn").mkdir()
    assert pst("average", adapted, talking_checkpoint, "--output", output).code == 0
    merged = locate(str(adapted), store.resolve).state(torch.float32)
    host = read_state(talking_checkpoint)
    for name, tensor in read_state(output).items():
        torch.testing.assert_close(tensor.float(), (merged[name] + host[name].float()) / 2)
    assert json.loads((output / "config.json").read_text())["pst"] == {"ability": "many-to-many"}
    assert not {"README.md", "kvspn", "adapter.safetensors"} & {
        one.name for one in output.iterdir()
    }
    assert pst("translate", speech, "--to", "it", "--model", output).code == 0


def test_the_mean_of_a_model_with_itself_says_the_same_and_is_an_adapter_again(
    pst, speech, tmp_path, adapted, talking_checkpoint
):
    whole, output = tmp_path / "mean", tmp_path / "again"
    assert pst("average", adapted, adapted, "--output", whole).code == 0
    asked = ("--format", "adapter", "--host", talking_checkpoint, "--output", output)
    assert pst("export", whole, *asked).code == 0
    done = pst("translate", speech, "--to", "it", "--model", output)
    assert (done.code, done.out) == (0, f"{LEARNT}\n")


def test_models_of_another_make_have_no_mean(pst, tmp_path, talking_checkpoint):
    pruned, output = tmp_path / "pruned", tmp_path / "mean"
    assert pst("prune", talking_checkpoint, "-o", pruned, "--decoder-layers", 1).code == 0
    for one, two in ((talking_checkpoint, pruned), (pruned, talking_checkpoint)):
        done = pst("average", one, two, "--output", output)
        assert done.code == 1
        assert f"{one} and {two} have no mean: model.decoder.layers.1." in done.err
        assert "lacking" in done.err
        assert "adapted from one host" in done.err
        assert not output.exists()


def test_what_cannot_be_is_said_before_anything_is_fetched(pst, tmp_path):
    done = pst("average", "no-such-model", "--output", tmp_path / "mean")
    assert done.code == 2
    assert "name another one" in done.err
    (tmp_path / "mine").touch()
    done = pst("average", "no-such-model", "no-such-model", "--output", tmp_path)
    assert done.code == 2
    assert "there is something already" in done.err
