"""One loop for every lesson: it learns, resumes to the bit, is shared by processes, fails whole."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lessons import (
    END,
    TIMES,
    TOKENS,
    course,
    host_lesson,
    settings,
    spell,
    tiny_host,
    utterances,
)

from pst_cli.errors import OutputError, TrainingError, UsageError
from pst_cli.models.forced import Heard, TextEncoder
from pst_cli.models.kvspn import KVSPN
from pst_cli.models.kvspn_config import KVSPNConfig
from pst_cli.training import checkpoints, place
from pst_cli.training.clips import single
from pst_cli.training.examples import renderings
from pst_cli.training.fit import Fit
from pst_cli.training.learner import Learner, Optimization
from pst_cli.training.lessons.host import HostLesson, HostWeights
from pst_cli.training.lessons.joint import JointLesson
from pst_cli.training.lessons.kvspn import DraftWeights, KVSPNLesson
from pst_cli.training.lessons.student import StudentLesson, StudentWeights
from pst_cli.training.records import draw, read_metrics

PROGRAM = Path(__file__).parent / "lessons.py"
SHAPE = KVSPNConfig(16, 2, 2, 100, groups=1)
FORMS = {
    "kvspn": replace(SHAPE, groups=1, cross="host", normed=True, threaded=True, draft_length=3),
    "paper": replace(SHAPE, groups=2),
    "medusa": replace(SHAPE, groups=1, feed="state", draft_length=2),
}


def drafter(form: str, *, joint: bool = False) -> KVSPNLesson:
    host = tiny_host()
    network = KVSPN(FORMS[form])
    return KVSPNLesson(host, network, TOKENS, DraftWeights(kl=0.5), joint=joint)


def joint() -> JointLesson:
    host = host_lesson()
    return JointLesson(host, KVSPNLesson(host.host, KVSPN(FORMS["kvspn"]), TOKENS, joint=True))


LESSONS = {
    "host": host_lesson,
    "student": lambda: StudentLesson(tiny_host(1), tiny_host(2, seed=1), shares_encoder=False),
    "kvspn": lambda: drafter("kvspn"),
    "paper's kvspn": lambda: drafter("paper"),
    "medusa": lambda: drafter("medusa"),
    "joint": joint,
}


PULLS = ("kl", "kl 1", "kl 2", "kl 3")  # toward a teacher that knows nothing yet; tested apart


@pytest.mark.parametrize("name", LESSONS)
def test_every_loss_falls(name, tmp_path):
    texts = 2 if name in ("host", "joint") else 0
    told = []
    lesson = LESSONS[name]()
    outcome = Fit(lesson, course(texts=texts), settings(40), tmp_path, told.append).run()
    steps = [one.figures for one in told if one.kind == "step"]
    assert outcome.finished
    for part in [part for part in lesson.weights() if part in steps[0] and part not in PULLS]:
        assert fallen(steps, part), part


def fallen(steps, part) -> bool:
    """Whether the last eight steps have less of it than the first eight."""
    return sum(one[part] for one in steps[-8:]) < sum(one[part] for one in steps[:8])


PULLED = {
    "kl": lambda: StudentLesson(
        tiny_host(1), tiny_host(2, seed=1), weights=StudentWeights(labels=0), shares_encoder=False
    ),
    "kl 2": lambda: KVSPNLesson(
        tiny_host(), KVSPN(FORMS["kvspn"]), TOKENS, DraftWeights(labels=0, kl=1)
    ),
}


@pytest.mark.parametrize("part", PULLED)
def test_a_teacher_alone_is_enough(part, tmp_path):
    told = []
    Fit(PULLED[part](), course(texts=0), settings(40), tmp_path, told.append).run()
    assert fallen([one.figures for one in told if one.kind == "step"], part)


def test_a_batch_is_learnt_by_heart(tmp_path):
    host = tiny_host()
    lesson = HostLesson(host, None, TIMES)
    once = course(count=4, size=8, micro=8, texts=0)
    how = Optimization(learning_rate=1e-2, warm_up=10)
    outcome = Fit(lesson, once, settings(500, how=how), tmp_path).run()
    assert outcome.figures["accuracy"] == 1.0
    examples = [spell(spoken, None) for spoken in renderings(map(single, utterances(4)))]
    seconds = once.ears.context(examples, "")
    for example in examples:
        heard = Heard(host.hear(once.ears.listen([example], seconds, "")))
        tokens = list(example.tokens[:3])
        while tokens[-1] != END and len(tokens) < 20:
            states = host.decode(torch.tensor([tokens]), heard).states
            tokens.append(int(host.logits(states[0, -1]).argmax()))
        assert tuple(tokens) == example.tokens


def run_to(folder: Path, steps: int, total: int = 12) -> dict[str, torch.Tensor]:
    """Weights after `steps` of `total`, in as many runs as it takes."""
    fit = Fit(host_lesson(), course(), settings(total), folder)
    count = iter(range(1, total + 1))
    fit.run(lambda: fit.state.step + 1 >= steps and next(count) > 0)
    return fit.learner.weights()


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path):
    whole = run_to(tmp_path / "whole", 12)
    run_to(tmp_path / "broken", 5)
    assert same(run_to(tmp_path / "broken", 12), whole)
    lines = [read_metrics(tmp_path / name / "metrics.jsonl") for name in ("whole", "broken")]
    assert [line["loss"] for line in lines[0]] == [line["loss"] for line in lines[1]]


def program(folder: Path, *arguments: object, processes: int = 1, **options) -> subprocess.Popen:
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [*launcher, PROGRAM, folder, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, **options)


def test_a_run_that_was_killed_goes_on_to_the_same_bits(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert program(whole, 10).wait() == 0
    killed = program(broken, 10, 0.4)
    while not list((broken / "checkpoints").glob("step-*")):
        assert killed.poll() is None, killed.stderr.read().decode()
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (broken / "weights.pt").exists()
    assert program(broken, 10).wait() == 0
    assert same(torch.load(whole / "weights.pt"), torch.load(broken / "weights.pt"))


def test_two_processes_learn_as_one_does(tmp_path):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert program(alone, 8).wait() == 0
    both = program(shared, 8, processes=2)
    assert both.wait() == 0, both.stderr.read().decode()
    losses = [
        [line["loss"] for line in read_metrics(folder / "metrics.jsonl")]
        for folder in (alone, shared)
    ]
    assert len(losses[0]) == len(losses[1]) == 8
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_a_batch_that_processes_cannot_share_is_refused(tmp_path, monkeypatch):
    from pst_cli.training import learner
    from pst_cli.training.course import Part

    monkeypatch.setattr(learner, "part_of", lambda accelerator: Part(0, 3))
    with pytest.raises(UsageError, match="--batch-size 4 cannot be shared by 3 processes"):
        Fit(host_lesson(), course(), settings(4), tmp_path)


@pytest.mark.parametrize(
    ("asked", "device", "cuda", "native", "chosen"),
    [
        ("auto", "auto", True, False, "bfloat16"),
        ("auto", "auto", False, True, "float32"),  # Apple's
        ("auto", "cpu", True, False, "float32"),
        ("auto", "cpu", False, True, "bfloat16"),
        ("float32", "cpu", True, True, "float32"),
        ("bfloat16", "cpu", False, False, "bfloat16"),
    ],
)
def test_a_run_computes_in_what_its_device_is_quickest_at(
    monkeypatch, asked, device, cuda, native, chosen
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(place, "multiplies_bfloat16", lambda: native)
    assert place.best_precision(asked, device) == chosen


def test_groups_that_fit_in_memory_change_nothing(tmp_path):
    figures = [
        Fit(host_lesson(), course(micro=micro), settings(3), tmp_path / str(micro)).run().figures
        for micro in (1, 4)
    ]
    assert figures[0]["loss"] == pytest.approx(figures[1]["loss"], rel=1e-5)


def test_a_loss_that_is_no_number_ends_the_run_and_leaves_the_checkpoint(tmp_path):
    lesson = host_lesson()
    fit = Fit(lesson, course(), settings(12), tmp_path)

    def spoil() -> bool:
        if fit.state.step == 6:
            lesson.counts = HostWeights(st=float("nan"))
        return False

    with pytest.raises(TrainingError, match="no longer a number") as caught:
        fit.run(spoil)
    assert "--learning-rate" in caught.value.hint
    found = checkpoints.Checkpoints(tmp_path).load()
    assert found.state.step == 4
    assert all(tensor.isfinite().all() for tensor in found.weights.values())


def test_a_full_disk_ends_the_run_and_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    written = []

    def full(weights, path):
        if written:
            path.write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        return save(weights, path)

    save = checkpoints.save_tensors
    monkeypatch.setattr(checkpoints, "save_tensors", full)
    with pytest.raises(OutputError, match="No space left on device") as caught:
        Fit(host_lesson(), course(), settings(12), tmp_path).run()
    assert "goes on from the last checkpoint" in caught.value.hint
    assert checkpoints.Checkpoints(tmp_path).load().state.step == 4
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-0000004"]


def test_a_damaged_checkpoint_is_named(tmp_path):
    run_to(tmp_path, 5)
    place = next((tmp_path / "checkpoints").glob("step-*"))
    (place / "optimizer.pt").write_bytes(b"PK")
    with pytest.raises(TrainingError, match="is damaged") as caught:
        Fit(host_lesson(), course(), settings(12), tmp_path)
    assert place.name in caught.value.hint


def test_other_settings_are_refused_by_name(tmp_path):
    run_to(tmp_path, 5)
    with pytest.raises(UsageError, match=r"steps 12 -> 20") as caught:
        Fit(host_lesson(), course(), settings(20), tmp_path)
    assert "--output" in caught.value.hint


def test_only_the_last_two_checkpoints_are_kept(tmp_path):
    Fit(host_lesson(), course(), settings(12), tmp_path).run()
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-0000008", "step-0000012"]


def test_the_best_weights_on_the_held_out_set_are_what_is_left(tmp_path):
    lesson, lessons = host_lesson(), course()
    held = (replace(lessons, texts=None), renderings(map(single, utterances(2))))
    wild = Optimization(learning_rate=0.5, warm_up=8)  # good at first, then it breaks everything
    told = []
    fit = Fit(
        lesson, lessons, settings(12, how=wild, evaluate_every=2), tmp_path, told.append, held
    )
    outcome = fit.run()
    looks = {one.step: one.figures["dev st"] for one in told if one.kind == "held out"}
    assert outcome.state.best_step == min(looks, key=looks.get)
    assert outcome.held_out["st"] == pytest.approx(min(looks.values()))


def test_patience_ends_a_run_that_gains_nothing(tmp_path):
    lessons = course()
    held = (replace(lessons, texts=None), renderings(map(single, utterances(2))))
    none = Optimization(learning_rate=0.0)
    few = settings(40, how=none, evaluate_every=2, patience=2)
    outcome = Fit(host_lesson(), lessons, few, tmp_path, held_out=held).run()
    assert outcome.finished
    assert outcome.state.step == 6


def test_a_finished_run_is_not_run_again(tmp_path):
    first = run_to(tmp_path, 12)
    fit = Fit(host_lesson(), course(), settings(12), tmp_path)
    outcome = fit.run()
    assert outcome.finished
    assert outcome.figures == {}
    assert same(fit.learner.weights(), first)


def test_a_torn_line_of_metrics_does_no_harm(tmp_path):
    run_to(tmp_path, 5)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    run_to(tmp_path, 12)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 10, 12]


def test_the_rate_rises_in_a_line_and_falls_to_nothing():
    how = Optimization(learning_rate=1.0, warm_up=10)
    rates = [how.rate(step, 110) for step in range(110)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[60] == pytest.approx(0.5)
    assert 0 < rates[-1] < 0.02


def test_curves_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    run_to(tmp_path, 12)
    assert draw(tmp_path).read_bytes()[:4] == b"\x89PNG"


def test_a_reader_is_no_part_of_the_host():
    host = tiny_host()
    names = {name for name, _ in HostLesson(host, TextEncoder(host, 1), TIMES).named_parameters()}
    assert {name.partition(".")[0] for name in names} == {"host", "reader"}


class Telling(torch.nn.Module):
    """A lesson that finds in a batch what is written there."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, batch):
        return {name: torch.tensor(value) for name, value in batch.parts.items()}

    def loss(self, parts):
        return torch.stack(list(parts.values())).sum()

    def weights(self):
        return {"st": 1.0, "mt": 1.0}

    def summary(self, figures):
        return figures


def test_a_part_is_judged_by_the_batches_that_have_it():
    def batch(**parts):
        made = SimpleNamespace(parts=parts, totals=SimpleNamespace(said=100))
        made.to = lambda device: made
        return made

    learner = Learner(Telling(), Optimization(), "cpu")
    figures = learner.judge([[batch(st=1.0, mt=3.0)], [batch(st=2.0)]])
    assert figures["st"] == pytest.approx(1.5)
    assert figures["mt"] == pytest.approx(3.0)
