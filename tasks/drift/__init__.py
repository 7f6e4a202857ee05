"""Texts that a model meets against those that it was trained on, or met before."""
