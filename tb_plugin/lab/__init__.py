"""The lesion lab: which models, what may be asked, whose turn it is.

    lab.py        the models of a folder; the questions' way to the child
    images.py     which images a network is asked on
    questions.py  the questions, and the check of a request
    turns.py      one request at a time, only the newest of each client
    process.py    the child process: started when first needed, limited, and restarted

Nothing here loads a model. A child process does the work (`process` starts the program
`repro.study.lab_child`), so that a model which fails, hangs or fills the memory ends the child and
not TensorBoard.
"""

from tb_plugin.lab.lab import Lab as Lab
