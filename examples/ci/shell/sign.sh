#!/usr/bin/env bash
# Has a bundle signed and encrypts it, with nothing but curl, jq and openssl: what
# `bundlesign sign` does, for machines where that cannot be, and to show how little it is.
#
#   sign.sh BUNDLE.zip APP CHANNEL VERSION PUBLIC_KEY.pem [ENCRYPTED.zip]
#
# PUBLIC_KEY.pem is the key that the app carries (RSA PUBLIC KEY). It is what the answer is
# checked against, so it must not come from the daemon. On stdout is what
# `bundlesign sign --json` prints; exit codes are those of bundlesign, too.
#
#   BUNDLESIGN_SOCKET    the daemon's socket   (/run/bundlesignd/bundlesignd.sock)
#   BUNDLESIGN_ID_TOKEN  the job's OIDC ID token, if it has one
#   SIGN_WAIT            seconds to wait for approvals and for a busy daemon   (600)
#
# It does not check the receipt of the log; `bundlesign log verify --receipt` does.
set -euo pipefail
umask 077

say() { printf 'sign.sh: %s\n' "$*" >&2; }
die() { local code=$1; shift; say "$@"; exit "$code"; }

[ $# -eq 5 ] || [ $# -eq 6 ] || { sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2; }
readonly bundle=$1 app=$2 channel=$3 version=$4 public_key=$5 out=${6:-$1_encrypted.zip}
readonly socket=${BUNDLESIGN_SOCKET:-/run/bundlesignd/bundlesignd.sock}
wait=${SIGN_WAIT:-600}
token=${BUNDLESIGN_ID_TOKEN:-}
unset BUNDLESIGN_ID_TOKEN # the programs below need not have it

[[ $wait =~ ^[0-9]{1,6}$ ]] || die 2 "SIGN_WAIT: found '$wait', want seconds"
wait=$((10#$wait))
[ -f "$bundle" ] || die 2 "found no file $bundle"
if [ -e "$out" ] && [ ! -f "$out" ] || [ -L "$out" ]; then die 2 "$out is no regular file; it is not replaced"; fi

temp=$(mktemp -d)
half= # the output, until it is whole
trap 'rm -rf -- "$temp" "$half"' EXIT

# --- the key of the app --------------------------------------------------------------

openssl rsa -RSAPublicKey_in -in "$public_key" -pubout -out "$temp/key.pem" 2>/dev/null ||
  die 2 "$public_key is no public key of an app; it begins with: BEGIN RSA PUBLIC KEY"
details=$(openssl rsa -pubin -in "$temp/key.pem" -noout -text)
# With a small exponent some phones accept signatures that were made without the private key.
[[ $details == *'(2048 bit)'* && $details == *'Exponent: 65537 '* ]] || die 2 "$public_key is not RSA-2048 with the exponent 65537"
key_id=$(grep -v '^-----' <"$public_key" | tr -d '\r\n')
key_id=${key_id:0:20}

# --- what is asked -------------------------------------------------------------------

# A copy: what is hashed must be what is encrypted, whoever writes to the file meanwhile.
cp -- "$bundle" "$temp/plain"
digest=$(sha256sum <"$temp/plain")
digest=${digest%% *}
jq -n --arg app "$app" --arg channel "$channel" --arg version "$version" --arg digest "$digest" \
  '{app_id: $app, channel: $channel, version: $version, digest: $digest, checksum_format: "hex"}' >"$temp/body"
# All tries of this run are one request, whatever becomes of it.
idempotency_key=$(openssl rand -hex 16)

# call METHOD PATH: the answer is in $temp/answer, its status in $status; 000 is none.
call() {
  # Not what ~/.curlrc and http_proxy say: this is no connection to a network.
  local arguments=(-q -sS --noproxy '*' --unix-socket "$socket" -X "$1" --max-time 90 -o "$temp/answer" -D "$temp/headers" -w '%{http_code}')
  [ "$1" = GET ] || arguments+=(-H 'Content-Type: application/json' -H "Idempotency-Key: $idempotency_key" --data-binary "@$temp/body")
  : >"$temp/answer"
  # The token goes through a pipe: arguments can be read by every user of the machine.
  if [ "$1" = GET ] || [ -z "$token" ]; then
    status=$(curl "${arguments[@]}" "http://localhost$2" </dev/null) || status=000
  else
    status=$(printf 'Authorization: Bearer %s\n' "$token" | curl "${arguments[@]}" -H @- "http://localhost$2") || status=000
  fi
}
field() { jq -r --arg name "$1" '.[$name] // "" | tostring' "$temp/answer" 2>/dev/null || :; }
# What a daemon says is shown without what a terminal would obey.
shown() { field "$1" | LC_ALL=C tr -d '\000-\037\177'; }

# pause SECONDS: at least one, no longer than there is time; fails if there is none left.
pause() {
  local left=$((wait - SECONDS)) seconds=$(($1 > 0 ? $1 : 1))
  [ "$left" -gt 0 ] || return 1
  sleep "$((seconds < left ? seconds : left))"
}
retry_after() {
  local seconds
  seconds=$(sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9]\{1,6\}\)\r*$/\1/p' "$temp/headers" | tail -n 1)
  printf '%s' "$((10#${seconds:-5}))"
}

# --- asking --------------------------------------------------------------------------

while call POST "/v1/signatures?wait=$((wait < 10 ? wait : 10))s"; do
  case "$status" in
    201 | 202) break ;;
    000) pause 2 || die 5 "the daemon at $socket does not answer" ;;
    429 | 503) say "$(shown detail)"; pause "$(retry_after)" || die 5 "the daemon was busy or not well for $wait s" ;;
    401 | 403) die 3 "$(shown detail)" ;;
    409) die 3 "$(shown detail)" ;; # an end that this request has come to already
    4??) die 2 "$(shown detail)" ;;
    *) die 1 "status $status: $(shown detail)" ;;
  esac
