"""The cost of a request: processor time, memory, response time."""

import os
import pathlib
import subprocess
import time

from world import BENCH, KEPT

TICKS = os.sysconf("SC_CLK_TCK")


def stat(pid):
    """The fields of /proc/PID/stat from the third on; the second may contain blanks."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def family(pid):
    """A process and its descendants."""
    found = [pid]
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += family(int(child))
    return found


def own_time(pid):
    """Seconds of user and system time of a FastCGI program, supervisor and worker, including ended threads. Uses the clock of
    clock_getcpuclockid(3), in nanoseconds."""
    return sum(time.clock_gettime((~member << 3) | 2) for member in family(pid))


def waited_time(pid):
    """Seconds of the processes that fcgiwrap's workers started and waited for, including fork and exec."""
    return sum(int(field) for member in family(pid)[1:] for field in stat(member)[13:15]) / TICKS


def memory(pid):
    """In KiB: the peak memory of the worker, including file pages; and the present memory of worker and supervisor together, with each
    page counted once."""
    field = lambda member, file, name: next(int(line.split()[1]) for line in pathlib.Path(f"/proc/{member}/{file}").read_text().splitlines() if line.startswith(name))
    members = family(pid)
    return max(field(member, "status", "VmHWM:") for member in members), sum(field(member, "smaps_rollup", "Pss:") for member in members)


def load(url, body_file, seconds, connections):
    """Runs wrk: requests, seconds, p50 and p99 in milliseconds, errors."""
    environment = os.environ | {"BENCH_BODIES": str(body_file or "")}
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--timeout", "30s", "--script", str(BENCH / "requests.lua"), url]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    figures = next(line for line in output.splitlines() if line.startswith("figures ")).split()[1:]
    return int(figures[0]), *map(float, figures[1:4]), int(figures[4])


def starts(program, body_file, variables, times):
    """A row for each start of a CGI program: microseconds to the first byte, of processor time, minor and major faults, KiB."""
    command = [str(KEPT / "start"), str(times), str(body_file), str(program)]
    output = subprocess.run(command, env=variables, check=True, capture_output=True, text=True).stdout
    return [[int(field) for field in line.split("\t")] for line in output.splitlines()]


def make_up(program):
    """Bytes of text, data and file, and the number of relocations for the loader."""
    size = subprocess.run(["size", str(program)], check=True, capture_output=True, text=True).stdout.splitlines()[1].split()
    relocations = subprocess.run(["readelf", "-rW", str(program)], check=True, capture_output=True, text=True).stdout
    return int(size[0]), int(size[1]), os.stat(program).st_size, sum(line.count("R_X86_64_") or line.count("R_AARCH64_") for line in relocations.splitlines())
