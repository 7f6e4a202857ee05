"""Log a sentence-transformers model to MLflow in a process of its own.

MLflow's flavour takes a loaded model, so it needs torch; the flow process must not import that. Run as a module this
file is the child.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tasks.child import guard, last_lines, python_module, run_child
from tasks.errors import TrackingUnavailable
from tasks.fingerprint import fingerprint
from tasks.schema import Record
from tasks.tracking.journal import Model

CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


class LoggingSpec(Record):
    """What the child is asked to log."""

    run_id: str
    model: Path
    digest: str
    dimension: int
    example: tuple[str, ...]


def log_model_in_child(uri: str, run_id: str, model: Path, entry: Model, folder: Path) -> None:
    """Log the folder `model` to run `run_id`; raises TrackingUnavailable with the last lines when that fails."""
    spec = LoggingSpec(
        run_id=run_id, model=model, digest=entry.digest, dimension=entry.dimension, example=entry.example
    )
    path = spec.write(folder / "tracking" / f"model-{fingerprint(spec)[:8]}.json")
    environment = {name: os.environ[name] for name in CREDENTIALS if name in os.environ}
    log = folder / "tracking" / "log-model.log"
    ended = run_child(
        python_module("tasks.tracking.model_process", str(path)),
        log,
        environment=environment | {"MLFLOW_TRACKING_URI": uri},
    )
    if ended.code != 0:
        raise TrackingUnavailable(
            f"the model could not be logged to MLflow (exit code {ended.code}):\n{last_lines(log, 5)}"
        )


def log_model(run_id: str, model: Path, digest: str, dimension: int, example: list[str]) -> None:
    """In the child: log the model as `model` of the run, with signature, example and requirements stated by hand.

    MLflow would infer the requirements by loading the model once more, which takes 18 s where this takes one.
    """
    import mlflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    from tasks.environment import versions
    from tasks.models.loading import load_encoder

    found = versions()
    requirements = [
        f"{name}=={found[name].partition('+')[0]}" for name in ("sentence-transformers", "transformers", "torch")
    ]
    signature = ModelSignature(
        inputs=Schema([ColSpec("string")]), outputs=Schema([TensorSpec(np.dtype("float32"), (-1, dimension))])
    )
    encoder = load_encoder(model, device="cpu")
    client = mlflow.MlflowClient()
    experiment = client.get_run(run_id).info.experiment_id
    mlflow.set_experiment(experiment_id=experiment)
    before = client.get_run(run_id).info
    with mlflow.start_run(run_id=run_id):
        info = mlflow.sentence_transformers.log_model(
            encoder, name="model", signature=signature, input_example=example, pip_requirements=requirements,
        )  # fmt: skip
        client.set_logged_model_tags(info.model_id, {"stsflow.model_digest": digest})
    # Leaving the block ended the run; whether it has ended is for the flow to say.
    client.update_run(run_id, status=before.status)


def main() -> None:
    """Entry point of the child."""
    guard()
    spec = LoggingSpec.load(Path(sys.argv[1]))
    log_model(spec.run_id, spec.model, spec.digest, spec.dimension, list(spec.example))


if __name__ == "__main__":
    main()
