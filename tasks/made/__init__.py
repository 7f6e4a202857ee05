"""Find or make: what a stage made once is found again by its inputs and by the code that made it."""
