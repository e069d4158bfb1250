"""Adapters that come with pst: named like any model, found in its package, checked, kept."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from adapters import LEARNT, write_adapter
from checkpoints import SENTENCE

import pst_cli
from pst_cli import store
from pst_cli.commands import options
from pst_cli.commands.bench import BenchOptions
from pst_cli.commands.evaluate import EvaluateOptions
from pst_cli.commands.translate import TranslateOptions
from pst_cli.errors import StoreError, UsageError
from pst_cli.models.adapter import Adapter, read_adapter_config
from pst_cli.models.host import ability, declared
from pst_cli.store import hub, layout, names, shelf, shipped

ROOT = Path(pst_cli.__file__).parents[1]
LARGEST = 30 * 2**20  # bytes of a shipped adapter
NAME = "base-m2m"
REALLY = {name: shipped.FOLDER / name for name in shipped.names()}
TOLD = {  # what only a run of pst is asked
    "export": ("export", NAME, "--output", "out"),
    "prune": ("prune", NAME, "--decoder-layers", 1, "--output", "out"),
    "bench": ("bench", "speech.wav", "--model", NAME, "--rounds", 1),
    "evaluate": ("evaluate", "dev.jsonl", "--model", NAME),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory, talking_checkpoint):
    """A folder of shipped adapters with one for base, which is the talking checkpoint here."""
    folder = tmp_path_factory.mktemp("package") / "pst_cli" / "shipped"
    write_adapter(talking_checkpoint, folder / NAME, "base")
    (folder / NAME / "README.md").write_text("# base-m2m\n")
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch, pst):
    """A copy of it that pst takes for its own, and no weights on this disk but those."""
    from huggingface_hub import constants

    mine = shutil.copytree(made, tmp_path / "package" / "pst_cli" / "shipped")
    monkeypatch.setattr(shipped, "FOLDER", mine)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return mine / NAME


@pytest.fixture
def land(pst):
    """Puts a checkpoint into the store, as `base`."""

    def put(checkpoint: Path) -> Path:
        work = shelf.partial("base.made")
        shutil.copytree(checkpoint, work, ignore=lambda *_: {"origin", "saved"})
        return shelf.land(work, "base", shelf.Origin("base", "a test"))

    return put


@pytest.fixture
def host(land, talking_checkpoint):
    return land(talking_checkpoint)


@pytest.fixture
def hub_has_base(monkeypatch, land, talking_checkpoint):
    """A hub that sends the talking checkpoint for base; the list of what was asked of it."""
    asked = []

    def fetch(name, progress):
        asked.append(name.label)
        return land(talking_checkpoint)

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(hub, "fetch", fetch)
    return asked


def spoil(path: Path) -> None:
    """Change the last bit of a file."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


# Its name


def test_a_shipped_name_comes_before_a_directory_as_stock_names_do(folder, host):
    for name in (NAME, "base"):
        Path(name).mkdir()
    assert store.resolve(NAME) == store.path(NAME) == folder
    assert store.resolve("base") == host
    with pytest.raises(StoreError, match="no Whisper weights"):
        store.resolve(f"./{NAME}")


def test_where_nothing_is_shipped_the_name_means_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "nowhere")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no weights are called 'base-m2m'; near: base"):
        names.parse(NAME)
    (tmp_path / NAME).mkdir()
    assert names.parse(NAME) == names.LocalName(NAME, tmp_path / NAME)


@pytest.mark.parametrize("typed", ["base-m2n", "base-m2", "Base-M2M", "whisper-base-m2m"])
def test_a_slip_is_answered_with_the_shipped_name(folder, typed):
    with pytest.raises(UsageError) as caught:
        names.parse(typed)
    assert caught.value.hint == f"pst download {NAME}"


@pytest.mark.parametrize("name", ["", ".", "..", "../shipped", f"{NAME}/kvspn", "__pycache__"])
def test_no_name_leads_elsewhere_in_the_package(folder, name):
    (folder / "kvspn").mkdir()
    (folder.parent / "__pycache__").mkdir()
    assert shipped.find(name) is None


# Where a model is named


def test_it_translates_with_its_host_merged(pst, speech, folder, host):
    done = pst("translate", speech, "--to", "fr", "--model", NAME, "--offline")
    assert (done.code, done.out) == (0, f"{LEARNT}\n")
    assert f"model {NAME}" in done.err
    assert "not trained" not in done.err


