"""Make the virtual environment `.venv` of this checkout: `make setup`, or `python3 tools/setup_venv.py [EXTRA...]`.

Standard library only, and written so that even Python 2 can parse it: a Python that is too old must be refused in one
line, not by a syntax error. Hence no f-strings and no annotations here.
"""

# ruff: noqa: UP032

import argparse
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OLDEST, NEWEST = (3, 11), (3, 13)
HEAVY_EXTRAS = ("scale", "wandb", "langchain", "peers")  # neither `make demo` nor `make test` needs them
GROUPS = ("all",)  # extras that only name other extras

# MB of 10^6 bytes, rounded up, as measured with the versions in constraints.txt.
DOWNLOAD_MB, DISK_MB = 300, 1700
HEAVY_DOWNLOAD_MB, HEAVY_DISK_MB = 150, 500
TORCH_CPU_MB, TORCH_CPU_DISK_MB = 200, 900
TORCH_CUDA_MB, TORCH_CUDA_DISK_MB = 3000, 7500


class SetupError(Exception):
    """A fault the user can mend; its text is one line."""


class Environment:
    """The virtual environment of one checkout, and the stamp that says what it holds."""

    def __init__(self, checkout):
        self.checkout = checkout
        self.folder = os.path.join(checkout, ".venv")
        self.python = os.path.join(self.folder, "bin", "python")
        self.log = os.path.join(self.folder, "setup.log")
        self.stamp = os.path.join(self.folder, "setup-complete.json")

    def fingerprint(self):
        """Hash of the files that say what to install."""
        digest = hashlib.sha256()
        for name in ("pyproject.toml", "constraints.txt"):
            with open(os.path.join(self.checkout, name), "rb") as file:
                digest.update(file.read())
        return digest.hexdigest()

    def read_stamp(self):
        """What a complete installation left behind; empty where there is none."""
        if not os.path.exists(self.stamp):
            return {}
        try:
            with open(self.stamp) as file:
                stamp = json.load(file)
            return stamp if os.path.exists(self.python) and stamp["checkout"] == self.checkout else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def write_stamp(self, extras):
        draft = self.stamp + ".draft"
        with open(draft, "w") as file:
            json.dump({"checkout": self.checkout, "files": self.fingerprint(), "extras": sorted(extras)}, file)
        os.replace(draft, self.stamp)

    def remove_stamp(self):
        if os.path.exists(self.stamp):
            os.remove(self.stamp)


def main(argv=None, checkout=CHECKOUT):
    """Set up, or return at once where all is in place. The exit code: 0, 2 for a fault the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("extras", nargs="*", help="more extras of pyproject.toml to install; `all` for every one")
    parser.add_argument("--quiet", action="store_true", help="say nothing where all is in place")
    arguments = parser.parse_args(argv)
    try:
        set_up(Environment(checkout), arguments.extras, arguments.quiet)
    except SetupError as error:
        sys.stderr.write("error: {}\n".format(error))
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted: run `make setup` again, what was downloaded is kept by pip\n")
        return 130
    except OSError as error:
        sys.stderr.write("error: {}: mend this, then run `make setup` again\n".format(error))
        return 2
    return 0


def set_up(environment, asked, quiet=False):
    stamp = environment.read_stamp()
    wanted = extras_to_install(environment.checkout, asked) | set(stamp.get("extras", ()))
    if stamp.get("files") == environment.fingerprint() and set(stamp["extras"]) == wanted:
        if not quiet:
            say("everything is in place: {}".format(environment.folder))
        return
    python = usable_python(environment)
    if python is None:
        check_this_python(sys.version_info)
        check_modules()
    # From here on the environment is half made: only the stamp written at the end makes it trusted.
    environment.remove_stamp()
    check_disk(environment.checkout, wanted, "cpu", already=python is not None)
    if python is None:
        say("1/3 making the virtual environment {}".format(environment.folder))
        make_environment(environment)
    else:
        say("1/3 the virtual environment is here: {}".format(environment.folder))
    say("2/3 asking pip what it would download")
    torch = torch_build(environment)
    announce(environment.checkout, wanted, torch)
    check_disk(environment.checkout, wanted, torch, already=torch == "installed")
    say("3/3 installing the pinned packages with the extras {}".format(", ".join(sorted(wanted))))
    install(environment, wanted)
    environment.write_stamp(wanted)
    say("done: {}".format(environment.folder))


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def extras_to_install(checkout, asked):
    """The projects' extras, `hub` and `dev`, and those asked for. Raises SetupError for an unknown one."""
    with open(os.path.join(checkout, "pyproject.toml")) as file:
        section = file.read().split("[project.optional-dependencies]", 1)[1].split("\n[", 1)[0]
    known = set(re.findall(r"^([\w-]+) *=", section, re.MULTILINE)) - set(GROUPS)
    wanted = known - set(HEAVY_EXTRAS)
    for extra in asked:
        if extra == "all":
            wanted |= known
        elif extra in known:
            wanted.add(extra)
        else:
            choices = ", ".join(["all"] + sorted(known))
            raise SetupError("unknown extra {!r}: choose one of {}".format(extra, choices))
    return wanted


