"""Log a sentence-transformers model to MLflow in a process of its own.

MLflow's flavour takes a loaded model, so it needs torch; the flow process must not import that. Run as a module this
file is the child.
"""

from __future__ import annotations

import os
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

from stsflow.tasks.ground.child import guard, last_lines, python_module, run_child
from stsflow.tasks.ground.errors import RecordRefused, TrackingUnavailable
from stsflow.tasks.ground.files import write_text_atomically
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.tracking.journal import Model
from stsflow.tasks.tracking.refusals import in_short, is_refusal

TASK = "llm/v1/embeddings"
"""MLflow's task: with it `mlflow models serve` answers `{"input": …}` in the shape of OpenAI's API."""
CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


class LoggingSpec(Record):
    """What the child is asked to log."""

    run_id: str
    model: Path
    digest: str
    dimension: int
    example: tuple[str, ...]
    refusal: Path
    """Where the child says why it cannot ever log this model."""


def log_model_in_child(uri: str, run_id: str, model: Path, entry: Model, folder: Path) -> None:
    """Log the folder `model` to run `run_id`.

    Raises RecordRefused when MLflow refuses it or the model does not load, TrackingUnavailable with the last lines of
    the child's log when anything else stopped it.
    """
    refusal = folder / "tracking" / "log-model.refused"
    refusal.unlink(missing_ok=True)
    spec = LoggingSpec(
        run_id=run_id, model=model, digest=entry.digest, dimension=entry.dimension, example=entry.example,
        refusal=refusal,
    )  # fmt: skip
    path = spec.write(folder / "tracking" / f"model-{fingerprint(spec)[:8]}.json")
    environment = {name: os.environ[name] for name in CREDENTIALS if name in os.environ}
    log = folder / "tracking" / "log-model.log"
    ended = run_child(
        python_module("stsflow.tasks.tracking.model_process", str(path)),
        log,
        environment=environment | {"MLFLOW_TRACKING_URI": uri},
    )
    if ended.code != 0 and refusal.is_file():
        raise RecordRefused(refusal.read_text(encoding="utf-8"))
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

    from stsflow.tasks.ground.environment import versions
    from stsflow.tasks.models.loading import load_encoder

    found = versions()
    requirements = [
        f"{name}=={found[name].partition('+')[0]}" for name in ("sentence-transformers", "transformers", "torch")
    ]
    signature = ModelSignature(
        inputs=Schema([ColSpec("string")]), outputs=Schema([TensorSpec(np.dtype("float32"), (-1, dimension))])
    )
    try:
        encoder = load_encoder(model, device="cpu")
    except Exception as error:  # whatever a model's files make the library raise, they are no other the next time
        raise RecordRefused(f"the model does not load for MLflow: {in_short(error)}") from error
    encoder.__dict__["save"] = partial(_ship, model)
    for module in encoder.modules():
        if hasattr(module, "name_or_path"):  # MLflow publishes it as the model's source: the folder of this machine
            module.name_or_path = model.name
    client = mlflow.MlflowClient()
    experiment = client.get_run(run_id).info.experiment_id
    mlflow.set_experiment(experiment_id=experiment)
    before = client.get_run(run_id).info
    # MLflow gives the model every point that the run has at its step, without a data set, and no point takes a data set
    # afterwards: the final scores, all at step 0, are given by `sending._send_model_scores`.
    step = max((point.step for point in client.get_metric_history(run_id, "train/loss")), default=0) or 1
    with mlflow.start_run(run_id=run_id):
        info = mlflow.models.Model.log(
            flavor=_Answering, flavor_name="mlflow.sentence_transformers", model=encoder, name="model",
            artifact_path=None, signature=signature, input_example=example, pip_requirements=requirements,
            validate_serving_input=False, step=step,
        )  # fmt: skip
        client.set_logged_model_tags(info.model_id, {"stsflow.model_digest": digest})
    # Leaving the block ended the run; whether it has ended is for the flow to say.
    client.update_run(run_id, status=before.status)


class _Answering:
    """MLflow's flavour with its task. Its own `log_model` takes a task and keeps it from the saver (3.17.2)."""

    @staticmethod
    def save_model(path: str, mlflow_model: Any, signature: Any, **kwargs: Any) -> None:
        """Write the model below `path`, as MLflow asks a flavour to.

        The task brings a signature of its own, whose one column is called `input`: with that, the lists of texts which
        `predict` and `/invocations` take without a task would be refused. With ours both are answered.
        """
        import mlflow

        kwargs.pop("validate_serving_input")
        mlflow.sentence_transformers.save_model(path=path, mlflow_model=mlflow_model, task=TASK, **kwargs)
        mlflow_model.signature = signature
        mlflow_model.save(str(Path(path) / "MLmodel"))


def _ship(model: Path, target: str, **_: object) -> None:
    """What MLflow calls to save the model: the folder as it was measured, with all of its card. Saved anew by the
    library it would have other bytes, and a card without facts and figures."""
    shutil.copytree(model, target)


def main() -> None:
    """Entry point of the child."""
    guard()
    spec = LoggingSpec.load(Path(sys.argv[1]))
    try:
        log_model(spec.run_id, spec.model, spec.digest, spec.dimension, list(spec.example))
    except Exception as error:  # raised again: only whether MLflow refused it is told to the parent, by a file
        if is_refusal(error):
            write_text_atomically(spec.refusal, in_short(error))
        raise


if __name__ == "__main__":
    main()
