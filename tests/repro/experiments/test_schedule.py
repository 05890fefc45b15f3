"""The plan, who works on what, what failed, and how long the rest will take.

No network is trained here: workers are played by `Played`, and steps are files in the folders.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import psutil
import pytest

from repro.core.kinds import CumulativeConfig, SingleUnitConfig
from repro.core.settings import TrainConfig
from repro.core.toml import load_figure
from repro.data import load
from repro.data.source import DataSource
from repro.experiments import leases, local, processes, progress, ray, schedule, worker
from repro.experiments import plan as plans
from repro.experiments.executor import Ending, ExecutorError
from repro.experiments.plan import Job
from repro.experiments.runs import TRAINING, Runs
from repro.experiments.task import Task

CURVE, UNITS = CumulativeConfig(), SingleUnitConfig()
MNIST = {"mnist": DataSource("mnist", "embedded")}


def job(seed: int, **train: object) -> Job:
    settings = {"dataset": "mnist", "network": "mlp", "hidden_units": (8,), "epochs": 10} | train
    return Job(TrainConfig(seed=seed, **settings), (CURVE, UNITS))  # type: ignore[arg-type]


def do(runs: Runs, job: Job, *steps: str, seconds: float = 1.0) -> None:
    """Leaves a network's folder as a worker would that did these steps."""
    with runs.network(job.train).prepare():
        write(runs, job, *steps, seconds=seconds)


def write(runs: Runs, job: Job, *steps: str, seconds: float = 1.0) -> None:
    """The same for one who holds the folder."""
    folder = runs.network(job.train)
    for step in steps:
        if step == TRAINING:
            folder.model.write_bytes(b"model")
        (folder.path / f"{step}.npz").write_bytes(b"result")
        folder.note_seconds(step, seconds, plans.amounts(job)[step])


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")


# --- What is open, done and failed --------------------------------------------------------------


def test_a_failed_training_closes_its_network_and_a_failed_sweep_only_itself(runs: Runs) -> None:
    one = job(0)
    folder = runs.network(one.train)
    assert plans.open_steps(one, folder) == one.steps == (TRAINING, CURVE.sweep_id, UNITS.sweep_id)
    folder.note_failure(TRAINING, "it diverged")
    assert plans.open_steps(one, folder) == () and plans.unfinished([one], runs) == []
    plans.forget_failures([one], runs)
    assert plans.open_steps(one, folder) == one.steps
    do(runs, one, TRAINING)
    folder.note_failure(CURVE.sweep_id, "no memory")
    assert plans.open_steps(one, folder) == (UNITS.sweep_id,)
    do(runs, one, CURVE.sweep_id, UNITS.sweep_id)
    assert plans.failures([one], runs) == [], "a failure is over once the step is done"


def test_sweeps_of_one_snapshot_follow_each_other() -> None:
    (path,) = (Path(__file__).parents[3] / "configs").glob("fig4b_*.toml")
    for one in plans.plan([load_figure(path, "quick")]):
        epochs = [sweep.epoch for sweep in one.sweeps]
        assert epochs == sorted(epochs) and len(set(epochs)) == len(one.train.snapshots)
        assert len(epochs) > len(set(epochs)), "several sweeps of each"


def test_failures_are_told_with_the_log_and_its_last_line(runs: Runs) -> None:
    one, other = job(0), job(1)
    folder = runs.network(one.train)
    folder.note_failure(TRAINING, "it diverged")
    folder.log.write_text("much\nValueError: at the very end\n\n")
    (failure,) = plans.failures([other, one], runs)
    assert str(failure).splitlines() == [
        f"{one.train.run_id}, training: it diverged",
        f"  log: {folder.log}",
        "  last line: ValueError: at the very end",
    ]


