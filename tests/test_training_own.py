"""What a frozen host hears and says is worked out once, and goes on from where it was."""

from __future__ import annotations

import shutil
from collections import namedtuple

import pytest
import sounds
import taught
import torch
from prunable import write_prunable

from pst_cli.decoding.acceptance import Greedy
from pst_cli.decoding.loop import Strategy, decode
from pst_cli.decoding.protocols import Plain
from pst_cli.decoding.rules import TokenRules
from pst_cli.errors import OutputError, TrainingError
from pst_cli.models.host import Host
from pst_cli.models.prompts import prompt
from pst_cli.models.tensors import save_tensors
from pst_cli.training.clips import single
from pst_cli.training.course import Part
from pst_cli.training.examples import Example, Spoken
from pst_cli.training.own import Own, Stored

torch.set_num_threads(1)  # tensors this small only lose by sharing

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    path = write_prunable(tmp_path_factory.mktemp("own") / "checkpoint")
    made = Host.load(path, "cpu", torch.float32)
    made.decoder.positions = made.decoder.positions[:16]  # it hardly ever comes to an end
    return made


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    """Five clips, each in two languages."""
    made = sounds.utterances(tmp_path_factory.mktemp("levels"), [0.3, 0.5, 0.4, 0.62, 0.36])
    return [Spoken(single(one), target) for one in made for target in ("en", "de")]


@pytest.fixture
def own(tmp_path):
    return Own(tmp_path, "0123456789abcdef", "own", "float32")


def again(own, context="own"):
    return Own(own.folder.parent, "0123456789abcdef", context, "float32")


def work(own, host, wanted, batch=2, heard=()):
    return list(own.add(host, own.missing(wanted, heard), batch, Part()))


@pytest.fixture(scope="module")
def reference(host, wanted, tmp_path_factory):
    """What is said in one go, a clip at a time."""
    own = Own(tmp_path_factory.mktemp("reference"), "0123456789abcdef", "own", "float32")
    work(own, host, wanted, batch=1)
    return own


def test_what_is_said_is_what_the_host_says_when_it_is_used(host, wanted, reference):
    rules = TokenRules(host.tokens, host.shape.vocab_size)
    for one in wanted:
        clip = one.clip
        encoded = host.encode(host.log_mel([clip.sound()], reference.seconds(clip)))
        asked = prompt(host.tokens, host.ability, one.target, "en")
        strategy = Strategy(Plain(), Greedy(), rules)
        (decoded,) = decode(host.open(encoded), [asked], host.tokens, strategy)
        said = reference.said[clip.key, one.target]
        assert (said.prompt, said.tokens) == (decoded.prompt, tuple(decoded.tokens))
        assert said.ended is decoded.ended
        torch.testing.assert_close(reference.states(clip).float(), encoded[0], atol=2e-2, rtol=2e-3)


def test_states_are_kept_in_half_precision_and_as_long_as_they_were_heard(wanted, reference):
    for one in wanted:
        states = reference.states(one.clip)
        assert states.dtype == torch.float16
        assert states.shape == (round(reference.seconds(one.clip) / 0.02), 16)


def test_work_that_is_broken_off_goes_on_where_it_was(host, wanted, own):
    working = own.add(host, own.missing(wanted), 2, Part())
    assert next(working) == 2
    working.close()
    second = again(own)
    assert len(second.said) == 4
    left = second.missing(wanted)
    assert len(left) == 3
    assert not {clip.key for clip, _ in left} & {key for key, _ in second.said}
    assert work(second, host, wanted) == [2, 3]
    assert again(own).said == second.said
    assert again(own).missing(wanted) == []


def test_a_target_that_was_never_asked_for_is_said_and_the_others_are_left_alone(host, wanted, own):
    work(own, host, [one for one in wanted if one.target == "en"])
    before = again(own)
    left = before.missing(wanted)
    assert [targets for _, targets in left] == [["de"]] * 5
    work(before, host, wanted)
    after = again(own).said
    assert len(after) == 10
    assert all(after[key, "en"] == own.said[key, "en"] for key, _ in after)


def test_what_is_only_heard_is_not_said(host, wanted, own):
    work(own, host, (), heard=wanted)
    assert again(own).said == {}
    assert own.missing((), wanted) == []
    assert len(own.missing(wanted)) == 5


def test_a_line_that_was_torn_costs_itself_alone(host, wanted, own):
    work(own, host, wanted)
    (path,) = own.folder.glob("said-*.jsonl")
    text = path.read_text()
    path.write_text(text[: len(text) - 20])  # as a kill in the middle of a write leaves it
    torn = again(own)
    assert len(torn.said) == 9
    assert len(torn.missing(wanted)) == 1
    work(torn, host, wanted)
    whole = again(own)
    assert len(whole.said) == 10
    assert whole.missing(wanted) == []


