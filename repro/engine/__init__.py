"""Lesions a model: finds out what a lesion does to the model's answers.

`engine` has the class that users ask; `network` reads a model as operations; `passes`, `walk` and
`kernels` compute answers under many lesions at once; `tally` counts answers for each of the
`tasks`; `activity` measures units; `sweeps` makes the lesions of a config. `verify` compares all of
it with the user's own model by plain Keras. Nothing here trains or draws. Begin with `engine`, and
docs/engine.md.
"""
