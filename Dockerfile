# The image that moves a Docker engine's storage. Builds anywhere with: docker build -t relocator .
#
# The base is named by its release, which gets security updates; who has a registry at hand pins it by digest:
# docker build --build-context debian:trixie-slim=docker-image://debian@sha256:… -t relocator .
# With --build-arg SOURCE_DATE_EPOCH=… no file tells when it was made, and two builds give the same image.

# The versions of Debian's packages are those of the base image's release: hadolint would have each pinned.
FROM debian:trixie-slim AS packages
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-pip ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY requirements.lock /tmp/
ARG SOURCE_DATE_EPOCH
# Only wheels, and only what the lock file's hashes allow: no compiler, no build step, nothing unseen.
# Compiled now: the container may be read-only, and the worker starts while its engine is away.
RUN pip install --no-cache-dir --no-compile --only-binary=:all: --require-hashes \
        --target=/opt/relocator/lib -r /tmp/requirements.lock \
 && rm -rf /opt/relocator/lib/bin \
 && find /opt/relocator/lib -name tests -type d -prune -exec rm -rf {} + \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/relocator/lib \
 && find /opt/relocator -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-$(date +%s)}" {} +
COPY entrypoint /opt/relocator/entrypoint
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/relocator/entrypoint \
 && find /opt/relocator/entrypoint -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-$(date +%s)}" {} +

FROM debian:trixie-slim
ARG SOURCE_DATE_EPOCH
# python3 runs the program and copies; coreutils' cp copies layers; findutils' find finds what changed; util-linux has nsenter, ionice.
# Nothing in it lends rights by set-user-id or set-group-id bits. What this step has changed gets the time that is
# given; with a mark from before, what the base has is left alone.
# hadolint ignore=DL3008
RUN touch /dev/shm/begun \
 && apt-get update \
 && apt-get install -y --no-install-recommends python3 util-linux findutils coreutils \
 && find /var/lib/apt/lists /var/cache/apt /var/cache/ldconfig /var/log /usr/share/doc /usr/share/man \
        -cnewer /dev/shm/begun ! -type d ! -name copyright ! -name lock -delete \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
 && printf '%s\n' /opt/relocator /opt/relocator/lib >/usr/lib/python3/dist-packages/relocator.pth \
 && mkdir -p /opt/relocator/lib /opt/relocator/entrypoint \
 && find / -xdev -cnewer /dev/shm/begun -newermt "@${SOURCE_DATE_EPOCH:-$(date +%s)}" \
        -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-$(date +%s)}" {} +
COPY --from=packages /opt/relocator/lib /opt/relocator/lib
COPY --from=packages /opt/relocator/entrypoint /opt/relocator/entrypoint

# The name under which the image is run; it is only shown, in the line that says how to start it right.
ARG IMAGE=relocator
ARG VERSION=0.1.0
ENV RELOCATOR_IMAGE=${IMAGE}
LABEL org.opencontainers.image.title="relocator" \
      org.opencontainers.image.description="Moves a Docker engine's storage to a new path, with a short downtime and always a running engine" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="docker.io/library/debian:trixie-slim"
# -I: neither the working directory nor the environment is a place to take code from.
# env: where SELinux gives the container's first program its domain, that one is set "secure" (AT_SECURE), and sd-bus is
# deaf to the address that it is told in the environment (secure_getenv(3)); the program that it starts is not.
ENTRYPOINT ["/usr/bin/env", "/usr/bin/python3", "-I", "-u", "-B", "-X", "utf8", "-m", "entrypoint"]
