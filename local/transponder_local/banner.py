"""What `transponder local` prints when it serves."""

from transponder_local.settings import LocalSettings


def banner(settings: LocalSettings, port: int) -> str:
    """The addresses to use, `port` being the real one, and the folders."""
    # a program that listens on every address is reached on this machine by the loopback one
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    lines = {
        "page": f"{base}/",
        "REST": f"{base}/rest-api/push/",
        "WHIP": f"{base}/whip/<stream name>",
        "OpenAPI": f"{base}/openapi.json",
        "data": str(settings.data_folder.absolute()),
        "sounds": str(settings.sounds_folder.absolute()),
    }
    return "\n".join(f"{name:<8} {value}" for name, value in lines.items())
