#!/bin/sh
{
# Printed by `docker run --rm @IMAGE@ script`. Moves the data root of this host's Docker engine, waits for the outcome,
# also while the engine is away, and ends with its exit code. Needs sh, docker, systemctl and sleep. Three ways:
#
#     docker run --rm @IMAGE@ script >relocate && sh relocate /new/path
#     a command:               saved anywhere, called with the new path
#     `docker relocate PATH`:  saved as ~/.docker/cli-plugins/docker-relocate, with the mode 755
#
# Printed by `docker run --rm @IMAGE@ bundle` it has the image's files in it, behind its last line: it unpacks them
# into memory, and no engine has to load or to start anything. That one needs tar, gzip, and util-linux too.
#
# If it is cut off with its session, the move goes on; call it again, or `status --wait`, to learn the outcome.
# All of it stands between two braces: of a script that was cut off when it was written, nothing is done.
set -u

IMAGE=${RELOCATOR_IMAGE:-@IMAGE@}
UNIT=relocator.service
RUNS=/var/lib/relocator/runs
NAME=relocator-$$
PACKED=@PACKED@ # the number of the first byte of the image's files, or nothing
VARIABLES="@VARIABLES@" # each is an option of the program
CALLED="docker run --rm --privileged --pid=host $IMAGE"
interrupted=
silent=

metadata() {
    printf '%s\n' '{"SchemaVersion":"0.1.0","Vendor":"relocator","Version":"@VERSION@",' \
        '"ShortDescription":"Move the storage of this host'\''s engine to another path"}'
}

say() {
    printf '%s\n' "$*" 2>/dev/null || :
}

fail() {
    code=$1
    shift
    printf '%s\n' "$@" >&2
    exit "$code"
}

# called PROGRAM: how one types it again, if that can be known
called() {
    if [ -n "$PACKED" ]; then CALLED="sh relocator.run"; fi
    case $1 in
        *[!A-Za-z0-9/._+-]*) return ;;
    esac
    [ -f "$1" ] || return 0 # read from a pipe
    case $1 in
        */docker-relocate | docker-relocate) CALLED="docker relocate" ;;
        */*) if [ -x "$1" ]; then CALLED=$1; else CALLED="sh $1"; fi ;;
        *) CALLED="sh $1" ;;
    esac
    if [ -n "$PACKED" ]; then CALLED="sh $1"; fi
}

# require_local: the engine that `docker` speaks to is this host's; the end of a tunnel is known by the image
require_local() {
    if [ -n "$PACKED" ]; then
        unset DOCKER_HOST
        export DOCKER_CONTEXT=default
        return
    fi
    at=${DOCKER_HOST:-$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null)}
    case ${at:-unix://} in
        unix://* | fd://*) return ;;
    esac
    host=${at#*://}
    host=${host%%/*}
    host=${host##*@}
    case $host in
        '['*) host=${host#?} host=${host%%]*} ;;
        *) host=${host%:*} ;;
    esac
    case $host in
        localhost | 127.* | ::1 | '') ;;
        *) fail 2 "docker speaks to an engine on another host, $at, by DOCKER_HOST or its context." \
            "Nothing was done. Run this there; or for the engine of this host: docker context use default" ;;
    esac
}

answers() {
    docker version --format '{{.Server.Version}}' >/dev/null 2>&1 </dev/null
}

# unit: the engine's service, by its own name, whatever that is
unit() {
    if [ "$(systemctl show --property=LoadState docker.service 2>/dev/null)" = LoadState=loaded ]; then
        name=$(systemctl show --property=Id docker.service)
        printf '%s' "${name#Id=}"
        return
    fi
    for file in /etc/systemd/system/*.service /run/systemd/system/*.service /usr/local/lib/systemd/system/*.service \
        /usr/lib/systemd/system/*.service /lib/systemd/system/*.service; do
        [ -f "$file" ] || continue
        case $(cat "$file") in
            *ExecStart=*dockerd*)
                printf '%s' "${file##*/}"
                return
                ;;
        esac
    done
    printf docker.service
}

