# The daemon as an image: docker build --tag cdcd . (docs/deploying.md). No feature of BuildKit is needed.

FROM python:3.13-slim-bookworm AS builder
# A package index of your own: --build-arg PIP_INDEX_URL=…. It stays in this stage.
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev tini && rm -rf /var/lib/apt/lists/*
RUN python -m venv /build && python -m venv --without-pip /opt/cdc
WORKDIR /src
# What changes seldom comes first: a change of the sources installs no package anew.
COPY requirements.lock requirements-build.lock ./
RUN /build/bin/pip install --require-hashes --only-binary :all: -r requirements-build.lock \
    && /build/bin/pip --python /opt/cdc install --require-hashes --only-binary :all: -r requirements.lock
COPY . .
# Of the compiled decoders. The compiler's own default optimises them, which takes most of the build.
ARG CFLAGS
# --no-index: whatever the lock does not name would fail here, and not come from the index. Without the compiled
# decoders the daemon works at a fraction of its speed, so their absence fails the build.
RUN /build/bin/pip wheel --no-index --no-build-isolation --no-deps --wheel-dir /wheels . \
    && /build/bin/pip --python /opt/cdc install --no-index --no-deps /wheels/*.whl \
    && /opt/cdc/bin/cdc version --json | grep '"decoders": "c"'

FROM python:3.13-slim-bookworm
# Fixed, so that the owner of volumes can be written down. Above the range of a host's own accounts.
ARG UID=10001
RUN groupadd --gid $UID cdc \
    && useradd --uid $UID --gid $UID --home-dir /var/lib/cdc --no-create-home --shell /usr/sbin/nologin cdc \
    && install -d -o cdc -g cdc -m 750 /var/lib/cdc
COPY --from=builder /opt/cdc /opt/cdc
COPY --from=builder /usr/bin/tini-static /usr/bin/tini
# CDC_STATE_VOLUME: a state_dir that would be lost with the container is refused.
# No VOLUME: it would put an anonymous volume under each container whose volume was forgotten, and lose it silently.
ENV PATH=/opt/cdc/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    CDC_CONFIG=/etc/cdc/cdc.yaml \
    CDC_STATE_VOLUME=required
WORKDIR /var/lib/cdc
USER $UID:$UID
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 CMD ["cdc", "health"]
# The kernel drops a signal for process 1 that has no handler for it: SIGTERM in the first milliseconds, a second
# Ctrl-C. To other processes it happens, so tini is process 1, and passes signals on.
ENTRYPOINT ["tini", "--", "cdc"]
CMD ["run"]
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cdcd" \
    org.opencontainers.image.description="Change-data-capture daemon: Postgres, MySQL and MariaDB to DuckDB, Parquet, Postgres, ClickHouse and Iceberg" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version=$VERSION \
    org.opencontainers.image.revision=$REVISION
