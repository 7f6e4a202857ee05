"""Statistics: correlations, resampling, power. Plain numbers in and out; nothing here knows of models or files."""

SIMILARITIES = ("cosine", "manhattan", "euclidean", "dot")
"""Ways in which two embeddings may be alike."""
