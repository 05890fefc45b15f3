#!/usr/bin/env bash
# Sets itself up (a virtual environment, the packages, the plugin's front end) and then runs the
# laboratory or its tests. `./run_all.sh --help` tells it all.
#
# How the set-up knows what is done: each step leaves, as its very last act, a file in .venv whose
# content is the step's whole input (the list of packages, the Python version). Same content: the
# step is done. While pip is at work a file `installing` stands there: if it is found at the start,
# an earlier set-up was cut off, pip may have left half a package, and the environment is made anew.
set -euo pipefail

here=${BASH_SOURCE[0]%/*}
[[ $here == "${BASH_SOURCE[0]}" ]] && here=.
root=$(cd -- "$here" && pwd -P)
venv=$root/.venv
python=$venv/bin/python
log=$venv/setup.log
requirements=$root/requirements.txt
cuda_requirements=$root/requirements-cuda.txt
ray_requirements=$root/requirements-ray.txt
torch_requirements=$root/requirements-torch.txt
test_requirements=$root/tests/requirements.txt
bundle=$root/tb_plugin/frontend/bundle.py
disk_needed_mb=4000 # the packages take about 3 GB on a disk, and pip unpacks them in between

# Plain printf and read: --help works even where nothing is on PATH.
help() {
  local text
  IFS= read -r -d '' text <<'END' || true
A laboratory for lesioning neural networks: reproduces "On the importance of single directions
for generalization" (Morcos et al., ICLR 2018), shown in TensorBoard.

  ./run_all.sh [flags]             trains, ablates, draws and reports; run it again to go on
  ./run_all.sh status [flags]      what is done, running, failed and left, and the time left
  ./run_all.sh report [flags]      writes the figures and the report again from what is done
  ./run_all.sh test [pytest flags] runs every test, in a real browser too
  ./run_all.sh test --fast         those that need no training and no browser, in about a minute
  ./run_all.sh --help              this text
  ./run_all.sh COMMAND --help      every flag of a command (sets up first)

Flags of a run:
  --profile=quick|desk|paper   quick: small networks, the default: all figures in 10 minutes
                               on 2 free CPU cores.
                               desk: the full MNIST on a small machine, hours. paper: the
                               settings of the paper
  --only=fig1a,fig7            these figures only; fig7 is every one whose name begins so
  --runs_dir=DIR               where everything is written (default: runs beside this script)
  --data_dir=DIR               data sets of TFDS or cifar10.npz (or the variable TFDS_DATA_DIR)
  --offline                    make no network call for data; MNIST then comes from 5,000 images
                               that are installed with the packages
  --workers=N                  trainings at a time; 0, the default: as many as fit
  --retry-failed               try again what failed in an earlier run; without it, that is
                               reported and left
  --executor=local|ray         local: on this machine, the default. ray: on a Ray cluster
  --ray_address=ADDRESS        of the cluster: auto, or ray://host:10001. All its machines must see
                               DIR of --runs_dir, the data and this checkout under the same paths
  --gpus_per_job=X             of each training on Ray; 0.25 lets four share a GPU; 0, the default
  --cpus_per_job=N             cores and threads of each training on Ray; 1, the default
  --set=train.epochs=100       overrides a setting of the configs; may be repeated
  --configs_dir=DIR            other configs than those of this checkout

Variables:
  PYTHON=/path/to/python3.12   which Python makes the environment (3.11, 3.12 or 3.13)
  REQUIRE_BROWSER=1            with test: fail where no browser can be had, instead of leaving
                               the browser tests out
  WITH_TORCH=1                 with test: install PyTorch too, and test the laboratory on it

Ctrl-C or a kill loses seconds of work: the same command goes on from what was finished, to the
same results. Two commands may run at once on the same DIR: they share the work.

The first call needs a network, about 4 GB of disk and a few minutes: it makes .venv beside this
script, installs the versions of requirements.txt (with CUDA where nvidia-smi answers) and builds
the plugin's charts (with the Node.js of this machine, else with one from a Python package). Later
calls find that done. To start over, delete .venv; results stay in runs.
END
  printf '%s' "$text"
}

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# One line for each step: what is being done, then the seconds it took.
began=0
say() {
  began=$SECONDS
  printf '%s ... ' "$*" >&2
}
said_done() {
  printf '%s s\n' "$((SECONDS - began))" >&2
}

pip_at_work=0

# quietly WHAT COMMAND ...: its output goes to the log. If it fails, the one sentence that tells
# why goes to the user; where no cause is recognised, the end of the log as well.
quietly() {
  local what=$1 from code=0 said
  shift
  from=$(wc -c <"$log" 2>/dev/null || printf 0)
  # In a shell of its own, so that what is said on Ctrl-C does not go to the log too.
  ("$@") </dev/null >>"$log" 2>&1 || code=$?
  ((code == 0)) && return
  printf 'failed\n' >&2
  ((code > 128)) && interrupted
  said=$(tail -c "+$((from + 1))" "$log" 2>/dev/null || true)
  # A pip that failed before its last phase has changed nothing: the environment is still good.
  if ((pip_at_work)) && [[ $said != *"Installing collected packages"* ]]; then
    rm -f "$venv/installing"
  fi
  case $said in
  *"No space left on device"* | *"Disk quota exceeded"*)
    fail "No disk space: could not $what; make room (about $disk_needed_mb MB) and run the same command again (log: $log)."
    ;;
  *"Permission denied"* | *"Read-only file system"*)
    fail "No write permission: could not $what (log: $log)."
    ;;
  *"name resolution"* | *"Name or service not known"* | *"Network is unreachable"* | \
    *"Failed to establish a new connection"* | *"timed out"* | *"ProxyError"* | *"no network"*)
    fail "No network: could not $what; connect and run the same command again (log: $log)."
    ;;
  esac
  printf '%s\n' "$said" | tail -n 15 >&2
  fail "Could not $what (exit code $code; log: $log)."
}

interrupted() {
  printf 'Interrupted; the same command goes on from here.\n' >&2
  exit 130
}

# is_done STEP INPUT / mark_done STEP INPUT: see the head of this file.
is_done() {
  [[ -f $venv/done-$1 && $(<"$venv/done-$1") == "$2" ]]
}
mark_done() {
  printf '%s\n' "$2" >"$venv/done-$1.new"
  mv -f "$venv/done-$1.new" "$venv/done-$1"
}

# --- Which Python ---------------------------------------------------------------------------

# Prints the full version of a Python that we support; fails for any other, or none.
version_of() {
  "$1" -c 'import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 13): sys.exit(1)
print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null
}

find_python() {
  local candidate lacking=
  if [[ -n ${PYTHON:-} ]]; then
    version_of "$PYTHON" >/dev/null ||
      fail "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13 that starts."
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || lacking=$PYTHON
    [[ -z $lacking ]] && printf '%s\n' "$PYTHON" && return
  else
    for candidate in python3 python3.13 python3.12 python3.11 python; do
      version_of "$candidate" >/dev/null || continue
      if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
        printf '%s\n' "$candidate"
        return
      fi
      lacking=${lacking:-$candidate}
    done
  fi
  [[ -n $lacking ]] &&
    fail "$lacking cannot make virtual environments: its venv module is missing (on Debian and Ubuntu: apt-get install python3-venv)."
  fail "No Python 3.11, 3.12 or 3.13 found: install one, or name it with PYTHON=/path/to/python3.12 ./run_all.sh."
}

# --- The steps ------------------------------------------------------------------------------

# One set-up at a time: the second waits, and then finds the work done.
lock() {
  command -v flock >/dev/null || return 0
  exec 9>>"$venv/setup.lock"
  flock -n 9 && return
  say "Waiting for another run_all.sh that is setting up $venv"
  # Where the file system knows no locks, go on without one.
  flock 9 2>/dev/null || true
  said_done
}

writable() {
  if ! { mkdir -p "$venv" && : >>"$log"; } 2>/dev/null; then
    fail "No write permission in $root, where the environment .venv and the results go: copy the checkout to a folder of your own (or make room, if the disk is full)."
  fi
}

enough_space() {
  local available
  available=$(df -Pm "$venv" 2>/dev/null | awk 'NR == 2 { print $4 }') || return 0
  [[ $available =~ ^[0-9]+$ ]] || return 0
  ((available >= disk_needed_mb)) ||
    fail "No disk space: the packages need about $disk_needed_mb MB, and the disk of $venv has $available MB left."
}

pip() {
  # PIP_USER, where a user has set it for all of their pips, cannot work inside an environment.
  PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 "$python" -m pip install "$@"
}

# install STEP INPUT WHAT PIP-ARGUMENTS: runs pip between the two marks.
install() {
  local step=$1 input=$2 what=$3
  shift 3
  : >"$venv/installing"
  pip_at_work=1
  quietly "$what" pip "$@"
  pip_at_work=0
  mark_done "$step" "$input"
  rm -f "$venv/installing"
}

# The environment is usable: made by us with the Python that is asked for, or by hand with a
# Python that we support, and no pip was cut off in it.
environment_is_sound() {
  local ours wanted
  [[ ! -e $venv/installing && -x $python ]] || return 1
  ours=$(version_of "$python") || return 1
  [[ -n ${PYTHON:-} ]] || return 0
  wanted=$(version_of "$PYTHON") || fail "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13 that starts."
  [[ ${wanted%.*} == "${ours%.*}" ]]
}

# Prints the first thing in .venv that is neither of an environment that this script made, or was
# making, nor this script's own.
foreign_in_environment() {
  local path name ours=
  [[ -e $venv/installing || -e $venv/done-environment ]] && ours=1
  for path in "$venv"/{,.[!.],..?}* "$venv"/lib/{,.[!.],..?}* "$venv"/lib/*/{,.[!.],..?}*; do
    [[ -e $path || -L $path ]] || continue
    name=${path#"$venv"/}
    case $name in
    setup.lock | setup.log) continue ;;
    pyvenv.cfg | installing | done-* | .gitignore | lib64) ;;
    bin | include | lib | share | etc | lib/python3.*)
      [[ -d $path && ! -L $path ]] || ours=
      ;;
    *) ours= ;;
    esac
    if [[ -z $ours ]]; then
      printf '%s' "$path"
      return
    fi
  done
}

