"""What packaging/kubernetes gives a cluster is valid there; all names, ports, paths and variables are the program's.

There is no cluster here: docs/kubernetes.md says what was tried and what was not.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import typer
import yaml

from flows.adapters.intake.receive import Receiver
from flows.adapters.intake.receiver import BODY_SECONDS_MAX
from flows.cli.app import app
from flows.console.access import Access
from flows.console.app import application
from flows.console.desk import Desk
from flows.monitoring.endpoint import INDEX, STANDBY
from flows.processes import supervisor
from flows.remote import copying
from flows.settings import load_settings
from schemas.settings import NAMES, Settings
from tests.image import DOCKERFILE, stages
from tests.kubernetes import ALERTS, FOLDER, ROOT, RULES, Object, containers, key, pods, resolve, rules

EXAMPLE = FOLDER / "example"
OBJECTS = resolve(EXAMPLE)
PODS = pods(OBJECTS)
PAGE = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
#: The oldest that still gets fixes somewhere, and the newest that the package knows.
VERSIONS = ("1.30", kubernetes_validate.latest_version())
OPERATOR = "monitoring.coreos.com/v1"
SECRETS = "/run/secrets/atp-engine"
TOML = tomllib.loads((EXAMPLE / "atp.toml").read_text("utf-8"))

TEXT = {"type": "string"}
LABELS = {"type": "object", "additionalProperties": TEXT}
META = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {"name": TEXT, "namespace": TEXT, "labels": LABELS},
}


def custom(kind: str, required: list[str], **properties: Any) -> dict[str, Any]:
    """Give a schema of a kind of the Prometheus operator, with as much of its API as is used here and nothing else."""
    return {
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
        "properties": {
            "apiVersion": {"const": OPERATOR},
            "kind": {"const": kind},
            "metadata": META,
            "spec": closed(required, **properties),
        },
    }


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


def listed(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": item}


DURATION = {"type": "string", "pattern": r"^([0-9]+(ms|s|m|h|d|w|y))+$"}
CUSTOM = {
    "ServiceMonitor": custom(
        "ServiceMonitor",
        ["selector", "endpoints"],
        selector=closed(
            [],
            matchLabels=LABELS,
            matchExpressions=listed(
                closed(
                    ["key", "operator"],
                    key=TEXT,
                    operator={"enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
                    values=listed(TEXT),
                )
            ),
        ),
        endpoints=listed(
            closed(
                ["port"],
                port=TEXT,
                path=TEXT,
                interval=DURATION,
                relabelings=listed(closed([], action={"enum": ["replace"]}, targetLabel=TEXT, replacement=TEXT)),
            )
        ),
    ),
    "PrometheusRule": custom(
        "PrometheusRule",
        ["groups"],
        groups=listed(
            closed(
                ["name", "rules"],
                name=TEXT,
                rules=listed(
                    closed(
                        ["alert", "expr"],
                        alert=TEXT,
                        expr=TEXT,
                        labels=LABELS,
                        annotations=LABELS,
                        **{"for": DURATION},
                    )
                ),
            )
        ),
    ),
}


def of(kind: str) -> Iterator[Object]:
    return (one for one in OBJECTS if one["kind"] == kind)


def fits(selector: Object, labels: dict[str, str]) -> bool:
    """Does a selector take what has these labels?"""
    expressions = selector.get("matchExpressions", ())
    assert all(one["operator"] == "In" for one in expressions)
    return all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items()) and all(
        labels.get(one["key"]) in one["values"] for one in expressions
    )


def ports(pod: Object) -> dict[str, int]:
    return {one["name"]: one["containerPort"] for container in containers(pod) for one in container["ports"]}


def container(name: str) -> Object:
    (only,) = containers(PODS[name])
    return only


def environment(name: str) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container(name)["env"]}


@pytest.fixture
def settings_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give what a pod's program reads: the ConfigMap, its environment, and the image's."""

    def read(name: str) -> Settings:
        secrets = tmp_path / name
        secrets.mkdir()
        for file in given(name):
            (secrets / file).write_text("secret")
        here = tmp_path / "atp.toml"
        here.write_text((EXAMPLE / "atp.toml").read_text("utf-8").replace(SECRETS, str(secrets)))
        (image,) = [step.text for step in stages(DOCKERFILE.read_text("utf-8"))[1] if step.word == "ENV"]
        for variable, value in {**dict(re.findall(r"(ATP_\w+)=(\S+)", image)), **environment(name)}.items():
            monkeypatch.setenv(variable, value.replace(SECRETS, str(secrets)))
        monkeypatch.setenv("ATP_CONFIG", str(here))
        return load_settings()

    return read


