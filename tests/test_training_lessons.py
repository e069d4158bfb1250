"""Lessons: each teaches what its network does when it is used, whole batch or piece by piece."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import taught
import torch
from test_drafters import PROMPT, ROUNDED, RULES, STAND_INS, network
from test_host import END, SPECIAL, START, VOCABULARY

from pst_cli.decoding.kvspn import KVSPNDrafter, _Steps
from pst_cli.decoding.length import DraftLength
from pst_cli.decoding.proposals import Guide
from pst_cli.models.forced import Heard, TextEncoder
from pst_cli.models.heads import Heads
from pst_cli.models.session import Session
from pst_cli.training.collate import IGNORED
from pst_cli.training.lessons.context import ContextLesson
from pst_cli.training.lessons.host import HostLesson, HostWeights
from pst_cli.training.lessons.joint import SPEC, JointLesson
from pst_cli.training.lessons.kvspn import DraftWeights, KVSPNLesson
from pst_cli.training.lessons.student import StudentLesson, stood_for
from pst_cli.training.losses import divergence, surprise

torch.set_num_threads(1)  # tensors this small only lose by sharing

CLOSE = {"atol": 1e-3, "rtol": 1e-3}
TIME = SPECIAL.timestamp_begin
ROWS = (
    taught.spoken(TIME, 20, 21, 22, TIME + 9, own=True),
    taught.spoken(30, 31, own=True),
    taught.spoken(TIME, 40, 41, 42, 43, TIME + 3, 44, own=True),
)
LENGTHS = (7, 12, 9)  # frames of what is heard of each
FORMS = {
    "paper, one group": {"groups": 1},
    "paper, two groups": {"groups": 2},
    "paper, three groups": {"groups": 3},
    "host's cross memory": {"groups": 1, "cross": "host"},
    "host's cross memory, three groups": {"groups": 3, "cross": "host", "draft_length": 2},
    "normed": {"groups": 2, "normed": True, "draft_length": 2},
    "threaded": {"groups": 1, "threaded": True, "draft_length": 4},
    "lean": {"cross": "host", "normed": True, "threaded": True, "draft_length": 4, "groups": 1},
    "not threaded": {"groups": 1, "draft_length": 3},
    "draft vocabulary": {"groups": 1, "vocabularies": ((START, 60),), "draft_length": 2},
    "token and state": {"groups": 1, "feed": "both", "threaded": True, "draft_length": 3},
    **STAND_INS,
    "medusa": {"groups": 3, "feed": "state", "draft_length": 3},
    "medusa on the host's memory": {
        "groups": 1,
        "feed": "state",
        "cross": "host",
        "draft_length": 4,
    },
}


def drafter(host, seed=1, **fields):
    """A network with no weight at rest."""
    made = network(host.whisper, seed, **fields)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    if fields.get("vocabularies"):
        made.draft_tokens.copy_(torch.randperm(VOCABULARY, generator=generator)[:60].sort().values)
    return made


def in_use(host, net, heard, row, query, steps):
    """What the drafter scores in `steps` steps after row[: query + 1], the right tokens fed."""
    decoder = host.lean()
    with torch.inference_mode():
        session = Session(decoder, decoder.open(heard))
        session.forward(torch.tensor([row[:query]]), [0])
        session.forward(torch.tensor([row[-3:]]), [query])  # stale slots, of a draft rolled back
        session.forward(torch.tensor([row[query - 1 : query]]), [query - 1])
        guide, length = Guide(RULES, len(PROMPT), END), DraftLength(steps, fixed=True)
        made = KVSPNDrafter(net, Heads(net.vocabularies, decoder), session, heard, guide, length)
        asked = [row[: query + 1]]
        ask = _Steps(made, asked, made.saying.of(asked)[0])
        scores = [ask([row[query + 1 : query + 1 + step]]) for step in range(steps)]
    return [one[0, 0] for one in scores]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_drafter_is_taught_exactly_what_it_does_when_it_drafts(form):
    host, heard = taught.host(1), taught.states(LENGTHS)
    net = drafter(host, **form)
    lesson = KVSPNLesson(host, net, SPECIAL)
    (batch,) = taught.groups(ROWS, heard)
    with torch.no_grad():
        drafts = list(lesson.drafts(batch, *lesson.memory(batch)))
    assert [one.step for one in drafts] == list(range(1, net.config.draft_length + 1))
    kept = net.vocabularies.of(START).tolist() if net.config.vocabularies else range(VOCABULARY)
    close = ROUNDED if net.config.vocabularies else CLOSE
    taught_queries = 0
    for row, example in enumerate(ROWS):
        tokens = list(example.tokens)
        sound = heard.states[row : row + 1, : LENGTHS[row]]
        for query in range(example.given, len(tokens) - 1):
            steps = min(net.config.draft_length, len(tokens) - 1 - query)
            expected = in_use(host, net, sound, tokens, query, steps)
            for one, scores in zip(drafts, expected, strict=False):
                place = _place(one, row, query)
                torch.testing.assert_close(one.logits[place], scores, **close)
                said = tokens[query + one.step]
                assert one.labels[place] == (kept.index(said) if said in kept else IGNORED)
                taught_queries += 1
    assert taught_queries == sum(len(one.labels) for one in drafts)


def _place(drafted, row, query):
    """Which of the labels of a draft step is that of a query."""
    assert drafted.where[row, query]
    return int(drafted.where.flatten()[: row * drafted.where.shape[1] + query].sum())


def test_nothing_is_drafted_from_the_prompt_alone():
    """The host's own first pass yields a token, so no drafter is ever asked there."""
    host = taught.host(1)
    lesson = KVSPNLesson(host, drafter(host, draft_length=2), SPECIAL)
    (batch,) = taught.groups(ROWS, taught.states(LENGTHS))
    for one in lesson.drafts(batch, *lesson.memory(batch)):
        for row, example in enumerate(ROWS):
            queries = one.where[row].nonzero()[:, 0].tolist()
            said = len(example.tokens) - example.given
            assert queries == [example.given + at for at in range(max(0, said - one.step))]


