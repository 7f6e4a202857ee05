"""Teaching: the rows of training sets labelled by another model before training begins."""