# require_engine: one that is not up is told in our words
require_engine() {
    case $(docker --version 2>/dev/null) in
        *[Pp]odman*) return ;; # which is told by the image
    esac
    if answers; then return; fi
    case $(docker version 2>&1 </dev/null) in
        *'permission denied'*) fail 2 "This user may not ask the Docker engine. Nothing was done." \
            "Run this as root, or as somebody of the group docker." ;;
    esac
    engine=$(unit)
    fail 3 "The Docker engine does not answer; $engine is $(systemctl is-active "$engine"). Nothing was done." \
        "Start it, and run this again: systemctl start ${engine%.service}    (if it does not start: journalctl -u $engine -n 50)"
}

# UNPACKED runs in a mount and a network namespace of its own, with the bundle as descriptor 3: the image's files in a
# tmpfs, which becomes the root there. The place is one that every host has; over it nothing of the host's is changed.
# Words: the first byte, then the program and its arguments.
# shellcheck disable=SC2016 # they are the inner shell's
UNPACKED='
    mount -t tmpfs -o mode=755 relocator /run && cd /run &&
        { tail -c "+$1" <&3 | tar -xzf -; } && mkdir -p proc sys dev run mnt tmp || exit 1
    exec 3<&-; chmod 1777 tmp
    for place in proc sys dev; do mount --rbind "/$place" "$place" || exit 1; done
    pivot_root . mnt || exit 1
    shift
    exec /usr/bin/sh -c "umount -l /mnt; exec \"\$@\"" sh "$@"
'

# unpacked ARGUMENTS: the image's program, in memory, with those of its variables that are set
unpacked() {
    [ -n "$silent" ] || printf '%s\n' 'Unpacking relocator into memory …' >&2
    silent=yes # when it is the second time
    set -- @PROGRAM@ "$@"
    for variable in $VARIABLES; do
        eval "value=\${$variable-}"
        # shellcheck disable=SC2154 # set by the line before
        if [ -n "$value" ]; then set -- "$variable=$value" "$@"; fi
    done
    unshare --mount --net --propagation private -- sh -c "$UNPACKED" sh "$PACKED" \
        /usr/bin/env -i PATH=/usr/sbin:/usr/bin HOME=/root "TERM=${TERM:-dumb}" "RELOCATOR_IMAGE=$IMAGE" \
        "RELOCATOR_CALLED=$CALLED" "$@" 3<"$0" </dev/null
    code=$?
    [ "$code" != 1 ] || fail 2 "The files of relocator cannot be unpacked into memory. Nothing was done." \
        "It takes 100 MB of free memory. Is this file whole? Its size in bytes must be: @SIZE@"
    return "$code"
}

# run NAME ARGUMENTS: the image with everything it needs. Its signals do not come from the session: see `front`.
run() {
    name=$1
    shift
    if [ -n "$PACKED" ]; then
        unpacked "$@"
        return
    fi
    terminal=
    if [ -t 1 ]; then terminal=yes; fi
    # With its terminal's keys only where one is asked for: `y` to switch.
    exec 4</dev/null
    case " $* ${RELOCATOR_HOLD:+--hold} " in
        *' --hold '* | *' --at'* | *' --max-downtime'*) if [ -t 0 ] && [ -t 1 ]; then exec 4<&0; fi ;;
    esac
    boot=
    if [ -r /proc/sys/kernel/random/boot_id ]; then read -r boot </proc/sys/kernel/random/boot_id; fi
    set -- "$IMAGE" "$@"
    for variable in $VARIABLES; do
        set -- --env "$variable" "$@" # docker leaves out what is not set
    done
    keys=
    if [ -t 4 ]; then keys=yes; fi
    docker run --rm --name "$name" --sig-proxy=false ${terminal:+"--tty"} ${keys:+"--interactive"} --privileged \
        --pid=host --network=none \
        --env "RELOCATOR_CALLED=$CALLED" ${boot:+"--env=RELOCATOR_BOOT=$boot"} "$@" <&4
}

