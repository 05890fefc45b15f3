"""The routes of the plugin below /data/plugin/single_directions; see http_api.md."""

from tensorboard import errors, plugin_util
from tensorboard.plugins import base_plugin

from tb_plugin import metadata
from tb_plugin.admission import check_page, check_sender, lab_of
from tb_plugin.arguments import extent, json_body, optional_step, pairs, run_and_tag, whole
from tb_plugin.lab.process import LabError
from tb_plugin.reading.curves import curves
from tb_plugin.reading.distributions import distributions
from tb_plugin.reading.index import index
from tb_plugin.reading.provider import Experiment, ProviderError
from tb_plugin.reading.tables import table_bytes, table_steps, unit
from tb_plugin.reading.training import training
from tb_plugin.responses import Answer, answered, json_answer
from tb_plugin.static_files import static

# TensorBoard's default number of scalar steps.
SCALARS_KEPT = 1000
MOST_BINS = 500


class SingleDirectionsPlugin(base_plugin.TBPlugin):
    """Ablation curves and unit tables, read through TensorBoard's data provider."""

    plugin_name = metadata.PLUGIN_NAME

    def __init__(self, context):
        self._provider = context.data_provider
        self._sampling = dict(context.sampling_hints or {})
        self._lab, self._lab_off = lab_of(context.flags)
        self._lab_remote = bool(getattr(context.flags, "single_directions_remote", False))

    def get_plugin_apps(self):
        return {
            "/static/*": answered(static),
            "/api/v1/index": answered(self._index),
            "/api/v1/curve": answered(self._curve),
            "/api/v1/units/steps": answered(self._unit_steps),
            "/api/v1/units": answered(self._units),
            "/api/v1/unit": answered(self._unit),
            "/api/v1/distributions": answered(self._distributions),
            "/api/v1/training": answered(self._training),
            "/api/v1/lab/models": answered(self._lab_models),
            "/api/v1/lab/ask": answered(self._lab_ask, ("POST",)),
        }

    def is_active(self):
        """Whether the lab is on. If there is data of this plugin, TensorBoard shows the tab
        anyway."""
        return self._lab is not None

    def data_plugin_names(self):
        return (metadata.PLUGIN_NAME, metadata.UNITS_PLUGIN_NAME)

    def frontend_metadata(self):
        # Constant, because an exception here would break TensorBoard's whole page.
        return base_plugin.FrontendMetadata(
            es_module_path="/static/index.js", tab_name="Single Directions"
        )

    def _index(self, request) -> Answer:
        names = self.data_plugin_names()
        sampling = {name: self._sampling.get(name) for name in names}
        sampling["scalars"] = self._sampling.get("scalars", SCALARS_KEPT)
        return json_answer({**index(self._experiment(request)), "sampling": sampling})

    def _curve(self, request) -> Answer:
        found = curves(self._experiment(request), pairs(request), optional_step(request))
        return json_answer({"curves": found})

    def _unit_steps(self, request) -> Answer:
        return json_answer({"steps": table_steps(self._experiment(request), *run_and_tag(request))})

    def _units(self, request) -> Answer:
        run, tag = run_and_tag(request)
        columns = request.args.getlist("column") or None
        step = whole(request, "step")
        table = table_bytes(self._experiment(request), run, tag, step, columns)
        return table, "application/octet-stream"

    def _unit(self, request) -> Answer:
        run, tag = run_and_tag(request)
        step, row = whole(request, "step"), whole(request, "row")
        return json_answer(unit(self._experiment(request), run, tag, step, row))

    def _distributions(self, request) -> Answer:
        column = request.args.get("column", "")
        n_bins = whole(request, "bins") if "bins" in request.args else 40
        if not column or not 1 <= n_bins <= MOST_BINS:
            raise errors.InvalidArgumentError(f"column= is needed, and bins= of 1 to {MOST_BINS}")
        tables, step, limits = pairs(request), optional_step(request), extent(request)
        experiment = self._experiment(request)
        return json_answer(distributions(experiment, tables, column, n_bins, step, limits))

    def _training(self, request) -> Answer:
        runs = request.args.getlist("run")
        if not runs or "" in runs:
            raise errors.InvalidArgumentError("one run= or more are needed")
        return json_answer({"runs": training(self._experiment(request), list(dict.fromkeys(runs)))})

    def _lab_models(self, request) -> Answer:
        if self._lab is None:
            return json_answer({"enabled": False, "reason": self._lab_off, "models": []})
        check_page(request, self._lab_remote)  # other sites must not see the names of models
        models = [
            {"id": model.id, "name": model.name, "bytes": model.size}
            for model in self._lab.models()
        ]
        return json_answer({"enabled": True, "reason": "", "models": models})

    def _lab_ask(self, request) -> Answer:
        if self._lab is None:
            raise LabError("lab_off", self._lab_off)
        check_sender(request, self._lab_remote)
        return json_answer(self._lab.ask(json_body(request)))

    def _experiment(self, request) -> Experiment:
        if self._provider is None:
            raise ProviderError(
                "this TensorBoard has no data provider; start it without --generic_data=false"
            )
        context = plugin_util.context(request.environ)
        return Experiment(self._provider, context, plugin_util.experiment_id(request.environ))
