"""Mining: negatives for the rows of a training set, searched in a corpus, filtered, audited."""
