"""The TensorBoard plugin "Single Directions", and the summaries that feed it.

    summary.py   write curves, noise, unit tables and training scalars into a log directory
    metadata.py  the names and the JSON that writers and readers share
    loader.py    what TensorBoard imports at start-up; everything else waits for load()
    plugin.py    the routes; reading.py turns stored series into replies
    lab.py       the lesion lab: which models, what may be asked, whose turn it is
    lab_process.py   its child process, a program of the laboratory that runs the models
    http_api.md  every route with an example
    demo.py      a synthetic log directory: `python -m tb_plugin.demo DIR`
    static/      the front end, plain ES modules in five rooms; each imports only those before it:

        numbers <- page <- parts <- views <- app

Nothing here imports repro, Keras or TensorFlow: the lab starts `repro.study.lab_child` by name. The
lab is off unless TensorBoard is started with --single_directions_models=DIR; images for a model lie
beside it, see `repro.study.lab_session`. Load only models that you trust: Keras's safe mode refuses
code in a model but is not a sandbox.
"""
