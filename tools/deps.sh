#!/bin/sh
# Install what is missing of the Debian packages that the agent, its lab and its tests use (Debian 12 and 13).
# The host's own services stay as they are: nothing is started, nothing new is enabled, no database is created.
set -eu

PACKAGES="pacemaker corosync pcs crmsh resource-agents resource-agents-paf pacemaker-cli-utils libxml2-utils
    iproute2 nftables psmisc procps postgresql ipvsadm iputils-arping openssh-server kmod mmdebstrap python3-venv
    util-linux haproxy etcd-server gdb"
POLICY=/usr/sbin/policy-rc.d
NO_CLUSTER=/etc/postgresql-common/createcluster.d/expgsql-deps.conf

installed() {
    # shellcheck disable=SC2016 # the variables are dpkg-query's
    dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p'
}

missing=
for package in $PACKAGES; do
    [ -n "$(installed "$package")" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "Installing Debian packages:$missing"
[ "$(id -u)" = 0 ] || { echo "installing packages needs root" >&2; exit 1; }

scratch=$(mktemp -d)
restore() {
    rm -f "$POLICY" "$NO_CLUSTER"
    rmdir --ignore-fail-on-non-empty "${NO_CLUSTER%/*}" 2>/dev/null || true
    [ ! -e "$scratch/policy-rc.d" ] || mv "$scratch/policy-rc.d" "$POLICY"
    rm -rf "$scratch"
}
trap restore EXIT
trap 'exit 1' HUP INT TERM

# Maintainer scripts ask this program whether they may start a service (invoke-rc.d(8)).
[ ! -e "$POLICY" ] || mv "$POLICY" "$scratch/policy-rc.d"
printf '#!/bin/sh\nexit 101\n' > "$POLICY"
chmod 755 "$POLICY"
# createcluster.conf, which postgresql-common writes, includes this directory (pg_createcluster(1)).
mkdir -p "${NO_CLUSTER%/*}"
echo "create_main_cluster = false" > "$NO_CLUSTER"

patience=$(dirname "$0")/patience.sh
installed | sort > "$scratch/before"
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
"$patience" "reading the lists of packages" apt-get --quiet --quiet update
# shellcheck disable=SC2086 # a list of words
"$patience" "installing Debian packages" apt-get --quiet --quiet --yes --no-install-recommends \
    -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=600 \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold install $missing
installed | sort > "$scratch/after"

# What came new would start at the next boot: not on a machine that only wanted a lab.
command -v systemctl > /dev/null || exit 0
comm -13 "$scratch/before" "$scratch/after" | xargs --no-run-if-empty dpkg --listfiles |
    sed -n -E 's#^(/usr)?/lib/systemd/system/([^/@]+\.(service|socket|timer))$#\2#p' | sort -u |
    while read -r unit; do
        # One at a time: a unit that cannot be disabled (an alias, say) would keep all others enabled.
        systemctl --quiet disable "$unit" > /dev/null 2>&1 || true
    done
