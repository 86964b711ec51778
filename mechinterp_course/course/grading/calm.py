"""What a worker process loads first: Ctrl-C is for the process that the person started, which then ends its workers.

A handler, and not "ignore": what a worker starts must not inherit a deaf ear.
"""

import signal
import threading


def dask_setup(worker) -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, lambda *_: None)