def usable_python(environment):
    """The environment's own Python where it is a supported one with pip, else None."""
    if not os.path.exists(environment.python):
        return None
    code = "import sys, pip; sys.exit(not {} <= sys.version_info[:2] <= {})".format(OLDEST, NEWEST)
    with open(os.devnull, "w") as nowhere:
        works = subprocess.call([environment.python, "-c", code], stdout=nowhere, stderr=nowhere) == 0
    return environment.python if works else None


def check_this_python(version):
    """Raise SetupError where this Python cannot run the projects."""
    if not OLDEST <= tuple(version[:2]) <= NEWEST:
        raise SetupError(
            "Python {}.{} is not supported, 3.11, 3.12 or 3.13 is needed: install one, or name one that you have: "
            "make setup PYTHON=python3.12".format(version[0], version[1])
        )


def check_modules(names=("venv", "ensurepip")):
    """Raise SetupError where this Python lacks what makes a virtual environment with pip in it."""
    import importlib.util

    for name in names:
        if importlib.util.find_spec(name) is None:
            raise SetupError(
                "this Python has no module {}, so it cannot make a virtual environment with pip: install it (Debian "
                "and Ubuntu: sudo apt install python3-venv), then run `make setup` again".format(name)
            )


def disk_needed_mb(wanted, torch):
    heavy = any(extra in wanted for extra in HEAVY_EXTRAS)
    return DISK_MB + (HEAVY_DISK_MB if heavy else 0) + {"cpu": TORCH_CPU_DISK_MB, "cuda": TORCH_CUDA_DISK_MB}[torch]


def check_disk(checkout, wanted, torch, already):
    """Raise SetupError where the disk cannot hold what will be installed."""
    if already:  # an environment that is already filled needs little more
        return
    needed, free = disk_needed_mb(wanted, torch), free_disk_mb(checkout)
    if free < needed:
        raise SetupError(
            "too little free disk: {:.1f} GB are needed and {:.1f} GB are free at {}: free some space, then run "
            "`make setup` again".format(needed / 1000.0, free / 1000.0, checkout)
        )


def free_disk_mb(folder):
    return shutil.disk_usage(folder).free // 10**6


def make_environment(environment):
    command = [sys.executable, "-m", "venv", "--clear", environment.folder]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        words = " ".join(result.stdout.split())
        raise SetupError("cannot make {}: {}".format(environment.folder, words[-300:] or "venv failed"))


def announce(checkout, wanted, torch):
    """Say what will be downloaded and what room there is, before the first large download."""
    if torch == "installed":
        say("    torch is already here; what else is missing will be downloaded")
        return
    heavy = any(extra in wanted for extra in HEAVY_EXTRAS)
    size = DOWNLOAD_MB + (HEAVY_DOWNLOAD_MB if heavy else 0) + {"cpu": TORCH_CPU_MB, "cuda": TORCH_CUDA_MB}[torch]
    say(
        "    to download: about {} MB (less what pip has in its cache); on disk: {:.1f} GB; free: {:.1f} GB".format(
            size, disk_needed_mb(wanted, torch) / 1000.0, free_disk_mb(checkout) / 1000.0
        )
    )
    if torch == "cuda":
        say(
            "    about {:.0f} GB of it are torch with its CUDA packages, of use only with an NVIDIA GPU. For the small "
            "CPU build press Ctrl-C and\n    give pip an index of CPU wheels: pip config set global.extra-index-url "
            "ADDRESS (torch's own site names it)".format(TORCH_CUDA_MB / 1000.0)
        )


