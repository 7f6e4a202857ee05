"""Vectors of the texts in files, as one Parquet file: in bounded memory, block by block, going on after a kill."""
