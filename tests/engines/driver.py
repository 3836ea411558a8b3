"""A driver to be killed: `python -m tests.engines.driver FOLDER own|naive`."""

import multiprocessing
import signal
import sys
from pathlib import Path

from herdbook.engines.local import LocalEngine
from tests.engines.work import Job


def main(folder: Path, *, naive: bool) -> None:
    """Begin tasks that take longer than anyone waits."""
    job = Job(folder, seconds=60)
    if naive:
        with multiprocessing.get_context("spawn").Pool(2, initializer=job) as pool:
            pool.map(job.work, range(2))
    else:
        list(LocalEngine(2).run(job, range(2)))


if __name__ == "__main__":
    # A shell that starts this in the background lets it ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main(Path(sys.argv[1]), naive=sys.argv[2] == "naive")
