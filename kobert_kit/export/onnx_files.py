"""Where an ONNX graph lies in a model folder.

transformers.js and sentence-transformers look there; `optimum` finds it in any folder.
"""

GRAPH = "onnx/model.onnx"
WEIGHTS = "model.onnx_data"
"""Beside the graph, where one file would be too large; so named by transformers.js, `optimum`."""
