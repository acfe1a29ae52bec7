#!/bin/sh
# Printed by `docker run --rm @IMAGE@ script`. Moves the data root of this host's Docker engine, waits for the outcome,
# also while the engine is away, and ends with its exit code. Needs sh, docker, systemctl and sleep. Three ways:
#
#     docker run --rm @IMAGE@ script | sh -s -- /new/path
#     a command:               saved anywhere, called with the new path
#     `docker relocate PATH`:  saved as ~/.docker/cli-plugins/docker-relocate, with the mode 755
#
# If it is cut off with its session, the move goes on; call it again, or `status --wait`, to learn the outcome.
set -u

IMAGE=${RELOCATOR_IMAGE:-@IMAGE@}
UNIT=relocator.service
RUNS=/var/lib/relocator/runs
NAME=relocator-$$
interrupted=

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
    printf '%s\n' "$*" >&2
    exit "$code"
}

# run NAME ARGUMENTS: the image with everything it needs. Its signals do not come from the session: see `front`.
run() {
    name=$1
    shift
    terminal=
    if [ -t 1 ]; then terminal=yes; fi
    docker run --rm --name "$name" --sig-proxy=false ${terminal:+"--tty"} --privileged --pid=host --network=none \
        "$IMAGE" "$@" </dev/null
}

# front ARGUMENTS: the part with the engine up, to its end. A client that dies with its session leaves it at work.
front() {
    run "$NAME" "$@"
    code=$?
    if [ "$(docker inspect --format '{{.State.Running}}' "$NAME" 2>/dev/null)" = true ]; then
        if [ -n "$interrupted" ]; then
            say 'Interrupted; what was copied is removed again.'
            (sleep 1; docker kill --signal INT "$NAME") >/dev/null 2>&1 & # once somebody waits for its code
        fi
        code=$(docker wait "$NAME") || code=130
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
        if [ -n "$interrupted" ]; then
            fail 10 "The move goes on. Its outcome: docker run --rm --privileged --pid=host $IMAGE status --wait"
        fi
        sleep 1
    done
    drain
    exec 3<&-
}

# outcome: said by the image; where the new root has none, or the engine is not there, read from the journal
outcome() {
    if docker image inspect "$IMAGE" >/dev/null 2>&1; then
        run "$NAME-status" status --wait
        code=$?
        case $code in
            0 | 4 | 5 | 10 | 130) return "$code" ;;
        esac
    fi
    told=
    while IFS= read -r line; do
        case $line in
            *'"event": "outcome"'*) told=$line ;;
        esac
    done <"$(last_run)/journal.jsonl"
    say "${told:-The outcome cannot be read here. Ask for it: docker run --rm --privileged --pid=host $IMAGE status}"
    case $told in
        *'"outcome": "committed"'*) return 0 ;;
        *'"outcome": "rolled-back"'*) return 4 ;;
        *'"outcome": "interrupted"'*) return 130 ;;
        *) return 5 ;;
    esac
}

main() {
    if [ "${1:-}" = docker-cli-plugin-metadata ]; then
        metadata
        exit 0
    fi
    case ${0##*/} in
        docker-relocate) [ "${1:-}" != relocate ] || shift ;;
    esac
    for program in docker systemctl; do
        command -v "$program" >/dev/null || fail 2 "This host has no $program."
    done
    case ${DOCKER_HOST:-unix://} in
        unix://*) ;;
        *) fail 2 "DOCKER_HOST names an engine on another host: $DOCKER_HOST. Run this there." ;;
    esac
    # The session may go; a reader of our output too.
    trap '' HUP PIPE
    trap 'interrupted=1' INT TERM
    front "$@"
    code=$?
    case $code in
        0 | 2 | 3 | 4 | 5 | 130) exit "$code" ;;
    esac
    # Not only with code 10: a client that lost its engine, or its terminal, has one of its own.
    [ "$code" = 10 ] || is_at_work || exit "$code"
    follow
    outcome
    exit
}

main "$@"
