"""RTMP destinations: what an RTMP URL says, what of it goes on the wire, and what of it may be shown.

    rtmp[s]://[user[:password]@]host[:port]/[app[/instance][/name]][?query]

Nothing is percent-decoded or encoded: servers compare stream keys byte by byte. The split into app and stream name is
that of Flashphoner WCS (settings `rtmp_transponder_stream_name_prefix` and `rtmp_transponder_full_url`).
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address

from pydantic import SecretStr

from transponder_crd.control import RtmpTarget

MAX_URL_LENGTH = 2048
DEFAULT_APP = "live"
"""For a URL without a path."""
DEFAULT_PORTS = {"rtmp": 1935, "rtmps": 443}

_MASK = "***"
_KEY_LENGTH = 12
"""From this length on the last of several path segments is taken for a stream key."""
_URL = re.compile(r"(?P<scheme>rtmps?)://(?P<authority>[^/]*)(?:/(?P<rest>.*))?", re.IGNORECASE | re.DOTALL)
_HOST_AND_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[^:]*))?")
_HOST_NAME = re.compile(r"\w([\w-]*\w)?(\.\w([\w-]*\w)?)*\.?")
_QUERY_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")


class InvalidRtmpUrl(ValueError):
    """The URL breaks a rule. The text is the rule alone and never holds a part of the URL."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


@dataclass(frozen=True)
class Destination:
    """An RTMP URL in its parts, as given. Shows itself without secrets."""

    url: str
    scheme: str
    """`rtmp` or `rtmps`."""
    user: str | None
    password: str | None
    host: str
    """Without the brackets of an IPv6 address."""
    explicit_port: int | None
    path: str
    """Without its first slash."""
    query: str | None
    """Without the question mark."""

    @classmethod
    def parse(cls, url: str) -> "Destination":
        """Raises InvalidRtmpUrl."""
        if len(url) > MAX_URL_LENGTH:
            raise InvalidRtmpUrl(f"must be at most {MAX_URL_LENGTH} characters long")
        if any(char.isspace() or not char.isprintable() for char in url):
            raise InvalidRtmpUrl("must not hold white space, control or invisible characters")
        match = _URL.fullmatch(url)
        if match is None:
            raise InvalidRtmpUrl("must start with rtmp:// or rtmps://")
        # the last @, since a password may hold one
        userinfo, _, location = match["authority"].rpartition("@")
        user, colon, password = userinfo.partition(":")
        location, mark, early_query = location.partition("?")
        rest = match["rest"] or ""
        if mark:  # a query right behind the host: a slash in it begins no path
            early_query += f"/{rest}" if match["rest"] is not None else ""
            rest = f"?{early_query}"
        path, mark, query = rest.partition("?")
        host, port = _host_and_port(location)
        return cls(
            url=url,
            scheme=match["scheme"].lower(),
            user=user if userinfo else None,
            password=password if colon else None,
            host=host,
            explicit_port=port,
            path=path,
            query=query if mark else None,
        )

    @property
    def tls(self) -> bool:
        return self.scheme == "rtmps"

    @property
    def port(self) -> int:
        return self.explicit_port if self.explicit_port is not None else DEFAULT_PORTS[self.scheme]

    def compose(self, stream_name: str, prefix: str, full_url: bool, flash_version: str) -> RtmpTarget:
        """What goes on the wire for a stream.

        With `full_url` and a path of at least two segments that does not end in a slash, the last segment and the
        query are the stream's name, and `stream_name` and `prefix` are not used.
        """
        if full_url and self._ends_with_name:
            app, _, name = self.path.rpartition("/")
            app, name = app.rstrip("/"), name + self._query_part
        else:
            # "live/" would be another app than "live" for most servers, but "live/?user=u" is how WCS sends it
            path = self.path if self.query is not None else self.path.rstrip("/")
            app, name = (path or DEFAULT_APP) + self._query_part, prefix + stream_name
        return RtmpTarget(
            tls=self.tls,
            host=self.host,
            port=self.port,
            app=SecretStr(app),
            tc_url=SecretStr(f"{self.scheme}://{self._location}/{app}"),
            stream_name=SecretStr(name),
            flash_version=flash_version,
            user=self.user,
            password=None if self.password is None else SecretStr(self.password),
        )

    def redacted(self, full_url: bool = False) -> str:
        """The URL without its secrets; a URL without any stays as it was given.

        Hidden are user and password, the values of the query, and the last path segment where it is the stream's name
        (`full_url`) or looks like a key (at least 12 characters, not the only segment).
        """
        userinfo = "" if self.user is None else f"{_MASK}@"
        path, query = self.path, self._query_part
        if (full_url and self._ends_with_name) or self._ends_with_key:
            trimmed = path.rstrip("/")
            path = f"{trimmed.rpartition('/')[0]}/{_MASK}{path[len(trimmed) :]}"
        if self.query is not None:
            query = "?" + "&".join(map(_redact_parameter, self.query.split("&")))
        if (userinfo, path, query) == ("", self.path, self._query_part):
            return self.url
        slash = "/" if path or query else ""
        return f"{self.scheme}://{userinfo}{self._location}{slash}{path}{query}"

    def __repr__(self) -> str:
        return f"Destination({self})"

    def __str__(self) -> str:
        return self.redacted(full_url=True)

    @property
    def _location(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.explicit_port is None else f"{host}:{self.explicit_port}"

    @property
    def _query_part(self) -> str:
        return "" if self.query is None else f"?{self.query}"

    @property
    def _segments(self) -> list[str]:
        return [segment for segment in self.path.split("/") if segment]

    @property
    def _ends_with_name(self) -> bool:
        return len(self._segments) >= 2 and not self.path.endswith("/")

    @property
    def _ends_with_key(self) -> bool:
        return len(self._segments) >= 2 and len(self._segments[-1]) >= _KEY_LENGTH


def _host_and_port(location: str) -> tuple[str, int | None]:
    match = _HOST_AND_PORT.fullmatch(location)
    if match is None:
        raise InvalidRtmpUrl("must have a host name, an IPv4 address or an IPv6 address in brackets")
    return _host(match["host"]), None if match["port"] is None else _port(match["port"])


def _host(host: str) -> str:
    if not host:
        raise InvalidRtmpUrl("must have a host")
    if host.startswith("["):
        try:
            IPv6Address(host[1:-1])
            return host[1:-1]
        except AddressValueError:
            raise InvalidRtmpUrl("must have a valid IPv6 address in its brackets") from None
    if len(host) > 253 or not _HOST_NAME.fullmatch(host):
        raise InvalidRtmpUrl("must have a valid host name")
    return host


def _port(port: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise InvalidRtmpUrl("must have a port from 1 to 65535")
    return int(port)


def _redact_parameter(parameter: str) -> str:
    key, _, value = parameter.partition("=")
    # "?user1&pass1" and "?a2V5==" have no key: all of it is secret
    return f"{key}={_MASK}" if value.strip("=") and _QUERY_KEY.fullmatch(key) else _MASK
