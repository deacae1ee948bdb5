"""Make the environment, then start the program or its tests. Standard library only: this runs
before anything is installed, with whatever Python found it (3.11 to 3.13).

Every step is skipped where it was done before; a stamp in ``.venv`` remembers the hash of the
pinned requirements that were installed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
STAMP = VENV / ".nodus-installed"

# What Qt, OpenGL (software) and the OpenMP layer of Numba need on a bare Debian or Ubuntu.
RUN_PACKAGES = ["libgl1", "libegl1", "libglib2.0-0", "libfontconfig1", "libdbus-1-3", "libxkbcommon0", "libbrotli1", "libgomp1", "fonts-dejavu-core", "fonts-droid-fallback", "libxcb-cursor0", "libxcb-icccm4", "libxcb-image0", "libxcb-keysyms1", "libxcb-randr0", "libxcb-render-util0", "libxcb-shape0", "libxcb-xkb1", "libxkbcommon-x11-0"]
# The ordinary suite, as processes of which some run side by side: the longest first, so that all
# end at about the same time. What shows windows is one portion, for one screen has one focus.
PORTIONS = [["tests/ui"], ["tests/dicom_io"], ["tests/e2e"], ["tests/study", "tests/edc"], ["tests/usecases"], ["tests/volumetry"]]
# One more than the cores they are planned for: half of a portion's time it waits for a server, a screen or a disk.
SIDE_BY_SIDE = 3
# A real X server and a window manager for the window tests, a PDF renderer, DICOM validators, a PACS.
TEST_PACKAGES = ["xvfb", "xauth", "openbox", "x11-utils", "dbus", "gnome-keyring", "poppler-utils", "dicom3tools", "dcmtk", "libpixelmed-java", "default-jre-headless", "orthanc", "orthanc-dicomweb", "postgresql", "git"]

# What the temporary files of the ordinary suite need, with room to spare.
ROOM_FOR_TESTS_BYTES = 4 << 30


def say(text: str) -> None:
    """One line of progress on standard error."""
    print(f"nodus: {text}", file=sys.stderr, flush=True)


def is_debian() -> bool:
    """True on Debian, Ubuntu and their kin."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg-query") is not None


def missing_packages(names: list[str]) -> list[str]:
    """Those Debian packages of ``names`` that are not installed."""
    asked = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Status}\n", *names], capture_output=True, text=True).stdout
    present = {line.split()[0].split(":")[0] for line in asked.splitlines() if line.endswith("install ok installed")}
    # Newer releases renamed libglib2.0-0; the old name is then a virtual package that dpkg does not list.
    if subprocess.run(["dpkg-query", "-W", "libglib2.0-0t64"], capture_output=True).returncode == 0:
        present.add("libglib2.0-0")
    return [n for n in names if n not in present]


