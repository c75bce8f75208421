"""The container's files agree with each other, with the locks, and with what the daemon reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cdc.spi import registry
from cdc_config import load
from tests.architecture.tree import ROOT

COMPOSE = ROOT / "deploy/compose/compose.yaml"
KUBERNETES = ROOT / "deploy/kubernetes"
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
UID = int(re.findall(r"ARG UID=(\d+)", DOCKERFILE)[0])
# Kind → the version of its interface that every supported cluster serves.
VERSIONS = {
    "ConfigMap": "v1",
    "PodDisruptionBudget": "policy/v1",
    "Service": "v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "StatefulSet": "apps/v1",
}


def manifests() -> dict[str, Any]:
    documents = [d for file in KUBERNETES.glob("*.yaml") for d in yaml.safe_load_all(file.read_text("utf-8"))]
    return {document["kind"]: document for document in documents}


@pytest.fixture
def pod() -> dict[str, Any]:
    found: dict[str, Any] = manifests()["StatefulSet"]["spec"]["template"]
    return found


def loaded(text: str, folder: Path) -> Any:
    """The configuration, with every secret file that it names."""
    for name in set(re.findall(r"/run/secrets/[\w/.-]+", text)):
        secret = folder / Path(name).name
        secret.write_text("postgresql://cdc:secret@127.0.0.1/shop", "utf-8")
        text = text.replace(name, str(secret))
    (folder / "cdc.yaml").write_text(text, "utf-8")
    return load(folder / "cdc.yaml", registry.load, {"SHOP_URL": "postgresql://cdc:secret@127.0.0.1/shop"})


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-build.lock"])
def test_every_locked_package_has_hashes_and_no_index(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    packages = re.findall(r"^([a-z0-9-]+)==\S+(.*)$", text, re.MULTILINE)
    assert packages
    assert [package for package, rest in packages if not rest.endswith("\\")] == []
    assert not re.search(r"://|--(?:index|extra|find)", text)


def test_the_lock_has_every_package_that_the_image_needs() -> None:
    """Otherwise: `make lock`."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    named = [r for e in ("postgres", "mysql", "duckdb", "parquet", "transforms") for r in extras[e]]
    wanted = {re.split(r"[\[>=<]", one)[0].lower() for one in [*project["dependencies"], *named]}
    locked = set(
        re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE)
    )
    assert wanted - locked == set()


def test_image_runs_as_a_fixed_account_and_has_a_health_check() -> None:
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    for line in (
        "USER $UID:$UID",
        "STOPSIGNAL SIGTERM",
        'CMD ["cdc", "health"]',
        "CDC_STATE_VOLUME=required",
    ):
        assert line in final
    assert not re.search(r"^VOLUME|gcc", final, re.MULTILINE)


def test_compose_keeps_the_state_on_a_named_volume_and_its_root_read_only() -> None:
    document = yaml.safe_load(COMPOSE.read_text("utf-8"))
    daemon = document["services"]["cdc"]
    assert daemon["read_only"]
    assert "state:/var/lib/cdc" in daemon["volumes"]
    assert set(document["volumes"]) == {"postgres", "lake", "state"}
    assert (COMPOSE.parent / daemon["build"]["context"] / "Dockerfile").exists()


def test_configurations_of_compose_and_kubernetes_load(tmp_path: Path) -> None:
    of_kubernetes = manifests()["ConfigMap"]["data"]["cdc.yaml"]
    for text in ((COMPOSE.parent / "etc/cdc.yaml").read_text("utf-8"), of_kubernetes):
        configuration = loaded(text, tmp_path)
        assert str(configuration.state_dir).startswith("/var/lib/cdc/")


def test_manifests_have_the_versions_that_clusters_serve() -> None:
    assert {kind: document["apiVersion"] for kind, document in manifests().items()} == VERSIONS


@pytest.mark.parametrize("version", ["1.29", None], ids=["oldest", "newest"])
def test_manifests_have_only_keys_and_values_that_clusters_know(version: str | None) -> None:
    """From 1.29 on, which has ReadWriteOncePod, as docs/deploying.md says. ServiceMonitor is an extension."""
    import kubernetes_validate

    for kind, document in manifests().items():
        if kind != "ServiceMonitor":
            kubernetes_validate.validate(
                document, version or kubernetes_validate.latest_version(), strict=True
            )


def test_all_selectors_select_the_one_pod(pod: dict[str, Any]) -> None:
    found = manifests()
    labels = pod["metadata"]["labels"]
    assert found["StatefulSet"]["spec"]["selector"]["matchLabels"] == labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    monitor = found["ServiceMonitor"]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= found["Service"]["metadata"]["labels"].items()
    assert [e["port"] for e in monitor["endpoints"]] == [p["name"] for p in found["Service"]["spec"]["ports"]]


def test_one_pod_holds_a_volume_that_no_second_pod_can_mount(pod: dict[str, Any]) -> None:
    spec = manifests()["StatefulSet"]["spec"]
    claim = spec["volumeClaimTemplates"][0]
    assert (spec["replicas"], claim["spec"]["accessModes"]) == (1, ["ReadWriteOncePod"])
    mounted = {mount["name"]: mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    assert mounted[claim["metadata"]["name"]] == "/var/lib/cdc"
    assert set(mounted) == {v["name"] for v in pod["spec"]["volumes"]} | {claim["metadata"]["name"]}


def test_pod_is_the_account_of_the_image_and_takes_no_privilege(pod: dict[str, Any]) -> None:
    account, container = pod["spec"]["securityContext"], pod["spec"]["containers"][0]
    assert {account[key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {UID}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_probes_ask_the_paths_that_need_no_token(pod: dict[str, Any]) -> None:
    container = pod["spec"]["containers"][0]
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("liveness", "readiness", "startup")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "liveness": "/healthz",
        "readiness": "/readyz",
        "startup": "/healthz",
    }
    assert {probe["port"] for probe in probes.values()} == {port["name"] for port in container["ports"]}