def test_drafts_of_references_are_taught_what_the_host_would_say_there():
    host = taught.host(2)
    rows = [ROWS[0], replace(ROWS[2], own=False)]
    (batch,) = taught.groups(rows, taught.states(LENGTHS[:2]))
    lesson = KVSPNLesson(host, drafter(host), SPECIAL)
    forced, _ = lesson.memory(batch)
    labels = lesson._labels(batch, forced)
    assert torch.equal(labels[0], batch.labels[0])
    assert torch.equal(labels == IGNORED, batch.labels == IGNORED)
    scores = host.logits(forced.states[1]).detach()
    scores[:, list(SPECIAL.suppressed)] = float("-inf")
    for label, row in zip(labels[1].tolist(), scores, strict=True):
        if label == IGNORED:
            continue
        timed = row[TIME:].exp().sum() > row[:TIME].exp().max()
        side = range(TIME, VOCABULARY) if timed else range(TIME)
        assert label == max(side, key=row.tolist().__getitem__)
    assert not torch.equal(labels[1], batch.labels[1])


def test_words_outside_the_draft_vocabulary_are_missed_and_teach_nothing():
    host = taught.host(3)
    net = drafter(host, vocabularies=((START, 60),))
    net.draft_tokens.copy_(torch.arange(100, 160))  # none of ROWS' words
    lesson = KVSPNLesson(host, net, SPECIAL)
    (batch,) = taught.groups(ROWS, taught.states(LENGTHS))
    parts = lesson(batch)
    assert parts["draft 1"] == parts["kept 1"] == 0
    assert parts["seen 1"] * batch.totals.said == sum(len(row.tokens) - 3 for row in ROWS)
    assert lesson.summary({name: one.item() for name, one in parts.items()})["acceptance 1"] == 0.0


def test_draft_losses_are_those_of_their_steps_and_count_less_the_later_they_are():
    host = taught.host(4)
    counts = DraftWeights(labels=2.0, kl=0.5, later=0.5)
    lesson = KVSPNLesson(host, drafter(host, draft_length=3), SPECIAL, counts)
    (batch,) = taught.groups(ROWS, taught.states(LENGTHS))
    parts, whole = lesson(batch), batch.totals.said
    for one in lesson.drafts(batch, *lesson.memory(batch)):
        loss = surprise(one.logits, one.labels) / whole
        torch.testing.assert_close(parts[f"draft {one.step}"], loss)
        pull = divergence(one.logits, one.wanted) / whole
        torch.testing.assert_close(parts[f"kl {one.step}"], pull)
    assert lesson.weights() == {
        "draft 1": 2.0, "draft 2": 1.0, "draft 3": 0.5, "kl 1": 0.5, "kl 2": 0.25, "kl 3": 0.125,
    }  # fmt: skip
    assert whole == sum(len(row.tokens) - 2 for row in ROWS)


