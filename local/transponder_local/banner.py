"""What `transponder local` prints when it serves."""

from collections.abc import Iterator, Mapping

from transponder_api.doors import HTTP, HTTPS, WS, WSS, Port
from transponder_local.settings import LocalSettings


def banner(settings: LocalSettings, ports: Mapping[Port, int]) -> str:
    """The addresses to use, by the real numbers of the `ports` that are open, and the folders."""
    # a program that listens on every address is reached on this machine by the loopback one
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    lines = [
        *_addresses(f"[{host}]" if ":" in host else host, ports),
        ("data", str(settings.data_folder.absolute())),
        ("sounds", str(settings.sounds_folder.absolute())),
    ]
    return "\n".join(f"{name:<8} {value}" for name, value in lines)


def _addresses(host: str, ports: Mapping[Port, int]) -> Iterator[tuple[str, str]]:
    bases = {port: f"{port.scheme}://{host}:{number}" for port, number in ports.items()}
    for name, path in (
        ("page", "/"),
        ("REST", "/rest-api/push/"),
        ("WHIP", "/whip/<stream name>"),
        ("WHEP", "/whep/<stream name>"),
        ("OpenAPI", "/openapi.json"),
    ):
        yield from ((name, bases[port] + path) for port in (HTTP, HTTPS) if port in bases)
    yield from (("WebSDK", bases[port]) for port in (WS, WSS) if port in bases)
