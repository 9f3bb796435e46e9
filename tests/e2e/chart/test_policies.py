"""checkov's Kubernetes policies. What is not kept is named here, with the reason."""

from pathlib import Path

import yaml
from support.chart import CI_VALUES, relay_pod, render
from support.checkov import failed_checks
from support.unavailable import skipped_without

ACCEPTED = {
    "CKV_K8S_11": "no limits of CPU: they would hold up sound and pictures of live streams",
    "CKV_K8S_43": "images by digest are the user's choice (`image.digest`)",
    "CKV_K8S_15": "tags are versions: nodes need not ask the registry each time (`image.pullPolicy`)",
    "CKV_K8S_38": "API and operator use the Kubernetes API, so they have a token; relays have none",
}

# by the last word of the object's name
ACCEPTED_OF = {
    ("CKV_K8S_8", "test"): "the pod of helm test serves nothing, so there is nothing to probe",
    ("CKV_K8S_9", "test"): "the same",
    ("CKV_K8S_35", "operator"): "the URL of automatic starts is in its environment alone",
    ("CKV_K8S_35", "uninstall"): "it has the operator's environment",
    ("CKV_K8S_19", "01234567"): "media.mode hostNetwork is what its name says",
}


def test_policies(helm: Path, tmp_path: Path) -> None:
    for values in CI_VALUES:
        objects = render(helm, values)
        # what the user adds is the user's, and checkov knows nothing of custom resources
        ours = [o for o in objects if o["kind"] != "CustomResourceDefinition" and "extra" not in o["metadata"]["name"]]
        (tmp_path / f"{values.stem}.yaml").write_text(yaml.safe_dump_all([*ours, relay_pod(objects)]))
    with skipped_without():
        failed = failed_checks(tmp_path)
    assert {file for file, _, _ in failed} == {f"{values.stem}.yaml" for values in CI_VALUES}
    unexpected = {
        (file, check, resource)
        for file, check, resource in failed
        if check not in ACCEPTED and (check, resource.rpartition("-")[2]) not in ACCEPTED_OF
    }
    assert unexpected == set()
    # what is kept by now needs no excuse
    assert {check for _, check, _ in failed} == ACCEPTED.keys() | {check for check, _ in ACCEPTED_OF}
