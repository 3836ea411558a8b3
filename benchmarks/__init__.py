"""Herdbook measured beside its peers; `python -m benchmarks` writes RESULTS.md."""
