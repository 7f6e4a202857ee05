"""The flows of stsflow and its command line."""