def given(name: str) -> set[str]:
    """Give the files of a pod's Secret, as docs/kubernetes.md has it made."""
    (secret,) = [volume["secret"] for volume in PODS[name]["spec"]["volumes"] if "secret" in volume]
    command = re.search(rf"create secret generic {secret['secretName']} \\\n((?:  .*\n)+)", PAGE)
    assert command is not None, f"docs/kubernetes.md does not make {secret['secretName']}"
    return {file.partition("=")[0] for file in re.findall(r"--from-file=(\S+)", command[1])}


# --- valid -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_each_object_is_one_that_kubernetes_knows(version: str) -> None:
    for one in OBJECTS:
        if one["apiVersion"] != OPERATOR:
            kubernetes_validate.validate(one, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_found() -> None:
    wrong = json.loads(json.dumps(next(of("StatefulSet"))))
    wrong["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFilesystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_each_object_of_the_prometheus_operator_has_what_its_kind_needs_and_nothing_else() -> None:
    there = [one for one in OBJECTS if one["apiVersion"] == OPERATOR]
    assert {one["kind"] for one in there} == set(CUSTOM)
    for one in there:
        jsonschema.validate(one, CUSTOM[one["kind"]])


def test_a_kustomization_is_read_as_kustomize_reads_it() -> None:
    folder = ROOT / "tests" / "fixtures" / "kustomize"
    recorded = (folder / "made.yaml").read_text("utf-8")
    made = list(yaml.safe_load_all(re.sub(r"\bclock-settings-[a-z0-9]{10}\b", "clock-settings", recorded)))
    ours = resolve(folder)
    assert sorted(map(key, ours)) == sorted(map(key, made))
    for one in ours:
        assert one in made, key(one)
    used = {name for path in FOLDER.rglob("kustomization.yaml") for name in yaml.safe_load(path.read_text("utf-8"))}
    assert used <= set(yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))), "another is to be recorded"


def test_the_rules_are_the_alerts_that_we_ship() -> None:
    assert RULES.read_text("utf-8") == rules(), "run: python -m tests.kubernetes"
    (rule,) = of("PrometheusRule")
    shipped = [group for path in ALERTS for group in yaml.safe_load(path.read_text("utf-8"))["groups"]]
    assert rule["spec"]["groups"] == shipped
    assert {path.name for path in ALERTS} == {path.name for path in ALERTS[0].parent.glob("*alerts.yml")}


# --- each name leads somewhere ---------------------------------------------------------------------------------------


def test_every_selector_takes_just_the_pods_of_its_name() -> None:
    for one in OBJECTS:
        kind, name = key(one)
        spec = one.get("spec", {})
        selector = {
            "Service": lambda spec: {"matchLabels": spec["selector"]},
            "StatefulSet": lambda spec: spec["selector"],
            "Deployment": lambda spec: spec["selector"],
            "PodDisruptionBudget": lambda spec: spec["selector"],
            "NetworkPolicy": lambda spec: spec["podSelector"],
        }.get(kind)
        if selector is not None:
            taken = [pod for pod, made in PODS.items() if fits(selector(spec), made["metadata"]["labels"])]
            assert taken == [name], (kind, name)


def test_every_pod_is_behind_a_policy_and_every_one_of_several_behind_a_budget() -> None:
    assert {one["metadata"]["name"] for one in of("NetworkPolicy")} == set(PODS)
    for policy in of("NetworkPolicy"):
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    several = {one["metadata"]["name"] for one in OBJECTS if one.get("spec", {}).get("replicas", 1) > 1}
    budgets = {one["metadata"]["name"]: one["spec"] for one in of("PodDisruptionBudget")}
    assert set(budgets) == several == {"atp-engine", "atp-receive"}
    assert all(spec["maxUnavailable"] == 1 for spec in budgets.values())


def test_every_port_that_is_named_is_one_of_the_pods() -> None:
    for one in of("Service"):
        there = ports(PODS[one["metadata"]["name"]])
        for port in one["spec"]["ports"]:
            assert port["port"] == there[port["targetPort"]] and port["name"] == port["targetPort"]
    for name, pod in PODS.items():
        for probe in (container(name)[kind] for kind in ("startupProbe", "livenessProbe", "readinessProbe")):
            assert probe["httpGet"]["port"] in ports(pod)
    for policy in of("NetworkPolicy"):
        for rule in policy["spec"]["ingress"]:
            assert all(port["port"] in ports(PODS[policy["metadata"]["name"]]) for port in rule["ports"])