def test_a_drafter_alone_leaves_its_host_untouched_and_jointly_teaches_its_memory():
    for joint in (False, True):
        host = taught.host(5)
        net = drafter(host, cross="host", groups=1)
        lesson = KVSPNLesson(host, net, SPECIAL, joint=joint)
        (batch,) = taught.groups(ROWS, taught.mel(3))
        lesson.loss(lesson(batch)).backward()
        assert all(parameter.grad is not None for parameter in net.blocks.parameters())
        reached = {name for name, one in host.named_parameters() if one.grad is not None}
        if not joint:
            assert reached == set()
            continue
        for name in ("encoder.layers.0.fc1", "decoder.layers.0.self_attn.k_proj"):
            assert f"whisper.model.{name}.weight" in reached


# The host


HEARD = (
    taught.spoken(TIME, 20, 21, 22, TIME + 9, source=(50, 51, 52)),
    taught.spoken(30, 31),  # nobody knows what was said
    taught.spoken(TIME, 40, 41, TIME + 3, source=(60,)),
)
READ = (taught.written(70, 71, source=(80, 81)), taught.written(72, source=(82,)))


def host_lesson(seed=6, weights=None, frequent=None):
    torch.manual_seed(seed)
    host = taught.host(seed, std=0.3)
    return HostLesson(host, TextEncoder(host, 2), TIME, weights, frequent)


def test_what_is_said_of_the_sound_is_judged_as_transformers_does():
    lesson, sound = host_lesson(), taught.mel(3)
    (batch,) = taught.groups(HEARD, sound)
    theirs = lesson.host.whisper(sound, decoder_input_ids=batch.tokens).logits
    loss = torch.nn.functional.cross_entropy(
        theirs.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORED
    )
    parts = lesson(batch)
    torch.testing.assert_close(parts["st"], loss, **CLOSE)
    right = (theirs.argmax(-1) == batch.labels).sum() / batch.totals.said
    torch.testing.assert_close(parts["accuracy"], right)


ALL = torch.arange(VOCABULARY)
PULLING = {"st": 2.0, "mt": 1.0}  # figures that switch the pull on


def test_what_is_read_is_judged_by_words_of_readable_rows_and_pulls_what_is_heard():
    lesson = host_lesson()
    (batch,) = taught.groups(HEARD, taught.mel(3))
    assert "kl" not in lesson(batch)  # it costs much, and counts for nothing yet
    lesson.observe(PULLING)
    parts = lesson(batch)
    surprises, pulls = [], []
    for row in (0, 2):
        (alone,) = taught.groups([HEARD[row]], taught.mel(3)[row : row + 1])
        words = (alone.labels != IGNORED) & (alone.labels < TIME)
        source = lesson.reader(lesson.host.embed(alone.source), alone.source_mask)
        heard = Heard(lesson.host.hear(alone.log_mel))
        read, said = (
            lesson.host.logits(lesson.host.decode(alone.tokens, one).states[words])
            for one in (source, heard)
        )
        surprises.append(surprise(read, alone.labels[words]))
        pulls.append(divergence(said, read))
    words = 4 + 3  # of rows 0 and 2, with their ends, without their times
    torch.testing.assert_close(parts["mt"], sum(surprises) / words, **CLOSE)
    torch.testing.assert_close(parts["kl"], sum(pulls) / words, **CLOSE)


def test_while_it_learns_a_host_is_compared_over_frequent_words_and_the_batchs_own():
    frequent = torch.tensor([END, 9, 30])
    lesson, every, whole = map(host_lesson, (6,) * 3, (None,) * 3, (frequent, ALL, None))
    for one in (lesson, every, whole):
        one.train().observe(PULLING)
    (batch,) = taught.groups(HEARD, taught.mel(3))
    where = batch.labels != IGNORED
    compared = sorted({*frequent.tolist(), *batch.labels[where].tolist()})
    places = torch.tensor([compared.index(label) for label in batch.labels[where].tolist()])
    states = lesson.host.decode(batch.tokens, Heard(lesson.host.hear(batch.log_mel))).states
    scores = lesson.host.logits(states[where])[:, compared]
    parts = lesson(batch)
    torch.testing.assert_close(parts["st"], surprise(scores, places) / batch.totals.said, **CLOSE)
    assert parts["mt"] < whole(batch)["mt"]
    torch.testing.assert_close(every(batch), whole(batch), **CLOSE)
    torch.testing.assert_close(lesson.eval()(batch), whole.eval()(batch), **CLOSE)


