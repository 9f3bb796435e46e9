# One image a program: `docker build --target api .` (or operator, relay). No stage needs BuildKit.
#
# BASE is a Debian 12 with Python 3.11 or newer. What pip and apt need (authorities, mirrors) is BASE's own.
ARG BASE=python:3.12-slim-bookworm

# ---------------------------------------------------------------------------------------------- the parts
FROM ${BASE} AS builder
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends binutils \
 && rm -rf /var/lib/apt/lists/*
# pip 25.1 knows dependency groups
RUN python3 -m venv /pip && /pip/bin/pip install -q "pip>=25.1"
WORKDIR /src
COPY pyproject.toml constraints.txt ./
ENV PIP_CONSTRAINT=/src/constraints.txt
# `install-group` GROUP: a virtual environment in /opt/transponder with what that program needs, and no pip.
# Symbols for debuggers, sources of compiled modules and tests are most of what some wheels hold; so are the asynchronous
# twin and the generated calls of the Kubernetes client, of which connections are used.
# `install-program` NAME MODULE: our wheel, all of it compiled; that MODULE can be imported proves that nothing is missing.
RUN printf '%s\n' '#!/bin/sh' 'set -eu' \
    'python3 -m venv --without-pip /opt/transponder' \
    '/pip/bin/pip --python /opt/transponder/bin/python install -q --only-binary :all: --group "$1"' \
    'cd /opt/transponder/lib/python3*/site-packages' \
    'find . -name "*.so" -type f -not -path "*.libs/*" -exec strip --strip-unneeded {} +' \
    'find . -type f \( -name "*.pyx" -o -name "*.pxd" -o -name "*.pyi" -o -name "*.c" -o -name "*.h" \) -delete' \
    'rm -rf kubernetes/aio kubernetes/client/api/*_v[0-9]*_api.py' \
    'find . -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} +' \
    > /usr/local/bin/install-group \
 && printf '%s\n' '#!/bin/sh' 'set -eu' \
    '/pip/bin/pip --python /opt/transponder/bin/python install -q --no-deps --no-compile /wheels/*.whl' \
    'cd /opt/transponder/bin' \
    'find . -type f -not -name "$1" -delete' \
    '/opt/transponder/bin/python -m compileall -q --invalidation-mode unchecked-hash -x kubernetes/client/models /opt/transponder/lib' \
    '/opt/transponder/bin/python -c "import $2"' \
    > /usr/local/bin/install-program \
 && chmod +x /usr/local/bin/install-group /usr/local/bin/install-program

FROM builder AS wheel
COPY README.md LICENSE ./
COPY crds crds
COPY operator operator
COPY relay relay
COPY api api
COPY local local
RUN /pip/bin/pip wheel -q --no-deps --wheel-dir /wheels .

FROM builder AS api-files
RUN install-group image-api
COPY --from=wheel /wheels /wheels
RUN install-program transponder-api transponder_api.__main__

FROM builder AS operator-files
RUN install-group image-operator
COPY --from=wheel /wheels /wheels
RUN install-program transponder-operator transponder_operator.__main__

FROM builder AS relay-files
RUN install-group image-relay
COPY --from=wheel /wheels /wheels
RUN install-program transponder-relay transponder_relay.zygote

# ---------------------------------------------------------------------------------------------- the base without ballast
# No pip, no manuals, no setuid bits. Python's own modules are compiled: the root of a container is read-only.
FROM ${BASE} AS slim
RUN set -eu; \
    unwanted=$(dpkg-query -W -f '${Package}\n' | grep -E '^python3[0-9.]*-(pip|pip-whl|venv|setuptools|setuptools-whl|wheel|distutils|lib2to3|pkg-resources)$' || true); \
    [ -z "$unwanted" ] || apt-get purge -y -qq $unwanted; \
    if ! dpkg-query -W ca-certificates >/dev/null 2>&1; then \
        apt-get update -qq; apt-get install -y -qq --no-install-recommends ca-certificates; \
    fi; \
    modules=$(python3 -c 'import os; print(os.path.dirname(os.__file__))'); \
    packages=$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
    rm -rf "$packages"/pip* "$packages"/setuptools* "$packages"/wheel* /usr/local/bin/pip* /usr/bin/pip* \
        "$modules"/ensurepip "$modules"/idlelib "$modules"/tkinter "$modules"/turtledemo "$modules"/lib2to3 \
        "$modules"/test "$modules"/pydoc_data "$modules"/config-* /usr/share/python-wheels; \
    python3 -m compileall -q --invalidation-mode unchecked-hash "$modules" -x 'site-packages|dist-packages'; \
    find /var/cache /var/log -type f -delete; \
    rm -rf /var/lib/apt/lists/* /tmp/* /root/.cache \
        /usr/share/doc /usr/share/man /usr/share/info /usr/share/locale /usr/share/lintian; \
    find / -xdev -type f -perm /6000 -exec chmod a-s {} +; \
    echo 'transponder:x:65532:65532::/nonexistent:/usr/sbin/nologin' >> /etc/passwd; \
    echo 'transponder:x:65532:' >> /etc/group

# One layer for all three images; a layer on top of BASE would hide what was removed, and keep its size.
FROM scratch AS runtime
COPY --from=slim / /
ENV PATH=/opt/transponder/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION}

# ---------------------------------------------------------------------------------------------- the images
FROM runtime AS operator
LABEL org.opencontainers.image.title=rtmp-transponder-operator \
      org.opencontainers.image.description="Reconciles RtmpTransponders and runs their relays"
COPY --from=operator-files /opt/transponder /opt/transponder
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python3", "-ISc", "import http.client as h, os, sys; c = h.HTTPConnection('127.0.0.1', int(os.environ.get('TRANSPONDER_PORT', 8080)), timeout=3); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["transponder-operator"]

FROM runtime AS relay
LABEL org.opencontainers.image.title=rtmp-transponder-relay \
      org.opencontainers.image.description="Takes one stream by WebRTC and sends it to RTMP servers"
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends libspeex1 \
 && rm -rf /var/lib/apt/lists/* /usr/share/doc \
 && find /var/cache /var/log -type f -delete
COPY --from=relay-files /opt/transponder /opt/transponder
ENV TRANSPONDER_SOUNDS_FOLDER=/sounds
VOLUME ["/sounds"]
USER 65532:65532
EXPOSE 9090
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["python3", "-ISc", "import http.client as h, os, sys; c = h.HTTPConnection('127.0.0.1', int(os.environ.get('TRANSPONDER_CONTROL_PORT', 9090)), timeout=3); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["transponder-relay"]

FROM runtime AS api
LABEL org.opencontainers.image.title=rtmp-transponder-api \
      org.opencontainers.image.description="REST, WHIP and the WebSDK's WebSocket"
COPY --from=api-files /opt/transponder /opt/transponder
ENV TRANSPONDER_HOST=0.0.0.0 TRANSPONDER_SOUNDS_FOLDER=/sounds
VOLUME ["/sounds"]
USER 65532:65532
EXPOSE 8080 8081 9100
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python3", "-ISc", "import http.client as h, os, sys; c = h.HTTPConnection('127.0.0.1', int(os.environ.get('TRANSPONDER_METRICS_PORT', 9100)), timeout=3); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["transponder-api"]
