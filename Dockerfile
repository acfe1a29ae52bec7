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

FROM debian:trixie-slim AS system
ARG SOURCE_DATE_EPOCH
# python3 runs the program and copies; coreutils' cp copies layers; findutils' find finds what changed; util-linux has
# nsenter, mount, unshare and ionice. The disk of whoever loads this image is full, so what those do not need is taken
# out: `ldd` says that no program that stays lacks a library. dpkg's list of packages stays, for it says what is inside.
# Nothing in it lends rights by set-user-id or set-group-id bits. What this step has changed gets the time that is
# given; with a mark from before, what the base has is left alone.
ARG KEPT="bash cat chmod chroot cp cut dash df du env find head id ionice kill ln ls mkdir mktemp mount mountpoint mv nsenter \
    pivot_root nice readlink rm rmdir sed seq setpriv setsid sh sleep sort stat sync \
    tail timeout touch true umount uname unshare wc"
ARG GONE="apt bsdutils debconf debian-archive-keyring diffutils hostname init-system-helpers libapt-pkg7.0 \
    libaudit-common libaudit1 libbsd0 libdb5.3t64 libdebconfclient0 libgmp10 libhogweed6t64 libnettle8t64 libpam-modules \
    libpam-modules-bin libpam-runtime libpam0g libseccomp2 libsemanage-common libsemanage2 libsepol2 libsqlite3-0 \
    libstdc++6 login login.defs mawk ncurses-bin openssl-provider-legacy passwd perl-base sqv sysvinit-utils tzdata"
# hadolint ignore=DL3008
RUN touch /dev/shm/begun \
 && apt-get update \
 && apt-get install -y --no-install-recommends python3 util-linux findutils coreutils \
 && rm -f /var/lib/dpkg/info/*.prerm /var/lib/dpkg/info/*.postrm \
 && echo "$GONE" | xargs dpkg --purge --force-depends --force-remove-essential --force-remove-protected \
 && for program in /usr/bin/* /usr/sbin/*; do \
        case " $KEPT ldd grep date " in *" ${program##*/} "*) continue ;; esac; \
        case $program in /usr/bin/python3*) ;; *) rm -f -- "$program" ;; esac; \
    done \
 && rm -rf /usr/lib/apt /usr/lib/dpkg /usr/lib/locale /usr/lib/*-linux-gnu/gconv /usr/lib/*-linux-gnu/perl-base \
        /usr/lib/python3*/test /usr/lib/python3*/pydoc_data /usr/lib/python3*/_pyrepl /usr/lib/python3*/sqlite3 \
        /usr/lib/python3*/xmlrpc /usr/lib/python3*/wsgiref /usr/lib/python3*/curses /usr/lib/python3*/lib-dynload/_test* \
        /usr/lib/python3*/lib-dynload/_codecs_* /usr/lib/python3*/lib-dynload/_sqlite3* /usr/lib/python3*/lib-dynload/_dbm* \
        /usr/share/bash-completion /usr/share/debconf /usr/share/gdb /usr/share/keyrings /usr/share/locale /usr/share/man \
        /usr/share/pam /usr/share/perl5 /usr/share/terminfo /usr/share/zoneinfo /usr/share/gcc /usr/share/bug \
        /var/lib/apt /var/lib/dpkg/info /var/cache/* /var/log/* /etc/apt /etc/pam.d /etc/security \
 && find /usr/share/doc ! -type d ! -name copyright -delete \
 && for file in /usr/bin/* /usr/sbin/* /usr/lib/python3*/lib-dynload/*.so; do \
        if ldd "$file" 2>&1 | grep "not found"; then echo "$file lacks a library" >&2; exit 1; fi; \
    done \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
 && printf '%s\n' /opt/relocator /opt/relocator/lib >/usr/lib/python3/dist-packages/relocator.pth \
 && mkdir -p /opt/relocator/lib /opt/relocator/entrypoint \
 && find / -xdev -cnewer /dev/shm/begun -newermt "@${SOURCE_DATE_EPOCH:-$(date +%s)}" \
        -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-$(date +%s)}" {} + \
 && rm /usr/bin/ldd /usr/bin/grep /usr/bin/date

FROM scratch
COPY --from=system / /
COPY --from=packages /opt/relocator/lib /opt/relocator/lib
COPY --from=packages /opt/relocator/entrypoint /opt/relocator/entrypoint
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

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
