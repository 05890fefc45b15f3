"""How fast the engine is, against what a user would do instead and against the arithmetic.

`python -m benchmarks.ablation --json out.json` measures; docs/benchmarks.md has the results.
"""
