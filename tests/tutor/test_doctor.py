"""The doctor: every kind of trouble is found, and comes with its remedy."""

import sys

import pytest
from learner import LAB, built_fixture, learner_fixture, release_fixture  # noqa: F401

from mechinterp_course.tutor import doctor, notebook, torch_build


def only(findings):
    (finding,) = list(findings)
    return finding


@pytest.mark.kernel
def test_in_order_everything_is_good_or_a_note(learner):
    found = list(doctor.examine())
    assert [f for f in found if f.state == "broken"] == []
    assert {"Python", "packages", "torch", "disk", "models", "notebooks", "workspace", "kernel"} <= {
        f.about for f in found
    }


def test_an_old_and_a_newer_python(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 2, "final", 0))
    assert only(doctor._python()).state == "broken"
    monkeypatch.setattr(sys, "version_info", (3, 19, 0, "final", 0))
    assert only(doctor._python()).state == "note"


def test_a_package_that_is_missing_or_too_old(monkeypatch):
    versions = {"torch": None, "plotly": "1.0"}
    monkeypatch.setattr(
        doctor, "_version", lambda name: versions.get(name, "99999" if name == "x" else doctor_version(name))
    )
    found = only(doctor._packages())
    assert found.state == "broken"
    assert "torch is missing" in found.says and "plotly is 1.0, needed >=" in found.says
    assert "pip install" in found.remedy


doctor_version = doctor._version


def fake_torch(monkeypatch, tmp_path, cuda, gpu):
    folder = tmp_path / "site" / "torch"
    folder.mkdir(parents=True)
    (folder / "version.py").write_text(
        f"__version__ = '2.13.0'\ncuda: Optional[str] = {cuda!r}\nhip: Optional[str] = None\n"
    )
    (tmp_path / "site" / "nvidia").mkdir()
    (tmp_path / "site" / "nvidia" / "libcublas.so").write_bytes(b"0" * 200_000_000)

    class Spec:
        submodule_search_locations = [str(folder)]

    monkeypatch.setattr(torch_build.importlib.util, "find_spec", lambda name: Spec)
    monkeypatch.setattr(torch_build, "has_gpu", lambda: gpu)
    monkeypatch.setattr(torch_build, "_companions", lambda: ("nvidia-cublas", "triton"))


def test_a_cuda_build_without_a_gpu_says_what_it_costs_and_how_to_change_it(monkeypatch, tmp_path):
    fake_torch(monkeypatch, tmp_path, "12.8", gpu=False)
    found = only(doctor._torch())
    assert found.state == "note"
    assert "built for CUDA 12.8, but there is no NVIDIA GPU here" in found.says
    assert "takes 0.2 GB of disk" in found.says
    assert "whl/cpu" in found.remedy and "pip uninstall -y torch nvidia-cublas triton" in found.remedy


@pytest.mark.parametrize(
    ("cuda", "gpu", "says"), [(None, False, "built for the CPU"), ("12.8", True, "there is a GPU")]
)
def test_a_build_that_fits(monkeypatch, tmp_path, cuda, gpu, says):
    fake_torch(monkeypatch, tmp_path, cuda, gpu)
    found = only(doctor._torch())
    assert found.state == "good" and says in found.says


def test_a_full_disk(monkeypatch):
    class Usage:
        free = 50_000_000

    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: Usage)
    assert only(doctor._disk()).state == "broken"
    Usage.free = 1_000_000_000
    assert only(doctor._disk()).state == "note"


def test_missing_models_and_notebooks(monkeypatch, tmp_path, release):
    monkeypatch.setattr(doctor, "PACKAGE", tmp_path)
    assert only(doctor._models()).state == "broken"
    (release / LAB).unlink()
    found = only(doctor._notebooks())
    assert found.state == "broken" and LAB in found.says


def test_a_damaged_notebook_and_a_new_release(learner, release):
    (learner.root / LAB).write_text("{")
    (release / LAB).write_text((release / LAB).read_text() + " ")
    found = list(doctor._workspace())
    assert [f.state for f in found] == ["broken", "note"]
    assert "mechinterp reset" in found[0].remedy and "mechinterp update" in found[1].remedy


def test_a_workspace_that_cannot_be_written(learner, monkeypatch):
    def refuse(path, text):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(notebook, "write", refuse)
    found = only(doctor._workspace())
    assert found.state == "broken" and "cannot be written: Permission denied" in found.says


def test_no_workspace_is_a_note(release):
    assert only(doctor._workspace()).state == "note"


def test_a_kernel_that_does_not_start(monkeypatch):
    monkeypatch.setattr(doctor.sys, "executable", "/bin/false")
    found = only(doctor._kernel())
    assert found.state == "broken" and "ipykernel" in found.remedy


def test_a_look_that_fails_is_a_finding_and_the_others_go_on(monkeypatch, release):
    def faints():
        raise RuntimeError("oh")
        yield

    for name in ("_packages", "_torch", "_kernel", "_models"):
        monkeypatch.setattr(doctor, name, faints)
    found = list(doctor.examine())
    assert [f.says for f in found if f.about == "kernel"] == ["could not be looked at (RuntimeError: oh)"]
    assert any(f.about == "Python" for f in found)
