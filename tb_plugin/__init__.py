"""The TensorBoard plugin "Single Directions", and the summaries that feed it.

    summary.py       write curves, noise, unit tables and training scalars into a log directory
    metadata.py      the names and the JSON that writers and readers share
    loader.py        what TensorBoard imports at start-up; everything else waits for load()
    plugin.py        the routes, each a few lines; open this file first
    arguments.py     what a request asks for
    responses.py     what is answered, and errors as JSON
    static_files.py  the files of the front end
    admission.py     who may use the lesion lab
    reading/         turns stored series into replies, one module a question
    lab/             the lesion lab; its child process is a program of the laboratory
    http_api.md      every route with an example
    demo.py          a synthetic log directory: `python -m tb_plugin.demo DIR`
    export/          a static copy of the tab: `python -m tb_plugin.export --logdir DIR --out SITE`
    frontend/        builds the chart library at install
    static/          the front end, plain ES modules; index.js starts app.js, which opens the views

The front end stands in six rooms. A module imports only from its own room and those before it, and
a view nothing of another view:

    numbers <- page <- parts <- views <- app <- site

    numbers  what is computed from stored numbers, without a page
    page     the address, the theme, TensorBoard around the page, and the server
    parts    what views are built from: charts, tables, controls, the list of runs
    views    one folder or file for each tab
    app      the modules beside the folders
    site     what a static copy has in place of the server and of TensorBoard around the page

Nothing here imports repro, Keras or TensorFlow: the lab starts `repro.study.lab_child` by name,
and a copy of a lab `repro.study.lab_images`. The
lab is off unless TensorBoard is started with --single_directions_models=DIR; images for a model lie
beside it, see `repro.study.lab_session`. Load only models that you trust: Keras's safe mode refuses
code in a model but is not a sandbox.
"""
