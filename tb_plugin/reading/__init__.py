"""Reads ablation data from TensorBoard's data provider, and checks it.

A log directory may hold anything: series by other programs under our name, half-written
files, data from a later version. Each function answers for the series that it can read, and gives a
reason for every other series. A module answers one kind of question; open provider.py first.

    provider.py       asks the provider; its errors
    decimals.py       numbers of a reply
    index.py          what there is
    curves.py         ablation and noise curves
    tables.py         unit tables, and one unit
    distributions.py  histograms over units
    training.py       losses, accuracies, areas under curves
"""
