"""`python -m lowland` and `lowland`: the command line, which Ctrl-C ends quietly from its first moment on."""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Import the command line and give it the process."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # as shells start what runs in the background: nobody's Ctrl-C is meant for it
        # While modules are imported nothing is kept yet, and a traceback from within them would tell nobody anything.
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    try:
        from lowland.app import cli
    except (MemoryError, ImportError, OSError) as error:
        from lowland.core.memory import memory_short

        if not memory_short(error):
            raise
        os.write(2, b"error: memory ran short at the start; free memory, or raise a limit on it (ulimit -v)\n")
        os._exit(2)
    signal.signal(signal.SIGINT, before)
    try:
        cli.main()
    except KeyboardInterrupt:
        os._exit(130)


if __name__ == "__main__":
    main()
