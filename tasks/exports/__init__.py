"""The forms in which a recipe can ship the tuned model: one file a kind, all below `Export`."""

from stsflow.tasks.exports.family import Export, Limits, require_exports
from stsflow.tasks.exports.onnx import Onnx
from stsflow.tasks.exports.onnx_fp16 import OnnxFp16
from stsflow.tasks.exports.onnx_int8 import OnnxInt8
from stsflow.tasks.exports.openvino import OpenVino
from stsflow.tasks.exports.static import Static

__all__ = ["Export", "Limits", "Onnx", "OnnxFp16", "OnnxInt8", "OpenVino", "Static", "require_exports"]