done
id=$(field id)
[[ $id =~ ^[a-z0-9]{1,64}$ ]] || die 6 "the answer has no id of a request"

# --- waiting -------------------------------------------------------------------------

asked=
while state=$(field state); do
  case "$state" in
    signed) break ;;
    pending | authorized) ;;
    failed) die 1 "request $id failed: $(shown reason)" ;;
    denied | rejected | expired | cancelled) die 3 "request $id is $state: $(shown reason)" ;;
    *) die 1 "request $id is in the unknown state $(shown state)" ;;
  esac
  left=$((wait - SECONDS))
  [ "$left" -gt 0 ] || die 4 "request $id still waits for approvals; the same command later goes on waiting"
  [ "$left" -le 30 ] || left=30
  # A daemon that does not hold the answer back must not be asked in a tight loop.
  [ -z "$asked" ] || [ $((SECONDS - asked)) -gt 1 ] || pause 1 || :
  asked=$SECONDS
  cp "$temp/answer" "$temp/last"
  call GET "/v1/signatures/$id?wait=${left}s"
  if [ "$status" != 200 ]; then
    # A restart, say. The request is not lost.
    cp "$temp/last" "$temp/answer"
    pause 1 || :
  fi
done

# --- is it what was asked for, and made with the app's key? --------------------------

jq -e --arg id "$id" --arg app "$app" --arg channel "$channel" --arg version "$version" --arg digest "$digest" \
  '.id == $id and .app_id == $app and .channel == $channel and .version == $version and .digest == $digest' "$temp/answer" >/dev/null ||
  die 6 "the answer is about something else than what was asked"

# recover FILE: what the private key has signed, if it was that of the app.
recover() { openssl pkeyutl -verifyrecover -pubin -inkey "$temp/key.pem" -pkeyopt rsa_padding_mode:pkcs1 -in "$1" 2>/dev/null; }
hex() { od -An -v -tx1 | tr -d ' \n'; }

checksum=$(field checksum)
[[ $checksum =~ ^[0-9a-f]{512}$ ]] || die 6 "the checksum is not 512 hexadecimal digits"
# shellcheck disable=SC2001 # groups of two
printf '%b' "$(sed 's/../\\x&/g' <<<"$checksum")" >"$temp/checksum"
recover "$temp/checksum" >"$temp/signed" || die 6 "the checksum was not made with the app's key"
[ "$(hex <"$temp/signed")" = "$digest" ] || die 6 "the checksum is over something else than this bundle"

session_key=$(field session_key)
[[ $session_key =~ ^([A-Za-z0-9+/]{22}==):([A-Za-z0-9+/]{342}==)$ ]] || die 6 "the session key has not the form IV:KEY"
iv=$(base64 -d <<<"${BASH_REMATCH[1]}" | hex)
base64 -d <<<"${BASH_REMATCH[2]}" >"$temp/wrapped"
recover "$temp/wrapped" >"$temp/session" || die 6 "the session key was not wrapped with the app's key"
[ "$(wc -c <"$temp/session")" -eq 16 ] || die 6 "the session key has not 16 bytes"

# --- encrypting ----------------------------------------------------------------------

half=$(mktemp -- "$out.XXXXXXXX")
# openssl takes a raw key as an argument only, which every user of the machine can read
# while it runs. It hides the bundle from those who have the update's session_key and not
# the app; whoever has the app can unwrap it, as above. bundlesign has it in memory alone.
openssl enc -aes-128-cbc -K "$(hex <"$temp/session")" -iv "$iv" -in "$temp/plain" -out "$half"
chmod 644 "$half"
sync "$half"
mv -f -- "$half" "$out"
half=

jq --arg out "$out" --arg key_id "$key_id" \
  '{checksum, filename: $out, ivSessionKey: .session_key, keyId: $key_id, requestId: .id, log}' "$temp/answer"