def summed(lesson, batches):
    """Parts and gradients, added up over groups."""
    lesson.zero_grad(set_to_none=True)
    sums = {}
    for batch in batches:
        parts = lesson(batch)
        lesson.loss(parts).backward()
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + value.detach()
    return sums, {n: p.grad for n, p in lesson.named_parameters() if p.grad is not None}


def assert_same(one, other):
    for first, second in zip(one, other, strict=True):
        assert first.keys() == second.keys()
        for name, value in first.items():
            torch.testing.assert_close(value, second[name], msg=name, **CLOSE)


@pytest.mark.parametrize("micro", [1, 2])
def test_a_host_learns_the_same_of_a_batch_in_pieces(micro):
    lesson, sound = host_lesson(), taught.mel(3)
    lesson.observe(PULLING)
    whole = summed(lesson, taught.groups(HEARD, sound, READ))
    assert_same(summed(lesson, taught.groups(HEARD, sound, READ, micro)), whole)
    assert {"st", "mt", "kl", "accuracy"} == whole[0].keys()
    assert any("reader.layers" in name for name in whole[1])


@pytest.mark.parametrize("form", ["lean", "medusa"])
@pytest.mark.parametrize("micro", [1, 2])
def test_a_drafter_learns_the_same_of_a_batch_in_pieces(form, micro):
    host, heard = taught.host(7, std=0.3), taught.states(LENGTHS)
    lesson = KVSPNLesson(host, drafter(host, **FORMS[form]), SPECIAL, DraftWeights(kl=0.5))
    rows = [*ROWS[:2], replace(ROWS[2], own=False)]
    whole = summed(lesson, taught.groups(rows, heard))
    assert_same(summed(lesson, taught.groups(rows, heard, micro=micro)), whole)


def test_a_silent_group_counts_for_nothing():
    lesson = host_lesson()
    lesson.observe(PULLING)
    (batch,) = taught.groups(HEARD, taught.mel(3))
    parts, gradients = summed(lesson, [batch.silent()])
    assert set(parts) == {"st", "mt", "kl", "accuracy"}
    assert not any(parts.values())
    assert not any(gradient.any() for gradient in gradients.values())


def test_the_pull_begins_when_the_text_is_the_easier_and_ends_when_it_is_not():
    lesson = host_lesson(weights=HostWeights(3.0, 2.0, 0.7))
    assert lesson.weights() == {"st": 3.0, "mt": 2.0, "kl": 0.0}
    lesson.observe({"st": 1.0, "mt": 2.0})
    assert lesson.weights()["kl"] == 0.0
    lesson.observe({"st": 1.0, "mt": 0.0})  # one batch is no proof
    assert not lesson.pulls
    for _ in range(30):
        lesson.observe({"st": 1.0, "mt": 0.5})
    assert lesson.weights() == {"st": 3.0, "mt": 2.0, "kl": 0.7}
    again = host_lesson()
    again.recall(lesson.remembered())
    assert again.pulls
    for _ in range(60):
        lesson.observe({"st": 0.2, "mt": 0.5})
    assert not lesson.pulls


def test_the_pull_moves_what_is_heard_and_not_what_is_read():
    lesson = host_lesson()
    lesson.observe(PULLING)
    (batch,) = taught.groups(HEARD, taught.mel(3))
    lesson(batch)["kl"].backward()
    assert all(parameter.grad is None for parameter in lesson.reader.parameters())
    assert lesson.host.whisper.model.encoder.conv1.weight.grad.abs().sum() > 0


def test_a_host_without_a_reader_learns_of_sound_alone():
    host = taught.host(8, std=0.3)
    (batch,) = taught.groups(HEARD, taught.mel(3))
    assert set(HostLesson(host, None, TIME)(batch)) == {"st", "accuracy"}


# The student


def student_lesson(kept=None, **fields):
    """A student of one layer, of the words `kept` where given, and its teacher."""
    teacher, student = taught.host(9, std=0.3), taught.host(9, std=0.3)
    student.whisper.model.decoder.layers = student.whisper.model.decoder.layers[:1]
    if kept is not None:
        trim(student, kept)
    return StudentLesson(student, teacher, kept, **fields)


