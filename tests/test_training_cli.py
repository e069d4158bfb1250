"""`pst train` as its users meet it: on checkpoints made on the spot, with real clips."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from checkpoints import SENTENCE, SPOKEN
from transformers import WhisperForConditionalGeneration

from pst_cli import drafters
from pst_cli.commands.train.shared import SHIPPED
from pst_cli.models.adapter import Adapter
from pst_cli.models.context import taught_context
from pst_cli.models.kvspn import KVSPN
from pst_cli.models.kvspn_config import KVSPNConfig
from pst_cli.models.pruning.vocabulary import read_vocabulary
from pst_cli.pruning.cut import Cut, write_pruned
from pst_cli.store import cards
from pst_cli.training import place
from pst_cli.training.learner import Learner
from pst_cli.training.records import read_metrics
from pst_cli.weights import Checkpoint, link_name, locate

CLIPS = Path(__file__).parent / "clips"
SHORT = ("--batch-size", 2, "--device", "cpu", "--warm-up", 2)


@pytest.fixture
def manifest(tmp_path) -> Path:
    """Four real clips, each with a text in two languages."""
    path = tmp_path / "train.jsonl"
    path.write_text("".join(line(name, number) for number, name in enumerate(some_clips())))
    return path


def some_clips() -> list[str]:
    return sorted(path.name for path in CLIPS.glob("*.ogg"))[:4]


def line(name: str, number: int) -> str:
    record = {"audio": str(CLIPS / name), "language": "de", "text": f"Satz {number}."}
    return json.dumps(record | {"translations": {"fr": f"Phrase {number}."}}) + "\n"


def own_folder(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy that a test may write beside."""
    return Path(shutil.copytree(checkpoint, tmp_path / "host"))


def test_a_host_is_taught_and_used(pst, manifest, tiny_checkpoint, tmp_path, speech):
    output = tmp_path / "m2m"
    asked = ("train", "host", manifest, "--model", tiny_checkpoint, "-o", output, *SHORT)
    done = pst(*asked, "--steps", 3, "--context", "own", "--held-out", held_out(tmp_path))
    assert (done.code, done.out) == (0, f"{output}\n"), done.err
    config = json.loads((output / "config.json").read_text())
    assert config["pst"]["ability"] == "many-to-many"
    assert config["pst"]["context"] == "own"
    assert (output / "adapter.safetensors").stat().st_size < 2**20
    card = (output / "README.md").read_text()
    assert "pst train host" in card
    assert "held out: st" in card
    assert read_metrics(output / "metrics.jsonl")[0]["step"] == 1
    assert pst("translate", speech, "--to", "fr", "--model", output).code == 0


