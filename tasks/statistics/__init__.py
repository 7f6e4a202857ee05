"""Statistics: correlations, resampling, power. Plain numbers in and out; nothing here knows of models or files."""
