"""What all packages share: measures, settings, records, files. NumPy and SciPy only.

Nothing here knows Keras, or opens an image or a network. Begin with `metrics`, the formulas of the
paper, and `kinds`, the kinds of sweep. `settings` has the settings of a figure, `toml` reads them
from its file, and `checked` checks each value. `datasets` and `architectures` say what is known of
each data set and of each kind of network, `results` holds the records of networks and figures,
`folders` writes files without losing anyone's, `flags` is how a command's request is described,
`records` and `words` serve them all.
"""