def test_stock_base_stays_what_it_was(pst, speech, folder, host):
    done = pst("translate", speech, "--to", "fr", "--from", "de", "--model", "base", "--offline")
    assert (done.code, done.out) == (0, f"{SENTENCE}\n")
    assert "this host was not trained to translate de into fr" in done.err


@pytest.mark.parametrize("command", TOLD)
def test_every_command_knows_it(pst, speech, folder, host, command):
    shutil.copy(speech, "speech.wav")
    line = {"audio": "speech.wav", "language": "de", "text": "x", "translations": {"fr": "y"}}
    Path("dev.jsonl").write_text(json.dumps(line) + "\n")
    done = pst(*TOLD[command], "--offline")
    assert done.code == 0, done.err


def test_training_knows_it_too(pst, speech, folder, host):
    line = {"audio": str(speech), "language": "de", "text": "x", "translations": {"fr": "y"}}
    Path("train.jsonl").write_text(json.dumps(line) + "\n")
    asked = ("train", "host", "train.jsonl", "--output", "run", "--offline", "--device", "cpu")
    done = pst(*asked, "--model", NAME, "--steps", "1")
    assert done.code == 0, done.err
    assert read_adapter_config(Path("run")).host == "base"  # what was learnt upon it is one of base
    assert "It is an adapter for `base` (" in Path("run/README.md").read_text()


def test_it_drafts(pst, speech, folder, host):
    asked = ("translate", speech, "--to", "en", "--model", "base", "--draft-model", NAME)
    done = pst(*asked, "--offline")
    assert (done.code, done.out) == (0, f"{SENTENCE}\n")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--to", "fr"), LEARNT),
        (("--to", "en", "--from", "de"), LEARNT),
        (("--to", "de", "--from", "de"), SENTENCE),
        (("--to", "en"), SENTENCE),
        (("--to", "fr", "--model", "base"), SENTENCE),
    ],
)
def test_where_none_is_named_it_translates_and_stock_base_transcribes(
    pst, speech, folder, host, asked, said
):
    done = pst("translate", speech, *asked, "--offline")
    assert (done.code, done.out) == (0, f"{said}\n")
    assert f"model {NAME if said == LEARNT else 'base'}, " in done.err


def test_the_same_is_measured(pst, speech, folder, host):
    for target, named in (("fr", NAME), ("en", "base")):
        done = pst("bench", speech, "--to", target, "--rounds", 1, "--json", "--offline")
        assert json.loads(done.out)["host"] == named
    lines = [
        {"audio": str(speech), "language": "de", "text": "x", "translations": {"fr": "y"}},
        {"audio": str(speech), "language": "de", "text": "x", "translations": {}},
    ]
    for line, named in zip(lines, (NAME, "base"), strict=True):
        Path("dev.jsonl").write_text(json.dumps(line) + "\n")
        done = pst("evaluate", "dev.jsonl", "--json", "--offline")
        assert json.loads(done.out)["model"] == named


@pytest.mark.parametrize("kind", [TranslateOptions, BenchOptions, EvaluateOptions])
def test_what_is_measured_is_what_translates(kind):
    assert kind.model == options.AUTO


def test_offline_without_its_host_names_the_download_that_brings_it(pst, speech, folder):
    done = pst("translate", speech, "--to", "fr", "--model", NAME, "--offline")
    assert (done.code, done.out) == (1, "")
    error, hint = done.err.splitlines()
    assert f"the adapter {NAME} lacks its host: no weights for base" in error
    assert hint == f"  hint: with a network, run `pst download {NAME}`"


def test_a_damaged_host_is_fetched_anew_by_the_name_that_was_asked(pst, speech, folder, host):
    with (host / "model.safetensors").open("ab") as file:
        file.write(b"!")
    done = pst("translate", speech, "--to", "fr", "--model", NAME, "--offline")
    assert done.code == 1
    assert f"pst download {NAME} --force" in done.err


def test_a_shipped_adapter_that_is_cut_off_is_installed_again(pst, speech, folder, host):
    weights = folder / layout.ADAPTER
    weights.write_bytes(weights.read_bytes()[:-10])
    done = pst("translate", speech, "--to", "fr", "--model", NAME, "--offline")
    assert done.code == 1
    assert f"{weights} is damaged" in done.err
    assert "install pst again" in done.err


# pst download