def trim(host, kept):
    weight = host.whisper.model.decoder.embed_tokens.weight[kept]
    host.whisper.model.decoder.embed_tokens = torch.nn.Embedding.from_pretrained(weight, False)


def test_a_student_is_taught_words_and_distribution_of_its_teacher():
    lesson, sound = student_lesson(), taught.mel(3)
    (batch,) = taught.groups(HEARD, sound)
    parts, where = lesson(batch), batch.labels != IGNORED
    with torch.no_grad():
        theirs = lesson.teacher.whisper(sound, decoder_input_ids=batch.tokens).logits[where]
        heard = Heard(lesson.teacher.hear(sound))
        mine = lesson.student.logits(lesson.student.decode(batch.tokens, heard).states[where])
    count, labels = batch.totals.said, batch.labels[where]
    torch.testing.assert_close(parts["labels"], surprise(mine, labels) / count, **CLOSE)
    torch.testing.assert_close(parts["kl"], divergence(mine, theirs, 2.0) / count, **CLOSE)
    goal = lesson.teacher.decode(batch.tokens, heard).after[-1][where]  # one layer stands for all
    states = lesson.student.decode(batch.tokens, heard).after[0][where]
    errors = (states - goal).square().mean(-1) / goal.square().mean(-1)
    torch.testing.assert_close(parts["layers"], errors.sum() / count, **CLOSE)
    agreed = (mine.argmax(-1) == theirs.argmax(-1)).float().mean()
    torch.testing.assert_close(parts["agreement"], agreed, **CLOSE)
    lesson.loss(parts).backward()
    assert all(parameter.grad is None for parameter in lesson.teacher.parameters())


def test_a_student_with_its_teachers_weights_and_fewer_words_agrees_with_it():
    kept = torch.tensor([3, 20, 21, 40, 41, END, START, 203, *range(TIME, VOCABULARY)])
    teacher = taught.host(10)
    student = copy.deepcopy(teacher)
    trim(student, kept)
    lesson = StudentLesson(student, teacher, kept)
    ids = {old: new for new, old in enumerate(kept.tolist())}
    row = taught.spoken(TIME, 20, 41, TIME + 3)
    mine = replace(row, tokens=tuple(ids[token] for token in row.tokens))
    (batch,) = taught.groups([mine], taught.states([9]))
    parts = lesson(batch)
    assert parts["agreement"] == 1.0
    assert parts["kl"].abs() < 1e-4


@pytest.mark.parametrize(
    ("kept", "goals"), [(1, [6]), (2, [5, 6]), (3, [2, 5, 6]), (6, [1, 2, 3, 4, 5, 6])]
)
def test_a_layer_stands_for_itself_and_those_dropped_behind_it(kept, goals):
    theirs = [torch.tensor(number) for number in range(1, 7)]
    assert [int(goal) for goal in stood_for([torch.tensor(0)] * kept, theirs)] == goals


@pytest.mark.parametrize("trimmed", [False, True])
def test_while_it_learns_a_student_is_compared_over_frequent_words_and_the_batchs_own(trimmed):
    kept = torch.arange(VOCABULARY - 20) if trimmed else None  # ids as the teacher's
    frequent = torch.tensor([END, TIME, 9, 30])
    lesson = student_lesson(kept, frequent=frequent)
    (batch,) = taught.groups(HEARD, taught.states(LENGTHS))
    where, count = batch.labels != IGNORED, batch.totals.said
    compared = sorted({*frequent.tolist(), *batch.labels[where].tolist()})
    places = torch.tensor([compared.index(label) for label in batch.labels[where].tolist()])
    scores = {}
    for host in (lesson.student, lesson.teacher):
        states = host.decode(batch.tokens, batch.heard).states[where]
        scores[host] = host.logits(states)[:, compared]
    mine, theirs = scores.values()
    parts = lesson.train()(batch)
    torch.testing.assert_close(parts["labels"], surprise(mine, places) / count, **CLOSE)
    torch.testing.assert_close(parts["kl"], divergence(mine, theirs, 2.0) / count, **CLOSE)
    judged = lesson.eval()(batch)
    assert judged["labels"] > parts["labels"]  # over every word


