"""Makes a static copy of the tab: `python -m tb_plugin.export --logdir runs/tb --out site`.

The copy needs no server and no Python: it opens from a disk with the network switched off, and from
any web host. Its pages run the tab's own front end, whose questions are answered from files.

    command.py    the command: what is asked, what is refused, what is told in the end
    making.py     makes a copy: its assets, its data, its pages and their numbers
    logdir.py     a log directory, read once by TensorBoard's own reader
    answers.py    the files of data: what `tb_plugin.reading` replies to every question
    names.py      names of files and folders
    lab.py        the files of the lesion lab: networks and their images
    networks.py   weights and images for the lesion lab, read without Keras
    bundle.py     the front end's modules as one classic script
    pages.py      the pages, and the list of all of them
    folder.py     writes a copy whole, over an earlier one at most
"""
