#!/bin/sh
# Replace or add one key on the server, restart the gateway with it, and wait until it is ready.
#
#   ./update-secret.sh --backend-key ANTHROPIC_API_KEY --server gateway.example.com --user admin
#   pass show anthropic | ./update-secret.sh --backend-key ANTHROPIC_API_KEY --server gateway.example.com
#
# The value is asked for without being shown, or read from a pipe, and travels over ssh's stdin. --value VALUE works
# too, but leaves it in this shell's history.
#
# Needed: ssh here; on the server the stack of docs/setup.md, and root or sudo without a password for --user.
# LMGW_SERVER, LMGW_USER and LMGW_SSH_KEY in the environment stand for the options of the same name.
set -eu

key='' value='' given=''
server=${LMGW_SERVER-} user=${LMGW_USER-} identity=${LMGW_SSH_KEY-} port=22
directory=/opt/stacks/lm-gateway service=lm-gateway

usage() {
    cat >&2 <<USAGE
Usage: update-secret.sh --backend-key NAME --server HOST [--user USER] [--ssh-key FILE] [--port 22]
                        [--directory $directory] [--service $service] [--value VALUE]
USAGE
    exit 2
}

fail() {
    printf 'update-secret: %s\n' "$1" >&2
    exit "${2:-2}"
}

while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case $1 in
    --backend-key) key=$2 ;;
    --value) value=$2 given=yes ;;
    --server) server=$2 ;;
    --user) user=$2 ;;
    --ssh-key) identity=$2 ;;
    --port) port=$2 ;;
    --directory) directory=$2 ;;
    --service) service=$2 ;;
    *) usage ;;
    esac
    shift 2
done

# These go into the script that the server runs: nothing that a shell could take for more than a word.
word() {
    case $2 in
    "" | -* | *[!A-Za-z0-9_./:@-]*) fail "$1 is missing or holds a character that it cannot have" ;;
    esac
}

case $key in
"" | [!A-Z]* | *[!A-Z0-9_]*) fail "--backend-key must match ^[A-Z][A-Z0-9_]*\$: it is the variable's name" ;;
esac
word --server "$server"
[ -z "$user" ] || word --user "$user"
word --port "$port"
word --directory "$directory"
word --service "$service"

if [ -n "$given" ]; then
    echo "update-secret: the value now stands in this shell's history; leave --value out to be asked for it" >&2
elif [ -t 0 ]; then
    printf 'Value of %s: ' "$key" >&2
    trap 'stty echo' EXIT
    stty -echo
    IFS= read -r value || :
    stty echo
    trap - EXIT
    echo >&2
else
    value=$(cat)
fi
value=${value%"$(printf '\r')"}
[ -n "$value" ] || fail "the value is empty: nothing was changed"
[ "$(printf %s "$value" | wc -l)" -eq 0 ] || fail "the value has more than one line: nothing was changed"

script=$(dirname "$0")/update-secret.remote.sh
[ -r "$script" ] || fail "$script is missing: it belongs beside this script"

set -- -T -p "$port"
[ -z "$identity" ] || set -- "$@" -i "$identity"
{
    printf 'name=%s directory=%s service=%s value_base64=%s\n' "$key" "$directory" "$service" \
        "$(printf %s "$value" | base64 | tr -d '\n')"
    cat "$script"
} | ssh "$@" -- "${user:+$user@}$server" '[ $(id -u) = 0 ] && exec sh -s; exec sudo -n sh -s'
