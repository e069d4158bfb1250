"""Teacher-forced passes, losses and adapting, against transformers, pst's decoder and formulas."""

from __future__ import annotations

import copy

import pytest
import taught
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from pst_cli.errors import UsageError
from pst_cli.models.adapter import AdapterConfig
from pst_cli.models.forced import ForcedHost, Heard, TextEncoder
from pst_cli.models.sharing import Sharing
from pst_cli.training.adapting import Adapting, adapt, learnt
from pst_cli.training.losses import divergence, hits, surprise

torch.set_num_threads(1)  # tensors this small only lose by sharing

TOKENS = torch.tensor([[201, 203, 20, 21, 22, 200], [201, 203, 30, 31, 32, 33]])
CLOSE = {"atol": 2e-4, "rtol": 1e-4}


# Passes


@pytest.mark.parametrize(("seed", "layers"), [(1, 1), (2, 3)])
def test_a_whole_window_is_heard_and_said_as_transformers_does(seed, layers):
    host = taught.host(seed, layers)
    sound = taught.mel(2, seed)
    with torch.no_grad():
        theirs = host.whisper(sound, decoder_input_ids=TOKENS)
        heard = host.hear(sound)
        ours = host.logits(host.decode(TOKENS, Heard(heard)).states)
    torch.testing.assert_close(heard, theirs.encoder_last_hidden_state, **CLOSE)
    torch.testing.assert_close(ours, theirs.logits, **CLOSE)


def test_shorter_sound_is_heard_as_by_a_host_whose_window_is_that_short():
    host = taught.host(3)
    short = copy.deepcopy(host.whisper)
    encoder = short.model.encoder
    encoder.config.max_source_positions = encoder.max_source_positions = 20
    positions = encoder.embed_positions.weight[:20]
    encoder.embed_positions = torch.nn.Embedding.from_pretrained(positions)
    sound = taught.mel(2, frames=40)
    with torch.no_grad():
        torch.testing.assert_close(host.hear(sound), encoder(sound).last_hidden_state, **CLOSE)


def test_frames_of_padding_change_nothing():
    host, heard = taught.host(4), taught.states([7, 12])
    with torch.no_grad():
        both = host.decode(TOKENS, heard).states
        for row, frames in enumerate([7, 12]):
            alone = host.decode(TOKENS[row : row + 1], Heard(heard.states[row : row + 1, :frames]))
            torch.testing.assert_close(both[row], alone.states[0], **CLOSE)


@given(sounds=st.lists(st.integers(0, 3), min_size=1, max_size=7))
@settings(max_examples=25, deadline=None)
def test_rows_that_share_a_sound_say_what_they_say_alone(sounds):
    numbers = sorted({one: at for at, one in enumerate(sorted(set(sounds)))}.items())
    index = torch.tensor([dict(numbers)[one] for one in sounds])
    host = taught.host(7)
    tokens = torch.randint(0, 200, (len(sounds), 6), generator=torch.Generator().manual_seed(1))
    every = taught.states([9 + one for one in range(len(numbers))])
    shared = Heard(every.states, every.mask, Sharing.of(index))
    apart = Heard(every.states[index], every.mask[index])
    said = []
    for heard in (shared, apart):
        host.zero_grad()
        states = host.decode(tokens, heard).states
        states.square().sum().backward()
        gradients = [one.grad.clone() for one in host.parameters() if one.grad is not None]
        said.append((states.detach(), gradients))
    torch.testing.assert_close(said[0][0], said[1][0], **CLOSE)
    for ours, theirs in zip(said[0][1], said[1][1], strict=True):
        torch.testing.assert_close(ours, theirs, atol=5e-3, rtol=1e-3)


@given(cut=st.integers(1, 5), other=st.integers(0, 305))
@settings(max_examples=20, deadline=None)
def test_no_token_changes_what_comes_before_it(cut, other):
    host, heard = taught.host(5), taught.states([9, 9])
    changed = TOKENS.clone()
    changed[:, cut:] = other
    with torch.no_grad():
        one, two = (host.decode(tokens, heard, remember=True) for tokens in (TOKENS, changed))
    torch.testing.assert_close(one.states[:, :cut], two.states[:, :cut], **CLOSE)
    torch.testing.assert_close(one.keys[:, :, :, :cut], two.keys[:, :, :, :cut], **CLOSE)


