"""What all packages share: measures, settings, records, files. NumPy and SciPy only.

Nothing here knows Keras, or opens an image or a network. Begin with `metrics`, the formulas of the
paper, and `config`, the settings of a figure. `datasets` and `architectures` say what is known of
each data set and of each kind of network, `results` holds the records of sweeps, `folders` writes
files without losing anyone's, `flags` is how a command's request is described.
"""