def test_each_service_is_scraped_as_the_job_that_the_alerts_ask_for() -> None:
    scraped: dict[str, list[str]] = {}
    for monitor in of("ServiceMonitor"):
        (endpoint,) = monitor["spec"]["endpoints"]
        (relabeled,) = endpoint["relabelings"]
        assert relabeled["targetLabel"] == "job" and endpoint["path"] == "/metrics"
        scraped[relabeled["replacement"]] = [
            service["metadata"]["name"]
            for service in of("Service")
            if fits(monitor["spec"]["selector"], service["metadata"]["labels"])
            and endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        ]
    assert scraped == {"atp": ["atp-engine"], "atp-intake": ["atp-receive", "atp-translate"]}
    asked = set(re.findall(r'job="([\w-]+)"', RULES.read_text("utf-8")))
    assert set(scraped) == asked - {"atp-push"}


def test_what_a_pod_reaches_is_what_its_settings_name() -> None:
    addresses = {"kafka": TOML["kafka"]["bootstrap_servers"], "redis": TOML["redis"]["url"]}
    there = {name: int(re.findall(r":(\d+)", address)[-1]) for name, address in addresses.items()}
    needed = {
        "atp-engine": {53, there["kafka"], there["redis"], 443},
        "atp-receive": {53, there["kafka"]},
        "atp-translate": {53, there["kafka"]},
        "atp-console": {53, there["kafka"], there["redis"], Settings().metrics.port},
    }
    for policy in of("NetworkPolicy"):
        opened = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
        assert opened == needed[policy["metadata"]["name"]]


def test_every_map_and_secret_that_is_mounted_is_made() -> None:
    (made,) = of("ConfigMap")
    for name, pod in PODS.items():
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        assert volumes["settings"]["configMap"]["name"] == made["metadata"]["name"]
        assert given(name)
        claims = {one["metadata"]["name"] for one in claims_of(name)}
        mounts = {mount["name"]: mount["mountPath"] for mount in container(name)["volumeMounts"]}
        assert set(mounts) == set(volumes) | claims
        assert mounts["secrets"] == SECRETS and mounts["tmp"] == "/tmp"
        assert environment(name)["ATP_CONFIG"] == f"{mounts['settings']}/{next(iter(made['data']))}"


def claims_of(name: str) -> list[Object]:
    (workload,) = [one for one in OBJECTS if key(one) in {("StatefulSet", name), ("Deployment", name)}]
    claims: list[Object] = workload["spec"].get("volumeClaimTemplates", [])
    return claims


# --- what runs in them -----------------------------------------------------------------------------------------------


def test_each_runs_a_command_with_flags_that_it_knows() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name in PODS:
        command, *flags = container(name)["args"]
        options = {option for parameter in commands[command].params for option in parameter.opts}
        assert set(flags) <= options, name
    assert container("atp-engine")["args"] == ["run", "--standby", "--wait"]


