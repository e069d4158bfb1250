"""The mean of several models or drafters: each weight is between theirs, all else is one's."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from adapters import LEARNT, write_adapter

from pst_cli import store
from pst_cli.models.adapter import read_state, write_state
from pst_cli.models.compact import as_fine
from pst_cli.models.kvspn import KVSPN
from pst_cli.models.kvspn_config import KVSPNConfig
from pst_cli.models.pruning.vocabulary import write_kept
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
    merged = locate(str(adapted), store.resolve).state()
    host = read_state(talking_checkpoint)
    for name, tensor in read_state(output).items():
        mean = (merged[name].float() + host[name].float()) / 2
        torch.testing.assert_close(tensor, as_fine(mean.to(tensor.dtype), merged[name]))
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


def test_models_that_have_chosen_other_words_have_no_mean(pst, tmp_path, talking_checkpoint):
    one, two = tmp_path / "one", tmp_path / "two"
    for output in (one, two):
        shutil.copytree(talking_checkpoint, output)
    words = json.loads((one / "config.json").read_bytes())["vocab_size"]
    write_kept(one, list(range(words)))
    write_kept(two, [*range(words - 1), words])
    done = pst("average", one, two, "--output", tmp_path / "mean")
    assert done.code == 1
    assert "have no mean: the vocabulary is one choice in the one" in done.err


def test_what_cannot_be_is_said_before_anything_is_fetched(pst, tmp_path):
    done = pst("average", "no-such-model", "--output", tmp_path / "mean")
    assert done.code == 2
    assert "name another one" in done.err
    (tmp_path / "mine").touch()
    done = pst("average", "no-such-model", "no-such-model", "--output", tmp_path)
    assert done.code == 2
    assert "there is something already" in done.err


def write_drafter(folder, seed, **fields):
    torch.manual_seed(seed)
    network = KVSPN(KVSPNConfig(16, 2, 2, 60, **({"host": "a", "groups": 1} | fields)))
    if network.draft_tokens.numel():
        network.draft_tokens.copy_(torch.arange(len(network.draft_tokens)) + seed)
    network.save(folder)
    return KVSPN.load(folder)


def test_drafters_have_a_mean_which_drafts_the_words_of_the_first(pst, tmp_path):
    first = write_drafter(tmp_path / "first", 1, vocabularies=((5, 3), (7, 2)))
    other = write_drafter(tmp_path / "other", 2, vocabularies=((5, 4),))
    output = tmp_path / "mean"
    named = (tmp_path / "first", tmp_path / "other", tmp_path / "other")
    done = pst("average", *named, "--output", output)
    assert (done.code, done.out) == (0, f"{output}\n"), done.err
    mean = KVSPN.load(output)
    assert mean.config == first.config
    assert mean.draft_tokens.tolist() == [1, 2, 3, 4, 5]
    learnt = dict(other.named_parameters())
    for name, before in first.named_parameters():
        wanted = (before + 2 * learnt[name]) / 3
        step = wanted.abs().amax(-1, keepdim=True) / 127 if wanted.ndim == 2 else torch.tensor(0.0)
        assert (mean.get_parameter(name) - wanted).abs().le(step / 2 + 1e-6).all(), name


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"host": "b"}, ("they draft for different hosts", "--init")),
        ({"groups": 2}, ("groups is 1 in the one, 2 in the other", "in one form")),
        ({"cross": "host"}, ("cross is own in the one, host in the other", "in one form")),
    ],
)
def test_drafters_of_another_make_have_no_mean(fields, said, pst, tmp_path):
    write_drafter(tmp_path / "one", 1)
    write_drafter(tmp_path / "two", 2, **fields)
    done = pst("average", tmp_path / "one", tmp_path / "two", "--output", tmp_path / "mean")
    assert done.code == 1
    assert f"{tmp_path / 'one'} and {tmp_path / 'two'} have no mean" in done.err
    assert all(words in done.err for words in said)
    assert not (tmp_path / "mean").exists()


def test_a_drafter_and_a_model_have_no_mean(pst, tmp_path, talking_checkpoint):
    write_drafter(tmp_path / "one", 1)
    done = pst("average", talking_checkpoint, tmp_path / "one", "--output", tmp_path / "mean")
    assert done.code == 2
    assert f"{tmp_path / 'one'} drafts, and {talking_checkpoint} does not" in done.err
    assert "directories of drafters" in done.err