def test_processes_say_together_what_one_would(host, wanted, own, reference):
    todo = own.missing(wanted)
    assert [list(again(own).add(host, todo, 1, Part(rank, 2)))[-1] for rank in range(2)] == [3, 2]
    names = sorted(path.name for path in own.folder.glob("said-*"))
    assert names == ["said-0.jsonl", "said-1.jsonl"]
    assert again(own).said == reference.said


def test_a_disk_too_small_for_the_states_is_seen_before_the_work(host, wanted, own, monkeypatch):
    frames = sum(round(own.seconds(clip) / 0.02) for clip in {one.clip for one in wanted})
    needed = frames * 16 * 2  # bytes; width, half precision
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, needed - 16))
    with pytest.raises(OutputError, match=r"GB of encoder states do not fit") as caught:
        work(own, host, wanted)
    assert "--cache" in caught.value.hint
    assert not list(own.folder.rglob("*.safetensors"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, needed + 16))
    assert work(own, host, wanted)[-1] == 5


def test_a_disk_that_fills_up_leaves_nothing_half_written(host, wanted, own, monkeypatch):
    from pst_cli.training import own as module

    def full(tensors, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_tensors", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        work(own, host, wanted)
    assert "it goes on where it was" in caught.value.hint
    assert not [
        path for path in own.folder.rglob("*") if path.suffix in (".partial", ".safetensors")
    ]


def test_a_place_that_cannot_be_written_to_is_named(host, wanted, tmp_path, own):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/.* cannot be written: Not a directory"):
        work(Own(tmp_path / "file", "0" * 64, "own", "float32"), host, wanted)
    own.folder.mkdir()
    (own.folder / "said-0.jsonl").mkdir()  # no file can be opened there
    with pytest.raises(OutputError, match=r"said-0\.jsonl cannot be written: Is a directory"):
        list(own.add(host, own.missing(wanted), 2, Part()))


def test_states_that_are_gone_or_damaged_are_named_and_worked_out_again(host, wanted, own):
    work(own, host, (), heard=wanted)
    clip = wanted[0].clip
    for spoil in (lambda path: path.unlink(), lambda path: path.write_bytes(b"short")):
        spoil(own.path(clip))
        with pytest.raises(TrainingError, match="cannot be read") as caught:
            own.states(clip)
        assert "repeat the command" in caught.value.hint
        assert [clip for clip, _ in own.missing((), wanted)] == [clip]
        work(own, host, (), heard=wanted)
        own.states(clip)


def test_a_sound_that_is_gone_ends_the_work_with_its_name(host, tmp_path, own):
    (one,) = sounds.utterances(tmp_path, [0.3])
    for spoil in (lambda: one.audio.write_bytes(b"nothing"), one.audio.unlink):
        spoil()
        with pytest.raises(TrainingError, match=r"levels\.wav"):
            work(own, host, [Spoken(single(one), "en")])


def test_clips_are_heard_in_their_own_context_whatever_stands_beside_them(wanted, tmp_path):
    own = Own(tmp_path, "0" * 64, "random", "float32")
    heard = [own.seconds(clip) for clip, _ in own.missing(wanted)]
    assert heard == sorted(heard)
    assert heard == [again(own, "random").seconds(c) for c, _ in own.missing(wanted)]


def test_hosts_and_contexts_are_kept_apart(tmp_path):
    folders = {
        Own(tmp_path, fingerprint, context, "float32").folder
        for fingerprint in ("a" * 64, "b" * 64)
        for context in ("own", "full")
    }
    assert len(folders) == 4


def test_stored_rows_are_padded_and_what_is_padding_is_masked(wanted, tmp_path):
    own, clips = Own(tmp_path, "0" * 64, "own", "float32"), [one.clip for one in wanted[::2]]
    for seconds, clip in enumerate(clips, 1):
        own.path(clip).parent.mkdir(parents=True, exist_ok=True)
        save_tensors({"states": torch.randn(50 * seconds, 4).half()}, own.path(clip))
    examples = [Example((1, 2, 3), 2, (), taught.DIRECTION, clip) for clip in clips]
    heard = Stored(own).listen(examples, 0.0, [""] * len(examples))
    for row, clip in enumerate(clips):
        states = own.states(clip)
        assert torch.equal(heard.states[row][heard.mask[row]], states)
        assert not heard.states[row][~heard.mask[row]].any()
