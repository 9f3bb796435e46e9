"""A real Kubernetes cluster for the tests of this folder; `make test-cluster` runs them."""

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import network, tools
from cluster.choice import Chosen, chosen
from cluster.folders import Unavailable
from support.clip import Clip, clip
from support.kubectl import Kubectl, KubectlError
from support.restricted import NAMESPACE_LABELS

_HERE = Path(__file__).parent
_TEST_SECONDS = 300
_CLUSTER = pytest.StashKey[Chosen]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All here need a cluster. Their time is the test's own: the first of them waits minutes for the cluster."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.cluster)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(_TEST_SECONDS, func_only=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """What happened in the cluster stands below a test that failed."""
    report = yield
    cluster = item.config.stash.get(_CLUSTER, None)
    if cluster is not None and call.when == "call" and report.failed:
        with contextlib.suppress(Unavailable):
            kubectl = Kubectl(tools.kubectl(), cluster.kubeconfig)
            report.sections.append(("pods", _said(kubectl, "get", "pods", "--all-namespaces", "-o", "wide")))
            report.sections.append(("events", _said(kubectl, "get", "events", "--all-namespaces")))
        if cluster.local is not None:
            report.sections.append(("logs of the cluster's programs", cluster.local.logs()))
    return report


def _said(kubectl: Kubectl, *arguments: str) -> str:
    try:
        return kubectl(*arguments, seconds=20)
    except (KubectlError, TimeoutError) as error:
        return str(error)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Chosen]:
    """The cluster under test, with the images of this work tree."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with contextlib.ExitStack() as stack:
        try:
            with capture.global_and_fixture_disabled():  # its progress is shown: it may take minutes
                made = stack.enter_context(chosen())
        except Unavailable as error:
            pytest.skip(f"no Kubernetes cluster: {error}")
        request.config.stash[_CLUSTER] = made
        yield made


@pytest.fixture(scope="session")
def reachable(cluster: Chosen) -> str:
    """This machine's address, from which media reaches pods."""
    if not cluster.direct:
        pytest.skip("media reaches the pods of the local cluster only")
    return network.HOST


@pytest.fixture(scope="session")
def media() -> Clip:
    return clip()


@pytest.fixture(scope="session")
def cluster_kubectl(cluster: Chosen) -> Kubectl:
    """kubectl in the namespace `default`."""
    return Kubectl(tools.kubectl(), cluster.kubeconfig)


@pytest.fixture(scope="session")
def helm() -> Path:
    """Helm 4."""
    return tools.helm()


@pytest.fixture
def kubectl(cluster_kubectl: Kubectl) -> Iterator[Kubectl]:
    """kubectl in a namespace of the test's own, which enforces Pod Security `restricted` and is deleted after it."""
    name = f"e2e-{secrets.token_hex(4)}"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": NAMESPACE_LABELS}}
    cluster_kubectl.apply(namespace)
    try:
        yield cluster_kubectl.within(name)
    finally:
        cluster_kubectl("delete", "namespace", name, "--wait=false")