def test_a_worker_that_cannot_read_its_images_fails_all_its_steps(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from repro.training import train as training

    monkeypatch.setattr(training, "configure", lambda threads: None)
    one = job(0)
    task = Task(one, str(runs.root), DataSource("mnist", "tfds", str(tmp_path)), 1, 10.0)
    monkeypatch.setattr(load, "load", lambda *_: (_ for _ in ()).throw(OSError(5, "bad disk")))
    worker.work(task)
    assert [failure.step for failure in plans.failures([one], runs)] == list(one.steps)
    assert runs.network(one.train).holder is None


# --- Handing out --------------------------------------------------------------------------------


class Played:
    """An executor whose workers do what `script(job, attempt)` does and returns, at once."""

    threads = 1

    def __init__(self, script: Callable[[Job, int], Ending], slots: int = 2) -> None:
        self.slots, self.closed = slots, False
        self.started: Counter[Job] = Counter()
        self._script = script

    def submit(self, task: Task) -> Future[Ending]:
        self.started[task.job] += 1
        future: Future[Ending] = Future()
        future.set_result(self._script(task.job, self.started[task.job]))
        return future

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(schedule, "_SECONDS_OF_REST", 0.01)


def test_each_job_is_done_once_whatever_happens_to_its_neighbours(runs: Runs) -> None:
    plan, finished, notes = [job(seed) for seed in range(4)], [], list[str]()

    def script(job: Job, attempt: int) -> Ending:
        if job == plan[0]:
            runs.network(job.train).note_failure(TRAINING, "it diverged")
            return Ending(notes=("a checkpoint is damaged",))
        if job == plan[1] and attempt < 3:
            return Ending(died="the process was killed")
        if job == plan[2]:
            return Ending(error="no space left")
        do(runs, job, *job.steps)
        return Ending()

    played = Played(script)
    errors = schedule.Schedule(
        plan, runs, MNIST, played, 10.0, on_finished=finished.append, on_note=notes.append
    ).run()
    assert sorted(finished, key=plan.index) == plan and played.closed
    assert [played.started[job] for job in plan] == [1, 3, 1, 1]
    assert [failure.job for failure in plans.failures(plan, runs)] == plan[:1]
    assert errors == {plan[2]: "no space left"}
    first, second = plan[0].train.run_id, plan[1].train.run_id
    tried_again = f"{second}: the process was killed; it is tried again"
    assert sorted(notes) == sorted([f"{first}: a checkpoint is damaged", tried_again, tried_again])


def test_a_worker_that_dies_each_time_is_a_failure_of_the_step_at_hand(runs: Runs) -> None:
    one = job(0)
    do(runs, one, TRAINING)
    played = Played(lambda job, attempt: Ending(died="the process was killed"))
    schedule.Schedule([one], runs, MNIST, played, 10.0).run()
    # Three attempts at each sweep: the second is not given up with the first.
    assert played.started[one] == 6
    assert [(f.step, f.reason) for f in plans.failures([one], runs)] == [
        (CURVE.sweep_id, "the process was killed"),
        (UNITS.sweep_id, "the process was killed"),
    ]


def test_a_machine_that_leaves_is_never_held_against_the_job(runs: Runs) -> None:
    one = job(0)

    def script(job: Job, attempt: int) -> Ending:
        if attempt < 10:
            return Ending(died="its machine left the cluster", blame=False)
        do(runs, job, *job.steps)
        return Ending()

    schedule.Schedule([one], runs, MNIST, Played(script), 10.0).run()
    assert plans.failures([one], runs) == [] and plans.unfinished([one], runs) == []


def test_networks_that_can_share_a_program_share_a_worker(runs: Runs) -> None:
    plan = [job(0), job(1, hidden_units=(16,)), job(2), job(3), job(4)]
    do(runs, plan[2], TRAINING)  # its sweeps alone are open
    handed_out: list[tuple[Job, ...]] = []

    class Grouped(Played):
        def submit(self, task: Task) -> Future[Ending]:
            handed_out.append((task.job, *task.companions))
            assert Task.from_json(task.to_json()) == task
            for each in handed_out[-1]:
                do(runs, each, *each.steps)
            return super().submit(task)

    finished: list[Job] = []
    played = Grouped(lambda job, attempt: Ending(), slots=1)
    schedule.Schedule(
        plan, runs, MNIST, played, 10.0, on_finished=finished.append, together=3
    ).run()
    assert handed_out == [(plan[0], plan[3], plan[4]), (plan[1],), (plan[2],)]
    assert sorted(finished, key=plan.index) == plan
    assert plans.unfinished(plan, runs) == []


@pytest.mark.parametrize(("asked", "sizes"), [(False, [1, 1, 1]), (True, [2, 1])])
def test_convnets_share_a_program_only_where_that_is_asked_for(
    runs: Runs, asked: bool, sizes: list[int]
) -> None:
    convnet = TrainConfig("cifar10", "convnet", epochs=1)
    networks = [dataclasses.replace(convnet, seed=seed) for seed in (0, 1)]
    networks.append(dataclasses.replace(convnet, width=0.5))
    plan = [Job(network, (CURVE,)) for network in networks]
    handed_out: list[int] = []

    class Grouped(Played):
        def submit(self, task: Task) -> Future[Ending]:
            handed_out.append(1 + len(task.companions))
            for each in (task.job, *task.companions):
                do(runs, each, *each.steps)
            return super().submit(task)

    played = Grouped(lambda job, attempt: Ending(), slots=1)
    sources = {"cifar10": DataSource("cifar10", "tfds", "there")}
    schedule.Schedule(plan, runs, sources, played, 10.0, together=2, asked=asked).run()
    assert handed_out == sizes


def test_networks_whose_worker_died_are_trained_alone_from_then_on(runs: Runs) -> None:
    plan = [job(0), job(1)]
    handed_out: list[tuple[Job, ...]] = []

    class Grouped(Played):
        def submit(self, task: Task) -> Future[Ending]:
            handed_out.append((task.job, *task.companions))
            return super().submit(task)

    def script(job: Job, attempt: int) -> Ending:
        if len(handed_out) == 1:
            return Ending(died="the process was killed")
        do(runs, job, *job.steps)
        return Ending()

    schedule.Schedule(plan, runs, MNIST, Grouped(script, slots=1), 10.0, together=8).run()
    assert handed_out == [tuple(plan), (plan[0],), (plan[1],)]
    assert plans.failures(plan, runs) == []


def test_what_another_command_works_on_is_left_to_it_and_waited_for(runs: Runs) -> None:
    mine, theirs = job(0), job(1)
    release = threading.Event()

    def other_command() -> None:
        with runs.network(theirs.train).prepare():
            held.set()
            release.wait(30)
            write(runs, theirs, *theirs.steps)

    held, thread = threading.Event(), threading.Thread(target=other_command)
    thread.start()
    held.wait(30)

    def script(job: Job, attempt: int) -> Ending:
        do(runs, job, *job.steps)
        release.set()
        return Ending()

    finished: list[Job] = []
    played = Played(script)
    schedule.Schedule([theirs, mine], runs, MNIST, played, 10.0, on_finished=finished.append).run()
    thread.join()
    assert finished[0] == mine and set(finished) == {mine, theirs}
    assert played.started[mine] == 1 and plans.unfinished([mine, theirs], runs) == []


def test_a_job_is_taken_up_when_the_other_command_dies(runs: Runs) -> None:
    one = job(0)
    folder = runs.network(one.train)
    dead = leases.Holder("far", 1, "another machine", "1", 0.0)
    folder.path.mkdir(parents=True)
    path = folder.path / ".lease-000001.json"
    path.write_text(
        f'{{"host": "far", "pid": 1, "machine": "{dead.machine}", "birth": "1", "since": 0}}'
    )
    assert folder.holder == dead

    def die() -> None:
        os.utime(path, (0, 0))

    timer = threading.Timer(0.2, die)
    timer.start()

    def script(job: Job, attempt: int) -> Ending:
        do(runs, job, *job.steps)
        return Ending()

    schedule.Schedule([one], runs, MNIST, Played(script), 10.0).run()
    assert plans.unfinished([one], runs) == []


def test_an_interrupted_command_ends_its_workers(runs: Runs) -> None:
    def script(job: Job, attempt: int) -> Ending:
        raise KeyboardInterrupt

    played = Played(script)
    with pytest.raises(KeyboardInterrupt):
        schedule.Schedule([job(0)], runs, MNIST, played, 10.0).run()
    assert played.closed


def test_ray_without_its_package_is_one_sentence(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ExecutorError, match="pip install -r requirements-ray.txt"):
        schedule.connect("ray", 1, runs, 0, address="", gpus=0.0, cpus=1)


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_a_cluster_that_does_not_answer_is_one_sentence(runs: Runs, address: str) -> None:
    pytest.importorskip("ray")
    with socket.socket() as taken:  # bound but not listening: a port where nothing answers
        taken.bind(("127.0.0.1", 0))
        nowhere = address.format(taken.getsockname()[1])
        with pytest.raises(ExecutorError, match=f"no Ray cluster at {nowhere}: Connec"):
            schedule.connect("ray", 1, runs, 0, address=nowhere, gpus=0.0, cpus=1)


def test_a_machine_that_does_not_see_the_runs_folder_does_no_work(tmp_path: Path) -> None:
    ending = ray._on_node("not even read", {}, str(tmp_path / "elsewhere/.cluster-1"))
    assert "elsewhere: --runs_dir must lie on storage" in ending.error and not ending.died


@pytest.mark.parametrize(
    ("program", "cause"),
    [
        ("kill -9 $$", "was killed, perhaps for lack of memory"),
        ("kill -11 $$", "ended by signal 11"),
        ("exit 7", "ended with status 7"),
    ],
)
def test_how_a_worker_died_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, cause: str
) -> None:
    shell = tmp_path / "python"
    shell.write_text(f"#!/bin/sh\n{program}\n")
    shell.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(shell))
    ending = processes.Processes({}).run("a task")
    assert cause in ending.died and ending.blame and not ending.error


