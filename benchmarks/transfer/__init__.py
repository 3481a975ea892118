"""Transfer to few patients, cross-validated: python -m benchmarks transfer (tables in docs/RESULTS.md)."""
