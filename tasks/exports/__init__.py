"""The forms in which a recipe can ship the tuned model: one file a kind, all below `Export`."""

from stsflow.tasks.exports.family import Export, Limits, require_exports
from stsflow.tasks.exports.onnx import Onnx

__all__ = ["Export", "Limits", "Onnx", "require_exports"]
