"""The workflow that knows which assets there are, one for each task queue; their events and state are kept elsewhere.

It never ends: after a number of changes it continues as new with everything it knows.
"""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from temporal_airflow import identifiers
from temporal_airflow.models import AssetCatalogue, AssetLookup, CatalogueChange, KnownAsset
from temporal_airflow.workflows.continuing import until_worn_out
from temporal_airflow.workflows.known_assets import CatalogueFullError, KnownAssets


@workflow.defn(name=identifiers.ASSETS_WORKFLOW_TYPE, sandboxed=False)
class KeepAirflowAssetsWorkflow:
    """Keeps the catalogue of assets."""

    @workflow.init
    def __init__(self, catalogue: AssetCatalogue) -> None:
        self._known = KnownAssets(catalogue)
        self._changes_left = catalogue.changes_per_run

    @workflow.run
    async def run(self, catalogue: AssetCatalogue) -> None:  # noqa: ARG002  # __init__ has taken it
        """Serve until it is time to continue in a new run."""
        await until_worn_out(lambda: self._changes_left)
        workflow.continue_as_new(self._known.state())

    @workflow.update(name="change")
    def change(self, change: CatalogueChange) -> None:
        """Carry out a change."""
        self._known.apply(change)
        self._changes_left -= 1

    @change.validator
    def check_change(self, change: CatalogueChange) -> None:
        """Refuse a change that there is no room for."""
        try:
            self._known.check(change)
        except CatalogueFullError as error:
            raise ApplicationError(str(error), type=CatalogueFullError.__name__, non_retryable=True) from error

    @workflow.query(name="find")
    def find(self, lookup: AssetLookup) -> tuple[KnownAsset, ...]:
        """The assets that are named."""
        return self._known.find(lookup)