def torch_build(environment):
    """`installed`, or which build pip would take: `cpu`, or `cuda` with several GB of packages.

    Some versions of pip download whole files even in a dry run, so this stops at the first line that tells.
    """
    if glob.glob(os.path.join(environment.folder, "lib", "python*", "site-packages", "torch-*.dist-info")):
        return "installed"
    build, code = read_pip(environment, ["install", "--dry-run", "torch"], torch_build_told_by)
    if build is None and code != 0:
        raise SetupError(reason_of_failure(environment))
    return build or "cpu"


def torch_build_told_by(line):
    """The build of torch that a line of pip's output gives away, or None."""
    if re.search(r"^\s*(Collecting|Processing|Downloading)\b.*\b(nvidia|cuda|triton)[-_]?", line):
        return "cuda"
    if re.search(r"torch-[\w.]+\+cpu", line):
        return "cpu"
    size = re.search(r"Downloading \S*torch-\S+\.whl \(([\d.]+) ([kMG])B\)", line)
    if size:
        megabytes = float(size.group(1)) * {"k": 0.001, "M": 1, "G": 1000}[size.group(2)]
        return "cuda" if megabytes > 2 * TORCH_CPU_MB else "cpu"
    return None


def install(environment, wanted):
    target = ".[{}]".format(",".join(sorted(wanted)))
    _, code = read_pip(environment, ["install", "-e", target], show_progress)
    if sys.stdout.isatty():
        sys.stdout.write("\r\033[K")
    if code != 0:
        raise SetupError(reason_of_failure(environment))


def show_progress(line):
    """Show one package at a time on a terminal, and only the large ones elsewhere."""
    large = re.search(r"Downloading .*?([^/\s]+\.(?:whl|gz)) \((\d\d+(?:\.\d+)? MB|[\d.]+ GB)\)", line)
    collecting = re.match(r"(Collecting|Processing|Installing|Building) .*", line)
    if sys.stdout.isatty() and (large or collecting):
        sys.stdout.write("\r\033[K    " + line.strip()[:100])
        sys.stdout.flush()
    elif large:
        say("    downloading {} ({})".format(large.group(1), large.group(2)))


def read_pip(environment, arguments, read_line):
    """Run pip, give each line of its output to `read_line` and stop as soon as that returns something.

    Gives that value and pip's exit code. No option here says where packages come from: pip's own settings do.
    """
    command = [environment.python, "-m", "pip"] + arguments + ["-c", "constraints.txt", "--disable-pip-version-check"]
    # With --progress-bar off, pip still names each file and its size, one a line.
    process = subprocess.Popen(
        command + ["--progress-bar", "off"],
        cwd=environment.checkout,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None  # it is a pipe
    told = None
    try:
        with open(environment.log, "w") as log:
            for line in process.stdout:
                log.write(line)
                told = read_line(line)
                if told is not None:
                    break
    finally:
        if process.poll() is None and (told is not None or sys.exc_info()[0] is not None):
            process.terminate()
        process.stdout.close()
        process.wait()
    return told, process.returncode


def reason_of_failure(environment):
    """One line from pip's log: what went wrong, and what to do."""
    with open(environment.log) as file:
        text = file.read()
    errors = re.findall(r"^ERROR: (.*)", text, re.MULTILINE) or ["pip failed"]
    remedy = "see {}, then run `make setup` again".format(environment.log)
    if "No space left on device" in text or "Errno 28" in text:
        return "the disk is full: free some space, then run `make setup` again"
    if re.search(r"Failed to establish|name resolution|NewConnectionError|ConnectTimeout|ProxyError|SSLError", text):
        return (
            "pip cannot reach its package index: check the network and `pip config list`, then run `make setup` again"
        )
    if "No matching distribution" in text:
        remedy = "no such package for this machine in the index that pip uses (`pip config list`); " + remedy
    return "{}: {}".format(errors[-1][:300], remedy)


if __name__ == "__main__":
    sys.exit(main())
