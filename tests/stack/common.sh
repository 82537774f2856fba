# What the scripts that start real servers share; sourced by them.
# They set `script`, `ports` and, from their arguments, `dir`; they define `down`.
# shellcheck shell=bash disable=SC2154 # dir, script and ports are theirs

die() { echo "$script: $*" >&2; exit 1; }
cannot() { echo "$script: $*" >&2; exit 77; }

require_root() { ((EUID == 0)) || cannot "must be root: the servers switch users"; }

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# apt_install PACKAGE...: the distribution's packages, without the servers they would start
apt_install() (
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -qq --no-install-recommends "$@" </dev/null >/dev/null
)

# An empty DIR that other users can enter, with these directories in it.
prepare() {
    mkdir -p "$dir"
    [[ -z $(ls -A "$dir") ]] || die "$dir is not empty"
    chmod 755 "$dir"
    ((${#dir} <= 70)) || die "$dir is too long for unix sockets below it"
    setpriv --reuid=nobody --clear-groups test -x "$dir" || die "the servers' users cannot enter $dir"
    umask 022
    (cd "$dir" && mkdir log tls "$@")
}

# No two `up` at a time choose ports. Daemons do not inherit the lock: see `detached`.
lock_ports() {
    exec 9<"${BASH_SOURCE[0]}"
    flock 9
}

# render PLACE...: replaces @KEY@ in the configuration there by its value in DIR/env
render() {
    sed -E 's/^([A-Z0-9_]+)=(.*)$/s|@\1@|\2|g/' "$dir/env" >"$dir/env.sed"
    find "$@" -type f -exec sed -i -f "$dir/env.sed" {} +
    rm "$dir/env.sed"
}

# write_ports BASE_PORT: the lines of DIR/env that name them
write_ports() {
    local i
    for i in "${!ports[@]}"; do echo "${ports[i]}_PORT=$(($1 + i))"; done
}

# A CA of our own and three server certificates: good, expired, for another name.
certificates() {
    local tls=$dir/tls
    cat >"$tls/ca.cnf" <<END
[ca]
default_ca = this
[this]
database = $tls/index
new_certs_dir = $tls
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
END
    : >"$tls/index"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
        -subj '/CN=mailrobin test CA' -addext keyUsage=critical,keyCertSign,cRLSign \
        -keyout "$tls/ca.key" -out "$tls/ca.pem" 2>/dev/null
    certificate server DNS:localhost,IP:127.0.0.1,IP:127.0.0.5
    certificate expired DNS:localhost,IP:127.0.0.1 -startdate 20200101000000Z -enddate 20200201000000Z
    certificate wrongname DNS:wrong.example.test
}

certificate() {
    local file=$dir/tls/$1 names=$2
    shift 2
    (($#)) || set -- -days 30
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=${names#*:}" \
        -addext "subjectAltName=$names" -addext extendedKeyUsage=serverAuth \
        -keyout "$file.key" -out "$file.csr" 2>/dev/null
    openssl ca -batch -notext -config "$dir/tls/ca.cnf" -cert "$dir/tls/ca.pem" \
        -keyfile "$dir/tls/ca.key" -in "$file.csr" -out "$file.crt" "$@" 2>/dev/null
    cat "$file.key" "$file.crt" >"$file.pem"
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# The first of as many free ports in a row as are needed, below the ephemeral ones.
free_ports() {
    local base i
    while :; do
        base=$((10000 + RANDOM % 700 * 32))
        for i in "${!ports[@]}"; do
            ! listening $((base + i)) || continue 2
        done
        echo "$base"
        return
    done
}

# within SECONDS COMMAND...: COMMAND until it succeeds
within() {
    local end=$((SECONDS + $1 + 1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.01
    done
}

# answers PORT GREETING COMMAND REPLY: a server is there and talks
answers() (
    exec 2>/dev/null
    exec 3<>"/dev/tcp/127.0.0.1/$1" || exit
    # shellcheck disable=SC2053 # the expectations are patterns
    read -rt 5 line <&3 && [[ $line == $2 ]] && printf '%s\r\n' "$3" >&3 &&
        read -rt 5 line <&3 && [[ $line == $4 ]]
)

answers_tls() {
    timeout 5 openssl s_client -connect "127.0.0.1:$1" -CAfile "$dir/tls/ca.pem" \
        -verify_return_error </dev/null >/dev/null 2>&1
}

get() { sed -n "s/^$1=//p" "$dir/env"; }

# Daemons keep what they inherit: no standard streams, no lock.
detached() { "$@" </dev/null >>"$dir/log/start" 2>&1 9>&-; }

failed() {
    tail -n 20 "$dir"/log/* >&2
    down
    die "$1 does not come up"
}

# stop PIDFILE: ends that server, and only if it is the one of this directory
stop() {
    local pid
    pid=$(running "$1") || return 0
    kill "$pid" || return 0
    within 5 gone "$pid" || kill -KILL "$pid"
}

# running PIDFILE: its process, if that is ours
running() {
    local pid
    [[ -e $1 ]] && read -r pid <"$1" && ours "$pid" && echo "$pid"
}

ours() { [[ $(readlink "/proc/$1/cwd") == "$dir"/* ]]; }
gone() { ! ours "$1"; }

# No process works below DIR any more: the servers' children take a moment.
quiet() {
    local cwd
    for cwd in /proc/[0-9]*/cwd; do
        [[ $(readlink "$cwd") != "$dir"/* ]] || return 1
    done
}
