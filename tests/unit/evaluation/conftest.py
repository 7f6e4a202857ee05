"""What models are evaluated on."""

from scored_suites import other_model, pair_columns, prepare, small_model, spec

__all__ = ["other_model", "pair_columns", "prepare", "small_model", "spec"]