def test_the_memory_is_what_pst_holds_when_it_decodes():
    host, heard = taught.host(6), Heard(taught.states([9, 9]).states)
    with torch.no_grad():
        forced = host.decode(TOKENS, heard, remember=True)
        decoder = host.lean()
        cache = decoder.open(heard.states)
        decoded = decoder(TOKENS, [0, 0], cache)
    seq = TOKENS.shape[1]
    torch.testing.assert_close(forced.states, decoded, **CLOSE)
    torch.testing.assert_close(forced.keys, cache.keys[:, :, :, :seq], **CLOSE)
    torch.testing.assert_close(forced.values, cache.values[:, :, :, :seq], **CLOSE)
    for layer, (keys, values) in enumerate(forced.crosses):
        torch.testing.assert_close(keys, cache.cross_keys[layer], **CLOSE)
        torch.testing.assert_close(values, cache.cross_values[layer], **CLOSE)
    torch.testing.assert_close(host.logits(forced.states), decoder.logits(decoded), **CLOSE)


def test_remembering_changes_no_state_and_is_done_on_request_only():
    host, heard = taught.host(7), taught.states([9, 5])
    with torch.no_grad():
        plain, kept = (host.decode(TOKENS, heard, remember=asked) for asked in (False, True))
    assert plain.keys is plain.values is None
    assert plain.crosses == ()
    assert torch.equal(plain.states, kept.states)


@pytest.mark.parametrize(
    ("pick", "reached"),
    [
        (lambda forced: forced.keys, "self_attn.k_proj"),
        (lambda forced: forced.values, "self_attn.v_proj"),
        (lambda forced: torch.cat([keys for keys, _ in forced.crosses]), "encoder_attn.k_proj"),
        (lambda forced: torch.cat([values for _, values in forced.crosses]), "encoder_attn.v_proj"),
    ],
    ids=["keys", "values", "cross keys", "cross values"],
)
def test_gradients_flow_through_the_memory(pick, reached):
    host = taught.host(8)
    pick(host.decode(TOKENS, taught.states([9, 9]), remember=True)).square().sum().backward()
    for layer in host.whisper.model.decoder.layers:
        gradient = layer.get_submodule(reached).weight.grad
        assert gradient is not None
        assert gradient.abs().sum() > 0


# The text encoder


@pytest.mark.parametrize("learning", ["full", "lora", "frozen"])
def test_a_text_encoder_begins_as_the_decoders_first_layers_and_learns_whatever_the_host_does(
    learning,
):
    host = taught.host(9)
    plain = copy.deepcopy(host.whisper.model)
    adapt(host.whisper, Adapting(learning, "lora", free=0, rank=2), 0)
    reader = TextEncoder(host, 2)
    for layer, origin in zip(reader.layers, plain.decoder.layers, strict=False):
        known = origin.state_dict()
        for name, tensor in layer.state_dict().items():
            assert torch.equal(tensor, known[name]), name
    assert torch.equal(reader.norm.weight, plain.encoder.layer_norm.weight)
    assert all(parameter.requires_grad for parameter in reader.parameters())
    assert not {*map(id, reader.parameters())} & {*map(id, host.parameters())}


def test_words_of_padding_change_nothing_that_is_read():
    host = taught.host(10)
    reader = TextEncoder(host, 2)
    words = torch.tensor([[20, 21, 22, 0, 0], [30, 31, 32, 33, 34]])
    mask = torch.arange(5) < torch.tensor([[3], [5]])
    with torch.no_grad():
        both = reader(host.embed(words), mask)
        alone = reader(host.embed(words[:1, :3]), mask[:1, :3])
        said = host.decode(TOKENS, both).states[:1]
        torch.testing.assert_close(both.states[:1, :3], alone.states, **CLOSE)
        torch.testing.assert_close(said, host.decode(TOKENS[:1], alone).states, **CLOSE)


def test_a_text_is_read_in_both_directions_and_in_order():
    host = taught.host(11)
    reader, mask = TextEncoder(host, 2), torch.ones(1, 3, dtype=torch.bool)
    with torch.no_grad():
        one, two = (
            reader(host.embed(torch.tensor([words])), mask).states
            for words in ([20, 21, 22], [20, 21, 23])
        )
        swapped = reader(host.embed(torch.tensor([[21, 20, 22]])), mask).states
    assert not torch.allclose(one[:, 0], two[:, 0])
    assert not torch.allclose(one[:, 2], swapped[:, 2])


# Losses