# front ARGUMENTS: the part with the engine up, to its end. A client that dies with its session leaves it at work.
front() {
    run "$NAME" "$@"
    code=$?
    if [ -z "$PACKED" ] && [ "$(docker inspect --format '{{.State.Running}}' "$NAME" 2>/dev/null)" = true ]; then
        if [ -n "$interrupted" ]; then
            (sleep 1; docker kill --signal INT "$NAME") >/dev/null 2>&1 & # once somebody waits for its code
        fi
        code=$(docker wait "$NAME") || code=130
        # What it says itself nobody hears any more.
        if [ -n "$interrupted" ] && [ "$code" = 130 ]; then printf '\n%s\n' 'Interrupted. Nothing was changed.' >&2; fi
    fi
    return "$code"
}

is_at_work() {
    case $(systemctl is-active "$UNIT") in
        active | activating | deactivating | reloading) return 0 ;;
        *) return 1 ;;
    esac
}

last_run() {
    last=
    for place in "$RUNS"/*; do
        case ${place##*/} in
            *[!0-9]*) ;;
            *) last=$place ;;
        esac
    done
    printf '%s' "$last"
}

# show LINE: an event of the worker's; on a terminal only what people want to see of it
show() {
    if ! [ -t 1 ]; then
        say "$1"
        return
    fi
    phase=${1#*\"phase\": \"}
    phase=${phase%%\"*}
    case $1 in
        *'"event": "phase.started"'*) say "• $phase …" ;;
        *'"event": "phase.finished"'*) say "✓ $phase" ;;
        *'"event": "held"'*) say "The run is held: the copy is ready. To switch: $CALLED go    To give it up: $CALLED abort" ;;
    esac
}

# drain: what the worker has written since the last time; a line that is not whole yet is kept for the next
drain() {
    while IFS= read -r piece <&3; do
        show "$line$piece"
        line=
    done
    line=$line$piece
}

# follow: until the worker has ended
follow() {
    log=$(last_run)/log.jsonl
    line=
    waited=0
    until [ -r "$log" ] || ! is_at_work; do
        waited=$((waited + 1))
        [ "$waited" -lt 5 ] || break
        sleep 1
    done
    if [ -r "$log" ]; then exec 3<"$log"; else exec 3</dev/null; fi
    while is_at_work; do
        drain
        if [ -n "$interrupted" ]; then gone_on; fi
        sleep 1
    done
    drain
    exec 3<&-
}

gone_on() {
    fail 10 "Interrupted here alone: the move goes on. Its outcome: $CALLED status --wait"
}

away() {
    fail 10 "A move is at work, and the engine is away for some seconds. Its outcome: $CALLED status --wait"
}

# without_engine CODE: how the last run ended is what was; an engine that does not run now is what is
without_engine() {
    case $1 in
        0 | 4 | 6) if answers; then exit "$1"; fi ;;
        *) exit "$1" ;;
    esac
    engine=$(unit)
    fail 5 "The engine does not answer now; $engine is $(systemctl is-active "$engine")." \
        "If it is to run: systemctl start ${engine%.service}    (why it does not: journalctl -u $engine -n 50)"
}

# asked ARGUMENTS: `status`, also while the engine is away
asked() {
    waits=
    case ${RELOCATOR_WAIT:-} in
        1 | yes | true | on) waits=yes ;;
    esac
    for word; do
        if [ "$word" = --wait ]; then waits=yes; fi
    done
    while [ -n "$waits" ] && is_at_work; do
        if [ -n "$interrupted" ]; then gone_on; fi
        sleep 1
    done
    if is_at_work && ! answers; then
        away
    fi
    if [ -r "$(last_run)/journal.jsonl" ] && ! answers; then # it may have ended with no engine
        outcome
        without_engine "$?"
    fi
    require_engine
    if [ -t 1 ] || [ -z "$waits" ]; then
        front "$@"
        code=$?
        said=
    else
        said=$(front "$@")
        code=$?
        if [ -n "$interrupted" ]; then docker kill --signal INT "$NAME" >/dev/null 2>&1; fi
    fi
    # Begun during the copy, it had to leave with the engine, and what it said is no outcome.
    if [ -n "$waits" ] && [ -z "$interrupted" ] && is_at_work; then
        asked "$@"
    fi
    case $code in
        0 | 2 | 3 | 4 | 5 | 6 | 10 | 70 | 130) ;;
        *) if is_at_work; then away; fi ;; # the engine took it along
    esac
    if [ -n "$said" ]; then say "$said"; fi
    exit "$code"
}

