"""MLflow keeping files, run by its own interpreter: logs a folder to a run, or gives it out.

Imports nothing of Herdbook, and of this package nothing at all.
"""

import importlib
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any


def keep(client: Any, folder: str, number: str, artifacts: Path) -> dict[str, Any]:
    """Log a folder to a new run, file by file of its first level as `log_artifact` takes it."""
    found = client.get_experiment_by_name("bench")
    experiment = (
        found.experiment_id
        if found
        else client.create_experiment("bench", artifact_location=artifacts.as_uri())
    )
    run = client.create_run(experiment, tags={"number": number}).info.run_id
    began = time.perf_counter()
    for path in sorted(Path(folder).iterdir()):
        client.log_artifact(run, str(path), "model")
    return {"wall": time.perf_counter() - began}


def give(client: Any, to: str, number: str) -> dict[str, Any]:
    """Fetch the folder of a run."""
    experiment = client.get_experiment_by_name("bench").experiment_id
    asked = f"tags.number = '{number}'"
    run = client.search_runs([experiment], filter_string=asked)[0].info.run_id
    return {"path": client.download_artifacts(run, "model", to)}


def main(do: str, home: str, number: str, folder: str) -> None:
    """Do one of both and say what it took."""
    logging.disable(logging.WARNING)
    mlflow = importlib.import_module("mlflow")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{Path(home) / 'mlflow.db'}")
    if do == "keep":
        answer = keep(client, folder, number, Path(home) / "artifacts")
    else:
        answer = give(client, folder, number)
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
