"""KVSPN, Medusa and draft models: they read what they may, and change no token."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass, field, replace
from itertools import combinations, groupby

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_host import END, SPECIAL, START, VOCABULARY, session, sound, tiny

from pst_cli.decoding.acceptance import Greedy, Sampling
from pst_cli.decoding.draft_model import ModelDrafter
from pst_cli.decoding.kvspn import KVSPNDrafter
from pst_cli.decoding.length import (
    LONG_REST,
    LONGEST,
    MEMORY,
    PAYS,
    SHORT_REST,
    TRUST,
    DraftLength,
    Pace,
    SharedLength,
)
from pst_cli.decoding.loop import Strategy, decode
from pst_cli.decoding.proposals import Guide, propose
from pst_cli.decoding.protocols import Plain
from pst_cli.decoding.rules import TokenRules
from pst_cli.errors import ModelError
from pst_cli.models.heads import MOST, Heads
from pst_cli.models.kvspn import KVSPN
from pst_cli.models.kvspn_config import KVSPNConfig, read_config
from pst_cli.models.vocabularies import ANYTHING, Vocabularies

torch.set_num_threads(1)  # tensors this small only lose by sharing

PROMPT = [START]
RULES = TokenRules(SPECIAL, VOCABULARY)
ROUNDED = {"atol": 0.1, "rtol": 0.02}  # a head of few words has weights of 8 bits where it is used
STAND_INS = {
    "stand-in": {"groups": 1, "memory": "layer", "cross": "host", "normed": True},
    "two": {"groups": 2, "memory": "layer", "cross": "host", "normed": True, "draft_length": 3},
    "threaded": {
        "groups": 2,
        "memory": "layer",
        "cross": "host",
        "feed": "both",
        "normed": True,
        "threaded": True,
        "draft_length": 3,
    },
}
FORMS = {
    "paper, one group": {"groups": 1},
    "paper, three groups": {"groups": 3},
    "several tokens": {"groups": 2, "normed": True, "threaded": True, "draft_length": 4},
    "host's cross memory": {"groups": 1, "cross": "host", "threaded": True, "draft_length": 3},
    "draft vocabulary": {"groups": 1, "vocabularies": ((START, 60),), "draft_length": 2},
    "token and state": {"groups": 1, "feed": "both", "threaded": True, "draft_length": 3},
    **STAND_INS,
    "medusa": {"groups": 3, "feed": "state", "draft_length": 3},
}


def network(model, seed=1, **fields):
    torch.manual_seed(seed)
    config = model.config
    shape = (config.d_model, config.decoder_attention_heads, config.decoder_layers)
    made = KVSPN(KVSPNConfig(*shape, config.vocab_size, **fields)).eval()
    first = 0
    for _, size in made.config.vocabularies:  # until others are put there
        made.draft_tokens[first : first + size] = torch.arange(size)
        first += size
    return made


def encode(model, features):
    with torch.inference_mode():
        return model.model.encoder(features).last_hidden_state


def drafted(model, features, net, length=None, confidence=0.0, acceptance=None):
    host = session(model, features)
    guide = Guide(RULES, len(PROMPT), END, confidence)
    size = DraftLength(length or net.config.draft_length, fixed=True)
    with torch.inference_mode():
        drafter = KVSPNDrafter(
            net, Heads(net.vocabularies, host.decoder), host, encode(model, features), guide, size
        )
        strategy = Strategy(drafter, acceptance or Greedy(), RULES)
        return decode(host, [PROMPT] * len(features), SPECIAL, strategy)


def plain(model, features):
    strategy = Strategy(Plain(), Greedy(), RULES)
    return decode(session(model, features), [PROMPT] * len(features), SPECIAL, strategy)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("rows", [1, 3])
def test_an_untrained_kvspn_changes_no_token(form, rows):
    model = tiny(11, layers=3)
    features = sound(model, rows, 11)
    spoken = drafted(model, features, network(model, **form))
    assert [row.tokens for row in spoken] == [row.tokens for row in plain(model, features)]
    assert sum(row.drafted for row in spoken) > 0


@dataclass(frozen=True)
class Listening(Guide):
    """Remembers what it was to choose from."""

    heard: list[torch.Tensor] = field(default_factory=list)

    def choose(self, scores, rows, drafts):
        self.heard.append(scores.clone())
        return super().choose(scores, rows, drafts)


def first_draft(model, features, net, spoil=None):
    """Scores of one draft step when the host has been fed all but the last of six tokens."""
    host = session(model, features)
    row = [START, 20, 21, 22, 23, 24]
    with torch.inference_mode():
        host.forward(torch.tensor([row[:-1]]), [0])
        host.forward(torch.tensor([[24, 25, 26]]), [5])  # slots at and beyond the last position
        host.forward(torch.tensor([row[3:5]]), [3])  # the last verified pass
        if spoil:
            spoil(host.cache)
        guide = Listening(RULES, len(PROMPT), END)
        size = DraftLength(net.config.draft_length, fixed=True)
        heads = Heads(net.vocabularies, host.decoder)
        drafter = KVSPNDrafter(net, heads, host, encode(model, features), guide, size)
        drafter.draft([row], [8])
    return torch.cat(guide.heard, 1)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_host_memory_at_or_beyond_the_last_token_is_never_read(form):
    model = tiny(12, layers=3)
    features, net = sound(model, 1, 12), network(tiny(12, layers=3), **form)

    def spoil(cache):
        cache.keys[:, :, :, 5:] = 1e3
        cache.values[:, :, :, 5:] = -1e3

    clean = first_draft(model, features, net)
    assert clean.isfinite().any()
    assert torch.equal(clean, first_draft(model, features, net, spoil))


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("form", ["paper, one group", "paper, three groups"])
def test_every_host_layer_below_the_last_token_is_read(form, layer):
    model = tiny(12, layers=3)
    features, net = sound(model, 1, 12), network(tiny(12, layers=3), **FORMS[form])

    def spoil(cache):
        cache.values[:, :, layer, 4] += 1.0

    clean = first_draft(model, features, net)
    assert not torch.allclose(clean, first_draft(model, features, net, spoil))


def test_a_token_outside_the_draft_vocabulary_is_never_drafted_and_still_decoded():
    model = tiny(13, layers=3)
    features = sound(model, 2, 13)
    net = network(model, groups=1, vocabularies=((START, 30),), draft_length=3)
    net.draft_tokens.copy_(torch.arange(VOCABULARY - 30, VOCABULARY))
    proposed = []

    class Watched(Greedy):
        def __call__(self, scores, drafts):
            proposed.extend(token for draft in drafts for token in draft.tokens)
            return super().__call__(scores, drafts)

    spoken = drafted(model, features, net, acceptance=Watched())
    assert [row.tokens for row in spoken] == [row.tokens for row in plain(model, features)]
    assert proposed
    assert min(proposed) >= VOCABULARY - 30
    assert any(token < VOCABULARY - 30 for row in spoken for token in row.tokens)


def test_the_last_token_of_the_prompt_that_names_a_vocabulary_says_what_may_be_drafted():
    decoder, net = (
        session(tiny(13, layers=3), sound(tiny(13, layers=3), 1, 13)).decoder,
        network(tiny(13, layers=3), vocabularies=((7, 3), (9, 2))),
    )
    net.draft_tokens.copy_(torch.tensor([20, 30, 40, 25, 30]))
    heads = Heads(net.vocabularies, decoder)
    assert heads.of([[START, 9, 7, 50]]).kept == heads.of([[START, 7, 8]]).kept == (20, 30, 40)
    assert heads.of([[START, 7, 9, 50]]).kept == (25, 30)
    assert heads.of([[START, 9], [START, 7]]).kept == (20, 25, 30, 40)
    assert heads.of([[START, 9], [START, 7]]) is heads.of([[7, 21], [9, 22], [9]])
    assert heads.of([[START, 8]]).kept is None
    assert heads.of([[START, 9], [START, 8]]).affine is decoder.head
    head, states = heads.of([[START, 9]]).affine, torch.randn(2, 1, net.config.d_model)
    torch.testing.assert_close(head(states), decoder.head(states)[..., [25, 30]], **ROUNDED)


def test_heads_of_many_sets_of_languages_do_not_pile_up():
    decoder = session(tiny(13, layers=3), sound(tiny(13, layers=3), 1, 13)).decoder
    languages = tuple((place, 1) for place in range(7, 13))
    net = network(tiny(13, layers=3), vocabularies=languages)
    net.draft_tokens.copy_(torch.arange(20, 26))
    heads = Heads(net.vocabularies, decoder)
    pairs = combinations(range(7, 13), 2)
    made = [weakref.ref(heads.of([[START, a], [START, b]])) for a, b in pairs]
    assert len(made) > MOST
    assert sum(one() is not None for one in made) == MOST


def test_medusa_does_not_see_the_token_and_kvspn_does():
    model = tiny(14, layers=3)
    features = sound(model, 1, 14)

    def scored(net, last):
        host = session(model, features)
        with torch.inference_mode():
            host.forward(torch.tensor([[START, 20, 21]]), [0])
            guide = Listening(RULES, 1, END)
            heads, encoded = Heads(net.vocabularies, host.decoder), encode(model, features)
            drafter = KVSPNDrafter(net, heads, host, encoded, guide, DraftLength(1))
            drafter.draft([[START, 20, 21, last]], [4])
        return guide.heard[0]

    for feed, same in (("state", True), ("token", False)):
        net = network(model, groups=1, feed=feed)
        assert torch.equal(scored(net, 30), scored(net, 31)) is same


def test_a_draft_model_with_the_hosts_own_weights_is_always_right():
    model = tiny(15, layers=2)
    features = sound(model, 3, 15)
    host, own = session(model, features), session(model, features)
    length = DraftLength(4, fixed=True)
    drafter = ModelDrafter(own, Heads(ANYTHING, own.decoder), Guide(RULES, 1, END), length)
    spoken = decode(host, [PROMPT] * 3, SPECIAL, Strategy(drafter, Greedy(), RULES))
    assert [row.tokens for row in spoken] == [row.tokens for row in plain(model, features)]
    assert all(sum(row.accepted) == row.drafted for row in spoken)
    assert all(row.passes <= -(-len(row.tokens) // 5) + 1 for row in spoken)


@pytest.mark.parametrize("rows", [1, 4])
def test_a_draft_model_with_other_weights_changes_no_token(rows):
    model, other = tiny(16, layers=3), tiny(17, layers=1)
    features = sound(model, rows, 16)
    own = session(other, features)
    heads = Heads(ANYTHING, own.decoder)
    drafter = ModelDrafter(own, heads, Guide(RULES, 1, END), DraftLength(3))
    host = session(model, features)
    spoken = decode(host, [PROMPT] * rows, SPECIAL, Strategy(drafter, Greedy(), RULES))
    assert [row.tokens for row in spoken] == [row.tokens for row in plain(model, features)]


def test_a_draft_model_says_only_words_of_the_vocabulary_that_the_prompt_asks_for():
    model = tiny(15, layers=2)
    features = sound(model, 2, 15)
    said = [row.tokens for row in plain(model, features)]
    words = torch.tensor(sorted({token for row in said for token in row[::2]} | {END}))
    host, own = session(model, features), session(model, features)
    heads = Heads(Vocabularies(((START, len(words)),), words), own.decoder)
    drafter = ModelDrafter(own, heads, Guide(RULES, 1, END), DraftLength(3, fixed=True))
    drafts, propose_ = [], drafter.draft
    drafter.draft = lambda rows, room: drafts.append(propose_(rows, room)) or drafts[-1]
    spoken = decode(host, [PROMPT] * 2, SPECIAL, Strategy(drafter, Greedy(), RULES))
    assert [row.tokens for row in spoken] == said
    assert {token for round_ in drafts for one in round_ for token in one.tokens} <= {
        *words.tolist()
    }
    assert sum(sum(row.accepted) for row in spoken) > 0


def test_sampling_with_drafts_stays_within_the_rules_and_the_limit():
    model = tiny(18, layers=3)
    features = sound(model, 2, 18)
    sampling = Sampling(1.0, torch.Generator().manual_seed(0))
    net = network(model, **FORMS["several tokens"])
    for row in drafted(model, features, net, acceptance=sampling):
        assert len(row.context) <= 96
        assert row.tokens[0] >= SPECIAL.timestamp_begin
        times = [token for token in row.tokens if token >= SPECIAL.timestamp_begin]
        assert times == sorted(times)


def scores_of(token, sure):
    scores = torch.zeros(1, 1, VOCABULARY)
    scores[..., token] = torch.tensor(sure / (1 - sure) * (VOCABULARY - 1)).log()
    return scores


FREE = TokenRules(
    replace(SPECIAL, suppressed=(), suppressed_first=()), VOCABULARY, timestamps=False
)


def test_a_draft_goes_no_further_than_it_is_sure_of_and_than_the_end():
    said = [(8, 0.9), (9, 0.8), (10, 0.6), (11, 0.9)]  # 0.9, 0.72, 0.43: not beyond the third
    guide = Guide(FREE, 1, END, confidence=0.5)
    (draft,) = propose([[START]], 4, lambda drafts: scores_of(*said[len(drafts[0])]), guide)
    assert draft.tokens == (8, 9, 10)
    said = [(8, 0.9), (END, 0.9), (10, 0.9)]
    (draft,) = propose([[START]], 3, lambda drafts: scores_of(*said[len(drafts[0])]), guide)
    assert draft.tokens == (8, END)


def test_the_draft_length_grows_while_drafts_hold_and_shrinks_when_they_do_not():
    length = DraftLength(3)
    row, seen = [START], []
    for holds in (True, True, False, False, False):
        seen.append(length.next([row]))
        length.drafted([row], [(7, 8)])
        row = [*row, 7, 8 if holds else 9, 10]
    assert seen == [3, 5, 7, 6, 5]
    for _ in range(20):
        length.next([row])
        length.drafted([row], [(7,)])
        row = [*row, 7]
    assert length.now == LONGEST


def test_rows_share_what_a_pass_takes_along():
    length = SharedLength(3, 6, lambda rows: Pace())
    assert [length.next([[START]] * rows) for rows in (1, 2, 3, 4, 8)] == [3, 3, 2, 1, 1]


SOON = MEMORY * math.log(TRUST / PAYS) / 2  # drafts of two that are forgotten before a first rest


def drafting(pace, right, passes, rows=1):
    """The lengths of `passes` drafts, two tokens at most, of which right(number) say what holds.

    All `rows` are alike.
    """
    length, row, seen = SharedLength(2, 12, lambda rows: pace), [START], []
    for number in range(passes):
        asked = length.next([row] * rows)
        length.drafted([row] * rows, [(7, 8)[:asked]] * rows)
        row = [*row, *((7, 8)[:asked] if right(number) else ()), 10]
        seen.append(asked)
    return seen


def test_what_holds_is_drafted_on():
    assert drafting(Pace(), lambda number: number % 2 == 0, 200) == [2] * 200


def test_more_must_hold_in_a_batch():
    half = (lambda number: number % 2 == 0, 200)
    assert 0 in drafting(Pace(), *half, rows=4)
    mostly = (lambda number: number % 4 < 3, 200)
    assert drafting(Pace(), *mostly, rows=4) == [2] * 200


def test_who_is_wrong_rests_longer_and_longer_and_goes_on_once_right():
    pace = Pace()
    seen = drafting(pace, lambda number: False, 400)
    rests = [len(list(run)) for length, run in groupby(seen) if not length]
    assert rests[:6] == [SHORT_REST, 8, 16, 32, LONG_REST, LONG_REST]
    assert seen.index(0) <= SOON + 1
    assert sum(map(bool, seen)) < SOON + len(rests) + 2
    again = drafting(pace, lambda number: True, 400)
    assert not any(again[: again.index(2)])
    assert again[-200:] == [2] * 200


def test_a_few_that_do_not_hold_are_borne():
    def half(number):
        return number // 6 % 2 == 1  # six passes in vain, then six that hold

    assert drafting(Pace(), half, 200) == [2] * 200


def test_a_rest_is_remembered_from_one_window_to_the_next():
    pace = Pace()
    drafting(pace, lambda number: False, drafting(Pace(), lambda number: False, 99).index(0) + 1)
    assert pace.resting
    assert drafting(pace, lambda number: True, 1) == [0]


@given(st.lists(st.tuples(st.integers(1, 60), st.floats(0, 1))))
def test_a_pace_counts_no_more_than_was_drafted(told):
    pace = Pace()
    for drafted, share in told:
        pace.told(drafted, round(drafted * share))
        assert 0 <= pace.held <= pace.drafted + 1e-9
        assert pace.resting <= LONG_REST


def test_a_kvspn_is_read_back_as_it_was_written(tmp_path):
    net = network(tiny(19, layers=4), groups=2, threaded=True, vocabularies=((START, 50), (3, 9)))
    net.save(tmp_path / "kvspn")
    again = KVSPN.load(tmp_path / "kvspn")
    assert again.config == net.config
    for name, written in net.state_dict().items():
        read = again.state_dict()[name]
        assert read.dtype == written.dtype
        step = written.abs().amax(1, keepdim=True) / 127 if written.ndim == 2 else 0.0
        assert ((read - written).abs() <= step * 0.51).all(), name
    again.save(tmp_path / "again")
    twice = KVSPN.load(tmp_path / "again").state_dict()
    assert all(torch.allclose(twice[name], one) for name, one in again.state_dict().items())
    assert read_config(tmp_path / "kvspn") == net.config
    assert read_config(tmp_path) is None


def test_a_damaged_kvspn_is_named(tmp_path):
    network(tiny(19, layers=4), groups=2).save(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="does not load as a KVSPN"):
        KVSPN.load(tmp_path)


@pytest.mark.parametrize(("layers", "groups"), [(12, 3), (6, 1), (6, 4), (24, 5), (3, 3)])
def test_layer_groups_are_contiguous_cover_all_layers_and_differ_by_one_at_most(layers, groups):
    config = KVSPNConfig(16, 2, layers, VOCABULARY, groups=groups)
    bounds = [config.group(block) for block in range(groups)]
    assert [layer for first, last in bounds for layer in range(first, last)] == list(range(layers))
    sizes = {last - first for first, last in bounds}
    assert max(sizes) - min(sizes) <= 1


def test_a_block_is_as_small_as_the_paper_says():
    """14 d^2 for the paper's block, 12 d^2 on the host's cross memory, biases and norms aside."""
    size = 64
    for cross, multiple in (("own", 14), ("host", 12)):
        config = KVSPNConfig(size, 4, 6, VOCABULARY, groups=1, cross=cross)
        (block,) = KVSPN(config).blocks
        matrices = sum(tensor.numel() for tensor in block.parameters() if tensor.dim() == 2)
        assert matrices == multiple * size * size
