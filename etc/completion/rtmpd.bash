# Completion of rtmpd and rtmpctl for bash. Generated: scripts/gen_docs writes it from the tables of flags and commands.
# shellcheck shell=bash disable=SC2207

_rtmpd() {
    local word=${COMP_WORDS[COMP_CWORD]} path="" index
    for ((index = 1; index < COMP_CWORD; index++)); do
        case "$path ${COMP_WORDS[index]}" in
            " publish" | " play" | " token" | " verify" | " audit" | " migrate" | " files") path="$path ${COMP_WORDS[index]}" ;;
        esac
    done
    COMPREPLY=()
    case ${COMP_WORDS[COMP_CWORD - 1]} in
        -c | -config | --config) COMPREPLY=($(compgen -f -- "$word")); return ;;
        -environment-file | --environment-file) COMPREPLY=($(compgen -f -- "$word")); return ;;
        -listen | --listen) return ;;
        -chunk-size | --chunk-size) return ;;
        -tls-listen | --tls-listen) return ;;
        -tls-cert | --tls-cert) COMPREPLY=($(compgen -f -- "$word")); return ;;
        -tls-key | --tls-key) COMPREPLY=($(compgen -f -- "$word")); return ;;
        -reconnect-url | --reconnect-url) return ;;
        -log-level | --log-level) COMPREPLY=($(compgen -W "debug info warning error" -- "$word")); return ;;
        -log-file | --log-file) COMPREPLY=($(compgen -f -- "$word")); return ;;
        -pid-file | --pid-file) COMPREPLY=($(compgen -f -- "$word")); return ;;
        -user | --user) return ;;
        -group | --group) return ;;
        -hook-script | --hook-script) COMPREPLY=($(compgen -f -- "$word")); return ;;
        -hook-webhook | --hook-webhook) return ;;
        -hook-stdio-format | --hook-stdio-format) COMPREPLY=($(compgen -W """ json env" -- "$word")); return ;;
        -hook-timeout | --hook-timeout) return ;;
        -hook-concurrency | --hook-concurrency) return ;;
        -hook-filter-events | --hook-filter-events) return ;;
        -hook-filter-streams | --hook-filter-streams) return ;;
        -hook-filter-condition | --hook-filter-condition) return ;;
        -hook-rate-limit | --hook-rate-limit) return ;;
        -hook-rate-burst | --hook-rate-burst) return ;;
        -hook-min-severity | --hook-min-severity) return ;;
        -hook-auth-api-key | --hook-auth-api-key) return ;;
        -hook-auth-header | --hook-auth-header) return ;;
        -hook-auth-hmac-secret | --hook-auth-hmac-secret) return ;;
        -hook-auth-hmac-algorithm | --hook-auth-hmac-algorithm) return ;;
        -hook-auth-hmac-header | --hook-auth-hmac-header) return ;;
        -hook-auth-jwt-secret | --hook-auth-jwt-secret) return ;;
        -hook-auth-jwt-algorithm | --hook-auth-jwt-algorithm) return ;;
        -hook-auth-jwt-issuer | --hook-auth-jwt-issuer) return ;;
        -hook-auth-jwt-subject | --hook-auth-jwt-subject) return ;;
        -hook-auth-jwt-audience | --hook-auth-jwt-audience) return ;;
        -hook-auth-jwt-claim | --hook-auth-jwt-claim) return ;;
        -hook-auth-jwt-ttl | --hook-auth-jwt-ttl) return ;;
        -hook-auth-oauth2-client-id | --hook-auth-oauth2-client-id) return ;;
        -hook-auth-oauth2-client-secret | --hook-auth-oauth2-client-secret) return ;;
        -hook-auth-oauth2-token-url | --hook-auth-oauth2-token-url) return ;;
        -hook-auth-oauth2-scopes | --hook-auth-oauth2-scopes) return ;;
        -hook-auth-oauth2-client-auth | --hook-auth-oauth2-client-auth) return ;;
        -hook-header | --hook-header) return ;;
        -hook-retry-max-attempts | --hook-retry-max-attempts) return ;;
        -hook-retry-initial-delay | --hook-retry-initial-delay) return ;;
        -hook-retry-max-delay | --hook-retry-max-delay) return ;;
        -hook-retry-backoff | --hook-retry-backoff) return ;;
        -hook-delivery-guarantee | --hook-delivery-guarantee) return ;;
        -hook-delivery-timeout | --hook-delivery-timeout) return ;;
        -hook-dead-letter-url | --hook-dead-letter-url) return ;;
        -hook-store | --hook-store) COMPREPLY=($(compgen -f -- "$word")); return ;;
        -record-all | --record-all) return ;;
        -record-dir | --record-dir) return ;;
        -segment-duration | --segment-duration) return ;;
        -segment-pattern | --segment-pattern) return ;;
        -relay-to | --relay-to) return ;;
        -auth-mode | --auth-mode) return ;;
        -auth-token | --auth-token) return ;;
        -auth-file | --auth-file) COMPREPLY=($(compgen -f -- "$word")); return ;;
        -auth-callback | --auth-callback) return ;;
        -auth-callback-timeout | --auth-callback-timeout) return ;;
        -metrics-addr | --metrics-addr) return ;;
    esac
    case $path in
        "") COMPREPLY=($(compgen -W "publish play token verify audit migrate files -config --config -test --test -dump --dump -print-defaults --print-defaults -print-schema --print-schema -foreground --foreground -environment-file --environment-file -version --version -help --help -listen --listen -chunk-size --chunk-size -tls-listen --tls-listen -tls-cert --tls-cert -tls-key --tls-key -reconnect-url --reconnect-url -log-level --log-level -log-file --log-file -daemon --daemon -pid-file --pid-file -user --user -group --group -hook-script --hook-script -hook-webhook --hook-webhook -hook-stdio-format --hook-stdio-format -hook-timeout --hook-timeout -hook-concurrency --hook-concurrency -hook-filter-events --hook-filter-events -hook-filter-streams --hook-filter-streams -hook-filter-condition --hook-filter-condition -hook-rate-limit --hook-rate-limit -hook-rate-burst --hook-rate-burst -hook-min-severity --hook-min-severity -hook-auth-api-key --hook-auth-api-key -hook-auth-header --hook-auth-header -hook-auth-hmac-secret --hook-auth-hmac-secret -hook-auth-hmac-algorithm --hook-auth-hmac-algorithm -hook-auth-hmac-header --hook-auth-hmac-header -hook-auth-jwt-secret --hook-auth-jwt-secret -hook-auth-jwt-algorithm --hook-auth-jwt-algorithm -hook-auth-jwt-issuer --hook-auth-jwt-issuer -hook-auth-jwt-subject --hook-auth-jwt-subject -hook-auth-jwt-audience --hook-auth-jwt-audience -hook-auth-jwt-claim --hook-auth-jwt-claim -hook-auth-jwt-ttl --hook-auth-jwt-ttl -hook-auth-oauth2-client-id --hook-auth-oauth2-client-id -hook-auth-oauth2-client-secret --hook-auth-oauth2-client-secret -hook-auth-oauth2-token-url --hook-auth-oauth2-token-url -hook-auth-oauth2-scopes --hook-auth-oauth2-scopes -hook-auth-oauth2-client-auth --hook-auth-oauth2-client-auth -hook-header --hook-header -hook-retry-max-attempts --hook-retry-max-attempts -hook-retry-initial-delay --hook-retry-initial-delay -hook-retry-max-delay --hook-retry-max-delay -hook-retry-backoff --hook-retry-backoff -hook-retry-jitter --hook-retry-jitter -hook-delivery-guarantee --hook-delivery-guarantee -hook-delivery-timeout --hook-delivery-timeout -hook-dead-letter-url --hook-dead-letter-url -hook-store --hook-store -record-all --record-all -record-dir --record-dir -segment-duration --segment-duration -segment-pattern --segment-pattern -relay-to --relay-to -auth-mode --auth-mode -auth-token --auth-token -auth-file --auth-file -auth-callback --auth-callback -auth-callback-timeout --auth-callback-timeout -metrics-addr --metrics-addr" -- "$word")) ;;
        " publish") COMPREPLY=($(compgen -W "" -- "$word")) ;;
        " play") COMPREPLY=($(compgen -W "" -- "$word")) ;;
        " token") COMPREPLY=($(compgen -W "" -- "$word")) ;;
        " verify") COMPREPLY=($(compgen -W "" -- "$word")) ;;
        " audit") COMPREPLY=($(compgen -W "" -- "$word")) ;;
        " migrate") COMPREPLY=($(compgen -W "" -- "$word")) ;;
        " files") COMPREPLY=($(compgen -W "" -- "$word")) ;;
    esac
}

_rtmpctl() {
    local word=${COMP_WORDS[COMP_CWORD]} path="" index
    for ((index = 1; index < COMP_CWORD; index++)); do
        case "$path ${COMP_WORDS[index]}" in
            " status" | " top" | " health" | " doctor" | " metrics" | " streams" | " connections" | " kick" | " events" | " events tail" | " hooks" | " hooks list" | " hooks show" | " hooks test" | " hooks pause" | " hooks resume" | " hooks why" | " hooks attempts" | " dead-letters" | " dead-letters list" | " dead-letters show" | " dead-letters replay" | " dead-letters purge" | " replay" | " config" | " config show" | " config diff" | " config test" | " reload" | " log-level" | " log-reopen" | " token" | " verify") path="$path ${COMP_WORDS[index]}" ;;
        esac
    done
    COMPREPLY=()
    case ${COMP_WORDS[COMP_CWORD - 1]} in
        --socket) COMPREPLY=($(compgen -f -- "$word")); return ;;
        -c | --config) COMPREPLY=($(compgen -f -- "$word")); return ;;
        --url) return ;;
        --token-file) COMPREPLY=($(compgen -f -- "$word")); return ;;
        --timeout) return ;;
        --interval) return ;;
        --role) COMPREPLY=($(compgen -W "publisher players all" -- "$word")); return ;;
        --type) return ;;
        --stream) return ;;
        --count) return ;;
        --wait) return ;;
        --event) return ;;
        --limit) return ;;
        --hook) COMPREPLY=($(compgen -W "$(rtmpctl --timeout 1 hooks list 2>/dev/null | awk 'NR > 1 { print $1 }')" -- "$word")); return ;;
        --after) return ;;
        --since) return ;;
        --until) return ;;
    esac
    case $path in
        "") COMPREPLY=($(compgen -W "status top health doctor metrics streams connections kick events hooks dead-letters replay config reload log-level log-reopen token verify --help --version --socket --config --url --token-file --timeout --json" -- "$word")) ;;
        " status") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json" -- "$word")) ;;
        " top") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json --once --interval" -- "$word")) ;;
        " health") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json" -- "$word")) ;;
        " doctor") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json" -- "$word")) ;;
        " metrics") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json" -- "$word")) ;;
        " streams") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json" -- "$word")) ;;
        " connections") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json" -- "$word")) ;;
        " kick") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json --role" -- "$word")) ;;
        " events") COMPREPLY=($(compgen -W "tail --help" -- "$word")) ;;
        " events tail") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json --type --stream --count --wait" -- "$word")) ;;
        " hooks") COMPREPLY=($(compgen -W "list show test pause resume why attempts --help" -- "$word")) ;;
        " hooks list") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json" -- "$word")) ;;
        " hooks show") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json $(rtmpctl --timeout 1 hooks list 2>/dev/null | awk 'NR > 1 { print $1 }')" -- "$word")) ;;
        " hooks test") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json --event $(rtmpctl --timeout 1 hooks list 2>/dev/null | awk 'NR > 1 { print $1 }')" -- "$word")) ;;
        " hooks pause") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json $(rtmpctl --timeout 1 hooks list 2>/dev/null | awk 'NR > 1 { print $1 }')" -- "$word")) ;;
        " hooks resume") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json $(rtmpctl --timeout 1 hooks list 2>/dev/null | awk 'NR > 1 { print $1 }')" -- "$word")) ;;
        " hooks why") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json --verbose" -- "$word")) ;;
        " hooks attempts") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json --limit $(rtmpctl --timeout 1 hooks list 2>/dev/null | awk 'NR > 1 { print $1 }')" -- "$word")) ;;
        " dead-letters") COMPREPLY=($(compgen -W "list show replay purge --help" -- "$word")) ;;
        " dead-letters list") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json --hook --after --limit" -- "$word")) ;;
        " dead-letters show") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json" -- "$word")) ;;
        " dead-letters replay") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json --hook --all" -- "$word")) ;;
        " dead-letters purge") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json --hook --all" -- "$word")) ;;
        " replay") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json --since --until $(rtmpctl --timeout 1 hooks list 2>/dev/null | awk 'NR > 1 { print $1 }')" -- "$word")) ;;
        " config") COMPREPLY=($(compgen -W "show diff test --help" -- "$word")) ;;
        " config show") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json" -- "$word")) ;;
        " config diff") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json" -- "$word")) ;;
        " config test") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json" -- "$word")) ;;
        " reload") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json" -- "$word")) ;;
        " log-level") COMPREPLY=($(compgen -W "debug info warning error --help --socket --config --url --token-file --timeout --json" -- "$word")) ;;
        " log-reopen") COMPREPLY=($(compgen -W "--help --socket --config --url --token-file --timeout --json" -- "$word")) ;;
        " token") COMPREPLY=($(compgen -W "--help" -- "$word")) ;;
        " verify") COMPREPLY=($(compgen -W "--help" -- "$word")) ;;
    esac
}

complete -o default -F _rtmpd rtmpd
complete -o default -F _rtmpctl rtmpctl
