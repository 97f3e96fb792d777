"""What machines refuse: no space, no permission, no memory, another clock, another zone, another run; and what is said of it."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crashes import deliver_late, is_of_one_run
from homes import REPOSITORY, Bench, environment, parkledger, published_tables
from tally import Tally, case

from orchestration.writing import HOLDER

REFUSED = 6


def renamed(home: Path) -> Path:
    """The home with another title: there is something to publish."""
    text = (home / "home.yaml").read_text()
    (home / "home.yaml").write_text(text.replace("title: Test", "title: Tested again"))
    return home


def in_namespace(script: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A shell script with mounts of its own, which end with it."""
    return subprocess.run(
        ["unshare", "-rm", "sh", "-ec", script],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
        **options,
    )


def has_namespaces() -> bool:
    return shutil.which("unshare") is not None and in_namespace("mount -t tmpfs -o size=1m none /mnt").returncode == 0


def refused(done: subprocess.CompletedProcess[str], *words: str) -> bool:
    """Whether a command ended with one clear message, the way back in it, and no traceback."""
    said = done.stdout + done.stderr
    return done.returncode == REFUSED and all(word in said for word in words) and "Traceback" not in said


@case("environments")
def a_full_disk(bench: Bench) -> Tally:
    """A file system of its own, too small by more or less; then there is room again."""
    tally = Tally("the disk full in the middle of a run")
    if not has_namespaces():
        tally.note("not injected: this machine lets nobody mount a file system of a chosen size")
        return tally
    python = f"{sys.executable} -m orchestration.cli"
    with tally.timed():
        whole = renamed(bench.home())
        assert parkledger(whole, "run").returncode == 0
        expected = published_tables(whole)
        for room in [6000, 100, 4000, 1500][: bench.times(4)]:
            home, after = renamed(bench.home()), bench.empty() / "home"
            done = in_namespace(
                f"mount -t tmpfs -o size=1g none /mnt; cp -a {home} /mnt/home; used=$(du -sk /mnt/home | cut -f1)\n"
                f"mount -o remount,size=$((used + {room}))k /mnt; set +e\n"
                f"{python} --home /mnt/home run; echo ended $?; set -e\n"
                f"cp -a /mnt/home/published {after.parent}/published\n"
                f"mount -o remount,size=1g /mnt; {python} --home /mnt/home run --force\n"
                f"cp -a /mnt/home {after}"
            )
            said = done.stdout + done.stderr
            tally.injected += "ended 0" not in said
            shutil.copytree(after.parent / "published", after.parent / "before" / "published", symlinks=True)
            good = (
                f"ended {REFUSED}" in said
                and "disk is full" in said
                and "Make room" in said
                and is_of_one_run(after.parent / "before")
                and done.returncode == 0
                and tally.compare(expected, published_tables(after))
            )
            tally.survived += good and "ended 0" not in said
            if not good:
                tally.note(f"{room} KiB left: {said[-700:]}")
            shutil.rmtree(home.parent)
            shutil.rmtree(after.parent)
    return tally


@case("environments")
def a_read_only_home(bench: Bench) -> Tally:
    """Nothing is run, and whatever only reads goes on."""
    tally = Tally("the home on a read-only file system")
    if not has_namespaces():
        tally.note("not injected: this machine lets nobody mount a file system read-only")
        return tally
    python = f"{sys.executable} -m orchestration.cli --home /mnt"
    with tally.timed():
        home = renamed(bench.home())
        done = in_namespace(
            f"mount --bind {home} /mnt; mount -o remount,bind,ro /mnt; set +e\n"
            f"{python} run; echo run ended $?; {python} sql --format csv 'select 40 + 2 as answer'; echo sql ended $?\n"
            f"{python} verify > /dev/null; echo verify ended $?"
        )
        said = done.stdout + done.stderr
        tally.injected = 1
        good = all(
            words in said
            for words in (f"run ended {REFUSED}", "read-only", "Mount", "sql ended 0", "\n42", "verify ended 0")
        )
        tally.survived = int(good and "Traceback" not in said)
        if not tally.survived:
            tally.note(said[-900:])
        shutil.rmtree(home.parent)
    return tally


