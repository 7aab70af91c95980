#!/bin/sh
# Sends a text with curl, so that it is sent once whatever happens on the way.
#
#   export GATEWAYD_URL=http://127.0.0.1:8080 GATEWAYD_KEY=gw_…
#   ./send.sh +491701234567 "Your parcel is here."
set -eu
[ $# -eq 2 ] || { echo "usage: $0 NUMBER TEXT" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A string of JSON. (With jq: jq -n --arg to "$1" --arg text "$2" '{$to, $text}')
json() {
    printf '%s\n' "$1" | sed 's/\\/\\\\/g; s/"/\\"/g; s/	/\\t/g' |
        awk 'BEGIN { printf "\"" } NR > 1 { printf "\\n" } { printf "%s", $0 } END { printf "\"" }'
}
printf '{"to": %s, "text": %s}' "$(json "$1")" "$(json "$2")" > "$work/body"

# One key for all attempts: the gateway takes the message once.
once=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')

for attempt in 1 2 3 4 5 6 7 8; do
    # The API key goes through a pipe: arguments can be seen by others.
    status=$(printf 'Authorization: Bearer %s\n' "$GATEWAYD_KEY" |
        curl --silent --show-error --max-time 30 \
            --header @- \
            --header 'Content-Type: application/json' \
            --header "Idempotency-Key: $once" \
            --data-binary "@$work/body" \
            --dump-header "$work/header" --output "$work/answer" --write-out '%{http_code}' \
            "$GATEWAYD_URL/v1/messages") || status=lost
    case $status in
    202) cat "$work/answer"; exit 0 ;; # it is on the gateway's disk
    lost | 000 | 429 | 502 | 503 | 504) ;; # it may do better later
    *) cat "$work/answer" >&2; exit 1 ;; # the answer says what is wrong
    esac
    wait=$((1 << (attempt - 1)))
    if [ "$status" != lost ]; then
        told=$(tr -d '\r' < "$work/header" | sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9][0-9]*\)$/\1/p')
        wait=${told:-$wait}
    fi
    echo "attempt $attempt: $status; again in $wait s" >&2
    sleep "$wait"
done
echo "given up; run it again" >&2
exit 1