def install_system_packages(names: list[str], *, needed_for: str) -> None:
    """Install what is missing when root; otherwise print the exact command and go on, so that a
    machine whose administrator used other package names is not stopped."""
    if not is_debian():
        return
    absent = missing_packages(names)
    if not absent:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *absent]
    if os.geteuid() != 0:
        say(f"these system packages are missing ({needed_for}). Run this, then start again:\n    sudo {' '.join(command)}")
        return
    say(f"installing system packages for {needed_for}: {' '.join(absent)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for attempt in (1, 2, 3):
        subprocess.run(["apt-get", "update", "-qq"], env=environment, stdout=sys.stderr, check=False)
        if subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode == 0:
            return
        say(f"attempt {attempt} of 3 failed")
        time.sleep(3 * attempt)
    sys.exit(f"nodus: could not install system packages; run by hand: {' '.join(command)}")


def make_environment() -> None:
    """Create ``.venv`` and install the pinned, hashed requirements and Nodus itself (editable)."""
    requirements = ROOT / "requirements.lock"
    wanted = hashlib.sha256(requirements.read_bytes() + (ROOT / "pyproject.toml").read_bytes() + str(ROOT).encode()).hexdigest()
    python = BIN / ("python.exe" if os.name == "nt" else "python")
    if STAMP.exists() and STAMP.read_text() == wanted and python.exists():
        return
    if not python.exists():
        try:
            import ensurepip  # noqa: F401  Debian ships Python without it
            import venv  # noqa: F401
        except ImportError:
            version = f"python{sys.version_info.major}.{sys.version_info.minor}"
            install_system_packages([f"{version}-venv"], needed_for="making a virtual environment")
        say(f"making {VENV.name} with Python {sys.version.split()[0]}")
        if subprocess.run([sys.executable, "-m", "venv", str(VENV)], stdout=sys.stderr).returncode != 0:
            sys.exit("nodus: the virtual environment could not be made (Debian, Ubuntu: apt-get install python3-venv)")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--progress-bar", "on" if sys.stderr.isatty() else "off"]
    say("installing pinned packages (about 2 GB, a minute or two the first time)")
    started = time.monotonic()
    if subprocess.run([*pip, "-q", "--require-hashes", "-r", str(requirements)], stdout=sys.stderr).returncode != 0:
        sys.exit("nodus: the packages could not be installed; check the network and run this again")
    say(f"packages installed in {time.monotonic() - started:.0f} s; installing Nodus")
    if subprocess.run([*pip, "-q", "--no-deps", "--no-build-isolation", "-e", str(ROOT)], stdout=sys.stderr).returncode != 0:
        sys.exit("nodus: Nodus itself could not be installed")
    STAMP.write_text(wanted)


def has_display() -> bool:
    """True where a window can be opened."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def run(arguments: list[str]) -> int:
    """The main job, or whatever ``arguments`` say."""
    install_system_packages(RUN_PACKAGES, needed_for="the window (Qt and OpenGL)")
    make_environment()
    if not arguments:
        if has_display():
            arguments = ["demo"]
        else:
            out = ROOT / "demo-output"
            say(f"no display: doing the main job headless; its results will lie in {out}")
            arguments = ["demo", "--headless", "--out", str(out)]
    return subprocess.run([str(BIN / "nodus"), *arguments]).returncode


def start_x_server() -> tuple[list[subprocess.Popen], str | None]:
    """Start Xvfb and a small window manager for the window tests; returns processes and display.

    A window manager is needed because without one focus does not come back after a dialog."""
    if not shutil.which("Xvfb"):
        return [], None
    read_end, write_end = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write_end), "-screen", "0", "1920x1080x24", "-nolisten", "tcp", "-noreset"],
        pass_fds=(write_end,), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )
    os.close(write_end)
    # The number and its line end come in two writes; closing after the first would end the server.
    with os.fdopen(read_end) as stream:
        number = stream.readline().strip()
    if not number:
        server.terminate()
        return [], None
    display = f":{number}"
    processes = [server]
    if shutil.which("openbox"):
        processes.append(subprocess.Popen(["openbox", "--sm-disable"], env={**os.environ, "DISPLAY": display}, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
        time.sleep(0.5)
    return processes, display


def ordinary_suite(command: list[str], environment: dict[str, str]) -> int:
    """The whole suite in portions, some side by side; a portion's report is printed when it is done.

    Whatever lies in none of ``PORTIONS`` is the last portion."""
    named = [room for rooms in PORTIONS for room in rooms]
    portions = [*PORTIONS, [f"--ignore={room}" for room in named]]
    printing = threading.Lock()

    def run_portion(arguments: list[str]) -> tuple[str, int, float]:
        started = time.monotonic()
        done = subprocess.run([*command, *arguments], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        title = "all other rooms" if arguments is portions[-1] else " ".join(arguments)
        with printing:
            print(f"\n=== {title}", flush=True)
            sys.stdout.buffer.write(done.stdout)
            sys.stdout.flush()
        return title, done.returncode, time.monotonic() - started

    with ThreadPoolExecutor(SIDE_BY_SIDE) as side_by_side:
        say(f"{len(portions)} portions of the suite, {SIDE_BY_SIDE} at a time")
        try:
            ended = list(side_by_side.map(run_portion, portions))
        except BaseException:
            side_by_side.shutdown(wait=False, cancel_futures=True)
            raise
    for title, code, seconds in ended:
        say(f"{'passed' if code == 0 else f'FAILED ({code})'} after {seconds:.0f} s: {title}")
    return max((abs(code) for _, code, _ in ended), default=0)


def folder_in_memory() -> str | None:
    """Where the tests' files may lie in memory, None where there is no room or none such.

    A study flushes every file to the disk before it goes on, and so do the hundreds that tests make:
    on a disk that takes as long as all their work."""
    place = Path("/dev/shm")
    try:
        room = [shutil.disk_usage(place).free, 1024 * int(re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1)) // 2]
        limit = Path("/sys/fs/cgroup/memory.max")
        if limit.exists() and limit.read_text().strip().isdigit():
            room.append(int(limit.read_text()) // 2)
        if min(room) < ROOM_FOR_TESTS_BYTES or os.statvfs(place).f_flag & os.ST_NOEXEC:
            return None
        return str(place) if os.access(place, os.W_OK | os.X_OK) else None
    except (OSError, AttributeError):
        return None


def compile_ahead(environment: dict[str, str]) -> int:
    """Compile all kernels into the user's cache: both halves at once for two cores, then the program's
    own ``warm-up``, which finds nothing left to do unless one of them failed."""
    say("compiling numeric kernels ahead (once; kept in the user's cache)")
    halves = (("planning.warmup",), ("volumetry.measure", "volumetry.segmentation.star_convex", "volumetry.perfusion.warmup", "dicom_io.codecs"))
    code = "import importlib, sys; from app.settings import prepare_process; prepare_process(); [importlib.import_module(m).warm_up() for m in sys.argv[1:]]"
    running = [subprocess.Popen([str(BIN / "python"), "-c", code, *rooms], cwd=ROOT, env=environment) for rooms in halves]
    for process in running:
        process.wait()
    return subprocess.run([str(BIN / "nodus"), "warm-up"], env=environment).returncode


def test(arguments: list[str]) -> int:
    """The ordinary suite; ``fast``, ``long`` or pytest's own arguments narrow it."""
    install_system_packages(RUN_PACKAGES + TEST_PACKAGES, needed_for="the tests")
    make_environment()
    python = str(BIN / "python")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")
    processes, display = start_x_server()
    if display:
        environment.update(DISPLAY=display, QT_QPA_PLATFORM="xcb")
    elif not has_display():
        environment.setdefault("QT_QPA_PLATFORM", "offscreen")
    if not arguments:
        chosen = []
    elif arguments[0] == "fast":
        chosen = ["-m", "not long and not slow", "-n", "2", *arguments[1:]]
    elif arguments[0] == "long":
        chosen = ["-m", "long", "--timeout", "3600", *arguments[1:]]
    else:
        chosen = arguments
    quick = folder_in_memory() if arguments[:1] in ([], ["fast"]) else None
    together = tempfile.TemporaryDirectory(prefix="nodus-tests-", dir=quick, ignore_cleanup_errors=True)
    environment["NODUS_TEST_SHARED"] = together.name
    if quick:
        environment["TMPDIR"] = together.name
    try:
        prepared = compile_ahead(environment)
        if prepared != 0:
            return prepared
        if not arguments:
            return ordinary_suite([python, "-m", "pytest", "-m", "not long", "--durations=8", "--durations-min=3"], environment)
        return subprocess.run([python, "-m", "pytest", *chosen], cwd=ROOT, env=environment).returncode
    finally:
        together.cleanup()
        for process in reversed(processes):
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=10)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("run", "test"):
        sys.exit("usage: bootstrap.py run|test [arguments]")
    sys.exit({"run": run, "test": test}[sys.argv[1]](sys.argv[2:]))