@pytest.mark.parametrize(("leaves", "n_workers"), [(False, 1), (True, 3)])
def test_a_worker_does_one_task_after_another_until_it_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaves: bool, n_workers: int
) -> None:
    said = json.dumps({"finished": True, "leaves": leaves})
    shell = tmp_path / "python"
    shell.write_text(
        f"#!/bin/sh\nwhile read task; do echo \"$$ $task\" >> {tmp_path}/done; echo '{said}'"
        + ("; exit" if leaves else "")
        + "; done\n"
    )
    shell.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(shell))
    workers = processes.Processes({})
    assert all(workers.run(f"task {n}") == Ending() for n in range(3))
    lines = [line.split(" ", 1) for line in (tmp_path / "done").read_text().splitlines()]
    assert [task for _, task in lines] == ["task 0", "task 1", "task 2"]
    assert len({worker for worker, _ in lines}) == n_workers
    workers.kill()
    assert not any(psutil.pid_exists(int(worker)) for worker, _ in lines)
    with pytest.raises(RuntimeError, match="the command is ending"):
        workers.run("task 3")


def test_a_worker_that_died_while_it_waited_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = tmp_path / "python"
    shell.write_text(
        f"#!/bin/sh\nread task; echo $$ >> {tmp_path}/pids; "
        """echo '{"note": "a word"}'; echo '{"finished": true, "leaves": false}'; exec sleep 60\n"""
    )
    shell.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(shell))
    workers = processes.Processes({})
    assert workers.run("one").notes == ("a word",)
    killed = psutil.Process(int((tmp_path / "pids").read_text()))
    killed.kill()
    killed.wait(10)
    assert workers.run("two") == Ending(notes=("a word",))
    assert len(set((tmp_path / "pids").read_text().split())) == 2
    workers.kill()


