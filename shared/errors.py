"""One clear line for every mistake or fault that the user can mend, and exit code 2."""

import errno
import sys
from collections.abc import Callable

INTERRUPTED = 130  # the shell's code for a program that Ctrl-C ended


class UserError(Exception):
    """A fault the user can mend. Its text is one line: what is wrong, why, and the remedy."""


def describe_os_error(error: OSError) -> str:
    """Turn an operating-system error into one line with a remedy."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{where}: free some space, then run the same command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"not allowed to read or write{where}: check its permissions or choose another folder"
    return f"{error.strerror or error}{where}"


def run_program(main: Callable[[], None]) -> None:
    """Run a script's `main` and turn what the user can mend into one line on stderr and exit code 2.

    Every script ends with `if __name__ == "__main__": run_program(main)`. Faults of ours keep their traceback.
    """
    try:
        main()
    except UserError as error:
        sys.exit(_fail(str(error)))
    except OSError as error:
        sys.exit(_fail(describe_os_error(error)))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _fail(line: str) -> int:
    # A path or a value quoted in the message may itself hold a line break.
    print(f"error: {' '.join(line.splitlines())}", file=sys.stderr)
    return 2