def test_download_brings_the_host_and_says_so(pst, folder, hub_has_base):
    done = pst("download", NAME)
    assert (done.code, done.out) == (0, f"{folder}\n")
    where = shelf.folder("base")
    assert done.err == f"pst: {NAME} is an adapter for base, which is here too: {where}\n"
    assert pst("download", NAME).out == f"{folder}\n"
    assert hub_has_base == ["base"]  # what is here already is not asked for again


def test_force_fetches_the_host_anew(pst, folder, host, hub_has_base):
    assert pst("download", NAME, "--force").code == 0
    assert hub_has_base == ["base"]


def test_download_of_an_adapter_of_ones_own_brings_its_host_too(pst, folder, hub_has_base):
    own = shutil.copytree(folder, "own")
    done = pst("download", "./own")
    assert (done.code, done.out) == (0, f"{Path(own).resolve()}\n")
    assert hub_has_base == ["base"]


def test_a_host_that_cannot_be_had_fails_the_download(pst, folder, monkeypatch):
    monkeypatch.setattr(hub, "switched_off", lambda: True)
    monkeypatch.setattr("pst_cli.store.wheels.SERVES", "nothing")
    done = pst("download", NAME)
    assert (done.code, done.out) == (1, "")
    assert f"the adapter {NAME} lacks its host" in done.err


def test_download_of_whole_weights_loads_nothing_heavy(talking_checkpoint):
    code = (
        "import sys, atexit; atexit.register(lambda: print('torch' in sys.modules));"
        f"sys.argv = ['pst', 'download', {str(talking_checkpoint)!r}];"
        "from pst_cli.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == f"{talking_checkpoint}\nFalse\n", done.stderr


# pst models


def test_the_list_says_that_it_is_in_the_package(pst, folder):
    lines = pst("models", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == [*names.KNOWN, NAME]
    assert lines[-1].endswith(f"{folder}  (in the package)")


def test_its_path_is_in_the_package(pst, folder):
    assert pst("models", "path", NAME).out == f"{folder}\n"


def test_it_cannot_be_removed(pst, folder):
    done = pst("models", "rm", NAME)
    assert done.code == 1
    assert done.err.splitlines()[0] == (
        f"pst: error: {NAME} is a part of pst and stays while pst is installed"
    )
    assert (folder / layout.ADAPTER).is_file()


@pytest.mark.parametrize("named", [(NAME,), ()])
def test_it_is_sound_with_its_host_and_without_one(pst, folder, land, talking_checkpoint, named):
    assert pst("models", "verify", *named).code == 0
    land(talking_checkpoint)
    done = pst("models", "verify", *named)
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("named", [(NAME,), ()])
def test_another_host_under_its_hosts_name_is_found(pst, folder, land, tiny_checkpoint, named):
    land(tiny_checkpoint)
    done = pst("models", "verify", *named)
    assert done.code == 1
    assert "wrong host for the adapter: it belongs to base" in done.err


def test_a_landed_adapter_is_held_against_its_host_too(pst, folder, land, tiny_checkpoint):
    work = shutil.copytree(folder, shelf.partial("work"))
    shelf.land(work, "me--adapter", shelf.Origin("me/adapter", "a test"))
    assert pst("models", "verify", "me/adapter").code == 0
    land(tiny_checkpoint)
    done = pst("models", "verify", "me/adapter")
    assert done.code == 1
    assert "wrong host for the adapter" in done.err


def install(package: Path, directory: Path) -> None:
    """Note the digests of all files below `package`, as an installer does, in `directory`."""
    info = directory / "pst_cli-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pst_cli\nVersion: 1\n")
    lines = []
    for path in sorted(package.rglob("*")):
        if path.is_file():
            digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest())
            name = path.relative_to(directory).as_posix()
            lines.append(f"{name},sha256={digest.decode().rstrip('=')},{path.stat().st_size}")
    (info / "RECORD").write_text("\n".join(lines) + "\n")


@pytest.fixture
def installed(folder, monkeypatch):
    """The folder, in a package whose installer noted what it wrote."""
    package = folder.parents[1]
    install(package, package.parent)
    monkeypatch.syspath_prepend(package.parent)
    return folder


def test_as_installed_it_is_sound(pst, installed):
    assert pst("models", "verify").code == 0


@pytest.mark.parametrize("file", ["adapter.safetensors", "config.json", "README.md"])
def test_one_changed_bit_is_found_by_what_the_installer_noted(pst, installed, file):
    spoil(installed / file)
    done = pst("models", "verify", NAME)
    assert done.code == 1
    assert f"{installed / file} is damaged: its sha256 is not the one it was installed" in done.err
    assert "install pst again" in done.err