def test_a_host_learns_on_from_what_it_was_taught(pst, manifest, tiny_checkpoint, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    learning = ("train", "host", manifest, *SHORT, "--steps", 2, "--encoder", "frozen", "--fresh")
    more = ("--targets", 2, "--text-layers", 0, "--learning-rate", "1e-2")
    for model, output in ((tiny_checkpoint, first), (first, second)):
        done = pst(*learning, *more, "--model", model, "-o", output)
        assert done.code == 0, done.err
    once, twice = Adapter.load(first), Adapter.load(second)
    assert once.config.sha256 == twice.config.sha256
    taught, more_taught = (locate(str(folder), Path).state() for folder in (first, second))
    name = "model.decoder.layers.0.fc1.weight"
    assert not torch.equal(taught[name], more_taught[name])


def held_out(tmp_path: Path) -> Path:
    path = tmp_path / "dev.jsonl"
    path.write_text(line("jfk.flac", 9))
    return path


def test_a_whole_host_opens_in_transformers(pst, manifest, tiny_checkpoint, tmp_path):
    output = tmp_path / "m2m"
    asked = ("train", "host", manifest, "--model", tiny_checkpoint, "-o", output, *SHORT)
    done = pst(*asked, "--steps", 2, "--context", "own", "--save", "whole", "--decoder", "full")
    assert done.code == 0, done.err
    model = WhisperForConditionalGeneration.from_pretrained(output)
    before = WhisperForConditionalGeneration.from_pretrained(tiny_checkpoint)
    name = "model.decoder.layers.0.fc1.weight"
    assert not torch.equal(model.state_dict()[name], before.state_dict()[name])
    assert locate(str(output), Path).ability.name == "MANY_TO_MANY"
    assert taught_context(output) == "own"


def test_a_frozen_encoder_hears_once(pst, manifest, tiny_checkpoint, tmp_path):
    cache = tmp_path / "cache"
    asked = ("train", "host", manifest, "--model", tiny_checkpoint, *SHORT, "--cache", cache)
    for name in ("first", "second"):
        done = pst(*asked, "--steps", 2, "--encoder", "frozen", "-o", tmp_path / name)
        assert done.code == 0, done.err
        states = {path: path.stat().st_mtime_ns for path in cache.rglob("*.safetensors")}
        if name == "first":
            before = states
    assert states == before
    assert states
    names = Adapter.load(tmp_path / "first").tensors
    assert all(".decoder." in name for name in names)


def test_a_drafter_hears_as_its_host_was_taught_to(pst, manifest, talking_checkpoint, tmp_path):
    host, output = own_folder(talking_checkpoint, tmp_path), tmp_path / "kvspn"
    config = json.loads((host / "config.json").read_text())
    told = {**config.get("pst", {}), "ability": "many-to-many", "context": "own"}
    (host / "config.json").write_text(json.dumps({**config, "pst": told}))
    asked = ("train", "kvspn", manifest, "--model", host, "-o", output, *SHORT, "--steps", 1)
    assert pst(*asked).code == 0
    (folder,) = (output / "cache").iterdir()
    assert "-own-" in folder.name


def test_a_drafter_is_taught_and_used(pst, manifest, talking_checkpoint, tmp_path, speech):
    output = tmp_path / "kvspn"
    asked = ("train", "kvspn", manifest, "--model", talking_checkpoint, "-o", output, *SHORT)
    done = pst(*asked, "--steps", 4, "--held-out", held_out(tmp_path), "--draft-length", 2)
    assert done.code == 0, done.err
    network = KVSPN.load(output)
    assert network.config.host == locate(str(talking_checkpoint), Path).fingerprint
    assert network.config.draft_length == 2
    assert "acceptance 2 at 0-7" in (output / "README.md").read_text()
    drafted = pst(
        "translate", speech, "--to", "en", "--model", talking_checkpoint, "--draft-model", output
    )
    assert drafted.out.strip() == SENTENCE, drafted.err


def test_a_drafter_goes_on_from_another(pst, manifest, talking_checkpoint, tmp_path):
    """What --init names is what it begins with, whatever words it may draft."""
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    asked = ("train", "kvspn", manifest, "--model", talking_checkpoint, *SHORT)
    assert pst(*asked, "--steps", 3, "-o", first).code == 0
    more = ("--steps", 1, "--learning-rate", 0, "--init", first, "--draft-vocabulary", 2)
    done = pst(*asked, *more, "-o", second)
    assert done.code == 0, done.err
    learnt, kept = KVSPN.load(first).state_dict(), KVSPN.load(second).state_dict()
    assert len(kept.pop("draft_tokens")) < len(learnt.pop("draft_tokens"))
    for name, tensor in learnt.items():
        assert torch.equal(kept[name], tensor), name
    refused = pst(*asked, "--steps", 1, "--init", first, "--groups", 1, "-o", third)
    assert refused.code == 1
    assert "no KVSPN of this form begins as that one" in refused.err


def test_medusa_is_the_control(pst, manifest, talking_checkpoint, tmp_path):
    output = tmp_path / "medusa"
    asked = ("train", "kvspn", manifest, "--model", talking_checkpoint, "-o", output, *SHORT)
    done = pst(*asked, "--steps", 2, "--feed", "state")
    assert done.code == 0, done.err
    assert KVSPN.load(output).config.feed == "state"


def test_host_and_drafter_are_taught_together(pst, manifest, tiny_checkpoint, tmp_path, speech):
    output = tmp_path / "both"
    asked = ("train", "kvspn", manifest, "--model", tiny_checkpoint, "-o", output, *SHORT)
    done = pst(*asked, "--steps", 2, "--joint", "--draft-length", 1)
    assert done.code == 0, done.err
    assert KVSPN.load(output / "kvspn").config.host == locate(str(output), Path).fingerprint
    assert "kvspn" in pst("translate", speech, "--to", "fr", "--model", output).err


def test_a_student_is_taught_and_drafts(pst, manifest, talking_checkpoint, tmp_path, speech):
    student, output = tmp_path / "pruned", tmp_path / "student"
    assert pst("prune", talking_checkpoint, "-o", student, "--decoder-layers", 1).code == 0
    asked = ("train", "student", manifest, "--teacher", talking_checkpoint, "--student", student)
    done = pst(*asked, "-o", output, *SHORT, "--steps", 2)
    assert done.code == 0, done.err
    assert "the teacher's own, frozen" in (output / "README.md").read_text()
    method = ("--decoding", "speculative", "--draft-model", output)
    drafted = pst("translate", speech, "--to", "en", "--model", talking_checkpoint, *method)
    assert drafted.out.strip() == SENTENCE, drafted.err


def test_a_host_is_taught_a_context_of_its_own(
    pst, manifest, talking_checkpoint, tmp_path, speech, monkeypatch
):
    output, drafter = tmp_path / "own", tmp_path / "drafters" / "kvspn"
    asked = ("train", "context", manifest, "--model", talking_checkpoint, "-o", output, *SHORT)
    done = pst(*asked, "--steps", 2, "--held-out", held_out(tmp_path))
    assert (done.code, done.out) == (0, f"{output}\n"), done.err
    assert taught_context(output) == "own"
    assert all(name.startswith("model.encoder.") for name in Adapter.load(output).tensors)
    base = locate(str(talking_checkpoint), Path)
    assert locate(str(output), Path).ability is base.ability
    host = base.load("cpu", torch.float32)
    shape = (host.shape.d_model, 2, host.shape.decoder_layers, host.shape.vocab_size)
    KVSPN(KVSPNConfig(*shape, host=host.fingerprint, groups=1)).save(drafter)
    monkeypatch.setattr(drafters, "PACKAGED", drafter.parent)
    said = pst("translate", speech, "--to", "en", "--model", output)
    assert (said.code, said.out.strip()) == (0, SENTENCE)
    assert "kvspn" in said.err, "the decoder is the host's, and so are its drafters"
    again = ("train", "kvspn", manifest, "--model", output, "-o", tmp_path / "again", *SHORT)
    assert pst(*again, "--steps", 1).code == 0
    assert KVSPN.load(tmp_path / "again").config.host == host.fingerprint


def test_a_run_that_is_stopped_goes_on(pst, manifest, tiny_checkpoint, tmp_path):
    output = tmp_path / "m2m"
    asked = ("train", "host", manifest, "--model", tiny_checkpoint, "-o", output, *SHORT)
    asked = (*asked, "--steps", 2, "--context", "own")
    first = pst(*asked, "--stop-after", 0)
    assert (first.code, first.out) == (0, "")
    assert "stopped at step 1: the same command again goes on" in first.err
    second = pst(*asked)
    assert (second.code, second.out) == (0, f"{output}\n")
    assert "from step 1" in second.err


def test_ctrl_c_keeps_what_was_learnt(manifest, tiny_checkpoint, tmp_path):
    output = tmp_path / "m2m"
    asked = ["train", "host", manifest, "--model", tiny_checkpoint, "-o", output, *SHORT]
    asked += ["--steps", 5000, "--context", "own"]
    running = subprocess.Popen(
        [sys.executable, "-m", "pst_cli", *map(str, asked)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
    )
    while not (output / "metrics.jsonl").is_file():
        assert running.poll() is None, running.stderr.read().decode()
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    said = running.stderr.read().decode()
    assert running.wait() == 130, said
    assert "the same command again goes on" in said
    assert list((output / "checkpoints").glob("step-*"))


def test_options_come_from_a_file_and_the_command_line_counts_more(
    pst, manifest, tiny_checkpoint, tmp_path
):
    config = tmp_path / "run.toml"
    config.write_text(f'model = "{tiny_checkpoint}"\nsteps = 7\ncontext = "own"\n')
    output = tmp_path / "m2m"
    done = pst("train", "host", manifest, "--config", config, "-o", output, *SHORT, "--steps", 1)
    assert done.code == 0, done.err
    assert read_metrics(output / "metrics.jsonl")[-1]["step"] == 1


def test_a_run_never_writes_over_a_model(pst, manifest, tiny_checkpoint, tmp_path):
    model = own_folder(tiny_checkpoint, tmp_path)
    weights = (model / "model.safetensors").read_bytes()
    done = pst("train", "kvspn", manifest, "--model", model, "-o", model, *SHORT, "--steps", 1)
    assert done.code == 2
    assert "there is a model already" in done.err
    other = pst("train", "host", manifest, "--model", tiny_checkpoint, "-o", model, *SHORT)
    assert other.code == 2
    assert (model / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize(
    ("changed", "named"),
    [(("--rank", 4), "adapting"), (("--noisy", 0.5), "noisy"), (("--longest", 9), "longest")],
)
def test_a_run_goes_on_as_it_was_begun_or_not_at_all(
    changed, named, pst, manifest, tiny_checkpoint, tmp_path
):
    asked = ("train", "host", manifest, "--model", tiny_checkpoint, *SHORT, "--context", "own")
    asked = (*asked, "-o", tmp_path / "m2m", "--steps", 3)
    assert pst(*asked, "--stop-after", 0).code == 0
    done = pst(*asked, *changed)
    assert done.code == 2
    assert "holds a run with other settings" in done.err
    assert named in done.err


def test_a_run_on_another_manifest_is_another_run(pst, manifest, tiny_checkpoint, tmp_path):
    asked = ("--model", tiny_checkpoint, *SHORT, "--context", "own", "-o", tmp_path / "m2m")
    assert pst("train", "host", manifest, *asked, "--steps", 3, "--stop-after", 0).code == 0
    manifest.write_text(manifest.read_text() + line("jfk.flac", 7))
    done = pst("train", "host", manifest, *asked, "--steps", 3)
    assert done.code == 2
    assert "manifests" in done.err


def test_what_was_held_out_is_never_learnt_from_on_the_way(
    pst, manifest, tiny_checkpoint, tmp_path
):
    held = tmp_path / "held.jsonl"
    held.write_text(line("jfk.flac", 7))
    asked = ("--model", tiny_checkpoint, *SHORT, "--context", "own", "-o", tmp_path / "m2m")
    asked = (*asked, "--steps", 3)
    begun = pst("train", "host", manifest, "--held-out", held, *asked, "--stop-after", 0)
    assert begun.code == 0, begun.err
    done = pst("train", "host", manifest, held, *asked)
    assert done.code == 2
    assert "manifests" in done.err
    fewer = pst("train", "host", manifest, "--held-out", held, *asked, "--judged", 1)
    assert fewer.code == 2
    assert "judged" in fewer.err


def test_a_held_out_manifest_that_nothing_can_be_judged_by_is_refused(
    pst, manifest, tiny_checkpoint, tmp_path
):
    held = tmp_path / "held.jsonl"
    held.write_text(json.dumps({"audio": str(CLIPS / "jfk.flac"), "language": "en", "text": ""}))
    asked = ("--model", tiny_checkpoint, *SHORT, "-o", tmp_path / "m2m", "--held-out", held)
    done = pst("train", "host", manifest, *asked)
    assert done.code == 1
    assert "no held-out utterance of at most 30 s has a text" in done.err


def test_only_the_first_process_talks(pst, manifest, tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("pst_cli.commands.train.run.first_process", lambda: False)
    asked = ("--model", tiny_checkpoint, *SHORT, "--context", "own", "-o", tmp_path / "m2m")
    done = pst("train", "host", manifest, *asked, "--steps", 1)
    assert (done.code, done.out, done.err) == (0, "", "")


def test_an_adapter_names_a_known_model_and_not_a_folder_of_its_name(
    tiny_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("tiny").mkdir()
    checkpoint = Checkpoint(tiny_checkpoint, tiny_checkpoint)
    assert link_name("tiny", checkpoint, tmp_path / "m2m") == "tiny"
    near = link_name(str(tiny_checkpoint), checkpoint, tmp_path / "m2m")
    assert near == os.path.relpath(tiny_checkpoint, tmp_path / "m2m")


def test_a_full_disk_is_told_in_one_line(pst, manifest, tiny_checkpoint, tmp_path, monkeypatch):
    from pst_cli.training.records import Records

    def full(records, step, figures):
        raise OSError(errno.ENOSPC, "No space left on device", str(records.path))

    monkeypatch.setattr(Records, "add", full)
    asked = ("train", "host", manifest, "--model", tiny_checkpoint, *SHORT, "--context", "own")
    done = pst(*asked, "-o", tmp_path / "m2m", "--steps", 3)
    assert done.code == 1
    assert "metrics.jsonl: No space left on device" in done.err
    assert "goes on from the last checkpoint" in done.err


def test_what_a_model_was_never_trained_for_is_left_out(
    pst, manifest, talking_checkpoint, tmp_path
):
    asked = ("train", "kvspn", manifest, "--model", talking_checkpoint, *SHORT, "--steps", 1)
    done = pst(*asked, "--references", 0, "-o", tmp_path / "kvspn")
    assert done.code == 0, done.err
    assert "clips in directions" in done.err  # German to French, which no stock Whisper learnt
    (said,) = (tmp_path / "kvspn" / "cache").glob("*/said-0.jsonl")
    records = [json.loads(text) for text in said.read_text().split("\n") if text]
    assert {record["target"] for record in records} == {"de"}


@pytest.mark.parametrize("share", [0, 1])
@pytest.mark.parametrize("kind", ["kvspn", "student"])
def test_what_a_reference_teaches_is_heard_and_not_said(
    kind, share, pst, manifest, talking_checkpoint, tmp_path
):
    output = tmp_path / kind
    whose = ("--model", talking_checkpoint)
    if kind == "student":
        pruned = tmp_path / "pruned"
        assert pst("prune", talking_checkpoint, "-o", pruned, "--decoder-layers", 1).code == 0
        whose = ("--teacher", talking_checkpoint, "--student", pruned)
    asked = ("train", kind, manifest, *whose, *SHORT, "--steps", 1, "--references", share)
    done = pst(*asked, "-o", output)
    assert done.code == 0, done.err
    cache = output / "cache"
    assert list(cache.rglob("*.safetensors"))
    assert bool(list(cache.rglob("said-*.jsonl"))) is not bool(share)


WRONG = {
    "no such manifest": (
        ["host", "absent.jsonl"],
        "absent.jsonl cannot be read",
    ),
    "nothing to judge by": (["host", "train.jsonl", "--patience", 3], "nothing to judge by"),
    "what is held out is learnt from": (
        ["host", "train.jsonl", "--held-out", "train.jsonl"],
        "4 held-out utterances are learnt from too",
    ),
    "only text": (["host", "text.jsonl"], "no utterance of at most 30 s"),
    "more blocks than layers": (
        ["kvspn", "train.jsonl", "--groups", 9],
        "--groups 9: the host has 2 layers",
    ),
    "a frozen encoder that is to hear noise": (
        ["host", "train.jsonl", "--encoder", "frozen", "--noisy", 0.5],
        "--encoder frozen hears each clip once",
    ),
    "nothing learns": (
        ["host", "train.jsonl", "--encoder", "frozen", "--decoder", "frozen"],
        "nothing would learn",
    ),
    "too many free layers": (
        ["host", "train.jsonl", "--free-layers", 5],
        "--free-layers 5: it has 2 layers",
    ),
    "a word that means nothing": (
        ["host", "train.jsonl", "--encoder", "thawed"],
        "--encoder thawed",
    ),
    "an option no command has": (
        ["host", "train.jsonl", "--config", "bad.toml"],
        "no option stepps",
    ),
    "a beginning that is none": (
        ["kvspn", "train.jsonl", "--init", "absent"],
        "--init absent: not host or random, and no KVSPN lies there",
    ),
    "joint with few words": (
        ["kvspn", "train.jsonl", "--joint", "--draft-vocabulary", 9],
        "--joint cannot know which words",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_in_one_line(
    name, pst, manifest, talking_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("text.jsonl").write_text('{"language": "de", "text": "Satz.", "translations": {}}\n')
    Path("bad.toml").write_text("stepps = 3\n")
    arguments, told = WRONG[name]
    done = pst("train", *arguments, "--model", talking_checkpoint, "-o", "out", "--steps", 1)
    assert done.code in (1, 2)
    lines = done.err.strip().splitlines()
    assert told in lines[-2], done.err
    assert lines[-1].startswith("  hint: ")


def test_a_student_of_another_teacher_is_refused(pst, manifest, talking_checkpoint, tmp_path):
    student = own_folder(talking_checkpoint, tmp_path)
    trimmed = tmp_path / "trimmed"
    text = tmp_path / "text.txt"
    text.write_text("The parasite speaks.\n")
    pruned = pst("prune", student, "-o", trimmed, "--vocabulary", 300, "--text", text)
    assert pruned.code == 0, pruned.err
    (trimmed / "kept_tokens.json").unlink()
    asked = ("train", "student", manifest, "--teacher", talking_checkpoint, "--student", trimmed)
    done = pst(*asked, "-o", tmp_path / "out", *SHORT, "--steps", 1)
    assert done.code == 2
    assert "tokens are not the teacher's" in done.err


def test_a_trimmed_student_learns_in_its_own_tokens(pst, manifest, talking_checkpoint, tmp_path):
    teacher = locate(str(talking_checkpoint), Path)
    trimmed, output = tmp_path / "trimmed", tmp_path / "out"
    words = read_vocabulary(talking_checkpoint)
    said = cards.read_tokens(talking_checkpoint / "tokenizer.json")
    text = {*words.always, *(said[word.replace(" ", "Ġ")] for word in SPOKEN)}
    tokens = [*sorted(text), *range(words.end, teacher.config["vocab_size"])]
    cut = Cut(encoder=[0, 1], decoder=[1], tokens=tokens, end=words.end)
    trimmed.mkdir()
    write_pruned(teacher, "talking", trimmed, cut.apply(teacher.state()), cut)
    asked = ("train", "student", manifest, "--teacher", talking_checkpoint, "--student", trimmed)
    done = pst(*asked, "-o", output, *SHORT, "--steps", 2)
    assert done.code == 0, done.err
    assert (output / "kept_tokens.json").is_file()
    assert read_metrics(output / "metrics.jsonl")[0]["accuracy"] == 1.0  # the host talks by rote


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_a_configuration_of_the_package_is_known_by_its_name(pst, manifest, tmp_path, path):
    given = ["--model", tmp_path / "none", "-o", tmp_path / "run", "--offline"]
    done = pst("train", "host", manifest, "--config", path.stem, *given)
    assert done.code == 1
    assert "none" in done.err
    assert "--config" not in done.err


def test_what_training_needs_is_asked_for_before_anything(pst, manifest, monkeypatch):
    monkeypatch.setattr(place, "find_spec", lambda name: None if name == "peft" else name)
    done = pst("train", "student", manifest, "--teacher", "base", "--student", "x", "-o", "out")
    assert (done.code, done.out) == (2, "")
    assert "training needs the packages accelerate and peft" in done.err
    assert "pst_cli[train]" in done.err


def test_out_of_memory_is_one_line_and_a_smaller_group_goes_on(
    pst, manifest, tiny_checkpoint, tmp_path, monkeypatch
):
    asked = ("train", "host", manifest, "--model", tiny_checkpoint, *SHORT, "--context", "own")
    asked = (*asked, "-o", tmp_path / "m2m", "--steps", 2)
    assert pst(*asked, "--stop-after", 0).code == 0
    with monkeypatch.context() as patched:
        patched.setattr(Learner, "learn", _full)
        done = pst(*asked)
    assert done.code == 1
    assert "out of memory while learning" in done.err
    assert "--micro-batch" in done.err
    done = pst(*asked, "--micro-batch", 1)
    assert done.code == 0, done.err


def _full(*given, **options):
    raise torch.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize(
    ("wrong", "told"), [(("--groups", 9), "--groups 9"), (("--init", "nowhere"), "no KVSPN")]
)
def test_what_cannot_be_taught_is_told_before_anything_is_heard(
    pst, manifest, talking_checkpoint, tmp_path, wrong, told
):
    output = tmp_path / "kvspn"
    asked = ("train", "kvspn", manifest, "--model", talking_checkpoint, "-o", output, *SHORT)
    done = pst(*asked, "--steps", 1, *wrong)
    assert done.code in (1, 2)
    assert told in done.err
    assert not (output / "cache").exists()


def test_other_settings_are_refused_before_anything_is_heard(
    pst, manifest, talking_checkpoint, tmp_path
):
    asked = ("train", "kvspn", manifest, "--model", talking_checkpoint, *SHORT, "--steps", 1)
    asked = (*asked, "-o", tmp_path / "kvspn")
    assert pst(*asked).code == 0
    done = pst(*asked, "--seed", 9, "--cache", tmp_path / "other")
    assert done.code == 2
    assert "seed 0 -> 9" in done.err
    assert not (tmp_path / "other").exists()
