"""Addresses of the local cluster, and the one cable between this machine and it.

The whole cluster lives in a network namespace with no way out: its only interface beside the pods' bridge is one end of
a veth pair, and it has no default route. The machine reaches node, pods and services through the other end. Nothing is
bound to an outer interface, nothing is forwarded, no firewall rule of the machine is touched.
"""

import ipaddress
import json
from pathlib import Path

from cluster.folders import Unavailable
from cluster.processes import ProcessError, run

RANGE = "10.213.0.0/16"
HOST = "10.213.0.1"
"""This machine as the cluster sees it: what a test binds here, pods can reach."""
NODE = "10.213.0.2"
"""The node as this machine sees it: API server, NodePorts, host network."""
PODS = "10.213.16.0/24"
SERVICES = "10.213.32.0/20"
BRIDGE = "pods0"
_LINK_BITS = 24
_CABLE = "transponder0"
# Never used while the cable is there. It keeps what is sent to a cluster that has just ended from leaving the machine.
_GUARD = ["unreachable", RANGE, "metric", "4294967295"]


def check_free() -> None:
    """Raises Unavailable if the cluster's addresses belong to a network of this machine."""
    wanted = ipaddress.ip_network(RANGE)
    for route in json.loads(run(["ip", "-json", "route", "show", "table", "all"])):
        destination = "0.0.0.0/0" if route["dst"] == "default" else route["dst"]
        network = ipaddress.ip_network(destination, strict=False)
        if network.version == 4 and network.prefixlen and network.overlaps(wanted):
            raise Unavailable(f"this machine has a route to {destination}, where the local cluster would be")


def connect(pid: int) -> None:
    """Lay the cable into the network namespace of this process, and routes on both sides."""
    run(["ip", "route", "replace", *_GUARD])
    run(["ip", "link", "add", _CABLE, "type", "veth", "peer", "name", "eth0", "netns", str(pid)])
    quiet = Path(f"/proc/sys/net/ipv6/conf/{_CABLE}/disable_ipv6")
    if quiet.exists():
        quiet.write_text("1")
    run(["ip", "address", "add", f"{HOST}/{_LINK_BITS}", "dev", _CABLE])
    run(["ip", "link", "set", _CABLE, "up"])
    inside = ["nsenter", "--target", str(pid), "--net", "--"]
    run([*inside, "ip", "link", "set", "lo", "up"])
    run([*inside, "ip", "address", "add", f"{NODE}/{_LINK_BITS}", "dev", "eth0"])
    run([*inside, "ip", "link", "set", "eth0", "up"])
    run([*inside, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
    # For programs in the node's own network: their packets to services are turned to pods only once they have a route.
    run([*inside, "ip", "route", "add", SERVICES, "dev", "eth0"])
    for network in (PODS, SERVICES):
        run(["ip", "route", "add", network, "via", NODE, "dev", _CABLE])
    _check_local()


def _check_local() -> None:
    for address in (NODE, _first(PODS), _first(SERVICES)):
        said = run(["ip", "route", "get", address])
        if f"dev {_CABLE}" not in said:
            raise ProcessError(f"packets to {address} would not go to the cluster: {said}")


def disconnect() -> None:
    """Take away what `connect` made on this machine; safe to call when there is nothing."""
    for command in (["ip", "link", "delete", _CABLE], ["ip", "route", "delete", *_GUARD]):
        try:
            run(command)
        except ProcessError:
            continue  # it went with the namespace, or was never there


def _first(network: str) -> str:
    return str(next(ipaddress.ip_network(network).hosts()))


def pod_network() -> dict[str, object]:
    """CNI: a bridge whose pods keep their addresses, and the node's ports that pods ask for."""
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": PODS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": "/run/cni",
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]}