def test_workers_share_what_is_compiled_as_long_as_the_command_lives(
    monkeypatch: pytest.MonkeyPatch, runs: Runs, tmp_path: Path
) -> None:
    monkeypatch.setenv("TF_XLA_FLAGS", "--one_of_the_users")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "shell"))
    (tmp_path / "shell").write_text(f'#!/bin/sh\necho "$TF_XLA_FLAGS" >> "{tmp_path}/flags"\n')
    (tmp_path / "shell").chmod(0o755)
    executor = local.LocalProcesses(1, 1)
    task = Task(job(0), str(runs.root), MNIST["mnist"], 1, 0.0)
    for _ in range(2):
        executor.submit(task).result()
    first, second = (tmp_path / "flags").read_text().splitlines()
    assert first == second and first.startswith("--one_of_the_users ")
    folder = Path(first.split("directory=")[1].split()[0])
    assert folder.is_dir()
    executor.close()
    assert not folder.exists()


# --- How far, how long --------------------------------------------------------------------------


def test_running_is_what_a_living_process_holds(runs: Runs) -> None:
    plan = [job(0), job(1), job(2)]
    do(runs, plan[0], *plan[0].steps)
    do(runs, plan[1], TRAINING)
    runs.network(plan[2].train).note_failure(TRAINING, "it diverged")

    def states() -> list[str]:
        return [step.state for step in progress.survey(plan, runs)]

    before = ["done"] * 3 + ["done", "left", "left"] + ["failed", "left", "left"]
    assert states() == before
    with runs.network(plan[1].train).prepare():
        assert states() == ["done"] * 3 + ["done", "running", "left"] + ["failed", "left", "left"]
        (running,) = [s for s in progress.survey(plan, runs) if s.state == progress.RUNNING]
        assert running.name == CURVE.sweep_id and f"process {os.getpid()} on" in running.detail
    assert states() == before


