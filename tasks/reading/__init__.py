"""From an address or a path to the columns of a data set: files fetched, and read with every row accounted for."""
