import pytest
from pydantic import TypeAdapter, ValidationError

from samseg.clustering import DBSCAN, Clustering, Linkage
from samseg.clustering.settings import ClusterSettings

OLD = {
    "fit": {"kind": "dbscan", "eps": 0.07, "min_samples": 4},
    "reference": 20_000,
    "center": False,
}
"""As stored before there were linkage, granularity and named embeddings."""
LINKAGE = {"fit": {"kind": "linkage"}}


@pytest.mark.parametrize(
    ("config", "want"),
    [
        ({}, OLD),
        ({"fit": {"kind": "dbscan"}}, OLD),
        ({"fit": {"kind": "dbscan", "eps": 0.1}}, OLD | {"fit": OLD["fit"] | {"eps": 0.1}}),
        ({"fit": {"kind": "dbscan", "eps": "auto"}}, OLD | {"fit": OLD["fit"] | {"eps": "auto"}}),
        ({"center": True}, OLD | {"center": True}),
        ({"reference": 50}, OLD | {"reference": 50}),
        ({"refit_growth": 3.0}, OLD),
        (LINKAGE, OLD | LINKAGE | {"reference": 200_000}),
        (LINKAGE | {"reference": 9}, OLD | LINKAGE | {"reference": 9}),
    ],
)
def test_what_a_config_does_not_set_stays_as_in_the_codebook(config, want):
    resumed = ClusterSettings.model_validate(config).resumed(OLD)
    assert resumed.of_fit() == ClusterSettings.stored(want).of_fit()
    assert resumed.refit_growth == config.get("refit_growth", 2.0)


@pytest.mark.parametrize("key", ["granularity", "embedding", "center", "reference"])
def test_a_key_that_was_not_stored_is_no_change(key):
    stored = ClusterSettings(fit=DBSCAN(eps=0.1), embedding="sam").of_fit()
    del stored[key]
    assert ClusterSettings().resumed(stored).of_fit() == ClusterSettings.stored(stored).of_fit()


def test_the_same_settings_again_change_nothing():
    settings = ClusterSettings(fit=Linkage(min_size=9), granularity=0.5)
    assert ClusterSettings().resumed(settings.of_fit()).of_fit() == settings.of_fit()


def test_each_strategy_has_its_own_size_of_sample():
    adapter, sizes = TypeAdapter(Clustering), {}
    for kind in ("linkage", "dbscan", "hdbscan", "kmeans"):
        fit = adapter.validate_python({"kind": kind} | ({"classes": 3} if kind == "kmeans" else {}))
        sizes[kind] = ClusterSettings(fit=fit).reference
    assert sizes["linkage"] > sizes["dbscan"] >= sizes["hdbscan"]
    assert ClusterSettings(fit=DBSCAN(), reference=7).reference == 7


def test_granularity_moves_the_cut_of_linkage_only():
    assert ClusterSettings(granularity=0.6).strategy == Linkage(threshold=0.6)
    with pytest.raises(ValidationError, match="not that of 'dbscan'"):
        ClusterSettings(fit=DBSCAN(), granularity=0.6)


def test_settings_of_a_later_version_are_refused():
    with pytest.raises(ValidationError, match="sharpness"):
        ClusterSettings().resumed(OLD | {"sharpness": 3})