def test_the_time_left_comes_from_like_steps(runs: Runs) -> None:
    measured, like, other = job(0), job(1, epochs=30), job(2, hidden_units=(64,))
    pace = progress.Pace(runs)
    assert progress.time_left([like], runs, 1, pace) is None, "nothing measured yet"
    do(runs, measured, *measured.steps, seconds=12.0)
    pace = progress.Pace(runs)
    assert pace.n_measured == 3
    # Three times the epochs take three times as long; the sweeps are the same.
    assert pace.seconds(like, TRAINING) == pytest.approx(36.0)
    assert pace.seconds(like, CURVE.sweep_id) == pytest.approx(12.0)
    # A network of another shape: as long for each multiply-add as the one that is known.
    assert pace.seconds(other, TRAINING) == pytest.approx(8 * 12.0)
    assert progress.time_left([like], runs, 4, pace) == pytest.approx(60.0)
    assert progress.time_left([job(s) for s in (3, 4, 5, 6)], runs, 2, pace) == pytest.approx(72.0)
    runs.network(like.train).note_failure(TRAINING, "it diverged")
    assert progress.time_left([like], runs, 1, pace) == 0.0
    # A measurement of its own shape is preferred as soon as there is one.
    do(runs, other, TRAINING, seconds=100.0)
    assert progress.Pace(runs).seconds(job(9, hidden_units=(64,)), TRAINING) == pytest.approx(100)
    # 12 s for 10 epochs and 3 s for 90: 15 s for 100, so 0.15 s an epoch.
    do(runs, long := job(10, epochs=90), TRAINING, seconds=3.0)
    assert progress.Pace(runs).seconds(long, TRAINING) == pytest.approx(0.15 * 90)


def test_what_a_running_process_has_done_is_not_left(runs: Runs) -> None:
    measured, running = job(0), job(1)
    do(runs, measured, *measured.steps, seconds=10.0)
    pace = progress.Pace(runs)
    total = sum(plans.amounts(running).values())
    with runs.network(running.train).prepare() as lease:
        lease.done = total / 4
        lease.renew()
        assert progress.time_left([running], runs, 1, pace) == pytest.approx(22.5)
