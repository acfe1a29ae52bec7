"""The benchmark: downtime and total time of a move, beside the recipes that people use. See `python -m tests.bench`."""
