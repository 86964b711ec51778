"""What a worker process on this machine loads first.

Ctrl-C is for the process that the person started, which then ends its workers; and temporary files go where that process
removes them, however a worker ends.
"""

import signal
import tempfile
import threading


def dask_setup(worker) -> None:
    tempfile.tempdir = None  # look again: the worker's environment names another folder now
    if threading.current_thread() is threading.main_thread():
        # A handler, and not "ignore": what a worker starts must not inherit a deaf ear.
        signal.signal(signal.SIGINT, lambda *_: None)