def test_a_student_with_ears_of_its_own_is_held_against_what_the_teacher_hears():
    lesson = student_lesson(shares_encoder=False)
    with torch.no_grad():
        lesson.student.whisper.model.encoder.layer_norm.weight.mul_(2.0)
    sound = taught.mel(3)
    (batch,) = taught.groups(HEARD, sound)
    own, others = lesson._hear(batch)
    torch.testing.assert_close(own.states, lesson.student.hear(sound))
    torch.testing.assert_close(others.states, lesson.teacher.hear(sound))
    assert not others.states.requires_grad


@pytest.mark.parametrize("micro", [1, 2])
def test_a_student_learns_the_same_of_a_batch_in_pieces(micro):
    lesson, heard = student_lesson(), taught.states(LENGTHS)
    whole = summed(lesson, taught.groups(HEARD, heard))
    assert_same(summed(lesson, taught.groups(HEARD, heard, micro=micro)), whole)


# A context of one's own


@pytest.mark.parametrize(("seconds", "frames"), [(0.04, 4), (0.8, 80), (30.0, 100)])
def test_a_host_hears_as_much_of_a_batch_as_it_says_and_its_teacher_all_of_it(seconds, frames):
    teacher, host = taught.host(9), taught.host(9)
    lesson = ContextLesson(host, teacher)
    sound = taught.mel(3)
    (batch,) = taught.groups(HEARD, sound)
    batch = replace(batch, totals=replace(batch.totals, seconds=seconds))
    own, whole = lesson._hear(batch)
    torch.testing.assert_close(own.states, host.hear(sound[..., :frames]))
    torch.testing.assert_close(whole.states, teacher.hear(sound))
    assert own.states.requires_grad
    assert not whole.states.requires_grad


def test_of_sound_that_fills_the_window_a_host_says_what_it_said():
    teacher, host = taught.host(9), taught.host(9)
    lesson = ContextLesson(host, teacher)
    (batch,) = taught.groups(HEARD, taught.mel(3))
    batch = replace(batch, totals=replace(batch.totals, seconds=30.0))
    parts = lesson(batch)
    assert parts["agreement"] == 1.0
    assert parts["kl"].abs() < 1e-5
    assert parts["layers"].abs() < 1e-9
    assert lesson.weights()["labels"] == 0.0


# Together


@pytest.mark.parametrize("sound", [taught.mel(3), taught.states(LENGTHS)], ids=["sound", "states"])
def test_lessons_are_nearly_the_same_in_bfloat16(sound):
    lesson = host_lesson()
    drafts = KVSPNLesson(lesson.host, drafter(lesson.host, **FORMS["lean"]), SPECIAL, joint=True)
    for one in (JointLesson(lesson, drafts), student_lesson()):
        (batch,) = taught.groups(HEARD, sound)
        exact = one(batch)
        with torch.autocast("cpu", torch.bfloat16):
            rough = one(batch)
            one.loss(rough).backward()
        for name in ("st", "mt", "draft 1", "labels"):
            if name in exact:
                torch.testing.assert_close(rough[name], exact[name], atol=0.05, rtol=0.05)


def test_host_and_drafter_together_are_taught_the_sum_of_both():
    lesson = host_lesson()
    net = drafter(lesson.host, draft_length=2)
    both = JointLesson(lesson, KVSPNLesson(lesson.host, net, SPECIAL, joint=True))
    (batch, texts) = taught.groups(HEARD, taught.mel(3), READ)
    parts, base, spec = both(batch), lesson(batch), both.drafter(batch)
    assert parts.keys() == base.keys() | spec.keys()
    expected = lesson.loss(base) + SPEC * both.drafter.loss(spec)
    torch.testing.assert_close(both.loss(parts), expected, **CLOSE)
    assert set(both(texts)) == {"mt"}
    both.observe({"st": 2.0, "mt": 1.0})
    assert both.weights()["kl"] == HostWeights().kl
    assert both.weights()["draft 2"] == SPEC * DraftWeights().later
    assert both.remembered() == lesson.remembered() != {}


@pytest.mark.parametrize("micro", [1, 2])
def test_host_and_drafter_learn_the_same_of_a_batch_in_pieces(micro):
    lesson = host_lesson()
    drafts = KVSPNLesson(lesson.host, drafter(lesson.host), SPECIAL, joint=True)
    both, sound = JointLesson(lesson, drafts), taught.mel(3)
    whole = summed(both, taught.groups(HEARD, sound, READ))
    assert_same(summed(both, taught.groups(HEARD, sound, READ, micro)), whole)