make_environment() {
  local base foreign
  environment_is_sound && return
  base=$(find_python)
  # An environment that someone made by hand is not ours to delete.
  [[ -e $venv/pyvenv.cfg && ! -e $venv/installing && ! -e $venv/done-environment ]] &&
    fail "$venv was not made by run_all.sh and does not fit (it needs Python 3.11, 3.12 or 3.13, or that of \$PYTHON): move it away and run the same command again."
  foreign=$(foreign_in_environment)
  [[ -z $foreign ]] ||
    fail "$foreign was not put there by run_all.sh, which would have to make $venv anew: move it away and run the same command again."
  enough_space
  say "Making the environment .venv with Python $(version_of "$base")"
  find "$venv" -mindepth 1 -maxdepth 1 ! -name setup.lock ! -name setup.log -exec rm -rf {} +
  : >"$venv/installing"
  quietly "make the environment $venv" "$base" -m venv "$venv"
  mark_done environment "$(version_of "$python")"
  rm -f "$venv/installing"
  said_done
}

# missing_steps [ray] [tests] [torch]: prints what is left to do, in order: nothing where all is done. Quick,
# writes nothing.
missing_steps() {
  local wanted=" $* "
  environment_is_sound || {
    printf environment
    return
  }
  is_done packages "$(<"$requirements")" || printf 'packages '
  if gpu_answers; then is_done cuda "$(<"$cuda_requirements")" || printf 'cuda '; fi
  # The checkout's own place is part of the input: a moved checkout is installed again.
  if ! is_done project "$(project_input)" || ! "$python" "$bundle" --current; then
    printf 'project '
  fi
  if [[ $wanted == *" ray "* ]]; then is_done ray "$(<"$ray_requirements")" || printf 'ray '; fi
  if [[ $wanted == *" tests "* ]]; then
    is_done tests "$(<"$test_requirements")" || printf 'tests '
  fi
  if [[ $wanted == *" torch "* ]]; then
    is_done torch "$(<"$torch_requirements")" || printf torch
  fi
}

