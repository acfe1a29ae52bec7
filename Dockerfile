# The image that moves a Docker engine's storage. Builds anywhere with: docker build -t relocator .

FROM debian:trixie-slim AS packages
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-pip ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY requirements.lock /tmp/
# Only wheels, and only what the lock file's hashes allow: no compiler, no build step, nothing unseen.
RUN pip install --no-cache-dir --no-compile --only-binary=:all: --require-hashes \
        --target=/opt/relocator/lib -r /tmp/requirements.lock \
 && rm -rf /opt/relocator/lib/bin \
 && find /opt/relocator/lib -name tests -type d -prune -exec rm -rf {} +

FROM debian:trixie-slim
# python3 runs the program; rsync and coreutils' cp copy; util-linux has nsenter and ionice; findutils has find.
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 rsync util-linux findutils coreutils \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/*.log /var/log/apt /usr/share/doc/* /usr/share/man/*
COPY --from=packages /opt/relocator/lib /opt/relocator/lib
COPY entrypoint /opt/relocator/entrypoint
# Compiled now: the container may be read-only, and the worker starts while its engine is away.
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/relocator

# The name under which the image is run; it is only shown, in the line that says how to start it right.
ARG IMAGE=relocator
ARG VERSION=0.1.0
ENV PYTHONPATH=/opt/relocator:/opt/relocator/lib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RELOCATOR_IMAGE=${IMAGE}
LABEL org.opencontainers.image.title="relocator" \
      org.opencontainers.image.description="Moves a Docker engine's storage to a new path, with a short downtime and always a running engine" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="docker.io/library/debian:trixie-slim"
# -P: the working directory is no place to import code from.
ENTRYPOINT ["python3", "-P", "-m", "entrypoint"]
