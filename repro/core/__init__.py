"""What all packages share: measures, settings, records, files. NumPy and SciPy only.

Nothing here knows Keras, images or networks. Begin with `metrics`, the formulas of the paper, and
`config`, the settings of a figure; `results` holds the records of sweeps, `folders` writes files
without losing anyone's, `flags` is how a command's request is described.
"""
