"""Bounds of a recipe's numbers: beyond them a value is a slip of the pen, found out after hours of work."""

MOST_EPOCHS = 1_000
MOST_STEPS = 10_000_000
MOST_ROWS_OF_A_BATCH = 1_000_000
MOST_THREADS = 1_024
A_YEAR_IN_SECONDS = 31_536_000
MOST_NEGATIVES = 64
MOST_CANDIDATES = 10_000
MOST_SEEDS = 20
