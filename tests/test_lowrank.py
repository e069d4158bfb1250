"""Adapters cut down to a size: what is kept is what matters most, and the size is held."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from adapters import write_adapter
from checkpoints import write_checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from pst_cli.errors import ModelError, UsageError
from pst_cli.models.adapter import ADAPTER, Adapter, AdapterConfig
from pst_cli.models.compact import DOWN, UP, compact, restored
from pst_cli.models.lowrank import slim
from pst_cli.models.tensors import load_tensors, save_tensors
from pst_cli.weights import locate

torch.set_num_threads(1)  # tensors this small only lose by sharing
SHAPES = {"wide": (6, 20), "tall": (30, 5), "square": (12, 12)}


def changed(seed: int, ranks: dict[str, int]) -> tuple[Adapter, dict[str, torch.Tensor]]:
    """A host, and an adapter whose changes to its matrices have these ranks."""
    draw = torch.Generator().manual_seed(seed)
    host = {name: torch.randn(*shape, generator=draw) for name, shape in SHAPES.items()}
    host["bias"] = torch.randn(7, generator=draw)
    tensors = {"bias": host["bias"] + 1}
    for name, rank in ranks.items():
        out, into = SHAPES[name]
        left, right = (
            torch.randn(out, rank, generator=draw),
            torch.randn(rank, into, generator=draw),
        )
        tensors[name] = host[name] + left @ right
    return Adapter(AdapterConfig("host", "0"), tensors, {}), host


def bytes_of(adapter: Adapter, *, eight: bool) -> int:
    halves = {name: tensor.half() for name, tensor in adapter.tensors.items()}
    stored = compact(adapter.tensors) if eight else halves
    return sum(tensor.nbytes for tensor in stored.values())


def distance(adapter: Adapter, slimmed: Adapter, host: dict[str, torch.Tensor]) -> float:
    """The share of the squared change that is lost where both are merged."""
    wanted, found = dict(host), dict(host)
    adapter.apply(wanted)
    slimmed.apply(found)
    lost = sum(float(((wanted[name] - found[name]) ** 2).sum()) for name in SHAPES)
    return lost / sum(float(((wanted[name] - host[name]) ** 2).sum()) for name in SHAPES)


@given(seed=st.integers(0, 20), size=st.integers(14, 3000), eight=st.booleans())
@settings(max_examples=60)
def test_the_size_is_held_and_what_is_kept_is_told_truly(seed, size, eight):
    adapter, host = changed(seed, {"wide": 6, "tall": 5, "square": 9})
    found = slim(adapter, host, size, eight=eight)
    assert bytes_of(found.adapter, eight=eight) <= size
    assert distance(adapter, found.adapter, host) == pytest.approx(1 - found.kept, abs=1e-4)
    assert torch.equal(found.adapter.tensors["bias"], adapter.tensors["bias"])


@given(seed=st.integers(0, 20), size=st.integers(14, 2000))
@settings(max_examples=20)
def test_more_room_never_keeps_less(seed, size):
    adapter, host = changed(seed, {"wide": 6, "tall": 5, "square": 9})
    assert slim(adapter, host, size).kept <= slim(adapter, host, size + 200).kept + 1e-9


def test_a_change_of_low_rank_is_kept_whole_in_few_bytes():
    adapter, host = changed(1, {"wide": 1, "square": 2})
    found = slim(adapter, host, 2 * (7 + (6 + 20) + 2 * (12 + 12)))
    assert found.kept == pytest.approx(1.0, abs=1e-6)
    assert distance(adapter, found.adapter, host) < 1e-6
    ranks = {name: len(found.adapter.tensors[name + DOWN]) for name in ("wide", "square")}
    assert ranks == {"wide": 1, "square": 2}


def test_in_8_bits_pairs_and_matrices_are_what_they_were_but_for_a_rounding():
    adapter, host = changed(3, {"wide": 6, "tall": 5, "square": 9})
    pairs = slim(adapter, host, 10_000).adapter
    # Directions of any strength: a weak one is as exact as a strong one.
    pairs.tensors["square" + UP][:, -1] *= 1e-4
    for one in (adapter, pairs):
        stored = compact(one.tensors)
        assert sum(tensor.dtype == torch.int8 for tensor in stored.values()) == sum(
            tensor.ndim == 2 for tensor in one.tensors.values()
        )
        again = restored(stored)
        assert again.keys() == one.tensors.keys()
        for name, tensor in one.tensors.items():
            rows = tensor.T if name.endswith(UP) else tensor
            most = rows.abs().amax(-1, keepdim=True) if tensor.ndim == 2 else tensor.abs()
            off = (again[name] - tensor).abs()
            assert bool(((off.T if name.endswith(UP) else off) <= most / 250).all())


def test_what_was_once_in_8_bits_stays_as_it_is():
    adapter, _ = changed(4, {"wide": 6, "tall": 5})
    once = restored(compact(adapter.tensors))
    twice = restored(compact(once))
    for name, tensor in once.items():
        torch.testing.assert_close(twice[name], tensor, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("scale", [None, torch.ones(3)])
def test_8_bits_without_their_scale_are_refused(tmp_path, scale):
    adapter, _ = changed(5, {"wide": 6})
    adapter.save(tmp_path, torch.int8)
    tensors = load_tensors(tmp_path / ADAPTER)
    del tensors["wide.scale"]
    save_tensors(tensors | ({} if scale is None else {"wide.scale": scale}), tmp_path / ADAPTER)
    with pytest.raises(ModelError, match="a scale is amiss"):
        Adapter.load(tmp_path)


def test_pairs_that_are_there_already_are_changes_like_any_other():
    adapter, host = changed(2, {"wide": 2})
    draw = torch.Generator().manual_seed(2)
    pair = {
        "tall" + DOWN: torch.randn(3, 5, generator=draw),
        "tall" + UP: torch.randn(30, 3, generator=draw),
    }
    both = Adapter(adapter.config, {**adapter.tensors, **pair}, {})
    roomy = slim(both, host, 10_000)
    assert roomy.kept == pytest.approx(1.0)
    assert len(roomy.adapter.tensors["tall" + DOWN]) == 3
    assert distance(both, roomy.adapter, host) < 1e-6

    size = bytes_of(roomy.adapter, eight=False) - 1
    tight = slim(both, host, size)
    assert bytes_of(tight.adapter, eight=False) <= size
    assert tight.kept == pytest.approx(1 - distance(both, tight.adapter, host), abs=1e-5)
    assert tight.kept < 1


def test_a_size_that_cannot_be_held_is_refused():
    adapter, host = changed(6, {"wide": 2})
    with pytest.raises(UsageError, match="--size"):
        slim(adapter, host, 13)  # a bias takes 14 bytes


def test_a_size_is_not_cut_from_the_weights_of_another_host(pst, tmp_path, talking_checkpoint):
    other = write_checkpoint(tmp_path / "other")
    adapted = write_adapter(talking_checkpoint, tmp_path / "adapter")
    config = json.loads((adapted / "config.json").read_text("utf-8"))
    config["pst"]["adapter"]["host"] = os.path.relpath(other, adapted)
    (adapted / "config.json").write_text(json.dumps(config), "utf-8")
    done = pst("export", adapted, "--format", "adapter", "--size", 1, "-o", tmp_path / "small")
    assert done.code == 1
    assert "wrong host for the adapter" in done.err


@pytest.mark.parametrize(("numbers", "atol"), [((), 2e-3), (("--quantization", "int8"), 2e-2)])
def test_an_adapter_is_exported_as_a_smaller_one_that_loads(
    pst, tmp_path, talking_checkpoint, numbers, atol
):
    adapted, output = write_adapter(talking_checkpoint, tmp_path / "adapter"), tmp_path / "small"
    size = (adapted / "adapter.safetensors").stat().st_size / 1e6 + 0.1
    asked = ("--format", "adapter", "--size", size, *numbers, "--output", output)
    done = pst("export", adapted, *asked)
    assert done.code == 0, done.err
    assert "100.0% of what changed is kept" in done.err
    theirs, ours = (locate(str(folder), Path).state() for folder in (adapted, output))
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, atol=atol, rtol=1e-2)
    assert pst("models", "verify", output).code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "adapter"], "goes with --size or --host"),
        (["--size", "1"], "goes with --size or --host"),
        (["--quantization", "int8"], "is of CTranslate2, and of adapters int8"),
        (["--format", "adapter", "--size", "1", "--quantization", "float16"], "of adapters int8"),
    ],
)
def test_size_and_adapter_belong_together(pst, tmp_path, options, said):
    done = pst("export", "base", *options, "--output", tmp_path / "small")
    assert (done.code, said in done.err) == (2, True)


def test_a_whole_model_cannot_be_cut_down(pst, tmp_path, talking_checkpoint):
    output = tmp_path / "small"
    done = pst(
        "export", talking_checkpoint, "--format", "adapter", "--size", "1", "--output", output
    )
    assert done.code == 2
    assert "only an adapter" in done.err
    assert not output.exists()
