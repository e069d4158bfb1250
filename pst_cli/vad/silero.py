"""The probability of a voice in each chunk of sound, by Silero VAD."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from functools import cache
from importlib.metadata import distribution
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pst_cli.types import Samples

CHUNK = 512  # samples; 32 ms, the only size the 16 kHz network takes
CONTEXT = 64  # samples of the chunk before, which it hears again


class Silero:
    """The network and its state; hears one stream from start to end.

    The scripted model wants one call a chunk, and the calls cost far more than the
    arithmetic: 83 times real time on one core. Only its LSTM looks back, so everything before
    and after runs over many chunks at once, with the same weights: 1100 times real time with
    batches of 312 chunks, every probability within 2e-5 (a test holds the two together).
    """

    def __init__(self) -> None:
        self._network: Any = _network()
        self._lstm = torch.nn.LSTM(128, 128)
        weights = self._network.decoder.rnn.state_dict()
        self._lstm.load_state_dict({f"{name}_l0": value for name, value in weights.items()})
        self._context = np.zeros(CONTEXT, np.float32)
        self._state: tuple[torch.Tensor, torch.Tensor] | None = None

    @torch.inference_mode()
    def hear(self, samples: Samples) -> list[float]:
        """One probability a chunk; a last chunk that is not full is filled with silence."""
        padding = np.zeros(-len(samples) % CHUNK, np.float32)
        heard = np.concatenate([self._context, samples, padding])
        self._context = heard[-CONTEXT:]
        chunks = torch.from_numpy(heard).unfold(0, CONTEXT + CHUNK, CHUNK)  # (chunks, samples)
        with _one_thread():
            return self._run(chunks)

    def _run(self, chunks: torch.Tensor) -> list[float]:
        features = self._network.encoder(self._network.run_extractors(chunks))  # (chunks, 128, 1)
        rows = features.permute(2, 0, 1).reshape(-1, 1, 128)  # (chunks, batch of one, 128)
        memory, self._state = self._lstm(rows, self._state)
        voice = self._network.decoder.decoder(memory.transpose(1, 2))  # (chunks, 1, 1)
        probabilities: list[float] = voice.flatten().tolist()
        return probabilities


@cache
def _network() -> Any:
    """The 16 kHz half of the packaged model; it keeps no state that is used here.

    The package is not imported: that would set the whole process to one thread, and its loader,
    whose every failed guess is caught bare, may take a Ctrl-C for one.
    """
    path = distribution("silero-vad").locate_file("silero_vad/data/silero_vad.jit")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit, that it is made in
        model: Any = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    return model.eval()._model


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread here, as many as before afterwards.

    The layers are so small that a second thread gains a third on idle cores; on busy ones the
    threads wait for each other: 21 times real time instead of 974.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
