#!/usr/bin/env bash
# Runs an image of build-image.sh once, as its user and in its file system, and looks at what it does: it becomes healthy, takes a
# signed webhook, hands it to a plugin that calls an upstream (its own second source), and ends with 0 when it is asked to.
# Network and mounts are of its own, so that the ports of the machine do not matter. Needs root, iproute2 and util-linux.
#
#   packaging/try-image.sh NAME
set -euo pipefail

if [[ ${2-} != within ]]; then
    container=$(buildah from --pull-never "$1")
    trap 'buildah rm "$container" >/dev/null' EXIT
    unshare --mount --net --propagation private "$0" "$1" within "$(buildah mount "$container")"
    exit
fi

root=$3
secret=whsec_$(head --bytes 32 /dev/urandom | base64)
ip link set lo up
mount --types proc proc "$root/proc"

# Each of these programs becomes the next one, so that the server is a child of this shell.
inside=(env --ignore-environment TRY_SECRET="$secret" "$(type -P setpriv)" --clear-groups
    "$(type -P unshare)" --root="$root" --wd=/etc/hookfast --setgid=65532 --setuid=65532 /hookfast)
hookfast() { "${inside[@]}" "$@"; }

# Tries until it succeeds, for ten seconds.
until_true() {
    local tries
    for ((tries = 100; tries > 0; tries--)); do
        ! "$@" >/dev/null 2>&1 || return 0
        sleep 0.1
    done
    echo "failed: $*" >&2
    return 1
}

mkdir "$root/etc/hookfast/conf.d"
cat >"$root/etc/hookfast/conf.d/try.toml" <<'TOML'
[sources.shop]
provider = "standard-webhooks"
secrets = ["env:TRY_SECRET"]
routes = [{ plugin = "forward" }]

[sources.sink]
provider = "token"
secrets = ["env:TRY_SECRET"]

[upstreams.target]
url = "http://127.0.0.1:8080"
auth = { bearer = "env:TRY_SECRET" }
allow_private = true

[grants.forward]
upstreams = ["target"]
config = { path = "/in/sink" }
TOML

! hookfast health || { echo "it says that it is healthy before it runs" >&2 && exit 1; }
log=$(mktemp)
"${inside[@]}" serve 2>"$log" &
server=$!
trap '[[ -z $server ]] || kill -KILL "$server"; cat "$log" >&2; rm "$log"' EXIT
until_true hookfast health
hookfast health
hookfast send shop order.created
# One is handled; what its plugin sent is the other one, for which nobody asked.
handled() { [[ $(hookfast events list --json | grep --only-matching --extended-regexp '"status": "(done|stored)"' | sort --unique | wc --lines) == 2 ]]; }
until_true handled
hookfast events list
kill -TERM "$server"
wait "$server"
server=
echo "it stopped with 0"
