# What update-secret.sh and update-secret.ps1 run on the server, as root, by "sh -s": they send it over stdin, behind
# lines that set $name, $value_base64, $directory and $service. Nothing of it stands on a command line or in a history.

fail() {
    printf 'update-secret: %s\n' "$1" >&2
    exit 1
}

# The file again, with that one line replaced in its place, or added at the end.
with_the_new_line() {
    written=
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
        "$name="*)
            [ -n "$written" ] || printf '%s=%s\n' "$name" "$value"
            written=yes
            ;;
        *) printf '%s\n' "$line" ;;
        esac
    done
    [ -n "$written" ] || printf '%s=%s\n' "$name" "$value"
}

# Without .env: compose would take its quotes and dollars for its own.
compose() {
    COMPOSE_DISABLE_ENV_FILE=1 docker compose "$@"
}

ready() {
    tries=0
    answer=
    while [ "$tries" -lt 60 ]; do
        answer=$(compose exec -T "$service" lmgw healthcheck --url http://127.0.0.1:8080/status 2>/dev/null) || answer=
        case $answer in
        *'"ready":true'*) return 0 ;;
        esac
        tries=$((tries + 1))
        sleep 1
    done
    return 1
}

main() {
    LC_ALL=C
    export LC_ALL
    umask 077
    case $name in
    "" | [!A-Z]* | *[!A-Z0-9_]*) fail "the name must match ^[A-Z][A-Z0-9_]*\$" ;;
    esac
    value=$(printf %s "$value_base64" | base64 -d) || fail "the value did not arrive whole"
    [ -n "$value" ] || fail "the value is empty: nothing was changed"
    cd "$directory" || fail "no such directory: $directory"
    [ -e .env ] || : >.env
    file=$(readlink -f .env) || fail "cannot find $directory/.env"

    new=$(mktemp "$file.XXXXXX") || fail "cannot write beside $file"
    trap 'rm -f "$new"' EXIT
    with_the_new_line <"$file" >"$new" || fail "cannot write $new: $file is as it was"
    chmod 600 "$new" && chown "$(stat -c %u:%g "$file")" "$new" || fail "cannot set the mode of $new"
    mv -f "$new" "$file" || fail "cannot replace $file"
    printf '%s is set in %s/.env\n' "$name" "$directory"

    compose restart "$service" >/dev/null || fail "the restart failed: docker compose logs $service"
    if ready; then
        printf '%s is ready\n' "$service"
    elif [ -n "$answer" ]; then
        fail "it runs, but is not ready: another key is missing; docker compose logs $service names it"
    else
        fail "it does not answer: docker compose logs $service"
    fi
}

# Not a line further: PowerShell ends what it sends with a carriage return.
main </dev/null && exit
exit 1
