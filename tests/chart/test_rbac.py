"""What each program may do, added up over all its bindings: no more and no less than it needs."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from support.chart import CHART, CI_VALUES, NAMESPACE, Object, of_kind, pods, render

Rights = dict[tuple[str, str, str, str], set[str]]
"""Namespace (or *), API group, resource, name of the object (or *): the verbs."""

READ = {"get", "list", "watch"}
OURS = "transponder.dev"
KEY, TEMPLATE = "live-rtmp-transponder-control-key", "live-rtmp-transponder-relay-template"


def api_rights(objects_in: str) -> Rights:
    return {
        (objects_in, OURS, "rtmptransponders", "*"): READ | {"create", "patch", "delete"},
        (objects_in, OURS, "streams", "*"): READ | {"create", "patch", "delete"},
        (objects_in, "", "pods", "*"): {"list", "watch"},
        (objects_in, "", "secrets", "*"): {"create"},
        (NAMESPACE, "", "secrets", KEY): {"get"},
    }


def operator_rights(*objects_in: str) -> Rights:
    rights: Rights = {
        (NAMESPACE, "coordination.k8s.io", "leases", "*"): {"get", "create", "update"},
        (NAMESPACE, "", "configmaps", TEMPLATE): {"get"},
    }
    for namespace in objects_in:
        rights |= {
            (namespace, OURS, "rtmptransponders", "*"): READ | {"create", "patch"},
            (namespace, OURS, "streams", "*"): READ | {"patch", "delete"},
            (namespace, OURS, "rtmptransponders/status", "*"): {"patch"},
            (namespace, OURS, "streams/status", "*"): {"patch"},
            (namespace, "", "pods", "*"): READ | {"create", "patch", "delete"},
            (namespace, "", "secrets", "*"): {"get", "create"},
            (namespace, "", "events", "*"): {"create", "patch"},
        }
    return rights


@pytest.mark.parametrize(
    ("values", "api", "operator"),
    [
        ("default", api_rights(NAMESPACE), operator_rights(NAMESPACE)),
        (
            "namespaces",
            api_rights("studio"),
            operator_rights("studio", "stage")
            | {(NAMESPACE, "", "secrets", "*"): {"create"}, (NAMESPACE, "", "secrets", KEY): {"get"}},
        ),
        ("all-namespaces", api_rights("studio"), operator_rights("*")),
    ],
)
def test_rights(helm: Path, values: str, api: Rights, operator: Rights) -> None:
    objects = render(helm, CHART / "ci" / f"{values}-values.yaml")
    assert rights_of(objects, "live-rtmp-transponder-api") == api
    assert rights_of(objects, "live-rtmp-transponder-operator") == operator
    assert rights_of(objects, "live-rtmp-transponder-relay") == {}


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda file: file.stem)
def test_nobody_reads_all_secrets_and_nothing_is_a_wildcard(helm: Path, values: Path) -> None:
    for obj in render(helm, values):
        for rule in obj.get("rules", []) if obj["kind"] in ("Role", "ClusterRole") else []:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert "secrets" not in rule["resources"] or not {"list", "watch"} & set(rule["verbs"])
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


def test_a_cluster_role_is_made_only_for_all_namespaces(helm: Path) -> None:
    with_cluster_role = {v.stem for v in CI_VALUES if of_kind(render(helm, v), "ClusterRole")}
    assert with_cluster_role == {"all-namespaces-values"}


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda file: file.stem)
def test_only_api_and_operator_have_a_token_and_their_own_account(helm: Path, values: Path) -> None:
    objects = render(helm, values)
    for pod in pods(objects):
        program = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        assert pod["spec"]["automountServiceAccountToken"] is (program in ("api", "operator", "uninstall"))
    for account in of_kind(objects, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_no_rbac_where_somebody_else_makes_it(helm: Path) -> None:
    kinds = {obj["kind"] for obj in render(helm, more={"rbac.create": False})}
    assert not kinds & {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


def rights_of(objects: list[Object], account: str) -> Rights:
    rights: defaultdict[tuple[str, str, str, str], set[str]] = defaultdict(set)
    for binding in [*of_kind(objects, "RoleBinding"), *of_kind(objects, "ClusterRoleBinding")]:
        subject: dict[str, Any]
        (subject,) = binding["subjects"]
        assert (subject["kind"], subject["namespace"]) == ("ServiceAccount", NAMESPACE)
        if subject["name"] != account:
            continue
        where = binding["metadata"].get("namespace", "*")
        for rule in _rules(objects, binding):
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for name in rule.get("resourceNames", ["*"]):
                        rights[where, group, resource, name] |= set(rule["verbs"])
    return dict(rights)


def _rules(objects: list[Object], binding: Object) -> list[dict[str, Any]]:
    reference = binding["roleRef"]
    (role,) = [
        role
        for role in of_kind(objects, reference["kind"], reference["name"])
        if role["metadata"].get("namespace") == binding["metadata"].get("namespace")
    ]
    rules: list[dict[str, Any]] = role["rules"]
    return rules
