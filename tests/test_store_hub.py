"""Weights come from a hub (one of this test's own, over HTTP) whole or not at all."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
import time

import pytest

from pst_cli import store
from pst_cli.errors import StoreError
from pst_cli.store import hub, tensorfile

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = "someone/whisper-mine"


def safetensors_bytes(tmp_path, count=50_000):
    import numpy as np

    values = np.arange(count, dtype=np.float32)
    tensor = tensorfile.Tensor("weight", values.dtype, values.shape, lambda: values)
    tensorfile.write(tmp_path / "made", [tensor], lambda done, total: None)
    return (tmp_path / "made").read_bytes()


class FakeHub:
    """Serves one model; `cut` ends the connection after so many bytes of weights, once each."""

    def __init__(self, files):
        self.files = files
        self.requests = []
        self.cut = []
        self.listed_sha256 = {}
        self.status = 200
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def listing(self):
        siblings = []
        for name, data in self.files.items():
            sibling = {"rfilename": name, "size": len(data), "blobId": "0" * 40}
            if name.endswith((".safetensors", ".bin")):
                digest = self.listed_sha256.get(name, hashlib.sha256(data).hexdigest())
                sibling["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 134}
            siblings.append(sibling)
        return json.dumps({"id": MODEL, "sha": COMMIT, "siblings": siblings}).encode()

    def _handler(self):
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                fake.requests.append((self.path, self.headers.get("Range")))
                if fake.status != 200:
                    self.send_error(fake.status)
                elif self.path.startswith("/api/models/"):
                    self.answer(200, fake.listing())
                else:
                    _, path = self.path.split(f"/{COMMIT}/")
                    self.file(fake.files[path])

            def file(self, data):
                asked = self.headers.get("Range")
                start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
                cut = len(data)
                if fake.cut and self.path.endswith(".safetensors"):
                    cut = fake.cut.pop(0)
                self.answer(206 if asked else 200, data[start:], data[start : start + cut])

            def answer(self, status, promised, sent=None):
                self.send_response(status)
                self.send_header("Content-Length", str(len(promised)))
                self.end_headers()
                self.wfile.write(promised if sent is None else sent)

            def log_message(self, *args):
                pass

        return Handler

    def asked_for(self, name):
        return [span for path, span in self.requests if path.endswith(f"/{name}")]


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setenv("PST_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fake(tmp_path, monkeypatch):
    cards = ("config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json")
    files = dict.fromkeys(cards, b"{}")
    made = FakeHub(files | {"model.safetensors": safetensors_bytes(tmp_path), "README.md": b"hi"})
    monkeypatch.setenv("HF_ENDPOINT", made.url)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_model_lands_whole_with_its_commit_and_digests(fake):
    path = store.resolve(MODEL)
    record = json.loads((path / "pst.json").read_bytes())
    assert (path / "model.safetensors").read_bytes() == fake.files["model.safetensors"]
    assert record["revision"] == COMMIT
    assert {file["name"] for file in record["files"]} == set(fake.files) - {"README.md"}
    assert store.verify(MODEL) == ()


def test_a_landed_model_is_not_asked_for_again(fake):
    path = store.resolve(MODEL)
    seen = len(fake.requests)
    assert store.resolve(MODEL) == path
    assert len(fake.requests) == seen


def test_force_fetches_again(fake):
    store.resolve(MODEL)
    store.download(MODEL, force=True)
    assert len(fake.asked_for("model.safetensors")) == 2


def test_a_short_name_asks_for_its_pinned_revision(fake):
    store.resolve("tiny")
    first = fake.requests[0][0]
    assert "openai/whisper-tiny/revision/169d4a4341b33bc18d8881c4b69c2e104e1cc0af" in first


def test_a_broken_download_goes_on_where_it_stopped(fake):
    fake.cut = [30_000]
    path = store.resolve(MODEL)
    assert fake.asked_for("model.safetensors") == [None, "bytes=30000-"]
    assert store.verify(MODEL) == ()
    assert path.is_dir()


def test_a_later_run_resumes_what_an_earlier_one_left(fake):
    fake.cut = [10_000, 10_000, 10_000]
    with pytest.raises(StoreError):
        store.resolve(MODEL)
    store.resolve(MODEL)
    assert fake.asked_for("model.safetensors")[-1] == "bytes=30000-"
    assert store.verify(MODEL) == ()


def test_progress_counts_to_the_size_of_the_file(fake):
    told = []
    store.resolve(MODEL, progress=lambda what, done, total: told.append((what, done, total)))
    size = len(fake.files["model.safetensors"])
    assert ("model.safetensors", size, size) in told


def test_wrong_bytes_do_not_land_and_are_not_kept(fake, tmp_path):
    fake.listed_sha256["model.safetensors"] = "0" * 64
    with pytest.raises(StoreError, match=r"model\.safetensors arrived damaged"):
        store.resolve(MODEL)
    assert not list((tmp_path / "home").rglob("*.safetensors"))


def test_sharded_weights_come_with_their_index_and_without_float32_duplicates(fake):
    data = fake.files.pop("model.safetensors")
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = {"weight_map": dict(zip("ab", names, strict=True))}
    fake.files["model.safetensors.index.json"] = json.dumps(index).encode()
    fake.files |= dict.fromkeys(names, data)
    fake.files["model.fp32-00001-of-00002.safetensors"] = b"twice the size"
    path = store.resolve(MODEL)
    assert {file.name for file in path.glob("*.safetensors")} == set(names)


def test_a_model_of_pickles_only_is_refused(fake):
    fake.files["pytorch_model.bin"] = fake.files.pop("model.safetensors")
    with pytest.raises(StoreError, match="does not open pickles"):
        store.resolve(MODEL)


def test_a_model_the_hub_does_not_have_is_said_to_be_missing(fake):
    fake.status = 404
    with pytest.raises(StoreError, match=MODEL):
        store.resolve(MODEL)


def test_a_hub_in_trouble_is_quoted_by_its_status(fake):
    fake.status = 403
    with pytest.raises(StoreError, match="answered 403"):
        store.resolve(MODEL)


def test_an_unreachable_hub_costs_seconds_and_says_what_was_tried(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:9 cannot be reached") as caught:
        store.resolve("tiny")
    assert time.monotonic() - begun < 2
    assert caught.value.hint == "with a network, run `pst download tiny`"


def test_a_silent_hub_costs_no_more_than_the_timeout(monkeypatch):
    import socket

    monkeypatch.setattr(hub, "ANSWER_TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        begun = time.monotonic()
        with pytest.raises(StoreError, match="cannot be reached"):
            store.resolve("tiny")
    assert time.monotonic() - begun < 2


def test_a_hub_switched_off_by_the_environment_is_not_asked(fake, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(StoreError, match="the hub: switched off by HF_HUB_OFFLINE") as caught:
        store.resolve(MODEL)
    assert "unset HF_HUB_OFFLINE" in caught.value.hint
    assert fake.requests == []


def test_an_address_may_end_in_a_slash(fake, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"{fake.url}/")
    store.resolve(MODEL)
    assert not [path for path, _ in fake.requests if path.startswith("//")]


@pytest.mark.parametrize("name", ["tokenizer.json", "generation_config.json"])
def test_what_cannot_be_used_is_not_fetched(fake, name):
    del fake.files[name]
    with pytest.raises(StoreError, match=f"has no {name}"):
        store.resolve(MODEL)
    assert not fake.asked_for("model.safetensors")


def test_the_hubs_own_cache_is_used_where_it_is_complete(fake, tmp_path):
    snapshot = tmp_path / "cache" / "models--someone--whisper-mine" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text(COMMIT)
    for name, data in fake.files.items():
        (snapshot / name).write_bytes(data)
    assert store.resolve(MODEL, offline=True) == snapshot
    assert store.path(MODEL) == snapshot
    (snapshot / "tokenizer.json").unlink()
    assert store.resolve(MODEL) != snapshot


def test_what_the_hubs_own_cache_names_by_its_sum_is_held_against_it(fake, tmp_path):
    repository = tmp_path / "cache" / "models--someone--whisper-mine"
    snapshot, blobs = repository / "snapshots" / COMMIT, repository / "blobs"
    for folder in (snapshot, blobs, repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    for name, data in fake.files.items():
        blob = blobs / (hashlib.sha256(data).hexdigest() if len(data) > 100 else "0" * 40)
        blob.write_bytes(data)
        (snapshot / name).symlink_to(blob)
    assert store.verify(MODEL) == ()
    weights = (snapshot / "model.safetensors").resolve()
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    (fault,) = store.verify(MODEL)
    assert "model.safetensors is damaged: its sha256 is not the one" in fault.message
    assert str(weights) in fault.hint
    weights.unlink()
    (fault,) = hub.faults(snapshot, lambda what, done, total: None)
    assert "model.safetensors is gone from" in fault.message


def test_drafters_beside_the_weights_are_fetched_too(fake):
    beside = {"student/config.json": b"{}", "student/adapter.safetensors": b"student"}
    fake.files |= beside
    path = store.resolve(MODEL)
    assert {name: (path / name).read_bytes() for name in beside} == beside


def test_two_at_once_fetch_once(fake):
    found = []
    threads = [threading.Thread(target=lambda: found.append(store.resolve(MODEL))) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert found[0] == found[1]
    assert len(fake.asked_for("model.safetensors")) == 1
