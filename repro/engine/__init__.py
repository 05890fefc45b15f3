"""What is asked of a model: its task, and what each lesion does to its answers.

`engine` puts the questions; `network` reads a model as operations; `passes`, `walk` and `kernels`
answer for many lesions at once; `tally` counts answers as the `tasks` say; `activity` measures
units; `sweeps` says which lesions answer what. `verify` compares all of it with the user's own
model by plain Keras. Nothing here trains or draws. Begin with `engine`, and docs/engine.md.
"""
