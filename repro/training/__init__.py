"""Trains networks, and measures them while they are trained.

`train` trains a network of a config from its latest checkpoint (with `trainee`; many small ones in
one program with `ensembles`); `callback` measures reliance on single directions after each epoch;
`recovery` trains on with a lesion; `regularizers` pushes selectivity. Nothing here knows folders or
plans. Begin with `train`.
"""