project_input() {
  printf '%s\n' "$root"
  printf '%s' "$(<"$root/pyproject.toml")"
}

gpu_answers() {
  command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1
}

# set_up [ray] [tests] [torch]: what every command needs, and those besides.
set_up() {
  local steps step requirement
  unset PYTHONHOME
  steps=$(missing_steps "$@")
  [[ -z $steps ]] && return
  trap interrupted INT
  writable
  lock
  : >"$log"
  make_environment
  steps=$(missing_steps "$@") # again: the one we waited for may have done it all
  for step in $steps; do
    case $step in
    packages)
      say "Installing the packages of requirements.txt (a few minutes, once)"
      install packages "$(<"$requirements")" "install the packages of requirements.txt" \
        --no-deps -r "$requirements"
      said_done
      ;;
    cuda)
      say "Installing NVIDIA's libraries, since nvidia-smi answers (a few minutes, once)"
      install cuda "$(<"$cuda_requirements")" "install the packages of requirements-cuda.txt" \
        --no-deps -r "$cuda_requirements"
      said_done
      ;;
    project)
      if ! "$python" "$bundle" --current; then
        requirement=$("$python" "$bundle" --requirement)
        if [[ -n $requirement ]]; then
          say "Installing Node.js for the plugin's front end, since this machine has none"
          install node "$requirement" "install Node.js" "$requirement"
          said_done
        fi
        say "Building the plugin's front end"
        quietly "build the plugin's front end" "$python" "$bundle"
        said_done
      fi
      say "Registering the plugin with TensorBoard"
      install project "$(project_input)" "install the laboratory itself" \
        --no-deps --no-build-isolation -e "$root"
      said_done
      ;;
    ray)
      say "Installing Ray, since it is asked for"
      install ray "$(<"$ray_requirements")" "install the packages of requirements-ray.txt" \
        --no-deps -r "$ray_requirements"
      said_done
      ;;
    tests)
      say "Installing the packages of tests/requirements.txt"
      install tests "$(<"$test_requirements")" "install the packages of tests/requirements.txt" \
        --no-deps -r "$test_requirements"
      said_done
      ;;
    torch)
      say "Installing PyTorch, since it is asked for (a few minutes, once)"
      # With what its build needs, which differs from machine to machine. It is the one package
      # that can be done without.
      if (install torch "$(<"$torch_requirements")" "install the packages of requirements-torch.txt" \
        --constraint "$requirements" -r "$torch_requirements"); then
        said_done
      else
        [[ ! -e $venv/installing ]] || exit 1
        printf 'The tests on PyTorch will not run.\n' >&2
      fi
      ;;
    esac
  done
  # The lock is for the set-up, not for the hours of training after it.
  exec 9>&-
  trap - INT
}

