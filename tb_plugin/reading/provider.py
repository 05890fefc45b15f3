"""Asks TensorBoard's data provider, and turns its failures into one error."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tensorboard import errors
from tensorboard.data import provider as tb_provider

from tb_plugin import metadata

logger = logging.getLogger(__name__)

# The provider needs a limit; this is more steps than anyone analyses.
ALL_STEPS = 100_000
SCALARS = "scalars"  # TensorBoard's own plugin for them

Pair = tuple[str, str]  # run, tag
Listing = Mapping[str, Mapping[str, Any]]  # by run and tag


class ProviderError(RuntimeError):
    """TensorBoard's data provider failed; the text is fit for the user."""


class SeriesNotFoundError(LookupError):
    """There is no such run, tag or step."""


@dataclass(frozen=True)
class Experiment:
    """Asks TensorBoard's data provider about one experiment.

    Attributes:
        provider: TensorBoard's data provider.
        context: the request context, passed on to the provider.
        id: experiment id, "" for a local log directory.
    """

    provider: tb_provider.DataProvider
    context: Any
    id: str

    def runs(self) -> list[str]:
        """Names of all runs, in the provider's order."""
        return [run.run_name for run in self._ask(self.provider.list_runs)]

    def curves(self, pairs: Sequence[Pair] = ()) -> Listing:
        """The curves there are, or those of these pairs."""
        return self._ask(self.provider.list_tensors, metadata.PLUGIN_NAME, pairs)

    def tables(self) -> Listing:
        """The unit tables there are."""
        return self._ask(self.provider.list_blob_sequences, metadata.UNITS_PLUGIN_NAME)

    def scalars(self) -> Listing:
        """The scalars there are, of any program."""
        return self._ask(self.provider.list_scalars, SCALARS)

    def read_scalars(self, pairs: Sequence[Pair]) -> Mapping[str, Mapping[str, Any]]:
        """All steps of each scalar, by run and tag."""
        return self._ask(self.provider.read_scalars, SCALARS, pairs, ALL_STEPS) if pairs else {}

    def read_tables(
        self, pairs: Sequence[Pair]
    ) -> Mapping[str, Mapping[str, Sequence[tb_provider.BlobSequenceDatum]]]:
        """All steps of each unit table, by run and tag; `read_blob` reads what is in them."""
        return self._ask(
            self.provider.read_blob_sequences, metadata.UNITS_PLUGIN_NAME, pairs, ALL_STEPS
        )

    def read_curves(self, pairs: Sequence[Pair]) -> dict[Pair, list[tb_provider.TensorDatum]]:
        """All steps of each curve; a curve that cannot be read is missing."""
        if not pairs:
            return {}
        try:
            return self._read_tensors(pairs, ALL_STEPS)
        except ProviderError:
            # One bad series (bfloat16, for example) fails the whole call, and many large steps
            # exceed the fast loader's limit of 256 MiB a reply. Then the series are read one by
            # one, and only their last step.
            data: dict[Pair, list[tb_provider.TensorDatum]] = {}
            for pair in pairs:
                for steps in (ALL_STEPS, 1):
                    try:
                        data |= self._read_tensors([pair], steps)
                        break
                    except ProviderError:
                        continue
            return data

    def read_blob(self, datum: tb_provider.BlobSequenceDatum, index: int) -> bytes:
        """The header (0) or the numbers (1) of a unit table."""
        if len(datum.values) != 2:
            raise metadata.UnreadableError("a unit table must be two blobs: header and numbers")
        # The key comes from the provider, never from the browser: a provider does not check
        # whether a key belongs to this plugin.
        key = datum.values[index].blob_key
        return self._guarded(lambda: self.provider.read_blob(self.context, blob_key=key))

    def _read_tensors(self, pairs, steps) -> dict[Pair, list[tb_provider.TensorDatum]]:
        found = self._ask(self.provider.read_tensors, metadata.PLUGIN_NAME, pairs, steps)
        return {(run, tag): list(data) for run in found for tag, data in found[run].items()}

    def _ask(self, method, plugin_name=None, pairs: Sequence[Pair] = (), downsample=None):
        arguments: dict[str, Any] = {"experiment_id": self.id}
        if plugin_name is not None:
            arguments["plugin_name"] = plugin_name
        if pairs:
            arguments["run_tag_filter"] = tb_provider.RunTagFilter(
                runs={run for run, _ in pairs}, tags={tag for _, tag in pairs}
            )
        if downsample is not None:
            arguments["downsample"] = downsample
        return self._guarded(lambda: method(self.context, **arguments)) or {}

    def _guarded(self, question):
        try:
            return question()
        except errors.PublicError:
            raise
        except Exception as error:
            # The fast loader raises gRPC's errors, the slow loader any error of a decoder.
            logger.warning("the data provider failed: %s", type(error).__name__)
            raise ProviderError(
                "TensorBoard could not read this data from the log directory. It may be "
                "damaged, or larger than its data server can send (256 MiB)."
            ) from None


def by_step(data: Sequence[Any]) -> list[Any]:
    """Sorted by step, one for each step: the last written wins, as in the fast loader."""
    return [datum for _, datum in sorted({datum.step: datum for datum in data}.items())]


def at_step(data: Sequence[Any], step: int | None) -> Any:
    """The latest entry not after a step (None: the last entry); the first if all are after the
    step."""
    if not data:
        raise metadata.UnreadableError("TensorBoard could not read the numbers of this series")
    earlier = [datum for datum in data if step is None or datum.step <= step]
    return earlier[-1] if earlier else data[0]
