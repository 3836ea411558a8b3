"""A driver of Ray to be killed: `python -m tests.engines.ray_driver FOLDER ADDRESS`."""

import sys
from pathlib import Path

from herdbook.engines.ray import RayEngine
from tests.engines.work import Job

if __name__ == "__main__":
    engine = RayEngine(sys.argv[2], (1, 2), 0.9, silence_seconds=3)
    list(engine.run(Job(Path(sys.argv[1]), seconds=0.2), range(10_000)))
