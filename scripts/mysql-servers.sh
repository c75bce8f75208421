#!/usr/bin/env bash
# Unpacks MySQL and MariaDB servers from Debian's packages into .servers/<name>/, each with every library it needs.
#
#   scripts/mysql-servers.sh mysql9 mariadb10 mariadb11
#
# Nothing is installed and no service is started: the programs run by the C library of their own folder, so the
# machine's does not matter and no privilege is needed. The packages come from the mirror that this machine's apt
# already uses, checked by Debian's archive keys.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "mysql-servers: $*" >&2; }

# Suite and package of each server. The newest versions are in sid only.
suite_of() {
    case "$1" in
        mysql9) echo sid mysql-server-core ;;
        mariadb10) echo bookworm mariadb-server-core ;;
        mariadb11) echo sid mariadb-server-core ;;
        *) return 1 ;;
    esac
}

# The first mirror among the machine's own sources that carries all of Debian (the security archive does not).
# Before the first `apt-get update` apt knows no origins yet: then the mirror's own address has to say it.
debian_mirror() {
    apt-get indextargets --format '$(ORIGIN) $(SITE)' 'Created-By: Packages' 2>/dev/null |
        awk '($1 == "Debian" || ($1 == "$(ORIGIN)" && $2 ~ /debian/)) && $2 !~ /security/ { print $2; exit }'
}

# Makes a private apt in $1 that knows the suite $2 only, and nothing of what is installed here.
private_apt() {
    local folder=$1 suite=$2
    mkdir -p "$folder"/lists/partial "$folder"/cache/archives/partial "$folder/none"
    : >"$folder/status"
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' \
        "$mirror" "$suite" >"$folder/debian.sources"
    cat >"$folder/apt.conf" <<CONF
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Default-Release;
Dir::State "$folder";
Dir::State::lists "$folder/lists";
Dir::State::status "$folder/status";
Dir::Cache "$folder/cache";
Dir::Cache::archives "$folder/cache/archives";
Dir::Etc::sourcelist "$folder/debian.sources";
Dir::Etc::sourceparts "$folder/none";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "$folder/none";
Acquire::Languages "none";
Acquire::PDiffs "false";
APT::Install-Recommends "false";
APT::Sandbox::User "$(id -un)";
Debug::NoLocking "true";
CONF
}

# Downloads the package $3 of the suite $2 with all it depends on into $1/cache/archives.
download() {
    private_apt "$1" "$2" &&
        apt-get -c "$1/apt.conf" -qq update >&2 &&
        apt-get -c "$1/apt.conf" -qq -y --download-only install "$3" >/dev/null
}

# Unpacks what a server needs of the packages in $1 into $2: no Perl, no manuals.
unpack() {
    local package
    for package in "$1"/*.deb; do
        case "$(basename "$package")" in
            perl* | libperl*) ;;
            *) dpkg-deb -x "$package" "$2" || return 1 ;;
        esac
    done
    rm -rf "$2"/usr/share/{doc,man,locale,lintian,perl5} "$2"/{,usr/}lib/*/gconv "$2/etc"
    # Packages of before the merge of / and /usr keep their libraries in /lib: one folder is enough.
    if [ -d "$2/lib" ]; then
        cp -a "$2/lib/." "$2/usr/lib/"
        rm -rf "$2/lib" "$2/lib64"
    fi
    find "$2/usr/lib" -name 'ld-linux*.so.*' -type f -print -quit | grep -q . ||
        { say "the packages brought no program loader"; return 1; }
}

# Writes <root>/server, which runs the server by the loader and libraries that came with it, whoever calls it.
write_starter() {
    local root=$1 loader program share
    loader=$(cd "$root" && find usr/lib -path '*-linux-gnu*' -name 'ld-linux*.so.*' | sort | head -n 1)
    program=usr/sbin/mysqld && [ -x "$root/usr/sbin/mariadbd" ] && program=usr/sbin/mariadbd
    share=usr/share/mysql && [ -d "$root/usr/share/mariadb/charsets" ] && share=usr/share/mariadb
    cat >"$root/server" <<STARTER
#!/bin/sh
here=\$(cd "\$(dirname "\$0")" && pwd)
exec "\$here/$loader" --library-path "\$here/$(dirname "$loader")" "\$here/$program" "\$@" \\
    --basedir="\$here/usr" --lc-messages-dir="\$here/$share" --character-sets-dir="\$here/$share/charsets" \\
    --plugin-dir="\$here/usr/lib/mysql/plugin"
STARTER
    chmod 755 "$root/server"
}

# Each step says for itself that it failed: called in a condition, the shell's -e counts for nothing.
install_server() {
    local name=$1 target=.servers/$1 suite package
    read -r suite package < <(suite_of "$name") || { say "there is no recipe for $name"; return 1; }
    say "unpacking $package of Debian $suite into $target"
    mkdir -p .servers && staging=$(mktemp -d "$PWD/.servers/unpacking-XXXXXX") &&
        download "$staging/apt" "$suite" "$package" &&
        mkdir "$staging/root" &&
        unpack "$staging/apt/cache/archives" "$staging/root" &&
        write_starter "$staging/root" &&
        chmod -R go+rX "$staging/root" &&
        rm -rf "$target" &&
        mv "$staging/root" "$target" &&
        rm -rf "$staging"
}

missing=()
for name in "$@"; do
    [ -x ".servers/$name/server" ] || missing+=("$name")
done
[ ${#missing[@]} -gt 0 ] || exit 0
unfit="what needs ${missing[*]} will say so"
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    say "there is no apt here; $unfit"
    exit 0
fi
mirror=$(debian_mirror)
if [ -z "$mirror" ]; then
    say "no mirror of Debian is among apt's sources here; $unfit"
    exit 0
fi
staging=
trap 'rm -rf "$staging"' EXIT
for name in "${missing[@]}"; do
    install_server "$name" || say "$name could not be unpacked; what needs it will say so"
    rm -rf "$staging"
done
