#!/bin/sh
# Runs the Compose project of the current directory, in which a service `mailrobin` writes its reports to reports/, and
# exits with its verdict: 0 passed, 1 a warning, 2 failed, 3 nothing can be said.
#
# Compose's own exit code does not tell: it may be 0, or another container's, when another container ends the run. So it is
# mailrobin's that counts, and only with whole reports. What else Compose reads (COMPOSE_FILE, COMPOSE_PROJECT_NAME, …)
# works as ever.
set -u

if docker compose version >/dev/null 2>&1; then
    compose() { docker compose "$@"; }
else
    compose() { docker-compose "$@"; }
fi

unknown() {
    echo "mailrobin.sh: $*; see reports/stack.log" >&2
    exit 3
}

# whole FILE END: it is there, and so is its end
whole() {
    case $(tail -c 20 "reports/$1" 2>/dev/null) in
    *"$2") ;;
    *) return 1 ;;
    esac
}

# The server that ended first, or that is not healthy: what a missing report is due to.
culprit() {
    for container in $(compose ps --all --quiet); do
        docker inspect --format '{{if ne .State.Status "running"}}{{.State.FinishedAt}}{{else}}~{{end}} {{
            index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} {{.State.ExitCode}} {{
            if .State.Health}}{{.State.Health.Status}}{{end}}' "$container"
    done | LC_ALL=C sort | awk '
        $3 == "exited" { if ($2 != "mailrobin") print $2 " ended first, with exit code " $4; exit }
        $3 == "running" && $5 != "" && $5 != "healthy" { print $2 " did not become healthy"; exit }'
}

mkdir -p reports
# In its container, mailrobin is another user.
chmod a+rwx reports 2>/dev/null
# An earlier run's reports would pass for this one's.
rm -f reports/junit.xml reports/report.json reports/summary.md
compose build || unknown "the images cannot be built"
trap 'compose down --remove-orphans >/dev/null 2>&1' EXIT
trap 'exit 3' HUP INT TERM
compose up --no-color --exit-code-from mailrobin >reports/stack.log 2>&1

mailrobin=$(compose ps --all --quiet mailrobin)
[ "$mailrobin" ] && docker logs "$mailrobin"
culprit=$(culprit)
[ "$culprit" ] && echo "mailrobin.sh: $culprit" >&2
[ "$mailrobin" ] && [ "$(docker inspect --format '{{.State.Status}}' "$mailrobin")" = exited ] ||
    unknown "mailrobin did not run"
verdict=$(docker inspect --format '{{.State.ExitCode}}' "$mailrobin")
[ "$verdict" -le 3 ] || unknown "mailrobin ended with exit code $verdict"
whole junit.xml '</testsuites>' && whole report.json '}' && [ -s reports/summary.md ] ||
    unknown "the reports are missing or incomplete"
exit "$verdict"
