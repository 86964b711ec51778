"""How JupyterLab looks on a workspace: its settings, and the environment in which it and its kernels run.

The settings live in the workspace's own folder and reach JupyterLab through JUPYTER_CONFIG_PATH: the learner's settings for
their other work stay as they are.
"""

import json
import os
from pathlib import Path

from . import notebook
from .workspace import Workspace

SAVE_EVERY_SECONDS = 15

# No news pop-up and no update check (nothing leaves this machine), and no buttons that are for teachers.
PAGE_CONFIG = {
    "disabledExtensions": {
        "@jupyterlab/apputils-extension:announcements": True,
        "@jupyterlab/extensionmanager-extension": True,
        "@jupyter/nbgrader": True,
        "jupyterlab-jupytext": True,
        "@jupyter-notebook/lab-extension": True,
    }
}
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": False,
    },
    "@jupyterlab/docmanager-extension:plugin": {"autosaveInterval": SAVE_EVERY_SECONDS},
    # Else "Run All Cells" in the first moment after a notebook opens asks which kernel to use.
    "@jupyterlab/notebook-extension:tracker": {"autoStartDefaultKernel": True},
    # Else a saved lesson that is opened again shows "model not found" where its questions stood.
    "@jupyter-widgets/jupyterlab-manager:plugin": {"saveState": True},
}
SERVER = {
    "ServerApp": {
        "jpserver_extensions": {
            "nbgrader.server_extensions.assignment_list": False,
            "nbgrader.server_extensions.course_list": False,
            "nbgrader.server_extensions.formgrader": False,
            "nbgrader.server_extensions.validate_assignment": False,
            "jupyterlab_jupytext": False,
        }
    },
    "LabApp": {"extension_manager": "readonly", "news_url": None},
}


def write_settings(ws: Workspace) -> Path:
    """Write the settings for this workspace and return the folder for JUPYTER_CONFIG_PATH."""
    folder = ws.hidden / "jupyter"
    files = {
        "labconfig/page_config.json": PAGE_CONFIG,
        "labconfig/default_setting_overrides.json": SETTINGS,
        "jupyter_server_config.json": {"ServerApp": SERVER["ServerApp"]},
        "jupyter_lab_config.json": {"LabApp": SERVER["LabApp"]},
    }
    for name, settings in files.items():
        text = json.dumps(settings, indent=2) + "\n"
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            notebook.write(path, text)
    return folder


def environment(ws: Workspace, token: str) -> dict[str, str]:
    """Return the environment that JupyterLab and its kernels run in."""
    settings = write_settings(ws)
    path = os.pathsep.join(p for p in (str(settings), os.environ.get("JUPYTER_CONFIG_PATH", "")) if p)
    return {
        **os.environ,
        "JUPYTER_CONFIG_PATH": path,
        "JUPYTER_TOKEN": token,  # not on the command line, where others could read it
        "JUPYTERLAB_WORKSPACES_DIR": str(settings / "lab-workspaces"),  # open tabs of other work stay out
        "MECHINTERP_WORKSPACE": str(ws.root),
    }
