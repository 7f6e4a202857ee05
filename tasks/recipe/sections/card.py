"""`card`: what the card says that no measurement can know."""

from __future__ import annotations

from stsflow.tasks.ground.names import Language, Licence, Place
from stsflow.tasks.ground.schema import Section


class CardConfig(Section):
    """What the model card says that no measurement can know."""

    model_name: str = ""
    """Title of the card; default: SentenceTransformer based on the base model."""
    model_id: Place = ""
    """Where the model will be found, such as a hub id; default: the card's code loads the folder that it lies in."""
    language: tuple[Language, ...] = ()
    """Language codes; default: those of the training data."""
    license: Licence = ""
    """Licence of the model; default: worked out from base model and data, or `other` with the reason."""
    authors: tuple[str, ...] = ()
    """Who made the model."""
    contact: str = ""
    """Where questions go."""
    description: str = ""
    """One paragraph on what the model is for."""
    out_of_scope: str = ""
    """Uses that the model is not meant for; a general statement is written when empty."""
    risks: str = ""
    """Known risks and limits beyond what was measured."""
    recommendations: str = ""
    """What users should do about them."""
