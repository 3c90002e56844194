"""Reads packaging/kubernetes as kustomize does, as far as that is used; `python -m tests.kubernetes` writes its rules.

What is not used there is refused by name, so that nothing is passed over that would change what a cluster is given.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "packaging" / "kubernetes"
RULES = FOLDER / "monitoring" / "rules.yaml"
#: What the rules are made from.
ALERTS = tuple(ROOT / "docker" / "prometheus" / name for name in ("alerts.yml", "intake_alerts.yml", "push_alerts.yml"))
HEAD = """\
# Made from docker/prometheus/*.yml: python -m tests.kubernetes (a test compares them). Change those.
"""
KNOWN = {"apiVersion", "kind", "namespace", "resources", "images", "configMapGenerator"}
#: What belongs to no namespace.
CLUSTER_WIDE = {"Namespace"}

Object = dict[str, Any]


def resolve(folder: Path) -> list[Object]:
    """Give all objects of a kustomization; a ConfigMap has the name it is referred to by, without its digest."""
    said = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    if said["kind"] != "Kustomization" or (unknown := set(said) - KNOWN):
        raise ValueError(f"{folder}: {unknown or said['kind']} is not known here: teach {__name__} what it does")
    found: list[Object] = []
    for name in said["resources"]:
        path = folder / name
        found += resolve(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text("utf-8")))
    for made in said.get("configMapGenerator", ()):
        if set(made) != {"name", "files"}:
            raise ValueError(f"{folder}: configMapGenerator with {sorted(made)}: only name and files are known here")
        data = {name: (folder / name).read_text("utf-8") for name in made["files"]}
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": made["name"]}, "data": data})
    found = copy.deepcopy(found)
    for image in said.get("images", ()):
        for container in (one for pod in pods(found).values() for one in containers(pod)):
            if container["image"] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"
    if namespace := said.get("namespace"):
        for one in found:
            if one["kind"] not in CLUSTER_WIDE:
                one["metadata"]["namespace"] = namespace
    names = [key(one) for one in found]
    if len(set(names)) < len(names):
        raise ValueError(f"{folder}: twice: {sorted(name for name in names if names.count(name) > 1)}")
    return found


def key(one: Object) -> tuple[str, str]:
    """Give what tells an object from all others of its namespace."""
    return one["kind"], one["metadata"]["name"]


def pods(objects: list[Object]) -> dict[str, Object]:
    """Map each workload's name to the pods that it makes (their metadata and spec)."""
    return {one["metadata"]["name"]: one["spec"]["template"] for one in objects if "template" in one.get("spec", {})}


def containers(pod: Object) -> Iterator[Object]:
    """Give every container of a pod."""
    yield from pod["spec"].get("initContainers", ())
    yield from pod["spec"]["containers"]


def rules() -> str:
    """Give the alerts that we ship as an object of the Prometheus operator, as text."""
    groups = [group for path in ALERTS for group in yaml.safe_load(path.read_text("utf-8"))["groups"]]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": "atp-engine",
            "labels": {"app.kubernetes.io/name": "atp-engine", "app.kubernetes.io/component": "engine"},
        },
        "spec": {"groups": groups},
    }
    return HEAD + yaml.safe_dump(rule, sort_keys=False, width=118, allow_unicode=True)


if __name__ == "__main__":
    RULES.write_text(rules(), "utf-8")