# by_hand FILE: what to do where no engine is there that has the image, which would say it
by_hand() {
    say "The move failed, and the way back too. Both data roots are complete."
    if answers; then
        say "The engine runs; on which root: docker info --format '{{.DockerRootDir}}'"
    else
        say "The engine does not run. Why it does not start: journalctl -u $(unit) -n 50"
    fi
    if [ -r "$1" ]; then
        say "Remove the cause. Then this puts the old configuration back, and starts the engine on the old data root:"
        say "    sh $1 now"
    fi
}

# outcome: said by the image; where the new root has none, or the engine is not there, read from the journal
outcome() {
    if [ -n "$PACKED" ] || docker image inspect "$IMAGE" >/dev/null 2>&1; then
        run "$NAME-status" status --wait
        code=$?
        case $code in
            0 | 4 | 5 | 6 | 10 | 130) return "$code" ;;
        esac
    fi
    told=
    while IFS= read -r line; do
        case $line in
            *'"event": "outcome"'*) told=$line ;;
        esac
    done <"$(last_run)/journal.jsonl"
    say "${told:-The outcome cannot be read here. Ask for it: $CALLED status}"
    case $told in
        *'"outcome": "rollback-failed"'*) by_hand "$(last_run)/back/back.sh" ;;
    esac
    case $told in
        *'"outcome": "committed"'*) return 0 ;;
        *'"outcome": "rolled-back"'*) return 4 ;;
        *'"outcome": "moved"'*) return 6 ;;
        *'"outcome": "interrupted"'*) return 130 ;;
        *) return 5 ;;
    esac
}

# plugin ARGUMENTS: what docker passes to a plugin: its own options, the plugin's name, and the rest; `skipped`: how many
plugin() {
    skipped=1
    while [ "$1" != relocate ]; do
        taken=2
        case $1 in
            -c | --context) DOCKER_CONTEXT=$2 ;;
            --context=*) DOCKER_CONTEXT=${1#*=} taken=1 ;;
            -H | --host) DOCKER_HOST=$2 ;;
            --host=*) DOCKER_HOST=${1#*=} taken=1 ;;
            --config) DOCKER_CONFIG=$2 ;;
            --config=*) DOCKER_CONFIG=${1#*=} taken=1 ;;
            -D | --debug) taken=1 ;;
            *) fail 2 "This option cannot be given to docker here: $1" ;;
        esac
        case $1 in
            -c | --context*) unset DOCKER_HOST && export DOCKER_CONTEXT ;;
            -H | --host*) export DOCKER_HOST ;;
            --config*) export DOCKER_CONFIG ;;
        esac
        shift "$taken"
        skipped=$((skipped + taken))
    done
}

main() {
    if [ "${1:-}" = docker-cli-plugin-metadata ]; then
        metadata
        exit 0
    fi
    called "$0"
    case "$CALLED: $* " in
        'docker relocate: relocate '* | 'docker relocate: -'*' relocate '*)
            plugin "$@"
            shift "$skipped"
            ;;
    esac
    if [ -n "$PACKED" ]; then
        PATH=$PATH:/usr/sbin:/sbin
        [ "$(id -u)" = 0 ] || fail 2 "This needs to be run as root. Nothing was done."
    fi
    for program in docker systemctl ${PACKED:+tar gzip unshare pivot_root}; do
        command -v "$program" >/dev/null || fail 2 "This host has no $program. Nothing was done."
    done
    require_local
    # The session may go; a reader of our output too.
    trap '' HUP PIPE
    trap 'interrupted=1' INT TERM
    if [ "${1:-}" = status ]; then asked "$@"; fi
    if is_at_work && ! answers; then
        case ${1:-} in
            plan | check | go | abort | pause | resume | limit | rollback | cleanup | script | help | -h | --help | --version) away ;;
        esac
        follow
        outcome
        exit
    fi
    require_engine
    front "$@"
    code=$?
    case $code in
        0 | 2 | 3 | 4 | 5 | 6 | 130) exit "$code" ;;
    esac
    # Not only with code 10: a client that lost its engine, or its terminal, has one of its own.
    [ "$code" = 10 ] || is_at_work || exit "$code"
    follow
    outcome
    exit
}

main "$@"
}
