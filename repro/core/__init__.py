"""What all rooms speak of, on NumPy and SciPy alone: measures, settings, records, files.

Nothing here knows of Keras, of images or of a network. Begin with `metrics`, the formulas of the
paper, and `config`, what a figure's settings are; `results` holds records of what was found,
`folders` writes files so that nothing of anybody's is lost.
"""