MATRICES = st.integers(0, 2**31).map(lambda seed: _matrices(torch.Generator().manual_seed(seed)))


def _matrices(generator):
    rows, words = (int(torch.randint(1, 7, (), generator=generator)) for _ in range(2))
    pair = torch.randn(2, rows, words, generator=generator, dtype=torch.float64) * 3
    return *pair.float(), torch.randint(0, words, (rows,), generator=generator)


@given(made=MATRICES)
@settings(max_examples=50, deadline=None)
def test_surprise_is_the_summed_negative_logarithm_of_what_was_said(made):
    logits, _, labels = made
    plain = sum(-row.softmax(-1)[label].log() for row, label in zip(logits, labels, strict=True))
    torch.testing.assert_close(surprise(logits, labels), plain, atol=1e-4, rtol=1e-4)


@given(made=MATRICES, temperature=st.sampled_from([1.0, 2.0, 0.5]))
@settings(max_examples=50, deadline=None)
def test_divergence_is_kullback_leiblers_out_of_the_teacher(made, temperature):
    logits, teacher, _ = made
    p, q = ((one / temperature).softmax(-1).double() for one in (teacher, logits))
    plain = (p * (p / q).log()).sum().float() * temperature**2
    found = divergence(logits, teacher, temperature)
    torch.testing.assert_close(found, plain, atol=1e-3, rtol=1e-3)
    assert divergence(teacher, teacher, temperature).abs() < 1e-4


def test_divergence_teaches_the_student_alone():
    logits, teacher = (torch.randn(3, 5, requires_grad=True) for _ in range(2))
    divergence(logits, teacher).backward()
    assert teacher.grad is None
    expected = (logits.softmax(-1) - teacher.softmax(-1)).detach()
    torch.testing.assert_close(logits.grad, expected, atol=1e-5, rtol=1e-4)


def test_hits_count_labels_that_are_the_likeliest():
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert hits(logits, torch.tensor([1, 0, 1])) == 2
    assert hits(logits, torch.tensor([1, -100, -100])) == 1


def test_losses_of_no_label_are_nothing():
    none, labels = torch.zeros(0, 5), torch.zeros(0, dtype=torch.long)
    assert surprise(none, labels) == divergence(none, none) == hits(none, labels) == 0


# Adapting


def learning(whisper):
    return {name for name, parameter in whisper.named_parameters() if parameter.requires_grad}


def wide(seed=0):
    """Two encoder layers, so that one can be free."""
    host = taught.host(seed, layers=2)
    encoder = host.whisper.model.encoder
    encoder.layers.append(copy.deepcopy(encoder.layers[0]))
    host.whisper.config.encoder_layers = 2
    return host


def layers(side, numbers):
    return {f"model.{side}.layers.{number}." for number in numbers}


@pytest.mark.parametrize(
    ("adapting", "low", "whole"),
    [
        (
            Adapting("lora", "lora", free=1, rank=2),
            layers("encoder", [0]) | layers("decoder", [0, 1]),
            layers("encoder", [1]) | {"model.encoder.layer_norm."},
        ),
        (
            Adapting("lora", "full", free=0, rank=2),
            layers("encoder", [0, 1]),
            layers("decoder", [0, 1]) | {"model.decoder.layer_norm."},
        ),
        (
            Adapting("full", "frozen"),
            set(),
            layers("encoder", [0, 1])
            | {"model.encoder.layer_norm.", "model.encoder.conv1.", "model.encoder.conv2."},
        ),
        (Adapting("frozen", "lora", rank=2), layers("decoder", [0, 1]), set()),
        (
            Adapting("frozen", "lora", rank=2, embeddings=True),
            layers("decoder", [0, 1]),
            {"model.decoder.embed_tokens."},
        ),
        (
            Adapting("lora", "frozen", free=2),
            set(),
            layers("encoder", [0, 1]) | {"model.encoder.layer_norm."},
        ),
    ],
)
def test_what_learns_is_what_was_asked_for(adapting, low, whole):
    whisper = wide().whisper
    before = {name for name, _ in whisper.named_parameters()}
    linear = {name for name, one in whisper.named_modules() if isinstance(one, torch.nn.Linear)}
    adapt(whisper, adapting, 0)
    found = learning(whisper)
    full = {name for name in before if name.startswith(tuple(whole))} if whole else set()
    assert {name for name in found if ".lora_" not in name} == full
    pairs = {name.split(".lora_")[0] for name in found if ".lora_" in name}
    assert pairs == {name for name in linear if low and name.startswith(tuple(low))}