def test_a_file_that_is_gone_is_found_by_what_the_installer_noted(pst, installed):
    (installed / "README.md").unlink()
    done = pst("models", "verify", NAME)
    assert done.code == 1
    assert "README.md is damaged: it is gone" in done.err


def test_what_another_installed_pst_noted_is_not_held_against_a_checkout(
    pst, installed, tmp_path, monkeypatch
):
    spoil(installed / layout.ADAPTER)
    checkout = shutil.copytree(installed.parent, tmp_path / "checkout")
    monkeypatch.setattr(shipped, "FOLDER", checkout)
    assert pst("models", "verify", NAME).code == 0


# What is built


@pytest.fixture(scope="module")
def tree(tmp_path_factory, made):
    """This tree with the made adapter, a drafter beside it, shipped."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "README.md", "LICENSE", "man", ".gitignore"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tree / name)
    unwanted = shutil.ignore_patterns("__pycache__", "shipped")
    shutil.copytree(ROOT / "pst_cli", tree / "pst_cli", ignore=unwanted)
    shutil.copytree(made, tree / "pst_cli" / "shipped")
    drafter = tree / "pst_cli" / "shipped" / NAME / "kvspn"
    drafter.mkdir()
    (drafter / "config.json").write_text("{}")
    return tree


def build(tree: Path, kind: str) -> Path:
    """The wheel or sdist of `tree`, by the back end that pyproject.toml names."""
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(tree / kind)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = (tree / kind).iterdir()
    return built


FILES = {
    f"pst_cli/shipped/{NAME}/{name}"
    for name in ("adapter.safetensors", "config.json", "README.md", "kvspn/config.json")
}


def test_an_installed_wheel_finds_what_was_shipped_in_it(tree, tmp_path):
    with zipfile.ZipFile(build(tree, "wheel")) as wheel:
        assert set(wheel.namelist()) >= FILES
        wheel.extractall(tmp_path / "site")
    code = (
        "import sys; sys.path.insert(0, 'site'); from pst_cli import store;"
        f"print(store.resolve({NAME!r}), store.verify({NAME!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    where = tmp_path / "site" / "pst_cli" / "shipped" / NAME
    assert done.stdout == f"{where} ()\n", done.stderr
    spoil(where / "README.md")
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert "README.md is damaged" in done.stdout


def test_an_sdist_holds_what_is_shipped(tree):
    with tarfile.open(build(tree, "sdist")) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert held >= FILES


# What is really shipped, and what is told of it


def test_what_is_shipped_is_asked_for_by_name_and_what_translates_is_shipped():
    assert set(REALLY) <= set(options.NAMES)
    assert options.TRANSLATOR in REALLY
    assert options.TRANSCRIBER in names.KNOWN


@pytest.mark.parametrize("name", [name for name in REALLY if name.endswith("-fast")])
def test_a_fast_one_is_a_student_of_the_one_it_is_named_after(name):
    named = name.removesuffix("-fast")
    fast, teacher = (Adapter.load(REALLY[one]) for one in (name, named))
    taught_by = fast.model["pst"]["teacher"]
    if taught_by != teacher.fingerprint:  # it has learnt on since: both cards say from what
        for one in (name, named):
            card = (REALLY[one] / "README.md").read_text("utf-8")
            assert f"| began from | {named} (fingerprint `{taught_by}`) |" in card
    assert fast.model["decoder_layers"] < teacher.model["decoder_layers"]
    assert fast.config.sha256 == teacher.config.sha256


def test_the_page_names_the_default_model():
    page = (ROOT / "man" / "pst.1").read_text("utf-8").replace("\\-", "-")
    assert f"The default is {options.AUTO}" in page


@pytest.mark.parametrize("name", REALLY)
def test_what_is_shipped_is_small_whole_and_says_what_it_can_do_in_a_card(name):
    folder = REALLY[name]
    assert shipped.check(folder) == folder
    assert (folder / layout.ADAPTER).stat().st_size <= LARGEST
    config = read_adapter_config(folder)
    assert config.host in names.KNOWN
    assert len(config.sha256) == len(hashlib.sha256().hexdigest())
    assert config.ability == declared(ability(folder))
    assert name in (folder / "README.md").read_text("utf-8")
