"""Put a base model on the local disk and say what it is: found, verified, measured, never loaded."""

from __future__ import annotations

import logging
from pathlib import Path

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.ground.fingerprint import sha256_of_model
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.admission import admit
from stsflow.tasks.models.folder import WEIGHTS, ModelFolder
from stsflow.tasks.models.kinds import EMBEDDINGS
from stsflow.tasks.models.known_prompts import trained_with
from stsflow.tasks.recipe.prompts import prompts_in_run
from stsflow.tasks.recipe.sections import ModelConfig, PromptsConfig
from stsflow.tasks.records.models import BaseModelRef

logger = logging.getLogger(__name__)

# Repositories whose own code does not run under transformers 5, and the same weights in a form that needs none.
WITHOUT_REMOTE_CODE = {"Alibaba-NLP/gte-multilingual-base": "alibaba-nlp-community/gte-multilingual-base"}


def fetch_base_model(
    model: ModelConfig, workspace: Workspace, prompts: PromptsConfig | None = None, *,
    recipe_folder: Path | None = None, gives: frozenset[str] = EMBEDDINGS,
) -> BaseModelRef:  # fmt: skip
    """The model that `model` names, on the local disk and verified; of a kind that gives one of `gives`. For a recipe's
    base, `prompts` are the recipe's; any other model keeps its own.

    A hub model comes through the hub's own cache, at its pinned commit; a relative directory starts from
    `recipe_folder` (default: the working directory); a package is located without importing it. Raises ModelError when
    what is there is not a model, is not what the recipe pinned, cannot take `max_seq_length`, or asks for code that the
    recipe does not allow; RecipeError for a prompt that neither has; DownloadFailed when the network gives up.
    """
    del workspace  # a hub model lies in the hub's cache, where other tools find it too; the others stay where they are
    _check_code_policy(model)
    name, path, revision = model.source.locate(recipe_folder or Path(), with_code=model.trust_remote_code)
    if (moving := model.source.moving_name) and revision != moving:
        logger.warning("base model %s: %r is a branch or tag, which moves; now it is commit %s", name, moving, revision)
    folder = admit(path, remote_code=model.trust_remote_code, gives=gives)
    if not model.trust_remote_code and folder.carries_code and not folder.is_native:
        raise ModelError(
            f"{name} needs code of its own (architecture {folder.architecture!r}), and model.trust_remote_code is "
            f"false. {_way_out(name)}"
        )
    parameters = folder.parameters()
    weights_sha256 = folder.weights_sha256()
    if model.weights_sha256 is not None and weights_sha256 != model.weights_sha256:
        raise ModelError(
            f"{name}: {WEIGHTS} has SHA-256 {weights_sha256}, but the recipe's model.weights_sha256 is "
            f"{model.weights_sha256}: these are other weights."
        )
    own = folder.own_prompts()
    digest = sha256_of_model(path)
    dimension = folder.dimension(model.pooling) if folder.kind.gives in EMBEDDINGS else 0
    reference = BaseModelRef(
        name=name, kind=model.source.kind, model_kind=folder.kind.kind, path=path, revision=revision or digest,
        digest=digest,
        weights_sha256=weights_sha256, architecture=folder.architecture, parameters=parameters,
        dimension=dimension, position_limit=folder.position_limit,
        max_seq_length=_max_seq_length(model, folder, name), pooling=model.pooling,
        prompts=prompts_in_run(prompts or PromptsConfig(), own), trained_with=trained_with(name, own),
        trust_remote_code=model.trust_remote_code, language=model.language, license=model.license,
    )  # fmt: skip
    logger.info(
        "base model %s: %s, %s parameters, dimension %d, up to %d tokens", name, folder.architecture,
        f"{parameters:,}", reference.dimension, reference.max_seq_length,
    )  # fmt: skip
    return reference


def _check_code_policy(model: ModelConfig) -> None:
    if not model.trust_remote_code:
        return
    source = model.source
    if not source.hub_id:
        raise ModelError(
            f"model.trust_remote_code needs a hub source, whose code a commit pins; this is a {source.kind} source."
        )
    if not source.pins_code:
        raise ModelError(
            f"model.trust_remote_code needs model.source.revision to be a full commit of 40 hexadecimal digits, "
            f"not {source.moving_name!r}: anything else may run other code tomorrow."
        )
    if (name := source.hub_id) in WITHOUT_REMOTE_CODE:
        raise ModelError(f"The code that {name} carries does not run under transformers 5. {_way_out(name)}")


def _way_out(name: str) -> str:
    known = WITHOUT_REMOTE_CODE.get(name)
    if known:
        return f"Use {known}: the same weights for the architecture that transformers has itself."
    return (
        "Use a version of it for an architecture that transformers has itself, or set model.trust_remote_code to true "
        "after reading the code (hub source and full commit needed)."
    )


def _max_seq_length(model: ModelConfig, folder: ModelFolder, name: str) -> int:
    limit = folder.position_limit
    if model.max_seq_length is None:
        return folder.own_max_seq_length
    if limit is not None and model.max_seq_length > limit:
        raise ModelError(
            f"model.max_seq_length is {model.max_seq_length}, but {name} ({folder.architecture}) takes at most {limit} "
            f"tokens."
        )
    return model.max_seq_length
