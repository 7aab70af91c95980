#!/bin/sh
# Receives webhooks as a CGI program (Apache, lighttpd, nginx with fcgiwrap, …),
# which needs openssl. It takes what the gateway signed, and each event once.
#
#   WEBHOOK_SECRET   whsec_…; while it is being changed both, with a space between
#   WEBHOOK_SEEN     folder in which the ids of events are kept that were dealt with
#   WEBHOOK_LOG      file that gets a line for each event
set -eu

answer() {
    printf 'Status: %s\r\nContent-Type: text/plain\r\n\r\n' "$1"
    exit 0
}

id=${HTTP_WEBHOOK_ID:-} at=${HTTP_WEBHOOK_TIMESTAMP:-}
[ "${REQUEST_METHOD:-}" = POST ] || answer "405 Method Not Allowed"
case $id in "" | *[!A-Za-z0-9_-]*) answer "400 Bad Request" ;; esac
case $at in "" | *[!0-9]* | ???????????*) answer "400 Bad Request" ;; esac
case ${CONTENT_LENGTH:-x} in *[!0-9]* | ???????*) answer "413 Content Too Large" ;; esac

# An old request may be somebody who repeats what they have overheard.
age=$(($(date +%s) - at))
[ "$age" -le 300 ] && [ "$age" -ge -300 ] || answer "401 Unauthorized"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
head -c "$CONTENT_LENGTH" > "$work/body"
{ printf '%s.%s.' "$id" "$at"; cat "$work/body"; } > "$work/signed"

# Equal hashes of both with a random number in front: how long comparing takes
# says nothing about the signature.
nonce=$(openssl rand -hex 16)
blind() { printf '%s%s' "$nonce" "$1" | openssl dgst -sha256 -r; }

genuine=no
for secret in $WEBHOOK_SECRET; do
    # While openssl runs, users of this machine could see the key: keep them out.
    hex=$(printf '%s' "${secret#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
    want="v1,$(openssl dgst -sha256 -mac HMAC -macopt "hexkey:$hex" -binary < "$work/signed" | openssl base64 -A)"
    # The gateway signs with both secrets while one is being changed.
    for got in ${HTTP_WEBHOOK_SIGNATURE:-}; do
        [ "$(blind "$got")" != "$(blind "$want")" ] || genuine=yes
    done
done
[ "$genuine" = yes ] || answer "401 Unauthorized"

# Events may come again: after an answer that got lost. Whoever makes the folder
# deals with it.
mkdir -p "$WEBHOOK_SEEN"
if mkdir "$WEBHOOK_SEEN/$id" 2>/dev/null; then
    type=$(sed -n 's/^{"type":"\([a-z.]*\)".*/\1/p' "$work/body")
    printf '%s %s\n' "$type" "$id" >> "$WEBHOOK_LOG" || { rmdir "$WEBHOOK_SEEN/$id"; answer "500 Internal Server Error"; }
fi
answer "204 No Content"