@case("environments")
def no_permission(bench: Bench) -> Tally:
    """The account may read the home and not write it; the superuser is one without its power over permissions."""
    tally = Tally("no permission to write the home")
    is_root = os.geteuid() == 0
    if is_root and shutil.which("setpriv") is None:
        tally.note("not injected: nothing here takes from the superuser what it may do")
        return tally
    with tally.timed():
        home = renamed(bench.home())
        folders = [home, *(f for f in home.rglob("*") if f.is_dir() and not f.is_symlink())]
        for folder in folders:
            folder.chmod(0o500)
        for file in (home / ".parkledger").glob("*"):
            file.chmod(0o400 if file.is_file() else 0o500)
        powerless = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"] if is_root else []
        done = subprocess.run(
            [*powerless, sys.executable, "-m", "orchestration.cli", "--home", str(home), "run"],
            cwd=REPOSITORY,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        tally.injected = 1
        tally.survived = int(refused(done, "chown") and is_of_one_run(home))
        if not tally.survived:
            tally.note(f"{done.returncode}: {done.stderr[-600:]}")
        for folder in folders:
            folder.chmod(0o700)
        shutil.rmtree(home.parent)
    return tally


@case("environments")
def too_little_memory_for_duckdb(bench: Bench) -> Tally:
    tally = Tally("PARKLEDGER_MEMORY_LIMIT too low")
    with tally.timed():
        for limit in ["8MB", "30MB"][: bench.times(2)]:
            home = renamed(bench.home())
            done = parkledger(home, "run", env={"PARKLEDGER_MEMORY_LIMIT": limit})
            tally.injected += done.returncode != 0
            good = refused(done, "PARKLEDGER_MEMORY_LIMIT") and is_of_one_run(home)
            again = parkledger(home, "run")
            good = good and again.returncode == 0
            tally.survived += good and done.returncode != 0
            if not good:
                tally.note(f"{limit}: {done.returncode} {done.stderr[-500:]} {again.stderr[-200:]}")
            shutil.rmtree(home.parent)
    return tally


@case("environments")
def too_little_memory_for_the_process(bench: Bench) -> Tally:
    """`ulimit -v`: libraries may end the process without a word of ours; what stands is whole, and a rerun completes it."""
    tally = Tally("`ulimit -v` too low")
    with tally.timed():
        for gigabytes in [0.7, 1.2, 1.8][: bench.times(3)]:
            home = renamed(bench.home())
            size = int(gigabytes * 1024**3)
            done = parkledger(
                home, "run", preexec_fn=lambda size=size: resource.setrlimit(resource.RLIMIT_AS, (size, size))
            )
            if done.returncode == 0:
                tally.note(f"{gigabytes} GiB are enough for the tiny home")
                continue
            tally.injected += 1
            tally.note(f"{gigabytes} GiB: exit code {done.returncode}")
            sound = is_of_one_run(home)
            tally.survived += sound and parkledger(home, "run").returncode == 0
            shutil.rmtree(home.parent)
    return tally


@case("environments")
def the_clock_set_back(bench: Bench) -> Tally:
    tally = Tally("the computer's clock set back")
    with tally.timed():
        home = bench.home()
        text = (home / "home.yaml").read_text()
        (home / "home.yaml").write_text(
            "\n".join("as_of: today" if t.startswith("as_of") else t for t in text.splitlines())
        )
        path = home / "published" / "manifest.json"
        manifest = json.loads(path.read_text())
        path.resolve().write_text(json.dumps({**manifest, "clock_at": "2999-01-01T00:00:00+00:00"}))
        done = parkledger(home, "run")
        tally.injected = 1
        tally.survived = int(refused(done, "clock", "2999-01-01", "--force"))
        if not tally.survived:
            tally.note(f"{done.returncode}: {done.stderr[-500:]}")
        shutil.rmtree(home.parent)
    return tally


@case("environments")
def other_zones_and_locales(bench: Bench) -> Tally:
    tally = Tally("time zone, locale and temporary folder of the host changed")
    hosts = [
        {"TZ": "Pacific/Kiritimati", "LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "TMPDIR": "/proc/none"},
        {"TZ": "America/St_Johns", "LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0"},
        {"TZ": "Asia/Kathmandu", "LC_ALL": "de_DE.ISO-8859-1", "PYTHONHASHSEED": "12345"},
    ]
    with tally.timed():
        whole = bench.home()
        assert parkledger(whole, "run", "--force").returncode == 0
        expected = published_tables(whole)
        for host in hosts[: bench.times(3)]:
            home = bench.home()
            done = parkledger(home, "run", "--force", env=host)
            tally.injected += 1
            good = done.returncode == 0 and tally.compare(expected, published_tables(home))
            tally.survived += good
            if not good:
                tally.note(f"{host}: {done.returncode} {done.stderr[-300:]}")
            shutil.rmtree(home.parent)
    return tally


@case("environments")
def a_run_beside_another(bench: Bench) -> Tally:
    """A run that meets another's, by hand or of the daemon, says who holds the home and waits; it ends once the other has."""
    from orchestration.writing import only_writer

    tally = Tally("a run while another, or the daemon's, holds the home")
    with tally.timed():
        home = bench.home()
        with only_writer(home):
            process = subprocess.Popen(
                [sys.executable, "-m", "orchestration.cli", "--home", str(home), "run"],
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            assert process.stdout is not None
            first = process.stdout.readline()
            tally.injected = 1
            waits = process.poll() is None
        said, _ = process.communicate(timeout=1800)
        good = waits and f"process {os.getpid()}" in first and process.returncode == 0 and "Nothing new" in said
        tally.survived = int(good)
        if not good:
            tally.note(f"{process.returncode}: {first} {said[-300:]}")
        shutil.rmtree(home.parent)
    return tally


@case("environments")
def a_run_while_the_daemon_runs(bench: Bench) -> Tally:
    """Late rows arrive: the daemon's run over them and one by hand go one after the other, and leave the books of one run."""
    tally = Tally("a run by hand while the daemon is in the middle of its own")
    with tally.timed():
        whole, home = bench.home(), bench.home()
        deliver_late(whole)
        assert parkledger(whole, "run").returncode == 0
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestration.cli", "--home", str(home), "serve", "--only", "daemon"],
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        try:
            deliver_late(home)
            met = _awaited((home / ".parkledger" / HOLDER).exists)
            done = parkledger(home, "run")
            ended = _awaited(lambda: not (home / ".parkledger" / HOLDER).exists() and _run_id(home) == _run_id(whole))
        finally:
            process.terminate()
            process.wait(timeout=60)
        tally.injected = int(met)
        expected, found = published_tables(whole), published_tables(home)
        for tables in (expected, found):  # who started it is said there, and is another
            del tables["quality.fct_run"]
        said = done.stdout + done.stderr
        good = ended and done.returncode == 0 and "writes this home" in said and tally.compare(expected, found)
        tally.survived = int(good and is_of_one_run(home))
        if not tally.survived:
            tally.note(f"{met} {ended} {done.returncode}: {said[-600:]}")
        shutil.rmtree(home.parent)
        shutil.rmtree(whole.parent)
    return tally


def _awaited(true: Callable[[], object], seconds: float = 900) -> bool:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def _run_id(home: Path) -> str:
    return str(json.loads((home / "published" / "manifest.json").read_text())["run_id"])


@case("environments")
def two_real_runs_at_once(bench: Bench) -> Tally:
    tally = Tally("four runs started together")
    with tally.timed():
        home, whole = renamed(bench.home()), renamed(bench.home())
        assert parkledger(whole, "run").returncode == 0
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "orchestration.cli", "--home", str(home), "run"],
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for _ in range(4)
        ]
        said = [process.communicate(timeout=1800)[0] for process in processes]
        codes = sorted(process.returncode for process in processes)
        tally.injected = 3
        good = (
            codes == [0, 0, 0, 0]
            and sum("Nothing new" in one for one in said) == 3
            and tally.compare(published_tables(whole), published_tables(home))
        )
        tally.survived = 3 * (good and is_of_one_run(home))
        if not good:
            tally.note(f"exit codes {codes}: {said[0][-300:]}")
        shutil.rmtree(home.parent)
        shutil.rmtree(whole.parent)
    return tally


@case("environments")
def a_stale_lock(bench: Bench) -> Tally:
    """A lock file of a process that is no more holds nobody up; one whose holder lives does."""
    from orchestration.writing import LOCK, HomeIsBeingWrittenError, only_writer

    tally = Tally("a lock left behind by a killed run")
    with tally.timed():
        home = bench.empty()
        code = (
            "import sys; from pathlib import Path; from orchestration.writing import only_writer\n"
            "with only_writer(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(home)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        busy = ""
        try:
            with only_writer(home, longest_wait_seconds=0.1):
                pass
        except HomeIsBeingWrittenError as error:
            busy = str(error)
        process.kill()
        process.communicate()
        tally.injected = 1
        with only_writer(home, longest_wait_seconds=5):
            left = (home / ".parkledger" / LOCK).exists()
        tally.survived = int(left and str(process.pid) in busy)
    return tally
