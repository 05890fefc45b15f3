"""Lesions a model: finds out what a lesion does to the model's answers.

`engine` has the class that users ask. `admission` checks what it is given; `network` reads the
model as operations; `lesions` says which units are clamped, `counts` what was answered. `answers`
chooses among three ways: `by_rows`, `by_walk` and `by_return`. They compute with `passes`, `walk`
and `kernels`, run by a `runner`; `tally` counts answers for each of the `tasks`. `activity`
measures units, `noise` adds noise, `sweeps` makes the lesions of a config. `verify` and `check`
compare all of it with the user's own model by plain Keras; `live` serves the lab. Nothing here
trains or draws. Begin with `engine`, and docs/engine.md.
"""