@pytest.mark.parametrize(
    "adapting",
    [
        Adapting("lora", "lora", free=1, rank=2),
        Adapting("lora", "full", free=0, rank=3, alpha=5.0),
        Adapting("frozen", "lora", rank=2, embeddings=True),
        Adapting("full", "full"),
    ],
)
def test_an_adapter_merged_into_the_plain_host_says_what_the_trained_one_says(adapting):
    host, plain = wide(1), wide(1)
    before = copy.deepcopy(plain.whisper.state_dict())
    adapt(host.whisper, adapting, 0)
    with torch.no_grad():
        for parameter in host.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    adapter = learnt(host.whisper, AdapterConfig("somewhere", "0" * 64))
    state = dict(plain.whisper.state_dict())
    adapter.apply(state)
    plain.whisper.load_state_dict(state)
    sound = taught.mel(2, 1)
    with torch.no_grad():
        trained, merged = (
            one.logits(one.decode(TOKENS, Heard(one.hear(sound))).states) for one in (host, plain)
        )
        plain.whisper.load_state_dict(before)
        untrained = plain.logits(plain.decode(TOKENS, Heard(plain.hear(sound))).states)
    torch.testing.assert_close(trained, merged, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(trained, untrained, atol=0.1)


def test_an_adapter_holds_no_more_than_was_learnt():
    host = wide(2)
    adapt(host.whisper, Adapting("lora", "frozen", free=0, rank=2), 0)
    adapter = learnt(host.whisper, AdapterConfig("somewhere", "0" * 64))
    taught = sum(one.numel() for one in host.parameters() if one.requires_grad)
    assert sum(tensor.numel() for tensor in adapter.tensors.values()) == taught


def test_lora_counts_alpha_over_rank():
    host = wide(2)
    adapt(host.whisper, Adapting("frozen", "lora", rank=2, alpha=6.0), 0)
    layer = host.whisper.model.decoder.layers[0].fc1
    states, up, down = torch.randn(3, 16), torch.randn(32, 2), torch.randn(2, 16)
    with torch.no_grad():
        layer.lora_A["default"].weight.copy_(down)
        layer.lora_B["default"].weight.copy_(up)
        expected = layer.base_layer(states) + 3.0 * states @ down.T @ up.T
        torch.testing.assert_close(layer(states), expected, **CLOSE)


def test_lora_begins_as_nothing_and_by_the_seed():
    first, second, other = (wide(3) for _ in range(3))
    sound = taught.mel(2)
    with torch.no_grad():
        before = first.hear(sound)
        for host, seed in ((first, 0), (second, 0), (other, 1)):
            adapt(host.whisper, Adapting(rank=2), seed)
            torch.manual_seed(99)  # what was drawn since must not matter
        torch.testing.assert_close(first.hear(sound), before, **CLOSE)
    one, two, three = (
        [p for n, p in host.whisper.named_parameters() if "lora_A" in n]
        for host in (first, second, other)
    )
    assert all(map(torch.equal, one, two))
    assert not any(map(torch.equal, one, three))


def test_impossible_ways_to_learn_are_refused():
    with pytest.raises(UsageError, match="nothing would learn"):
        adapt(wide().whisper, Adapting("frozen", "frozen"), 0)
    with pytest.raises(UsageError, match="--free-layers 3: it has 2 layers") as caught:
        adapt(wide().whisper, Adapting(free=3), 0)
    assert caught.value.hint == "0 to 2"


def test_an_adapted_host_learns():
    host = wide(4)
    adapt(host.whisper, Adapting(rank=2), 0)
    heard = Heard(host.hear(taught.mel(2)))
    logits = host.logits(host.decode(TOKENS, heard).states)
    functional.cross_entropy(logits.flatten(0, 1), TOKENS.flatten()).backward()
    for name, parameter in host.named_parameters():
        moved = parameter.grad is not None and parameter.grad.abs().sum() > 0
        # LoRA's first matrix waits for its second, which begins as zeros; a key's bias is idle.
        assert moved == (parameter.requires_grad and "lora_A" not in name), name


def test_a_forced_host_keeps_transformers_names():
    host = taught.host(12)
    assert isinstance(host, ForcedHost)
    plain = {f"whisper.{name}" for name, _ in host.whisper.named_parameters()}
    assert {name for name, _ in host.named_parameters()} == plain
