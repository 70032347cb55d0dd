"""What a workflow ``keep_airflow_assets`` knows of assets, as a plain object.

The rules are those of Airflow's DAG processor and scheduler (``AssetModelOperation.activate_assets_if_possible``,
``SchedulerJobRunner._update_asset_orphanage``): an asset is active as long as something refers to it, unless another
active one has its name or its URI. Deterministic, and without Temporal.
"""

from __future__ import annotations

from collections.abc import Iterator

from temporal_airflow.models import (
    AssetCatalogue,
    AssetKey,
    AssetLookup,
    AssetRecord,
    CatalogueChange,
    KnownAsset,
)

MOST_BYTES = 1536 * 1024
"""Of the whole catalogue: it must fit into one message of 2 MB when the workflow continues."""

Names = tuple[str, str]
"""Name and URI."""


class CatalogueFullError(Exception):
    """There is no room for more assets."""


class KnownAssets:
    """The assets of a task queue."""

    def __init__(self, catalogue: AssetCatalogue) -> None:
        self._catalogue = catalogue

    def state(self) -> AssetCatalogue:
        """Everything, to go on with."""
        return self._catalogue

    def check(self, change: CatalogueChange) -> None:
        """Find out whether there is room for a change.

        Raises:
            CatalogueFullError: if there is none.
        """
        size = len(self._changed(change).model_dump_json())
        if size > MOST_BYTES:
            raise CatalogueFullError(
                f"There is no room for more assets: a task queue may know {MOST_BYTES:,} bytes of them, these would "
                f"have {size:,}. Use fewer assets, a smaller extra, or another task queue."
            )

    def apply(self, change: CatalogueChange) -> None:
        """Carry out a change that was checked."""
        self._catalogue = self._changed(change)

    def find(self, lookup: AssetLookup) -> tuple[KnownAsset, ...]:
        """The assets that are named in any way."""
        active = {_names(key) for key in self._catalogue.active}
        of_aliases = {_names(asset) for alias in lookup.aliases for asset in self._catalogue.aliases.get(alias, ())}
        of_files = {_names(asset) for file in lookup.files for asset in self._catalogue.files.get(file, ())}
        wanted = {_names(key) for key in lookup.keys} | of_aliases | of_files
        return tuple(
            KnownAsset(**asset.model_dump(), active=_names(asset) in active)
            for asset in _described(self._catalogue)
            if _names(asset) in wanted or asset.name in lookup.names or asset.uri in lookup.uris
        )

    def _changed(self, change: CatalogueChange) -> AssetCatalogue:
        aliases = dict(self._catalogue.aliases)
        for alias, assets in change.aliases.items():
            known = aliases.get(alias, ())
            there = {_names(asset) for asset in known}
            aliases[alias] = (*known, *(asset for asset in assets if _names(asset) not in there))
        changed = self._catalogue.model_copy(
            update={"files": {**self._catalogue.files, **change.files}, "aliases": aliases}
        )
        return changed.model_copy(update={"active": tuple(_active(changed))})


def _active(catalogue: AssetCatalogue) -> Iterator[AssetKey]:
    """Those that were active and still are referred to, then those that nothing stands in the way of."""
    described = _described(catalogue)
    referred = {_names(asset) for asset in described}
    names: set[str] = set()
    uris: set[str] = set()
    for asset in (*(key for key in catalogue.active if _names(key) in referred), *described):
        if asset.name not in names and asset.uri not in uris:
            names.add(asset.name)
            uris.add(asset.uri)
            yield AssetKey(name=asset.name, uri=asset.uri)


def _described(catalogue: AssetCatalogue) -> list[AssetRecord]:
    """Every asset once, as the latest DAG file describes it."""
    found: dict[Names, AssetRecord] = {}
    for references in (catalogue.aliases, catalogue.files):
        for assets in references.values():
            found |= {_names(asset): asset for asset in assets}
    return list(found.values())


def _names(asset: AssetKey) -> Names:
    return asset.name, asset.uri
