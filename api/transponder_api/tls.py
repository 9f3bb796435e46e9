"""TLS of the ports: certificate and key from files, read anew when they change."""

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from transponder_api.doors import SettingName
from transponder_api.settings import ApiSettings
from transponder_crd.start_error import StartError, variable

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""Between two looks at the files. Whoever renews a certificate does it days before it is needed."""


class CertificateFiles(NamedTuple):
    """Both are PEM."""

    certificate: Path
    """With those it was issued by."""
    key: Path


class BadCertificate(ValueError):
    """One line that names the file and the rule."""


def certificate_files(settings: ApiSettings) -> CertificateFiles | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return CertificateFiles(settings.tls_cert, settings.tls_key)


def server_tls(settings: ApiSettings, named: SettingName = variable) -> ssl.SSLContext | None:
    """None without a certificate. Raises StartError."""
    files = certificate_files(settings)
    try:
        return None if files is None else _context(files, named)
    except BadCertificate as error:
        raise StartError(str(error)) from None


@asynccontextmanager
async def renewed(
    settings: ApiSettings, context: ssl.SSLContext | None, named: SettingName = variable
) -> AsyncIterator[None]:
    """For the length of the block new connections get the certificate that is in the files by then. Files that are no
    good are said once, and change nothing."""
    files = certificate_files(settings)
    if files is None or context is None:
        yield
        return
    task = asyncio.create_task(_renew(files, context, named), name="TLS files")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _renew(files: CertificateFiles, context: ssl.SSLContext, named: SettingName) -> None:
    seen = _state(files)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        state = _state(files)
        if state == seen:
            continue
        seen = state
        try:
            _context(files, named)  # tried aside: a context with another one's key serves nobody any more
            context.load_cert_chain(*files, lambda: "")  # and never asks at a terminal
        except (BadCertificate, OSError) as error:  # ssl.SSLError is an OSError
            log.warning("the former certificate stays: %s", error)
        else:
            log.info("the certificate was renewed")


def _state(files: CertificateFiles) -> tuple[object, ...]:
    """Differs when a file was written or exchanged: a mounted Secret is a link to a folder that is exchanged."""
    return tuple(_version(file) for file in files)


def _version(file: Path) -> object:
    try:
        status = os.stat(file)
    except OSError as error:
        return error.errno
    return status.st_ino, status.st_mtime_ns, status.st_size


def _context(files: CertificateFiles, named: SettingName) -> ssl.SSLContext:
    """Raises BadCertificate."""
    certificate, key = named("tls_cert"), named("tls_key")
    _check_readable(certificate, files.certificate)
    _check_readable(key, files.key)

    def no_password() -> str:
        raise BadCertificate(f"{key} {files.key}: must not be encrypted")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(*files, no_password)
    except ssl.SSLError:
        rule = f"must be PEM, and {key} {files.key} its private key"
        raise BadCertificate(f"{certificate} {files.certificate}: {rule}") from None
    return context


def _check_readable(option: str, file: Path) -> None:
    try:
        file.read_bytes()
    except OSError as error:
        raise BadCertificate(f"{option} {file}: {error.strerror}") from None