# --- The browser for the tests --------------------------------------------------------------

find_browser() {
  local name
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if "$name" --version >/dev/null 2>&1; then
      command -v "$name"
      return
    fi
  done
  return 1
}

set_up_browser() {
  local as_root=() why
  if find_browser >/dev/null; then return; fi
  if ! command -v apt-get >/dev/null; then
    why="no Chromium is on PATH, and without apt-get it cannot be installed from here"
  elif ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
    why="no Chromium is on PATH, and installing it needs root (apt-get install chromium)"
  else
    ((EUID == 0)) || as_root=(sudo -n)
    say "Installing Debian's Chromium for the browser tests"
    if "${as_root[@]}" apt-get -q -o DPkg::Lock::Timeout=120 update </dev/null >>"$log" 2>&1 &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        -o DPkg::Lock::Timeout=120 install --no-install-recommends chromium \
        </dev/null >>"$log" 2>&1; then
      said_done
    else
      printf 'failed\n' >&2
    fi
    if find_browser >/dev/null; then return; fi
    why="no Chromium is on PATH, and installing it with apt-get did not give one that starts (log: $log)"
  fi
  if [[ ${REQUIRE_BROWSER:-} == 1 ]]; then
    fail "The browser tests cannot run, and REQUIRE_BROWSER=1 asks for them: $why."
  fi
  printf 'The browser tests will not run: %s.\n' "$why" >&2
}

# --- What to do -----------------------------------------------------------------------------

run_tests() {
  local how=()
  if [[ ${1:-} == --fast ]]; then
    shift
    run_fast_tests "$@"
  fi
  set_up ray tests "${WITH_TORCH:+torch}"
  set_up_browser
  cd -- "$root"
  # All tests: on all cores, a file on one of them, so that what a file prepares is prepared once.
  # One process more than cores, because tests in a browser wait for most of their time.
  # With arguments, pytest does as it is told.
  (($# > 0)) || how=(-n "$(($(cores) + 1))" --dist=loadfile --no-loadscope-reorder)
  exec "$python" -m pytest --no-header "${how[@]}" "$@"
}

# tests/fast.txt names the files.
run_fast_tests() {
  local files=() file
  while read -r file; do
    [[ -z $file || $file == "#"* ]] || files+=("$file")
  done <"$root/tests/fast.txt"
  set_up tests
  cd -- "$root"
  exec "$python" -m pytest --no-header -n "$(cores)" --dist=loadfile "${files[@]}" "$@"
}

# Four at most: each worker imports TensorFlow, about 1 GB.
cores() {
  "$python" -c 'import os; print(min(4, len(os.sched_getaffinity(0))))'
}

run_laboratory() {
  local command=$1 extra=
  shift
  if [[ " $* " =~ \ --?executor[=\ ]ray\  ]]; then extra=ray; fi
  set_up "$extra"
  # Called from elsewhere, the results still go beside this script: a later flag overrides.
  if [[ $PWD != "$root" ]]; then
    set -- "--runs_dir=$root/runs" "$@"
  fi
  # -P: a file called random.py in the current folder is not the module of that name.
  exec "$python" -P -m repro "$command" "$@"
}

# Quiet start of TensorFlow; set it to 0 to read all that it says.
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}

case ${1:-} in
-h | --help | -help | help)
  help
  ;;
test)
  shift
  run_tests "$@"
  ;;
run | status | report)
  run_laboratory "$@"
  ;;
"" | -*)
  run_laboratory run "$@"
  ;;
*)
  printf '%s\n' "Unknown command '$1': expected run, status, report or test; ./run_all.sh --help tells it all." >&2
  exit 2
  ;;
esac