def test_each_variable_is_a_setting() -> None:
    names = {"ATP_CONFIG", *("ATP_" + name.upper().replace(".", "__") for name in NAMES)}
    for name, pod in PODS.items():
        assert set(environment(name)) <= names, name
        # A Service named atp-... would put more of them there, which begin like settings.
        assert pod["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("name", PODS)
def test_each_program_can_read_its_settings_with_the_files_of_its_secret_alone(name: str, settings_of: Any) -> None:
    settings = settings_of(name)
    assert (
        ports(PODS[name])
        == {
            "atp-engine": {"metrics": settings.metrics.port},
            "atp-receive": {"http": settings.receive.port, "metrics": settings.receive.metrics_port},
            "atp-translate": {"metrics": settings.translator.metrics_port},
            "atp-console": {"http": settings.console.port},
        }[name]
    )
    listens = {"atp-receive": settings.receive.host, "atp-console": settings.console.host}
    assert listens.get(name, settings.metrics.host) == "0.0.0.0"
    if name == "atp-console":
        assert settings.metrics.host in {one["metadata"]["name"] for one in of("Service")}


def test_state_lies_on_a_disk_and_in_a_folder_that_the_program_makes_itself(settings_of: Any) -> None:
    for name, folder in (("atp-engine", "state.dir"), ("atp-translate", "translator.dir")):
        settings = settings_of(name)
        place = settings.state.dir if folder == "state.dir" else settings.translator_dir()
        (claim,) = claims_of(name)
        (mounted,) = [m["mountPath"] for m in container(name)["volumeMounts"] if m["name"] == claim["metadata"]["name"]]
        assert place.parent == Path(mounted), folder
        assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert settings.state.remote is not None, "what stands by takes the state from there"


def test_each_probe_asks_for_a_path_that_is_answered(settings_of: Any) -> None:
    asked = {
        name: {container(name)[kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
        for name in PODS
    }
    assert asked.pop("atp-engine") == {"/healthz", f"/readyz?{STANDBY}"}
    assert "/healthz" in INDEX and "/readyz" in INDEX  # what test_endpoint.py asks it for
    receiver = Receiver(Settings(), {}, None, None, None)  # type: ignore[arg-type]
    assert asked.pop("atp-receive") <= {route.path for route in receiver.others.routes}  # type: ignore[attr-defined]
    settings = settings_of("atp-console")
    console = application(Desk(settings))
    assert asked.pop("atp-console") <= {route.path for route in console.routes}  # type: ignore[attr-defined]
    (header,) = container("atp-console")["readinessProbe"]["httpGet"]["httpHeaders"]
    assert header["name"] == "Host" and Access(settings.console).is_name(header["value"])
    assert asked == {"atp-translate": {"/metrics"}}


def test_each_gets_the_time_to_end_that_it_may_need() -> None:
    patience = supervisor.END_PATIENCE_S + copying.END_PATIENCE_S
    for name, least in (("atp-engine", patience + 15), ("atp-receive", BODY_SECONDS_MAX + 5), ("atp-translate", 30)):
        assert PODS[name]["spec"]["terminationGracePeriodSeconds"] >= least, name


def test_the_engine_has_what_the_page_on_sizing_gives_it() -> None:
    page = (ROOT / "docs" / "sizing.md").read_text("utf-8")
    row = r"^\| 200,000 items at 5 locations, 1,000 messages .* \| (\d) cores, (\d+) GB, (\d+) GB \|$"
    [(cores, memory, disk)] = re.findall(row, page, re.M)
    given = container("atp-engine")["resources"]
    assert given["requests"] == {"cpu": cores, "memory": f"{memory}Gi"} and given["limits"] == {"memory": f"{memory}Gi"}
    (claim,) = claims_of("atp-engine")
    assert claim["spec"]["resources"]["requests"]["storage"] == f"{disk}Gi"


def test_they_may_do_nothing_that_they_need_not() -> None:
    """As docs/security.md wants it, and as the level `restricted` of Kubernetes' own standards does."""
    (user,) = [step.text for step in stages(DOCKERFILE.read_text("utf-8"))[1] if step.word == "USER"]
    for name, pod in PODS.items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        context = spec["securityContext"]
        assert context["runAsNonRoot"] and f"{context['runAsUser']}:{context['runAsGroup']}" == user
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container(name)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert all("hostPath" not in volume for volume in spec["volumes"])
        assert all(v["secret"]["defaultMode"] == 0o440 for v in spec["volumes"] if "secret" in v)
    (namespace,) = of("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_secret_stands_in_a_file_of_ours() -> None:
    assert not list(of("Secret"))
    assert not {"password", "token"} & {
        name for section in TOML.values() if isinstance(section, dict) for name in section
    }


def test_the_image_is_of_the_version_that_this_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {container(name)["image"] for name in PODS} == {f"registry.example.com/atp-engine:{project['version']}"}


# --- the page --------------------------------------------------------------------------------------------------------


def test_every_name_in_the_commands_of_the_page_is_there() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    said = "\n".join(re.findall(r"^```text\n(.*?)^```$", PAGE, re.M | re.S))
    for command in re.findall(r"-- atp ([a-z-]+)", said):
        assert command in commands, command
    kinds = {"statefulset": "StatefulSet", "deployment": "Deployment"}
    for kind, name in re.findall(r"\b(statefulset|deployment)/([\w-]+)", said):
        assert (kinds[kind], name) in map(key, OBJECTS)
    for name, number in re.findall(r"\bexec ([\w-]+?)-(\d)\b", said):
        (workload,) = [one for one in of("StatefulSet") if one["metadata"]["name"] == name]
        assert int(number) < workload["spec"]["replicas"]
    claimed = {
        f"{claim['metadata']['name']}-{one['metadata']['name']}-{number}"
        for one in of("StatefulSet")
        for claim in claims_of(one["metadata"]["name"])
        for number in range(one["spec"]["replicas"])
    }
    assert set(re.findall(r"\bpvc/([\w-]+)", said)) <= claimed
    assert set(re.findall(r"-n (\w+)", said)) == {one["metadata"]["name"] for one in of("Namespace")}
